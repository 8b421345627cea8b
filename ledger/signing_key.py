"""The key that access tokens are signed with: its versions, of which the newest is to sign, those before it verify.

There is one for a ledger. Only public halves are here; what signs is derived from the master key
(`ledger/store/keys.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from ledger.commands import RotateSigningKey
from ledger.errors import InvalidValue
from ledger.events import Event, Recorded, SigningKeyRotated
from ledger.values import OVERLAP_MAX, SigningAlgorithm


@dataclass(frozen=True, slots=True)
class SigningKeyVersion:
    """One key, and until when tokens that it signed are good (`expires_at` None: it is the newest)."""

    kid: str
    algorithm: SigningAlgorithm
    master_key_id: str
    public_jwk: Mapping[str, str]
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The signing key as its events left it, with every version that it had, oldest first."""

    id: UUID
    keys: tuple[SigningKeyVersion, ...]
    version: int


def evolve(state: SigningKey | None, recorded: Recorded) -> SigningKey:
    """The state after one more event."""
    event, at = recorded.event, recorded.event.context.at
    if not isinstance(event, SigningKeyRotated):
        raise TypeError(f"the signing key has no branch for {type(event).__name__}")
    newest = SigningKeyVersion(event.kid, event.algorithm, event.master_key_id, event.public_jwk, at)
    before = tuple(_ending(key, event.previous_expires_at) for key in state.keys) if state is not None else ()
    return SigningKey(recorded.aggregate_id, (*before, newest), recorded.aggregate_version)


def rotate_signing_key(_state: SigningKey | None, command: RotateSigningKey) -> list[Event]:
    """A new key; without an overlap, every token that was signed before is refused from now on."""
    if not timedelta(0) <= command.overlap <= OVERLAP_MAX:
        reason = f"must lie between 0 and {int(OVERLAP_MAX.total_seconds())}"
        raise InvalidValue("overlap_seconds", reason, "out_of_range")
    return [
        SigningKeyRotated(
            command.context,
            kid=command.kid,
            algorithm=command.algorithm,
            master_key_id=command.master_key_id,
            public_jwk=command.public_jwk,
            previous_expires_at=command.context.at + command.overlap,
        )
    ]


def _ending(key: SigningKeyVersion, at: datetime) -> SigningKeyVersion:
    """A key that is good until then, or no longer than it was: what ended once does not begin again."""
    return key if key.expires_at is not None and key.expires_at <= at else replace(key, expires_at=at)
