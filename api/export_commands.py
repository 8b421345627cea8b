"""Asking for events to be taken out, from what a body or a form asked: the same for the API and for the console."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.incoming import context
from ledger.commands import RequestExport
from ledger.values import utc


def request(organisation_id: UUID, body: Mapping[str, Any]) -> tuple[RequestExport, None]:
    """As `ExportIn` says: all events where it names no filter."""
    asked = body.get("filter", {})
    return RequestExport(
        context=context(body["reason"]),
        export_id=uuid7(),
        organisation_id=organisation_id,
        begin=utc(asked["begin"], "filter.from") if "begin" in asked else None,
        end=utc(asked["end"], "filter.to") if "end" in asked else None,
        aggregates=tuple(asked.get("credential_ids", ())),
        topics=tuple(asked.get("topics", ())),
        personal=body["personal"],
    ), None
