"""Asking who had what, from what a body or a form asked: the same for the API and for the console."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.incoming import context
from ledger.commands import RequestAccessReview
from ledger.values import utc


def request(organisation_id: UUID, body: Mapping[str, Any]) -> tuple[RequestAccessReview, None]:
    """As `AccessReviewIn` says: as of now where it names no time."""
    asking = context(body["reason"])
    as_of = utc(body["as_of"], "as_of") if "as_of" in body else asking.at
    return RequestAccessReview(
        context=asking, access_review_id=uuid7(), organisation_id=organisation_id, as_of=as_of
    ), None
