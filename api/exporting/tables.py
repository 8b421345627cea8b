"""Tables: what each column of a file holds. Columns keep their names and places; new ones go last."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from operator import attrgetter
from typing import Any, Generic, TypeVar

import orjson

from projections.access_review import ReviewLine
from projections.exported import ExportedEvent

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
    """A column's name and type, and its cell in the row of a thing: None where it is empty."""

    name: str
    type: Type
    cell: Callable[[Thing], Any]


BATCH_BYTES = 2**20  # stored, of events that are cells at once: ten times that while they are


def weightless(_thing: Any) -> int:
    """Of things that are all small."""
    return 0


def batches(
    things: Iterable[Thing], rows_max: int, bytes_of: Callable[[Thing], int] = weightless
) -> Iterator[list[Thing]]:
    """The things in their order, as many at once as `rows_max`, or fewer where these have `BATCH_BYTES`."""
    left = iter(things)
    while True:
        batch, size = list[Thing](), 0
        for thing in islice(left, rows_max):
            batch.append(thing)
            size += bytes_of(thing)
            if size >= BATCH_BYTES:
                break
        if not batch:
            return
        yield batch


def cells(columns: Sequence[Column[Thing]], things: Sequence[Thing]) -> list[list[Any]]:
    """The cells of some things, column by column: a column at a time takes a fraction of what cells one by one do."""
    return [list(map(column.cell, things)) for column in columns]


def _json(data: Any) -> str:
    return orjson.dumps(data, option=orjson.OPT_UTC_Z | orjson.OPT_SORT_KEYS).decode()


EVENTS: tuple[Column[ExportedEvent], ...] = (
    Column("position", Type.INTEGER, attrgetter("position")),
    Column("at", Type.TIME, attrgetter("event.context.at")),
    Column("topic", Type.TEXT, attrgetter("event.TOPIC")),
    Column("organisation_id", Type.TEXT, attrgetter("organisation_id")),
    Column("aggregate_id", Type.TEXT, attrgetter("aggregate_id")),
    Column("aggregate_version", Type.INTEGER, attrgetter("aggregate_version")),
    Column("actor", Type.TEXT, attrgetter("event.context.actor")),
    Column("via", Type.TEXT, attrgetter("event.context.via")),
    Column("address", Type.TEXT, attrgetter("event.context.address")),
    Column("request_id", Type.TEXT, attrgetter("event.context.request_id")),
    Column("reason", Type.TEXT, attrgetter("event.context.reason")),
    Column("personal", Type.TEXT, attrgetter("personal")),
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
    Column("effective_scopes", Type.TEXTS, lambda r: r.effective_scopes),
)
"""One row a credential: who had what. `last_used_at` is what is known of uses now, also in a review of the past;
`effective_scopes` are those of the scopes that granted something then.
"""
