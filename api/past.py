"""The past over HTTP: a thing as it was, its history page by page, the difference between two moments.

Whoever routes here has looked at who asks, and that the thing is theirs to see.
"""

from typing import Any
from uuid import UUID

from flask import Response

from api import documents, moments, outgoing
from api.auditing import shows
from api.auth import sees_hints, sees_hints_of_tokens
from api.incoming import now, services
from ledger.errors import InvalidValue, NotFound
from ledger.events import CredentialCreated, OperatorEnrolled, Recorded
from projections.history import PRESENT, Life, Moment, life_of, list_history
from projections.readings import Shown

Query = dict[str, Any]


def as_it_was(query: Query, organisation_id: UUID | None, aggregate_id: UUID, kind: str) -> Response:
    """`read_then` as an answer: without an ETag, as nothing can be decided on the past."""
    return outgoing.answer(read_then(query, organisation_id, aggregate_id, kind))


def read_then(query: Query, organisation_id: UUID | None, aggregate_id: UUID, kind: str) -> documents.Document:
    """A thing at a version, with the status it had when that was recorded, or at a time (`AsOfQuery`)."""
    shows(Shown.PAST, of=organisation_id)
    if len(query) > 1:
        raise InvalidValue("version", "takes either a version or a time, not both", "contradiction")
    time = moments.past_time(query["as_of"], "as_of", now()) if "as_of" in query else None
    life = _life(organisation_id, aggregate_id, kind)
    reading = moments.read(life, Moment(query.get("version"), time), now())
    return moments.document(services(), reading, hints=_hints(life.recorded[0]))


def difference(query: Query, organisation_id: UUID | None, aggregate_id: UUID, kind: str) -> Response:
    """What changed of a thing from one moment to another, or until now (`DifferenceQuery`)."""
    shows(Shown.PAST, of=organisation_id)
    moment = now()
    since = moments.parse_moment(query["from_"], "from", moment)
    until = moments.parse_moment(query["to"], "to", moment) if "to" in query else PRESENT
    life = _life(organisation_id, aggregate_id, kind)
    return outgoing.answer(moments.difference(services(), life, since, until, moment, hints=_hints(life.recorded[0])))


def history(query: Query, organisation_id: UUID | None, aggregate_id: UUID, kind: str) -> Response:
    """The part of a thing's history that was asked for (`HistoryQuery`)."""
    shows(Shown.HISTORY, of=organisation_id)
    page = list_history(
        services().log,
        organisation_id,
        aggregate_id,
        kind,
        up_to_version=query.get("up_to_version"),
        cursor=query.get("cursor"),
        limit=query["limit"],
    )
    if page is None:
        raise NotFound(kind.replace("_", " "))
    hints = _hints(page.first)
    return outgoing.page((documents.entry(one, hints=hints) for one in page.entries), page.cursor)


def _life(organisation_id: UUID | None, aggregate_id: UUID, kind: str) -> Life:
    life = life_of(services().log, organisation_id, aggregate_id, kind)
    if life is None:
        raise NotFound(kind.replace("_", " "))
    return life


def _hints(first: Recorded) -> bool:
    """Whether the caller sees hints of the secrets in a history that began so."""
    match first.event:
        case CredentialCreated(mode=mode):
            return sees_hints(mode)
        case OperatorEnrolled():
            sees_hints_of_tokens(first.organisation_id)
    return True
