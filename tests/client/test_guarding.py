"""What a client presents, and what it is refused with, whatever the framework."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import verifying
from keyledger_client import (
    InvalidQuestion,
    KeyledgerError,
    Presented,
    TokenRefused,
    TooManyAttempts,
    Unavailable,
    UnexpectedAnswer,
    Verification,
    presented,
    refusal,
)
from keyledger_client import guarding as guarding_of_the_client
from ledger.secrets import SECRET_CHARS_MAX
from ledger.verification import Code

REFUSED_WITH_401 = {Code.NOT_FOUND, Code.MALFORMED, Code.REVOKED, Code.EXPIRED, Code.SUSPENDED}


def verdict(code: str) -> Verification:
    untold = dict.fromkeys(
        ("credential_id", "organisation_id", "application_id", "kind", "public_id", "mode", "environment", "channel")
    )
    return Verification(valid=code == "VALID", code=code, **untold, scopes=(), expires_at=None, request_id="r")


headers = st.none() | st.text(max_size=60) | st.builds("{} {}".format, st.sampled_from(["Bearer", "bAsIc"]), st.text())


@given(headers, headers)
def test_a_service_reads_what_the_ledgers_own_door_reads(authorization: str | None, api_key: str | None) -> None:
    """`GET /v1/authorize` reads the same headers; an empty secret is told to present one, where that says MALFORMED."""
    ours = presented(authorization, api_key)
    theirs = verifying.presented(api_key, authorization)

    read = (theirs.secret, theirs.public_id) if theirs and theirs.secret else None
    assert (ours and (ours.secret, ours.public_id)) == read


@given(st.text(min_size=1, max_size=30), st.text(max_size=30).filter(lambda text: ":" not in text))
def test_basic_is_read_as_it_was_written(secret: str, public_id: str) -> None:
    value = base64.b64encode(f"{public_id}:{secret}".encode()).decode()

    assert presented(f"Basic {value}", None) == Presented(secret, public_id or None)


def test_what_was_never_issued_is_not_asked_about() -> None:
    assert guarding_of_the_client._SECRET_CHARS_MAX == SECRET_CHARS_MAX
    assert presented(None, "x" * SECRET_CHARS_MAX)
    assert presented(None, "x" * (SECRET_CHARS_MAX + 1)) is None
    assert "hush" not in repr(presented(None, "hush"))


@pytest.mark.parametrize("header", ["Bearer caf\udce9", "Bearer \ud800"])
def test_bytes_that_are_no_text_are_no_credential(header: str) -> None:
    """As aiohttp hands them on. Nobody could be asked about them, which must not look like an outage."""
    assert presented(header, None) is None
    assert presented(None, header.removeprefix("Bearer ")) is None


@pytest.mark.parametrize("code", Code)
def test_every_code_is_answered_as_the_ledgers_own_door_does(code: Code) -> None:
    refused = refusal(verdict(code))

    if code is Code.VALID:
        assert refused is None
    else:
        assert refused is not None
        assert refused.status == (401 if code in REFUSED_WITH_401 else 429 if code is Code.TOO_MANY_ATTEMPTS else 403)
        assert code not in refused.body.decode() + str(refused.headers)


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (Unavailable("u"), 503, "1"),
        (Unavailable("u", retry_after_seconds=1.2), 503, "2"),
        (UnexpectedAnswer("u"), 503, "1"),
        (TokenRefused("t"), 503, "1"),
        (InvalidQuestion("i"), 503, "1"),
        (KeyledgerError("k"), 503, "1"),
        (TooManyAttempts("m", retry_after_seconds=30), 429, "30"),
    ],
)
def test_no_verdict_lets_nobody_in(error: KeyledgerError, status: int, retry_after: str) -> None:
    refused = refusal(error)

    assert refused is not None
    assert (refused.status, refused.headers["Retry-After"]) == (status, retry_after)
    assert json.loads(refused.body)["status"] == status


def test_nothing_else_is_an_outcome() -> None:
    anything: Any = object()
    with pytest.raises(TypeError):
        refusal(anything)
