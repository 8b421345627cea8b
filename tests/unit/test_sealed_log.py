"""The provable log's own matters: which generation follows on a restore."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from ledger.commands import DeclareRestore
from ledger.events import Context, SealedLogRestoreDeclared
from ledger.sealed_log import SealedLog, declare_restore
from ledger.values import Via

NAME = "keys.example.com"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def declared(generation: int, *lost: str) -> int:
    """The generation that follows for a log of this one that lost checkpoints."""
    state = SealedLog(UUID(int=1), NAME, generation, (), 1)
    command = DeclareRestore(context=Context(NOW, "operator:ada", Via.COMMAND_LINE), lost=lost)
    (event,) = declare_restore(state, command)
    assert isinstance(event, SealedLogRestoreDeclared)
    assert event.lost == lost
    return event.generation


@pytest.mark.parametrize(
    ("generation", "lost", "follows"),
    [
        (1, (), 2),
        (1, (f"{NAME}/root 7 AAAA",), 2),
        (1, (f"{NAME}/root 7 AAAA", f"{NAME}/generation-2/root 3 AAAA"), 3),
        (2, (f"{NAME}/generation-12/organisations/x 3 AAAA",), 13),
        (5, (f"{NAME}/generation-2/root 3 AAAA",), 6),
        (1, ("keys-example-com/generation-9/root 3 AAAA",), 2),
    ],
)
def test_the_next_generation_follows_on_the_highest_that_was_ever_signed_for(
    generation: int, lost: tuple[str, ...], follows: int
) -> None:
    assert declared(generation, *lost) == follows
