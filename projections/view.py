"""What a view is: tables whose rows are a function of a folded aggregate, or of one event.

A view of states never folds events itself. It says which aggregate it is about and turns the state that the domain's
own `evolve` gives into rows; so the inline write, the catch-up and the rebuild cannot disagree about what happened
(docs/decisions/0001). A view of events makes one row of each.

Every view says of every type of event whether it handles or ignores it: a new type fails the tests until each view has
decided.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, LiteralString, NamedTuple, TypeVar
from uuid import UUID

import msgspec
import psycopg

from ledger.events import (
    AccessReviewRequested,
    AccountClosed,
    AccountDescribed,
    AccountOpened,
    ApplicationApisConnected,
    ApplicationArchived,
    ApplicationDescribed,
    ApplicationRegistered,
    BulkRevocationAdvanced,
    BulkRevocationErased,
    BulkRevocationFinished,
    BulkRevocationStarted,
    CatalogueChanged,
    CredentialCreated,
    CredentialDescribed,
    CredentialErased,
    CredentialOverlapEnded,
    CredentialResumed,
    CredentialRevoked,
    CredentialRotated,
    CredentialScopesFixed,
    CredentialSuspended,
    CredentialWhitelisted,
    Event,
    ExportRequested,
    OperatorEnrolled,
    OperatorErased,
    OperatorRemoved,
    OperatorRolesChanged,
    OperatorTokenOverlapEnded,
    OperatorTokenRotated,
    OrganisationRegistered,
    OrganisationRenamed,
    OrganisationRetentionChanged,
    Recorded,
    SealedLogKeyRotated,
    SealedLogOpened,
    SealedLogRestoreDeclared,
    SigningKeyRotated,
    WebhookEndpointDescribed,
    WebhookEndpointDisabled,
    WebhookEndpointEnabled,
    WebhookEndpointRegistered,
    WebhookEndpointRemoved,
    WebhookEndpointSecretRotated,
)
from ledger.store.recorder import InlineTable, Row

State = TypeVar("State")
Rows = Mapping[InlineTable, Sequence[Row]]
EventTypes = tuple[type[Event], ...]

OF_ORGANISATIONS: EventTypes = (OrganisationRegistered, OrganisationRenamed, OrganisationRetentionChanged)
OF_CATALOGUES: EventTypes = (CatalogueChanged,)
OF_OPERATORS: EventTypes = (
    OperatorEnrolled,
    OperatorRolesChanged,
    OperatorTokenRotated,
    OperatorTokenOverlapEnded,
    OperatorRemoved,
    OperatorErased,
)
OF_ACCOUNTS: EventTypes = (AccountOpened, AccountDescribed, AccountClosed)
OF_APPLICATIONS: EventTypes = (
    ApplicationRegistered,
    ApplicationDescribed,
    ApplicationApisConnected,
    ApplicationArchived,
)
OF_CREDENTIALS: EventTypes = (
    CredentialCreated,
    CredentialScopesFixed,
    CredentialWhitelisted,
    CredentialRotated,
    CredentialOverlapEnded,
    CredentialRevoked,
    CredentialSuspended,
    CredentialResumed,
    CredentialDescribed,
    CredentialErased,
)
OF_BULK_REVOCATIONS: EventTypes = (
    BulkRevocationStarted,
    BulkRevocationAdvanced,
    BulkRevocationFinished,
    BulkRevocationErased,
)
OF_WEBHOOK_ENDPOINTS: EventTypes = (
    WebhookEndpointRegistered,
    WebhookEndpointDescribed,
    WebhookEndpointSecretRotated,
    WebhookEndpointDisabled,
    WebhookEndpointEnabled,
    WebhookEndpointRemoved,
)
OF_SIGNING_KEYS: EventTypes = (SigningKeyRotated,)
OF_EXPORTS: EventTypes = (ExportRequested, AccessReviewRequested)
OF_SEALED_LOG: EventTypes = (SealedLogOpened, SealedLogKeyRotated, SealedLogRestoreDeclared)


class Beside(NamedTuple):
    """A column of a view's first table that somebody else writes, not from the log, and a statement that gives it to
    the rows of that `{table}` in a rebuild. What is written meanwhile is lost, so nothing may need it to be exact.
    """

    column: str
    statement: LiteralString


@dataclass(frozen=True, slots=True)
class StateView(Generic[State]):
    """Rows that stand for an aggregate as it is.

    `aggregate` is the first part of its topics (`credential`). An `inline` one is written in the events' own
    transaction, so acknowledged means visible; any other is kept up by the projector.
    """

    name: str
    aggregate: str
    inline: bool
    evolve: Callable[[Any, Recorded], State]
    tables: tuple[InlineTable, ...]
    rows_of: Callable[[State], Rows]
    handles: EventTypes
    ignores: EventTypes
    beside: Beside | None = None


@dataclass(frozen=True, slots=True)
class EventView:
    """One row an event, personal fields left out: always kept up by the projector."""

    name: str
    table: InlineTable
    row_of: Callable[[Recorded], Row]
    handles: EventTypes
    ignores: EventTypes

    @property
    def tables(self) -> tuple[InlineTable, ...]:
        """Its one table."""
        return (self.table,)

    @property
    def inline(self) -> bool:
        """Never: nothing that is acknowledged waits for it."""
        return False


View = StateView[Any] | EventView

Histories = Callable[[Sequence[UUID]], Mapping[UUID, Sequence[Recorded]]]


def rows_after(view: View, batch: Sequence[Recorded], histories: Histories) -> dict[InlineTable, list[Row]]:
    """The rows that some consecutive events change, as they are after the last of them.

    `histories` gives whole histories up to the last event. It is asked only for aggregates that began before the batch.
    Rows come in the order of each aggregate's newest event: a name that one gave up is free before another takes it.
    """
    if isinstance(view, EventView):
        some = [view.row_of(recorded) for recorded in batch if type(recorded.event) in view.handles]
        return {view.table: some} if some else {}
    known: dict[UUID, list[Recorded]] = {}
    changed: set[UUID] = set()
    for recorded in batch:
        if not recorded.event.TOPIC.startswith(f"{view.aggregate}."):
            continue
        # Out and in again, so that the dictionary is in the order of the newest events.
        events = known.pop(recorded.aggregate_id, [])
        events.append(recorded)
        known[recorded.aggregate_id] = events
        if type(recorded.event) in view.handles:
            changed.add(recorded.aggregate_id)
    known = {aggregate_id: events for aggregate_id, events in known.items() if aggregate_id in changed}
    begun_before = [aggregate_id for aggregate_id, events in known.items() if events[0].aggregate_version != 1]
    if begun_before:
        known.update({aggregate_id: list(whole) for aggregate_id, whole in histories(begun_before).items()})
    rows: dict[InlineTable, list[Row]] = {}
    for events in known.values():
        for table, of_one in view.rows_of(fold(view.evolve, events)).items():
            rows.setdefault(table, []).extend(of_one)
    return rows


def fold(evolve: Callable[[Any, Recorded], State], events: Iterable[Recorded]) -> State:
    """The state that a history leaves."""
    state: Any = None
    for recorded in events:
        state = evolve(state, recorded)
    return state  # type: ignore[no-any-return]  # a history has an event, so this is a State


def write(connection: psycopg.Connection[Any], rows: Rows, suffix: str = "") -> None:
    """Insert the rows or replace those with their keys, one statement a table; into tables with names so suffixed."""
    for table, some in rows.items():
        if some:
            into = replace(table, name=table.name + suffix)
            text = msgspec.json.encode(some, enc_hook=str).decode()
            connection.execute(into.upsert(), (text,))
