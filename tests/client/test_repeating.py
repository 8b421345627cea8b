"""When a call is repeated, and after how long."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyledger_client import Unavailable
from keyledger_client.exchange import Deadline, Failed, Terms

some_retries = st.integers(0, 20)


def terms(retries: int = 2) -> Terms:
    return Terms("http://127.0.0.1", "token", timeout_seconds=60, retries=retries)


@given(some_retries, st.integers(0, 20), st.none() | st.floats(0, 5))
def test_a_pause_is_bounded_random_and_never_shorter_than_what_was_asked_for(
    retries: int, attempt: int, retry_after: float | None
) -> None:
    failed = Failed(Unavailable("busy", retry_after_seconds=retry_after), again=True)
    if attempt >= retries:
        with pytest.raises(Unavailable):
            terms(retries).pause(attempt, failed, Deadline(60))
        return

    pauses = [terms(retries).pause(attempt, failed, Deadline(60)) - (retry_after or 0) for _ in range(20)]

    assert min(pauses) >= -1e-9
    assert max(pauses) <= min(0.05 * 2**attempt, 1) + 1e-9
    assert len(set(pauses)) > 1


@given(st.floats(0, 5))
def test_what_would_begin_after_the_deadline_is_not_waited_for(remaining: float) -> None:
    failed = Failed(Unavailable("busy", retry_after_seconds=remaining), again=True)

    with pytest.raises(Unavailable):
        terms().pause(0, failed, Deadline(remaining))


@given(some_retries)
def test_connecting_leaves_an_equal_share_to_each_attempt_that_is_left_and_to_the_answer(retries: int) -> None:
    for attempt in range(retries + 1):
        timeouts = terms(retries).timeouts(attempt, Deadline(60))
        assert math.isclose(timeouts["connect"] * (retries - attempt + 2), timeouts["pool"])


def test_after_the_deadline_no_time_is_left_to_anything() -> None:
    assert set(terms().timeouts(0, Deadline(-1)).values()) == {0.0}
