"""Exports: the wish to take events out, with its reason."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from ledger import errors
from ledger.commands import RequestExport
from ledger.events import Context, ExportRequested, Recorded
from ledger.export import AGGREGATES_MAX, evolve, request_export
from ledger.values import Via

EXPORT, ORGANISATION = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def wish(reason: str = "audit", **asked: Any) -> RequestExport:
    context = Context(NOW, "operator:ada", Via.API, reason=reason)
    return RequestExport(context=context, export_id=EXPORT, organisation_id=ORGANISATION, **asked)


def test_a_wish_is_taken_down_once_and_in_order() -> None:
    command = wish(aggregates=(UUID(int=9), UUID(int=8), UUID(int=9)), topics=("organisation", "credential"))
    (event,) = request_export(None, command)
    assert isinstance(event, ExportRequested)
    assert event.aggregates == (UUID(int=8), UUID(int=9))
    assert event.topics == ("credential", "organisation")
    state = evolve(None, Recorded(EXPORT, 1, ORGANISATION, event))
    assert (state.id, state.version, state.requested.reason) == (EXPORT, 1, "audit")
    with pytest.raises(TypeError, match="no branch"):
        evolve(state, Recorded(EXPORT, 2, ORGANISATION, event))


@pytest.mark.parametrize(
    ("command", "field", "code"),
    [
        (wish(reason=""), "reason", "missing_field"),
        (wish(begin=NOW, end=NOW), "to", "contradiction"),
        (wish(begin=NOW, end=NOW - timedelta(days=1)), "to", "contradiction"),
        (wish(topics=("credential", "credential.stolen")), "topics.1", "unknown_topic"),
        (wish(topics=("credential.created@2",)), "topics.0", "unknown_topic"),
        (wish(aggregates=tuple(UUID(int=n) for n in range(AGGREGATES_MAX + 1))), "credential_ids", "invalid_length"),
    ],
)
def test_a_wish_that_could_not_be_meant_is_refused(command: RequestExport, field: str, code: str) -> None:
    with pytest.raises(errors.InvalidValue) as refused:
        request_export(None, command)
    assert (refused.value.field, refused.value.code) == (field, code)
