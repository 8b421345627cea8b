"""Who did what: one row an event, for a credential's page, an operator's page and the organisation's feed.

Personal values stay sealed in the log and digests stay out, so nothing here has to be erased.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.errors import InvalidValue
from ledger.events import EVENTS, Event, Recorded, StoredSecret
from ledger.store.datastore import LedgerDatastore
from ledger.store.recorder import InlineTable, Row
from ledger.values import SCOPES_MAX
from projections.pages import LIMIT_DEFAULT, Page, checked_limit, decode_cursor, encode_cursor, rows_of_page
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
    EventView,
)

ACTIVITY = InlineTable(
    "activity",
    key=("position",),
    columns=(
        "position",
        "organisation_id",
        "aggregate_id",
        "aggregate_version",
        "aggregate",
        "topic",
        "at",
        "actor",
        "via",
        "reason",
        "request_id",
        "address",
        "changes",
    ),
)


def row_of(recorded: Recorded) -> Row:
    """The row of an event, whose personal fields may be sealed: they are not looked at."""
    event, context = recorded.event, recorded.event.context
    return {
        "position": recorded.position,
        "organisation_id": recorded.organisation_id,
        "aggregate_id": recorded.aggregate_id,
        "aggregate_version": recorded.aggregate_version,
        "aggregate": event.TOPIC.partition(".")[0],
        "topic": event.TOPIC,
        "at": context.at,
        "actor": context.actor,
        "via": context.via,
        "reason": context.reason,
        "request_id": context.request_id,
        "address": context.address,
        "changes": changes(event),
    }


def changes(event: Event) -> dict[str, Any]:
    """An event's own fields without personal ones and without what verifies a secret; what is empty is left out."""
    return {name: shown(value) for name in _FIELDS[type(event)] if (value := getattr(event, name)) not in _EMPTY}


def shown(value: object) -> object:
    """A secret by its version and algorithm, a list too long to be read by its length, anything else as it is."""
    match value:
        case StoredSecret():
            return {"version": value.version, "algorithm": value.algorithm}
        case tuple() if len(value) > LISTED_MAX:
            return {"count": len(value)}
    return value


LISTED_MAX = SCOPES_MAX  # a page shows two hundred events; the event itself holds the whole list


_EMPTY: tuple[Any, ...] = (None, "", (), {})
_FIELDS: dict[type[Event], tuple[str, ...]] = {
    event_type: tuple(f.name for f in fields(event_type) if f.name != "context" and f.name not in event_type.PERSONAL)
    for event_type in EVENTS
}

VIEW = EventView(
    name="activity",
    table=ACTIVITY,
    row_of=row_of,
    handles=(
        *OF_ORGANISATIONS,
        *OF_CATALOGUES,
        *OF_OPERATORS,
        *OF_ACCOUNTS,
        *OF_APPLICATIONS,
        *OF_CREDENTIALS,
        *OF_BULK_REVOCATIONS,
        *OF_WEBHOOK_ENDPOINTS,
        *OF_SIGNING_KEYS,
        *OF_EXPORTS,
        *OF_SEALED_LOG,
    ),
    ignores=(),
)


# --- queries ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ActivityFilters:
    """Which events to list: those for which everything that is given holds.

    `aggregate_id` is what was acted on, `actor` who acted as events name them (`operator:<id>`), `topic` the kind of
    event, `address` where it came from; `since` is inclusive, `until` is not. `installation` says whether only what
    concerns no organisation is meant, or only what concerns one.
    """

    aggregate_id: UUID | None = None
    actor: str | None = None
    topic: str | None = None
    address: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    installation: bool | None = None


EVERYTHING = ActivityFilters()
TOPICS = frozenset(event_type.TOPIC for event_type in EVENTS)

_CONDITIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "aggregate_id": ("aggregate_id = %(aggregate_id)s", lambda value: value),
    "actor": ("actor = %(actor)s", str),
    "topic": ("topic = %(topic)s", str),
    "address": ("address = %(address)s AND address <> ''", str),
    "since": ("at >= %(since)s", lambda value: value),
    "until": ("at < %(until)s", lambda value: value),
    "installation": ("(organisation_id IS NULL) = %(installation)s", bool),
}


def list_activity(
    store: LedgerDatastore,
    organisation_id: UUID | None,
    filters: ActivityFilters = EVERYTHING,
    *,
    cursor: str | None = None,
    limit: int = LIMIT_DEFAULT,
) -> Page:
    """A page of what was done in an organisation, or in the whole installation for None; newest first.

    Raises `InvalidValue` for an unknown topic, a limit out of bounds and a cursor that is none or of another list.
    """
    query, parameters = activity_query(organisation_id, filters, cursor=cursor, limit=limit)
    rows = rows_of_page(store, query, parameters)
    if len(rows) <= limit:
        return Page(rows, None)
    rows.pop()
    return Page(rows, encode_cursor((rows[-1]["at"], rows[-1]["position"]), (organisation_id, filters)))


def activity_query(
    organisation_id: UUID | None, filters: ActivityFilters, *, cursor: str | None, limit: int
) -> tuple[str, dict[str, Any]]:
    """The statement of a page, which asks for one row more than its limit, and its parameters."""
    if filters.topic is not None and filters.topic not in TOPICS:
        raise InvalidValue("topic", "is not a kind of event", "invalid_choice")
    parameters: dict[str, Any] = {"limit": checked_limit(limit) + 1}
    conditions = ["true"]
    if organisation_id is not None:
        parameters["organisation"] = organisation_id
        conditions.append("organisation_id = %(organisation)s")
    for name, (condition, as_parameter) in _CONDITIONS.items():
        value = getattr(filters, name)
        if value is not None:
            parameters[name] = as_parameter(value)
            conditions.append(condition)
    if cursor is not None:
        parameters["at"], parameters["position"] = decode_cursor(
            cursor, tuple[datetime, int], (organisation_id, filters)
        )
        conditions.append("(at, position) < (%(at)s, %(position)s)")
    query = (
        f"SELECT {', '.join(ACTIVITY.columns)} FROM activity WHERE {' AND '.join(conditions)} "  # noqa: S608
        "ORDER BY at DESC, position DESC LIMIT %(limit)s"
    )
    return query, parameters
