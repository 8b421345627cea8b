"""The client in front of a server that hangs, resets, drips, refuses and talks nonsense: bounded, and never a yes."""

import json
import logging
import time
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from keyledger_client import (
    Client,
    DeadlineExceeded,
    FieldError,
    InvalidQuestion,
    KeyledgerError,
    TokenRefused,
    TooManyAttempts,
    Unavailable,
    UnexpectedAnswer,
)
from tests.client.asking import PATIENT, SECRET, TOKEN, Ask, by_task, by_thread
from tests.client.misbehaving import VERDICT, Behaviour, Misbehaving, answers, resets, says, valid
from tests.ports import free_port

both = pytest.mark.parametrize("ask", [by_thread, by_task])

# What heeds its deadline is done long before, on a busy machine too; what does not would go on for ever.
LATE_SECONDS = 15.0
AN_HOUR_FROM_NOW = "an hour from now"


def took(started: float) -> float:
    return time.monotonic() - started


@both
@pytest.mark.parametrize("how", ["hangs", "drips", "drips_its_body"])
def test_a_call_ends_with_its_deadline_whatever_the_server_does(server: Misbehaving, ask: Ask, how: str) -> None:
    server.does = [getattr(server, how)]
    started = time.monotonic()

    with pytest.raises(DeadlineExceeded, match=r"within 0\.8 seconds"):
        ask(server.url, timeout=0.8)

    assert 0.75 < took(started) < LATE_SECONDS
    assert len(server.requests) == 1  # a slow answer is not asked for again


@both
def test_the_deadline_is_one_for_all_attempts(server: Misbehaving, ask: Ask) -> None:
    server.does = [answers(503), server.hangs]
    started = time.monotonic()

    with pytest.raises(DeadlineExceeded):
        ask(server.url, timeout=2)

    assert took(started) < LATE_SECONDS
    assert len(server.requests) == 2


@both
@pytest.mark.parametrize(
    "broken",
    [
        resets,
        says(b""),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
        answers(502, b"<html>"),
        answers(503),
        answers(504),
    ],
    ids=["reset", "closed", "cut off", "not http", "502", "503", "504"],
)
def test_where_the_connection_breaks_or_nobody_can_answer_it_is_asked_again(
    server: Misbehaving, ask: Ask, broken: Behaviour
) -> None:
    server.does = [broken, broken, valid()]

    assert ask(server.url)
    assert len(server.requests) == 3


@both
def test_it_is_not_asked_more_often_than_was_said(server: Misbehaving, ask: Ask) -> None:
    server.does = [resets]

    with pytest.raises(Unavailable, match="cannot be reached"):
        ask(server.url, retries=1)
    assert len(server.requests) == 2

    with pytest.raises(Unavailable):
        ask(server.url, retries=0)
    assert len(server.requests) == 3


@both
def test_nobody_listening_is_unavailable(ask: Ask) -> None:
    with pytest.raises(Unavailable, match=r"refused|attempts failed"):
        ask(f"http://127.0.0.1:{free_port()}")


@both
def test_retry_after_is_waited_for(server: Misbehaving, ask: Ask) -> None:
    server.does = [answers(503, headers={"Retry-After": "1"}), valid()]
    started = time.monotonic()

    assert ask(server.url)
    assert took(started) >= 1


@both
@pytest.mark.parametrize(
    "retry_after",
    ["30", "9" * 400, AN_HOUR_FROM_NOW],
    ids=["seconds", "beyond all numbers", "date"],
)
def test_a_retry_after_beyond_the_deadline_ends_the_call_at_once(
    server: Misbehaving, ask: Ask, retry_after: str
) -> None:
    if retry_after == AN_HOUR_FROM_NOW:  # which is not known before
        retry_after = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    server.does = [answers(503, headers={"Retry-After": retry_after})]
    started = time.monotonic()

    with pytest.raises(Unavailable) as raised:
        ask(server.url, timeout=2 * LATE_SECONDS)

    assert took(started) < LATE_SECONDS
    assert raised.value.retry_after_seconds is not None
    assert 30 <= raised.value.retry_after_seconds <= 86_400


@both
@pytest.mark.parametrize(
    "retry_after",
    [
        "soon",
        "-1",
        "",
        "٣",
        "Wed, 99 Foo 2026 00:00:00 GMT",
        "Thu, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Thu, 01 Jan 2026 00:00:00 +99999999999999999999",
    ],
)
def test_a_retry_after_that_cannot_be_read_is_none(server: Misbehaving, ask: Ask, retry_after: str) -> None:
    head = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nRetry-After: " + retry_after.encode() + b"\r\n\r\n"
    server.does = [says(head), valid()]

    assert ask(server.url)


@both
def test_who_guesses_is_not_waited_for(server: Misbehaving, ask: Ask) -> None:
    problem = {"code": "too_many_attempts", "request_id": "r-9"}
    server.does = [answers(429, problem, {"Retry-After": "1"}), valid()]

    with pytest.raises(TooManyAttempts) as raised:
        ask(server.url)

    assert (raised.value.code, raised.value.request_id, raised.value.retry_after_seconds) == (
        "too_many_attempts",
        "r-9",
        1,
    )
    assert len(server.requests) == 1


@both
@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (answers(401, {"code": "unauthorised"}), TokenRefused),
        (answers(403, {"code": "forbidden"}), TokenRefused),
        (answers(422, {"code": "wrong_type"}), InvalidQuestion),
        (answers(500), Unavailable),
        (answers(200, b"<html>welcome</html>"), UnexpectedAnswer),
        (answers(200, b"[" * 100_000), UnexpectedAnswer),
        (answers(200, b"\xff\xfe"), UnexpectedAnswer),
        (answers(200, ["valid"]), UnexpectedAnswer),
        (answers(200, {}), UnexpectedAnswer),
        (answers(204, b""), UnexpectedAnswer),
        (answers(302, headers={"Location": "http://127.0.0.1:1/"}), UnexpectedAnswer),
        (answers(404), UnexpectedAnswer),
        (answers(200, b" " * (9 * 1024 * 1024)), UnexpectedAnswer),
    ],
)
def test_what_would_be_answered_again_is_asked_once(
    server: Misbehaving, ask: Ask, behaviour: Behaviour, error: type[KeyledgerError]
) -> None:
    server.does = [behaviour]

    with pytest.raises(error):
        ask(server.url)
    assert len(server.requests) == 1


@both
@pytest.mark.parametrize(
    "changes",
    [
        {"valid": "true"},
        {"valid": 1},
        {"valid": None},
        {"code": "REVOKED"},
        {"valid": False},
        {"code": None, "valid": False},
        {"credential_id": "1"},
        {"credential_id": 1},
        {"scopes": None},
        {"scopes": [1]},
        {"expires_at": "tomorrow"},
        {"expires_at": 5},
        {"request_id": None},
    ],
)
def test_a_verdict_that_contradicts_itself_or_cannot_be_read_is_none(
    server: Misbehaving, ask: Ask, changes: dict[str, object]
) -> None:
    server.does = [answers(200, VERDICT | changes)]

    with pytest.raises(UnexpectedAnswer):
        ask(server.url)


@both
def test_what_a_later_release_adds_is_passed_over(server: Misbehaving, ask: Ask) -> None:
    server.does = [answers(200, VERDICT | {"valid": False, "code": "ON_HOLIDAY", "new": {}})]

    verification = ask(server.url)

    assert not verification
    assert verification.code == "ON_HOLIDAY"


@both
def test_an_invalid_question_says_which_values_and_why(server: Misbehaving, ask: Ask) -> None:
    errors = [{"field": "client_ip", "reason": "is not an address", "code": "invalid_address"}]
    server.does = [answers(422, {"code": "invalid_address", "request_id": "r-2", "errors": errors})]

    with pytest.raises(InvalidQuestion, match="client_ip: is not an address") as raised:
        ask(server.url)

    assert raised.value.errors == (FieldError("client_ip", "invalid_address", "is not an address"),)
    assert (raised.value.code, raised.value.request_id) == ("invalid_address", "r-2")


@both
@pytest.mark.parametrize("how", ["echo", "echo_as_problem", "reset", "hang", "garbage", "503"])
def test_neither_secret_nor_token_is_in_an_error_or_a_log_line(
    server: Misbehaving, ask: Ask, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    # At DEBUG httpcore quotes a server that does not talk HTTP; this one repeats what it was told.
    caplog.set_level(logging.INFO if how == "echo" else logging.DEBUG)
    behaviours: dict[str, list[Behaviour]] = {
        "echo": [says(f"{TOKEN} {SECRET}\r\n\r\n".encode())],
        "echo_as_problem": [answers(404, {"code": f"{TOKEN}{SECRET}"})],
        "reset": [resets],
        "hang": [server.hangs],
        "garbage": [answers(200, f'{{"{SECRET}": "{TOKEN}"'.encode())],
        "503": [answers(503)],
    }
    server.does = behaviours[how]

    with pytest.raises(KeyledgerError) as raised:
        ask(server.url, timeout=0.8)

    told = "".join(traceback.format_exception(raised.value)) + repr(raised.value) + caplog.text
    assert SECRET not in told
    assert TOKEN not in told


def test_connections_are_kept_and_used_again(server: Misbehaving) -> None:
    server.does = [valid()]

    with Client(server.url, TOKEN, **PATIENT) as client:
        for _ in range(5):
            assert client.verify(SECRET)

    assert server.connections == 1


def test_a_connection_that_the_server_ended_meanwhile_is_replaced(server: Misbehaving) -> None:
    server.does = [answers(200, VERDICT, {"Connection": "close"})]

    with Client(server.url, TOKEN, retries=0, **PATIENT) as client:
        assert client.verify(SECRET)
        assert client.verify(SECRET)


@both
def test_what_is_asked_goes_over_the_line_as_documented(server: Misbehaving, ask: Ask) -> None:
    server.does = [valid()]
    asked = {"public_id": "p", "client_ip": "192.0.2.7", "mode": "live", "channel": "rest", "api": "orders"}

    ask(server.url + "/behind/a/prefix/", asked={**asked, "scopes": ("customer:view",)})

    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /behind/a/prefix/v1/verify HTTP/1.1\r\n")
    assert f"\r\nAuthorization: Bearer {TOKEN}\r\n".encode() in head + b"\r\n"
    assert json.loads(body) == {"secret": SECRET, **asked, "scopes": ["customer:view"]}
