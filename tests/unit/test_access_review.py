"""An access review: what may be asked for."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from ledger.access_review import request_access_review
from ledger.commands import RequestAccessReview
from ledger.errors import InvalidValue
from ledger.events import AccessReviewRequested
from tests import given

REVIEW, ORGANISATION = (UUID(int=number) for number in (1, 2))
ASKING = given.context(reason="third quarter")


def ask(**changes: Any) -> RequestAccessReview:
    asked: dict[str, Any] = {"context": ASKING, "as_of": ASKING.at, **changes}
    return RequestAccessReview(access_review_id=REVIEW, organisation_id=ORGANISATION, **asked)


@pytest.mark.parametrize("ago", [timedelta(0), timedelta(days=9_000)])
def test_a_review_of_now_or_of_any_past_time_is_taken_down(ago: timedelta) -> None:
    as_of = ASKING.at - ago
    assert request_access_review(None, ask(as_of=as_of)) == [AccessReviewRequested(ASKING, ORGANISATION, as_of)]


def test_nobody_knows_who_will_have_what() -> None:
    with pytest.raises(InvalidValue) as refused:
        request_access_review(None, ask(as_of=ASKING.at + timedelta(microseconds=1)))
    assert (refused.value.field, refused.value.code) == ("as_of", "future_time")


def test_whoever_asks_says_why() -> None:
    with pytest.raises(InvalidValue) as refused:
        request_access_review(None, ask(context=given.context()))
    assert refused.value.field == "reason"
