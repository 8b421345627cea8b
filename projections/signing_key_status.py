"""The keys that access tokens are signed and verified with. Inline: one that was given up is out at once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from ledger.signing_key import SigningKey, evolve
from ledger.store.datastore import LedgerDatastore
from ledger.store.recorder import InlineTable, Row
from projections.view import (
    OF_ACCOUNTS,
    OF_APPLICATIONS,
    OF_BULK_REVOCATIONS,
    OF_CATALOGUES,
    OF_CREDENTIALS,
    OF_EXPORTS,
    OF_OPERATORS,
    OF_ORGANISATIONS,
    OF_SEALED_LOG,
    OF_SIGNING_KEYS,
    OF_WEBHOOK_ENDPOINTS,
    StateView,
)

STATUS = InlineTable(
    "signing_key_status",
    key=("kid",),
    columns=("kid", "algorithm", "master_key_id", "public_jwk", "created_at", "expires_at", "version"),
)


def rows_of(signing_key: SigningKey) -> dict[InlineTable, list[Row]]:
    """A row for each key that there was."""
    return {STATUS: [asdict(key) for key in published(signing_key)]}


VIEW: StateView[SigningKey] = StateView(
    name="signing_key_status",
    aggregate="signing_key",
    inline=True,
    evolve=evolve,
    tables=(STATUS,),
    rows_of=rows_of,
    handles=OF_SIGNING_KEYS,
    ignores=(
        *OF_ORGANISATIONS,
        *OF_CATALOGUES,
        *OF_OPERATORS,
        *OF_ACCOUNTS,
        *OF_APPLICATIONS,
        *OF_CREDENTIALS,
        *OF_BULK_REVOCATIONS,
        *OF_WEBHOOK_ENDPOINTS,
        *OF_EXPORTS,
        *OF_SEALED_LOG,
    ),
)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key as it is published. `expires_at` None is the newest; `version` counts the keys from 1."""

    kid: str
    algorithm: str
    master_key_id: str
    public_jwk: Mapping[str, str]
    created_at: datetime
    expires_at: datetime | None
    version: int


def published(signing_key: SigningKey) -> list[PublicKey]:
    """The keys that there were, oldest first."""
    return [
        PublicKey(key.kid, key.algorithm, key.master_key_id, key.public_jwk, key.created_at, key.expires_at, version)
        for version, key in enumerate(signing_key.keys, 1)
    ]


KEYS_MAX = 100  # the newest; those before them ended years ago, or somebody rotates without need


def list_signing_keys(store: LedgerDatastore, at: datetime | None = None) -> list[PublicKey]:
    """The keys, newest first; only those whose tokens are good at a moment, where one is given."""
    rows = store.rows(
        "SELECT * FROM signing_key_status "
        "WHERE expires_at IS NULL OR %(at)s::timestamptz IS NULL OR expires_at > %(at)s "
        "ORDER BY version DESC LIMIT %(limit)s",
        {"at": at, "limit": KEYS_MAX},
    )
    return [PublicKey(**row) for row in rows]
