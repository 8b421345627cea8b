"""What a thing was at a moment, and how two moments differ: for every way in, in the shapes of `api/documents.py`.

A moment is a version, or a time by the clock of whoever recorded the event. The past knows only what events tell: no
last uses, no channels of an account, nothing of the other things that it hangs on.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from api import documents
from api.documents import Document
from api.signing import key_document
from api.wiring import Services
from ledger.access_review import AccessReview
from ledger.account import Account
from ledger.application import Application
from ledger.bulk_revocation import BulkRevocation
from ledger.catalogue import OrganisationCatalogue
from ledger.credential import Credential
from ledger.errors import InvalidValue, NotFound
from ledger.events import Recorded
from ledger.export import Export
from ledger.operator import Operator
from ledger.organisation import Organisation
from ledger.sealed_log import SealedLog
from ledger.signing_key import SigningKey
from ledger.values import utc
from ledger.webhook_endpoint import WebhookEndpoint
from projections import (
    account_status,
    application_status,
    bulk_revocation_status,
    credential_status,
    operator_status,
    organisation_status,
    webhook_endpoint_status,
)
from projections.history import VERSION_MAX, Life, Moment
from projections.signing_key_status import published

EVENTS_MAX = 200  # of a difference; a screen or two, as a page of a history has. The whole history is there to be read.


class Reading(NamedTuple):
    """What a thing was, and when it read so: at the time asked for, or when the version was recorded."""

    state: Any
    at: datetime


def past_time(time: datetime, field: str, now: datetime) -> datetime:
    """The time in UTC, if it is not still to come: what it will have been nobody knows."""
    time = utc(time, field)
    if time > now:
        raise InvalidValue(field, "lies in the future, which is not written yet", "future_time")
    return time


def parse_moment(text: str, field: str, now: datetime) -> Moment:
    """A version (`3`) or a time with its zone (`2026-05-31T12:00:00Z`)."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        if not 1 <= int(text) <= VERSION_MAX:
            raise InvalidValue(field, f"a version lies between 1 and {VERSION_MAX}", "out_of_range")
        return Moment(version=int(text))
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidValue(field, "is neither a version nor a time like 2026-05-31T12:00:00Z", "invalid_time") from None
    return Moment(time=past_time(time, field, now))


def read(life: Life, moment: Moment, now: datetime) -> Reading:
    """The thing at that moment; `NotFound` where it was not there yet, or did not come to that version."""
    return _reading(life, life.reads(moment), moment, now)


def _reading(life: Life, state: Any, moment: Moment, now: datetime) -> Reading:
    name = life.kind.replace("_", " ")
    if state is None:
        raise NotFound(f"{name} at that time" if moment.version is None else f"version of this {name}")
    if moment.version is not None:
        return Reading(state, life.up_to(moment)[-1].event.context.at)
    return Reading(state, moment.time or now)


def document(services: Services, reading: Reading, *, hints: bool = True) -> Document:
    """The thing as it read. Of a credential's secrets hints, unless those are withheld."""
    state, at = reading
    if isinstance(state, Credential):
        row = credential_status.status_row(state)
        return documents.credential(row, at, services.settings.rotation_days, services.catalogues, hints=hints)
    return _DOCUMENTS[type(state)](state)


def difference(
    services: Services, life: Life, since: Moment, until: Moment, now: datetime, *, hints: bool = True
) -> Document:
    """What changed of a thing from one moment to another: each field before and after, and the events between.

    A status can change by time alone, without an event. Raises `InvalidValue` where the moments come in the wrong
    order.
    """
    before, after = (_reading(life, life.state(moment), moment, now) for moment in (since, until))
    first, last = before.state.version, after.state.version
    if first > last or (first == last and before.at > after.at):
        raise InvalidValue("from", "lies after `to`", "contradiction")
    was, is_ = document(services, before, hints=hints), document(services, after, hints=hints)
    between = life.entries(Moment(version=last))[first:]
    return {
        "id": life.recorded[0].aggregate_id,
        "kind": life.kind,
        "organisation_id": life.recorded[0].organisation_id,
        "from": {"version": first, "at": before.at},
        "to": {"version": last, "at": after.at},
        "changes": changes(was, is_),
        "events": [documents.entry(entry, hints=hints) for entry in between[:EVENTS_MAX]],
        "events_left_out": max(0, len(between) - EVENTS_MAX),
    }


class Step(NamedTuple):
    """An event, and the fields that it changed, each as it read right before and right after it."""

    recorded: Recorded
    changes: Document


def newest_steps(services: Services, life: Life, *, hints: bool = True) -> list[Step]:
    """The newest events of a thing, newest first, `EVENTS_MAX` at most. The first of all has no changes: before it
    there was nothing.
    """
    untold = len(life.recorded) - EVENTS_MAX
    found: list[Step] = []
    before: Any = None
    for number, (recorded, after) in enumerate(life.steps()):
        if number >= untold:
            at = recorded.event.context.at  # for both, so that what time alone changed is not told of the event
            was = None if before is None else document(services, Reading(before, at), hints=hints)
            is_ = document(services, Reading(after, at), hints=hints)
            found.append(Step(recorded, {} if was is None else changes(was, is_)))
        before = after
    return found[::-1]


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Document:
    """The fields that differ, but for the version, which always does."""
    return {
        name: {"before": before.get(name), "after": value}
        for name, value in after.items()
        if name != "version" and value != before.get(name)
    }


def account(state: Account) -> Document:
    """An account as it was."""
    read_now = documents.account(account_status.status_row(state))
    del read_now["channels"]  # those are credentials, with histories of their own
    return read_now


def _catalogue(state: OrganisationCatalogue) -> Document:
    return documents.catalogue(state.organisation_id, state.catalogue)


def _signing_key(state: SigningKey) -> Document:
    return {"keys": [key_document(key) for key in published(state)]}


_DOCUMENTS: Mapping[type, Callable[[Any], Document]] = {
    Account: account,
    Application: lambda state: documents.application(application_status.status_row(state)),
    BulkRevocation: lambda state: documents.bulk_revocation(bulk_revocation_status.status_row(state)),
    AccessReview: documents.access_review,
    Export: documents.export_asked,
    Operator: lambda state: documents.operator(operator_status.status_row(state)),
    Organisation: lambda state: documents.organisation(organisation_status.status_row(state)),
    OrganisationCatalogue: _catalogue,
    SealedLog: documents.sealed_log,
    SigningKey: _signing_key,
    WebhookEndpoint: lambda state: documents.webhook_endpoint(webhook_endpoint_status.status_row(state)),
}
