"""What a view is: tables whose rows are a function of a folded aggregate.

A view never folds events itself. It names the topics it is about and turns the state that the domain's own `evolve`
gives into rows; so the inline write, the catch-up and the rebuild cannot disagree about what happened.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ledger.store.recorder import InlineTable, Row

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class InlineView(Generic[State]):
    """A view written in the events' own transaction: acknowledged means visible."""

    name: str
    topic_prefix: str
    tables: tuple[InlineTable, ...]
    rows_of: Callable[[State], Mapping[InlineTable, Sequence[Row]]]
