"""The provable log's own matters: its name, the keys that sign its checkpoints, and restores that were declared.

There is one for a ledger. The heads of its trees are no events: they follow from the events that they seal. Only
public keys are here; what signs is derived from the master key (`ledger/store/keys.py`).
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from ledger.commands import DeclareRestore, OpenSealedLog, RotateSealingKey
from ledger.errors import AlreadyExists, InvalidValue, NotFound
from ledger.events import (
    Event,
    Recorded,
    SealedLogKeyRotated,
    SealedLogOpened,
    SealedLogRestoreDeclared,
)
from ledger.values import OVERLAP_MAX


@dataclass(frozen=True, slots=True)
class SealingKey:
    """One key that signs checkpoints, and until when it does (`expires_at` None: it is the newest).

    Each tree has its own under this name; `public_key` is the root tree's.
    """

    kid: str
    master_key_id: str
    public_key: str
    created_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SealedLog:
    """The log as its events left it, with every key that it had, oldest first.

    `generation` counts from 1: each declared restore begins another, whose checkpoints have an origin of their own.
    """

    id: UUID
    name: str
    generation: int
    keys: tuple[SealingKey, ...]
    version: int

    @property
    def base(self) -> str:
        """What the origins of the log's checkpoints begin with."""
        return self.name if self.generation == 1 else f"{self.name}/generation-{self.generation}"


def evolve(state: SealedLog | None, recorded: Recorded) -> SealedLog:
    """The state after one more event."""
    event, at, version = recorded.event, recorded.event.context.at, recorded.aggregate_version
    match event:
        case SealedLogOpened():
            key = SealingKey(event.kid, event.master_key_id, event.public_key, at)
            return SealedLog(recorded.aggregate_id, event.name, 1, (key,), version)
        case SealedLogKeyRotated() if state is not None:
            key = SealingKey(event.kid, event.master_key_id, event.public_key, at)
            before = tuple(_ending(one, event.previous_expires_at) for one in state.keys)
            return replace(state, keys=(*before, key), version=version)
        case SealedLogRestoreDeclared() if state is not None:
            return replace(state, generation=event.generation, version=version)
    raise TypeError(f"the sealed log has no branch for {type(event).__name__}")


def open_sealed_log(state: SealedLog | None, command: OpenSealedLog) -> list[Event]:
    """Give the log its name, for good, and the first key."""
    if state is not None:
        raise AlreadyExists("the sealed log is open already, and keeps its name")
    return [
        SealedLogOpened(
            command.context,
            name=command.name,
            kid=command.kid,
            master_key_id=command.master_key_id,
            public_key=command.public_key,
        )
    ]


def rotate_sealing_key(state: SealedLog | None, command: RotateSealingKey) -> list[Event]:
    """A new key; until the overlap is over the one before signs as well, so that whoever pinned it can follow."""
    if state is None:
        raise NotFound("sealed_log")
    if not timedelta(0) <= command.overlap <= OVERLAP_MAX:
        reason = f"must lie between 0 and {int(OVERLAP_MAX.total_seconds())}"
        raise InvalidValue("overlap_seconds", reason, "out_of_range")
    return [
        SealedLogKeyRotated(
            command.context,
            kid=command.kid,
            master_key_id=command.master_key_id,
            public_key=command.public_key,
            previous_expires_at=command.context.at + command.overlap,
        )
    ]


def declare_restore(state: SealedLog | None, command: DeclareRestore) -> list[Event]:
    """Own up to a log that lost what was signed: it goes on under a new origin, and says which heads it lost."""
    if state is None:
        raise NotFound("sealed_log")
    # The same backup may have been restored before. What was signed after that was lost as well, and its generation
    # with it: to use that again would put two histories under one origin.
    latest = max((_generation(state.name, one) for one in command.lost), default=1)
    generation = max(state.generation, latest) + 1
    return [SealedLogRestoreDeclared(command.context, generation=generation, lost=command.lost)]


def _generation(name: str, lost: str) -> int:
    """The generation of the log that a lost checkpoint was signed for, as its origin says."""
    match = re.match(rf"{re.escape(name)}/generation-([0-9]{{1,9}})/", lost)
    return 1 if match is None else int(match[1])


def _ending(key: SealingKey, at: datetime) -> SealingKey:
    """A key that signs until then, or no longer than it did: what ended once does not begin again."""
    return key if key.expires_at is not None and key.expires_at <= at else replace(key, expires_at=at)
