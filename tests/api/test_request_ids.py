"""Request ids: taken from the caller where they are harmless."""

import pytest

from ledger.secrets import format_secret
from ledger.values import Kind, Mode
from tests.api.conftest import SignedIn


def test_a_harmless_request_id_comes_back(administrator: SignedIn) -> None:
    answer = administrator("GET", "/v1/organisations", headers={"X-Request-Id": "trace-1/span.2"})
    assert answer.headers["X-Request-Id"] == "trace-1/span.2"


@pytest.mark.parametrize(
    "given",
    [format_secret(Kind.API_KEY, Mode.LIVE, "0" * 30), "two words", "x" * 129, ""],
    ids=["secret", "space", "long", "none"],
)
def test_any_other_is_replaced_by_a_fresh_one(administrator: SignedIn, given: str) -> None:
    answer = administrator("GET", "/v1/organisations", headers={"X-Request-Id": given})
    assert answer.headers["X-Request-Id"] not in ("", given)


def test_a_challenge_quotes_its_realm(administrator: SignedIn) -> None:
    answer = administrator("GET", "/v1/organisations", headers={"Authorization": "Bearer nothing"})
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="keyledger"'
