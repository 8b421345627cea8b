"""The provable log's own commands: opening it, rotating the key that signs checkpoints, owning up to a restore."""

import base64
import secrets
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from uuid_utils.compat import uuid7

from ledger.commands import OpenSealedLog, RotateSealingKey
from ledger.errors import AlreadyExists, StaleVersion
from ledger.events import Context
from ledger.service import Ledger
from ledger.store.keys import Keyring
from ledger.store.log import EventLog
from ledger.values import Via
from projections.sealed.sealer import sealed_log
from projections.sealed.trees import ROOT

RANDOM_NAME_BYTES = 8  # two installations without a name of their own do not meet


def open_sealed_log(log: EventLog, ledger: Ledger) -> None:
    """Begin the provable log of a new installation; nothing where there is one already."""
    if sealed_log(log) is not None:
        return
    kid, public_key = _new_key(log.keyring)
    command = OpenSealedLog(
        context=Context(datetime.now(UTC), "system", Via.SYSTEM, reason="the provable log of a new installation"),
        expected_version=0,
        name=log.settings.log_name or f"keyledger-{secrets.token_hex(RANDOM_NAME_BYTES)}",
        kid=kid,
        master_key_id=log.keyring.current,
        public_key=public_key,
    )
    try:
        ledger.handle(command)
    except (AlreadyExists, StaleVersion):  # another process was first
        return


def issue_sealing_key(keyring: Keyring, context: Context, *, overlap: timedelta) -> RotateSealingKey:
    """A new key for checkpoints, derived from the current master key."""
    kid, public_key = _new_key(keyring)
    return RotateSealingKey(
        context=context, kid=kid, master_key_id=keyring.current, public_key=public_key, overlap=overlap
    )


def _new_key(keyring: Keyring) -> tuple[str, str]:
    """The name of a new key, and its public half: the root tree's, as each tree has a key of its own."""
    kid = str(uuid7())
    private = Ed25519PrivateKey.from_private_bytes(keyring.sealing_seed(keyring.current, kid, ROOT))
    return kid, base64.b64encode(private.public_key().public_bytes_raw()).decode()
