"""Tables: what each column of a file holds. Columns keep their names and places; new ones go last."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

import orjson

from projections.access_review import ReviewLine
from projections.exported import ExportedEvent

Row = Sequence[Any]
Thing = TypeVar("Thing")


class Type(StrEnum):
    """What the cells of a column are; each may be empty."""

    TEXT = "text"
    TEXTS = "texts"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Column(Generic[Thing]):
    """A column's name and type, and its cell in the row of a thing."""

    name: str
    type: Type
    cell: Callable[[Thing], Any]


def rows(columns: Sequence[Column[Thing]], things: Iterable[Thing]) -> Iterator[Row]:
    """A row for each thing."""
    cells = [column.cell for column in columns]
    for thing in things:
        yield [cell(thing) for cell in cells]


def _json(data: Any) -> str:
    return orjson.dumps(data, option=orjson.OPT_UTC_Z | orjson.OPT_SORT_KEYS).decode()


EVENTS: tuple[Column[ExportedEvent], ...] = (
    Column("position", Type.INTEGER, lambda e: e.recorded.position),
    Column("at", Type.TIME, lambda e: e.recorded.event.context.at),
    Column("topic", Type.TEXT, lambda e: e.recorded.event.TOPIC),
    Column("organisation_id", Type.TEXT, lambda e: e.recorded.organisation_id and str(e.recorded.organisation_id)),
    Column("aggregate_id", Type.TEXT, lambda e: str(e.recorded.aggregate_id)),
    Column("aggregate_version", Type.INTEGER, lambda e: e.recorded.aggregate_version),
    Column("actor", Type.TEXT, lambda e: e.recorded.event.context.actor),
    Column("via", Type.TEXT, lambda e: str(e.recorded.event.context.via)),
    Column("address", Type.TEXT, lambda e: e.recorded.event.context.address),
    Column("request_id", Type.TEXT, lambda e: e.recorded.event.context.request_id),
    Column("reason", Type.TEXT, lambda e: e.recorded.event.context.reason),
    Column("personal", Type.TEXT, lambda e: str(e.personal)),
    Column("data", Type.TEXT, lambda e: _json(e.data)),
)
"""One row an event. `data` are its own fields as JSON; `personal` says what became of those about people."""

ACCESS_REVIEW: tuple[Column[ReviewLine], ...] = (
    Column("credential_id", Type.TEXT, lambda r: str(r.credential.id)),
    Column("name", Type.TEXT, lambda r: r.credential.name),
    Column("status", Type.TEXT, lambda r: str(r.status)),
    Column("kind", Type.TEXT, lambda r: str(r.credential.kind)),
    Column("public_id", Type.TEXT, lambda r: r.credential.public_id),
    Column("mode", Type.TEXT, lambda r: str(r.credential.mode)),
    Column("environment", Type.TEXT, lambda r: r.credential.environment and str(r.credential.environment)),
    Column("channel", Type.TEXT, lambda r: r.credential.channel and str(r.credential.channel)),
    Column("owner", Type.TEXT, lambda r: r.credential.contact_email),
    Column("account_id", Type.TEXT, lambda r: r.credential.account_id and str(r.credential.account_id)),
    Column("account", Type.TEXT, lambda r: r.account),
    Column("application_id", Type.TEXT, lambda r: r.credential.application_id and str(r.credential.application_id)),
    Column("application", Type.TEXT, lambda r: r.application),
    Column("access_level", Type.TEXT, lambda r: str(r.credential.access_level)),
    Column("scopes", Type.TEXTS, lambda r: r.credential.scopes),
    Column("created_at", Type.TIME, lambda r: r.credential.created_at),
    Column("age_days", Type.INTEGER, lambda r: r.age_days),
    Column("secret_set_at", Type.TIME, lambda r: r.secret_set_at),
    Column("rotation_due_at", Type.TIME, lambda r: r.rotation_due_at),
    Column("rotation_overdue", Type.BOOLEAN, lambda r: r.rotation_overdue),
    Column("expires_at", Type.TIME, lambda r: r.credential.expires_at),
    Column("revoked_at", Type.TIME, lambda r: r.credential.revoked_at),
    Column(
        "revocation_reason", Type.TEXT, lambda r: r.credential.revocation_reason and str(r.credential.revocation_reason)
    ),
    Column("erased_at", Type.TIME, lambda r: r.credential.erased_at),
    Column("last_used_at", Type.TIME, lambda r: r.last_used_at),
)
"""One row a credential: who had what. `last_used_at` is what is known of uses now, also in a review of the past."""
