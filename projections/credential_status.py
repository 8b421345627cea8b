"""What verification, introspection and the detail page read: one row a credential, one a secret. Inline.

The rows are a function of the folded credential and are written in its events' own transaction, so that when a
revocation is acknowledged no look-up here can still find it good.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from ledger.credential import Credential, evolve
from ledger.store.datastore import LedgerDatastore
from ledger.store.recorder import InlineTable, Row
from ledger.values import Channel
from ledger.verification import Candidate
from projections.view import OF_ACCOUNTS, OF_CREDENTIALS, OF_OPERATORS, OF_ORGANISATIONS, StateView

STATUS = InlineTable(
    "credential_status",
    key=("credential_id",),
    columns=(
        "credential_id",
        "organisation_id",
        "account_id",
        "application_id",
        "kind",
        "public_id",
        "mode",
        "environment",
        "channel",
        "name",
        "description",
        "contact_email",
        "labels",
        "access_level",
        "scopes",
        "catalogue_version",
        "allowlist",
        "secrets",
        "created_at",
        "rotated_at",
        "expires_at",
        "suspended_at",
        "revoked_at",
        "revocation_reason",
        "erased_at",
        "supersedes",
        "imported_from",
        "version",
        "changed_at",
    ),
)

SECRET = InlineTable(
    "credential_secret",
    key=("credential_id", "version"),
    columns=("credential_id", "version", "algorithm", "digest", "password_hash", "expires_at"),
)


def rows_of(credential: Credential) -> dict[InlineTable, list[Row]]:
    """The rows that stand for a credential as it is."""
    return {STATUS: [status_row(credential)], SECRET: secret_rows(credential)}


def status_row(credential: Credential) -> Row:
    """A credential as it is read: `secrets` without what verifies them, `allowlist` for its networks."""
    c = credential
    return {
        "credential_id": c.id,
        "organisation_id": c.organisation_id,
        "account_id": c.account_id,
        "application_id": c.application_id,
        "kind": c.kind,
        "public_id": c.public_id,
        "mode": c.mode,
        "environment": c.environment,
        "channel": c.channel,
        "name": c.name,
        "description": c.description,
        "contact_email": c.contact_email,
        "labels": c.labels,
        "access_level": c.access_level,
        "scopes": c.scopes,
        "catalogue_version": c.catalogue_version,
        "allowlist": c.networks,
        "secrets": [
            {"version": s.version, "hint": s.hint, "created_at": s.created_at, "expires_at": s.expires_at}
            for s in c.secrets
        ],
        "created_at": c.created_at,
        "rotated_at": c.rotated_at,
        "expires_at": c.expires_at,
        "suspended_at": c.suspended_at,
        "revoked_at": c.revoked_at,
        "revocation_reason": c.revocation_reason,
        "erased_at": c.erased_at,
        "supersedes": c.supersedes,
        "imported_from": c.imported_from,
        "version": c.version,
        "changed_at": c.changed_at,
    }


def secret_rows(credential: Credential) -> list[Row]:
    """What each version of the secret is compared with. Old versions stay, so that they are told from unknown ones."""
    return [
        {
            "credential_id": credential.id,
            "version": s.version,
            "algorithm": s.algorithm,
            "digest": s.digest,
            "password_hash": s.password_hash,
            "expires_at": s.expires_at,
        }
        for s in credential.secrets
    ]


VIEW: StateView[Credential] = StateView(
    name="credential_status",
    aggregate="credential",
    inline=True,
    evolve=evolve,
    tables=(STATUS, SECRET),
    rows_of=rows_of,
    handles=OF_CREDENTIALS,
    ignores=(*OF_ORGANISATIONS, *OF_OPERATORS, *OF_ACCOUNTS),
)


# --- queries ---------------------------------------------------------------------------------------------------------


def find_credential(store: LedgerDatastore, organisation_id: UUID, credential_id: UUID) -> dict[str, Any] | None:
    """One credential's row with `last_used` ({version: time}), or None where the organisation has no such one."""
    return store.row(
        "SELECT c.*, (SELECT jsonb_object_agg(u.version, u.last_used_at) FROM secret_usage u "
        "WHERE u.credential_id = c.credential_id) AS last_used "
        "FROM credential_status c WHERE c.credential_id = %s AND c.organisation_id = %s",
        (credential_id, organisation_id),
    )


@dataclass(frozen=True, slots=True)
class Caller:
    """The operator whose token came with the request."""

    operator_id: UUID
    organisation_id: UUID | None
    roles: Sequence[str]
    production: bool


_CANDIDATE = (
    "c.credential_id, c.organisation_id, c.account_id, c.application_id, c.kind, c.public_id, c.mode, c.environment, "
    "c.channel, c.scopes, c.allowlist, c.expires_at, c.suspended_at, c.revoked_at, "
    "s.version, s.algorithm, s.digest, s.password_hash, s.expires_at, c.changed_at"
)
_BY_DIGEST = (
    f"SELECT {_CANDIDATE} FROM credential_secret s JOIN credential_status c USING (credential_id) "  # noqa: S608
    "WHERE s.digest IN ({digests}) AND s.digest <> ''"
)
_BY_LOGIN = (
    f"SELECT {_CANDIDATE} FROM credential_status c JOIN credential_secret s USING (credential_id) "  # noqa: S608
    "WHERE c.kind = 'channel_login' AND c.public_id <> '' AND c.channel = %s AND lower(c.public_id) = lower(%s) "
    "AND s.algorithm = 'argon2id' AND (s.expires_at IS NULL OR s.expires_at > now()) "
    "ORDER BY s.version DESC LIMIT 2"  # at most two secrets are live
)
_CALLER = (
    "SELECT o.operator_id, o.organisation_id, o.roles, o.production FROM operator_token t "
    "JOIN operator_status o USING (operator_id) WHERE t.digest IN ({digests}) AND o.removed_at IS NULL "
    "AND (t.expires_at IS NULL OR t.expires_at > now()) LIMIT 1"
)
_CALLER_COLUMNS = 4


@lru_cache(maxsize=64)  # a ring holds four keys at most
def _query(caller_digests: int, secret_digests: int, by_login: bool) -> str:
    """The caller beside each candidate, with a parameter for each digest.

    An array of digests would hide their number from PostgreSQL, which then plans anew at every execution: four times
    what the look-up itself takes.
    """
    caller = _CALLER.format(digests=_placeholders(caller_digests))
    found = _BY_DIGEST.format(digests=_placeholders(secret_digests))
    if by_login:
        found = f"({found}) UNION ALL ({_BY_LOGIN})"
    return f"SELECT o.*, f.* FROM (SELECT) a LEFT JOIN ({caller}) o ON true LEFT JOIN ({found}) f ON true"  # noqa: S608


def _placeholders(count: int) -> str:
    return ", ".join(["%s"] * count) or "NULL"


def find_for_verification(
    store: LedgerDatastore,
    caller_digests: Sequence[str],
    secret_digests: Sequence[str],
    login: tuple[Channel, str] | None,
) -> tuple[Caller | None, list[Candidate]]:
    """The caller, and the secrets that may be the presented one, in one round trip.

    Look-ups are by digest, for which the presenter cannot choose a prefix; a chosen password is looked up by its
    login on its channel.
    """
    query = _query(len(caller_digests), len(secret_digests), login is not None)
    with store.cursor_of_tuples() as curs:
        parameters = (*caller_digests, *secret_digests, *map(str, login or ()))
        rows = curs.execute(query, parameters, prepare=True, binary=True).fetchall()
    candidates = [Candidate(*row[_CALLER_COLUMNS:]) for row in rows if row[_CALLER_COLUMNS] is not None]
    return (None if rows[0][0] is None else Caller(*rows[0][:_CALLER_COLUMNS])), candidates
