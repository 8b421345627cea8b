"""The versions of a secret that an operator or a credential has had: at most two of them live at any time."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ledger.errors import InvalidValue, NoOverlap, TwoSecretsLive
from ledger.events import StoredSecret
from ledger.values import OVERLAP_MAX

LIVE_MAX = 2  # the one in use and, while a rotation lasts, the one before it


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """What is kept of one secret, from when and until when it is good (`expires_at` None: until further notice)."""

    version: int
    algorithm: str
    key_id: str
    digest: str
    hint: str
    password_hash: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None

    def live(self, at: datetime) -> bool:
        """Whether this version admits its holder at that moment."""
        return self.expires_at is None or self.expires_at > at


def first_version(secret: StoredSecret, password_hash: str, at: datetime) -> tuple[SecretVersion, ...]:
    """The versions of something that was just created."""
    return (_version(secret, password_hash, at),)


def add_version(
    versions: tuple[SecretVersion, ...],
    secret: StoredSecret,
    password_hash: str,
    at: datetime,
    previous_expires_at: datetime,
) -> tuple[SecretVersion, ...]:
    """The versions after a rotation: those still live end at `previous_expires_at`, or sooner if they did already."""
    return (*retire(versions, previous_expires_at), _version(secret, password_hash, at))


def retire(versions: tuple[SecretVersion, ...], at: datetime) -> tuple[SecretVersion, ...]:
    """The versions with none live from `at` on."""
    return tuple([_ending(v, at) if v.live(at) else v for v in versions])


def retire_up_to(versions: tuple[SecretVersion, ...], version: int, at: datetime) -> tuple[SecretVersion, ...]:
    """The versions with none up to this one live from `at` on."""
    older = tuple(v for v in versions if v.version <= version)
    return retire(older, at) + versions[len(older) :]


def older_of_two(versions: tuple[SecretVersion, ...], at: datetime) -> SecretVersion:
    """The older of two that are live; `NoOverlap` where there are not two."""
    living = live(versions, at)
    if len(living) < LIVE_MAX:
        raise NoOverlap("only one secret is live")
    return living[-LIVE_MAX]


def live(versions: tuple[SecretVersion, ...], at: datetime) -> tuple[SecretVersion, ...]:
    """Those that admit their holder at that moment, oldest first."""
    return tuple(v for v in versions if v.live(at))


def overlap_end(versions: tuple[SecretVersion, ...], at: datetime, overlap: timedelta) -> datetime:
    """When the present secret ends if a new one is given now.

    Raises `InvalidValue` for an overlap out of bounds and `TwoSecretsLive` where a third live secret would result;
    without an overlap a rotation is always possible, as after a compromise it must be.
    """
    if not timedelta(0) <= overlap <= OVERLAP_MAX:
        reason = f"must lie between 0 and {int(OVERLAP_MAX.total_seconds())}"
        raise InvalidValue("overlap_seconds", reason, "out_of_range")
    if overlap and len(live(versions, at)) >= LIVE_MAX:
        raise TwoSecretsLive("two secrets are live: end the overlap first, or rotate without one")
    return at + overlap


def _ending(v: SecretVersion, at: datetime) -> SecretVersion:
    """`dataclasses.replace` at a fraction of its cost, which a rebuild pays for every rotation there was."""
    return SecretVersion(v.version, v.algorithm, v.key_id, v.digest, v.hint, v.password_hash, v.created_at, at)


def _version(secret: StoredSecret, password_hash: str, at: datetime) -> SecretVersion:
    return SecretVersion(secret.version, secret.algorithm, secret.key_id, secret.digest, secret.hint, password_hash, at)
