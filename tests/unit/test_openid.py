"""What the console believes of an OpenID Connect provider's answers, and what it does not."""

import base64
import json
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, OctKey, RSAKey

from api import openid
from api.openid import AnswerRefused, Attempt, NotThisAttempt, Provider, ProviderUnavailable, SignedIn
from ledger.role_grants import RoleGrants
from ledger.settings import Settings
from ledger.values import Identity, Subject
from tests.a_provider import CLIENT_ID, CLIENT_SECRET, AProvider, a_provider

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
ATTEMPT = Attempt("a-secret-of-this-browser")


@pytest.fixture
def there() -> Iterator[AProvider]:
    """A provider of which a test says what it says."""
    with a_provider() as running:
        yield running


@pytest.fixture
def provider(there: AProvider) -> Provider:
    """The same as the console knows it."""
    settings = Settings(
        oidc_issuer=there.issuer,
        oidc_client_id=CLIENT_ID,
        oidc_client_secret=CLIENT_SECRET,
        oidc_roles=RoleGrants.parse("admins=administrator"),
    )
    return Provider(settings, "http://127.0.0.1:8080/console/sign-in/provider/answer")


def sign_in(there: AProvider, provider: Provider, **changes: str) -> SignedIn:
    """There and back, with this changed in the answer."""
    answer = dict(parse_qsl(there.agree(provider.address_to_sign_in(ATTEMPT))))
    return provider.who(ATTEMPT, answer | changes)


def encoded(claims: Mapping[str, Any], alg: str, key: Key, kid: str = "first") -> str:
    """An ID token that this key signed."""
    return jwt.encode({"alg": alg, "kid": kid}, dict(claims), key, algorithms=[alg])


def unsigned(claims: Mapping[str, Any]) -> str:
    """One that nobody signed."""
    parts = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


@pytest.mark.parametrize(
    ("groups", "values"),
    [(["staff", "admins"], ["staff", "admins"]), ("admins", ["admins"]), (None, []), ([], []), ({"admins": True}, []),
     ([["admins"], 1, "x"], ["x"]), (1, [])],
)  # fmt: skip
def test_the_provider_says_who_it_is_and_which_groups_they_are_in(
    there: AProvider, provider: Provider, groups: object, values: list[str]
) -> None:
    there.claims = {"groups": groups}
    signed_in = sign_in(there, provider)
    assert signed_in.identity == Identity(there.issuer, Subject("ada-1"))
    assert signed_in.values == values


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"iss": "https://evil.example"},
        {"iss": None},
        {"aud": "another-client"},
        {"aud": ["another-client"]},
        {"aud": None},
        {"aud": [CLIENT_ID, "another"], "azp": "another"},
        {"azp": "another"},
        {"exp": -2 * MINUTE},
        {"exp": None},
        {"iat": -HOUR},
        {"iat": HOUR},
        {"iat": None},
        {"iat": "now"},
        {"nbf": HOUR},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"sub": "é"},
        {"sub": 7},
        {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"},
    ],
    ids=lambda claims: "-".join(map(str, claims)),  # not their values: two processes must name them alike
)
def test_an_id_token_that_says_something_wrong_is_not_believed(
    there: AProvider, provider: Provider, claims: dict[str, Any]
) -> None:
    now = time.time()  # the tests before may take longer than a token lives, so times are said from here on
    there.claims = {
        name: int(now + value.total_seconds()) if isinstance(value, timedelta) else value
        for name, value in claims.items()
    }
    with pytest.raises(AnswerRefused):
        sign_in(there, provider)


@pytest.mark.parametrize(
    "make",
    [
        unsigned,
        lambda claims: encoded(claims, "ES256", ECKey.generate_key("P-256")),
        lambda claims: encoded(claims, "RS256", RSAKey.generate_key(2048)),
        lambda claims: encoded(claims, "HS256", OctKey.import_key(CLIENT_SECRET * 4)),
        lambda _: "nonsense",
        lambda _: "a.b.c",
        lambda _: "",
    ],
    ids=["alg none", "another key", "another kind of key", "symmetric", "nonsense", "three parts", "empty"],
)
def test_an_id_token_that_the_provider_did_not_sign_is_not_believed(
    there: AProvider, provider: Provider, make: Any
) -> None:
    there.tokens = lambda _, claims: make(claims)
    with pytest.raises(AnswerRefused):
        sign_in(there, provider)


def test_an_id_token_whose_words_were_changed_is_not_believed(there: AProvider, provider: Provider) -> None:
    def changed(there: AProvider, claims: dict[str, Any]) -> str:
        good, other = (encoded({**claims, "sub": sub}, "ES256", there.key).split(".") for sub in ("ada-1", "eve"))
        return ".".join((good[0], other[1], good[2]))

    there.tokens = changed
    with pytest.raises(AnswerRefused):
        sign_in(there, provider)


@pytest.mark.parametrize(
    "changes",
    [{"state": ""}, {"state": "0" * 64}, {"state": "é"}, {"code": ""}, {"code": "another"}, {"error": "access_denied"},
     {"iss": "https://evil.example"}],
    ids=str,
)  # fmt: skip
def test_an_answer_to_something_else_is_not_taken(
    there: AProvider, provider: Provider, changes: dict[str, str]
) -> None:
    with pytest.raises(AnswerRefused):
        sign_in(there, provider, **changes)


def test_what_the_provider_refuses_for_is_told_to_the_log_on_one_line(there: AProvider, provider: Provider) -> None:
    with pytest.raises(AnswerRefused, match=r"refused: 'invalid_scope\\n"):
        sign_in(there, provider, error="invalid_scope\nforged")
    with pytest.raises(NotThisAttempt):
        sign_in(there, provider, error="access_denied", state="0" * 64)


def test_a_provider_that_names_itself_in_answers_does_so_in_each(there: AProvider, provider: Provider) -> None:
    there.metadata = {"authorization_response_iss_parameter_supported": True}
    with pytest.raises(AnswerRefused, match="another provider's"):
        sign_in(there, provider)
    sign_in(there, provider, iss=there.issuer)


def test_a_code_is_of_use_to_the_browser_alone_that_asked_for_it(there: AProvider, provider: Provider) -> None:
    there.agree(provider.address_to_sign_in(ATTEMPT))
    eve = Attempt("another")
    with pytest.raises(AnswerRefused):
        provider.who(eve, {"code": "a-code", "state": eve.state})


def test_state_nonce_and_verifier_tell_nothing_of_each_other_or_the_secret() -> None:
    derived = {ATTEMPT.state, ATTEMPT.nonce, ATTEMPT.verifier}
    assert len(derived) == 3
    assert all(43 <= len(one) <= 128 for one in derived)  # RFC 7636 section 4.1
    assert ATTEMPT.secret not in repr(ATTEMPT)


def test_groups_of_the_userinfo_endpoint_count_for_the_same_person_alone(there: AProvider, provider: Provider) -> None:
    there.metadata = {"userinfo_endpoint": f"{there.issuer}/userinfo"}
    there.userinfo = {"sub": "ada-1", "groups": ["admins"]}
    assert sign_in(there, provider).values == ["admins"]
    there.userinfo["sub"] = "somebody-else"
    with pytest.raises(AnswerRefused):
        sign_in(there, provider)


def test_what_the_provider_publishes_is_asked_for_once_and_keys_again_when_one_is_new(
    there: AProvider, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openid, "NEW_KEYS_SECONDS", 3_600.0)  # however long a busy machine takes for this
    for _ in range(2):
        sign_in(there, provider)
    there.key = ECKey.generate_key("P-256", parameters={"kid": "second"})
    with pytest.raises(AnswerRefused):  # they were asked for a moment ago
        sign_in(there, provider)
    assert there.asked.count("/jwks") == 1

    monkeypatch.setattr(openid, "NEW_KEYS_SECONDS", 0.0)

    assert sign_in(there, provider).identity.subject == "ada-1"
    assert there.asked.count("/jwks") == 2
    assert there.asked.count("/.well-known/openid-configuration") == 1


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"authorization_endpoint": "http://login.example.com/authorize"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
        {"more": "x" * openid.ANSWER_BYTES_MAX},
    ],
    ids=lambda metadata: next(iter(metadata)),
)
def test_nobody_is_sent_to_a_provider_that_describes_itself_wrongly(
    there: AProvider, provider: Provider, metadata: dict[str, Any]
) -> None:
    there.metadata = metadata
    with pytest.raises(ProviderUnavailable):
        provider.address_to_sign_in(ATTEMPT)


def test_a_secret_goes_nowhere_without_tls(there: AProvider, provider: Provider) -> None:
    there.metadata = {"token_endpoint": "http://login.example.com/token"}
    with pytest.raises(ProviderUnavailable, match="not an https address"):
        sign_in(there, provider)


def test_a_provider_that_is_down_is_asked_once_for_all_who_wait(
    there: AProvider, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openid, "FAILURE_SECONDS", 3_600.0)  # however long a busy machine takes for this
    there.down = True
    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            provider.address_to_sign_in(ATTEMPT)
    assert len(there.asked) == 1


def test_the_provider_ends_its_session_where_it_has_a_place_for_that(there: AProvider, provider: Provider) -> None:
    there.metadata = {"end_session_endpoint": f"{there.issuer}/end?x=1"}
    address = provider.address_to_sign_out("https://keys.example.com/console/sign-in")
    assert address == (
        f"{there.issuer}/end?x=1&client_id={CLIENT_ID}"
        "&post_logout_redirect_uri=https%3A%2F%2Fkeys.example.com%2Fconsole%2Fsign-in"
    )


def test_a_provider_without_such_a_place_keeps_its_session(provider: Provider) -> None:
    assert provider.address_to_sign_out("https://keys.example.com/") is None
