"""Given these events, when this command comes, then these events follow: how the rules of the domain are told.

    given(created(), rotated(overlap=2 * DAY)).when(end_overlap()).then(CredentialOverlapEnded(at(NOW), 1))
    given(created(), revoked()).when(rotate()).refuses(CredentialRevoked, "credential_revoked")

What is given happened at START unless it says when; commands come at NOW, a day later, unless they say when.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from ledger.commands import Command
from ledger.errors import LedgerError
from ledger.events import Context, Event, Recorded, StoredSecret
from ledger.service import ROUTES, fold
from ledger.values import Via

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
START = datetime(2026, 3, 1, 9, tzinfo=UTC)
NOW = START + DAY

AGGREGATE = UUID("0197a000-0000-7000-8000-000000000001")
ORGANISATION = UUID("0197a000-0000-7000-8000-000000000002")


def at(moment: datetime, **more: Any) -> Context:
    """Somebody at the command line, at that moment."""
    return Context(moment, "command_line:tester", Via.COMMAND_LINE, **more)


def digest(version: int = 1) -> StoredSecret:
    """What is kept of some generated secret."""
    return StoredSecret(version, "hmac-sha256", "k1", f"{version:064x}", "abcd")


def password(version: int = 1) -> StoredSecret:
    """What is kept of some chosen password, beside its hash."""
    return StoredSecret(version, "argon2id", "", "")


def recorded(events: Sequence[Event], first_version: int = 1) -> list[Recorded]:
    """The events in their places in one aggregate's history."""
    return [Recorded(AGGREGATE, number, ORGANISATION, event) for number, event in enumerate(events, first_version)]


@dataclass(frozen=True)
class Case:
    """A history and the command that comes upon it."""

    history: tuple[Event, ...]
    command: Command | None = None

    def when(self, command: Command) -> "Case":
        """The command that comes."""
        return replace(self, command=command)

    def then(self, *events: Event) -> None:
        """Exactly these events follow, and they fold."""
        decided = self.decide()
        assert decided == list(events)
        fold_of(self.command)(recorded([*self.history, *decided]))

    def refuses(self, error: type[LedgerError], code: str, **attributes: Any) -> None:
        """The command is refused with this error, this stable code and these attributes."""
        with pytest.raises(error) as refused:
            self.decide()
        assert type(refused.value) is error
        assert refused.value.code == code
        for name, value in attributes.items():
            assert getattr(refused.value, name) == value

    def decide(self) -> list[Event]:
        """What is decided."""
        assert self.command is not None
        _, decide, _ = ROUTES[type(self.command)]
        state = fold_of(self.command)(recorded(self.history))
        return decide(state, self.command)


def given(*history: Event) -> Case:
    """What has happened so far."""
    return Case(history)


def fold_of(command: Command | None) -> Callable[[Sequence[Recorded]], Any]:
    """The fold of the aggregate that a command is about."""
    aggregate = ROUTES[type(command)][0]  # type: ignore[index]  # a case without a command is a mistake of the test's
    return lambda history: fold(aggregate, history)
