"""What is answered before the application is what the application would have answered."""

import base64
import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given as for_all
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from api import fast_path, observability
from api.app import create_app
from api.oauth_server import FORM
from api.wiring import Services
from ledger.commands import RevokeCredential
from ledger.errors import StoreUnavailable
from ledger.secrets import format_secret
from ledger.store.datastore import LedgerDatastore
from ledger.values import Channel, Kind, Mode, Network, Role
from tests import given
from tests.api.conftest import SignedIn, SignIn

# What differs between two answers to the same question.
_OF_THE_REQUEST = ("X-Request-Id",)


class Counting:
    """How many requests the fast path answered itself."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answered = 0
        note = observability.note_request

        def noted(*args: Any) -> None:
            self.answered += 1
            note(*args)

        monkeypatch.setattr(fast_path, "note_request", noted)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(monkeypatch)


def alike(answer: TestResponse) -> tuple[Any, ...]:
    """An answer without what is different each time."""
    headers = {name: value for name, value in answer.headers.items() if name not in _OF_THE_REQUEST}
    body = answer.get_json(silent=True)
    told = {name: value for name, value in body.items() if name != "request_id"} if body else answer.data
    return answer.status, headers, told


def verify(client: FlaskClient, token: str, body: Any, *, plain: bool) -> TestResponse:
    media_type = "application/json" if plain else "application/json; charset=utf-8"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": media_type, "X-Request-Id": "same"}
    return client.post("/v1/verify", data=json.dumps(body), headers=headers)


@pytest.fixture
def credentials(services: Services, organisation: UUID) -> dict[str, tuple[str, str | None]]:
    """A secret and a public identifier of each sort there is."""
    good, api_key = given.a_credential(services, organisation)
    _, other = given.a_credential(services, organisation, networks=(Network("192.0.2.0/24"),))
    revoked, gone = given.a_credential(services, organisation, kind=Kind.KEY_PAIR, mode=Mode.TEST)
    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=revoked.id))
    client, secret = given.a_credential(services, organisation, kind=Kind.OAUTH_CLIENT)
    return {
        "api key": (api_key, None),
        "restricted": (other, None),
        "revoked": (gone, revoked.state.public_id),
        "client": (secret, client.state.public_id),
        "client without its id": (secret, None),
        "another's id": (secret, good.state.public_id),
        "unknown": (format_secret(Kind.API_KEY, Mode.LIVE, "0" * 30), None),
        "mistyped": (api_key[:-1] + ("a" if api_key[-1] != "a" else "b"), None),
        "foreign": ("some other key", None),
        "foreign with a name": ("some other key", "ada"),
    }


def test_every_plain_verification_is_answered_as_the_application_does(
    services: Services,
    sign_in: SignIn,
    organisation: UUID,
    credentials: dict[str, tuple[str, str | None]],
    fast: Counting,
) -> None:
    everywhere = sign_in(Role.VERIFIER)
    elsewhere = sign_in(Role.VERIFIER, organisation_id=given.an_organisation(services, "Other"))
    requirements: list[dict[str, Any]] = [
        {},
        {"client_ip": "192.0.2.9"},
        {"client_ip": "203.0.113.9", "mode": "live"},
        {"mode": "test", "channel": None},
        {"public_id": ""},
        {"channel": "ftp", "scopes": ["customer:view"]},
        {"scopes": ["nobody:has"], "api": "payments"},
    ]
    asked = 0
    for gateway in (everywhere, elsewhere):
        for secret, public_id in credentials.values():
            for more in requirements:
                body = {"secret": secret, **({"public_id": public_id} if public_id else {}), **more}
                quick = verify(gateway.client, gateway.token, body, plain=True)
                slow = verify(gateway.client, gateway.token, body, plain=False)
                asked += 1
                assert alike(quick) == alike(slow), body
                assert quick.status_code == 200
                assert quick.headers["X-Request-Id"] == "same"
    assert fast.answered == asked


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"secret": ""}',
        b'{"secret": 1}',
        b'{"secret": "a", "secret": "b"}',
        b'{"secret": "a", "unknown": 1}',
        b'{"secret": "a", "mode": "both"}',
        b'{"secret": "a", "channel": ""}',
        b'{"secret": "a", "client_ip": "here"}',
        b'{"secret": "a", "scopes": null}',
        b'{"secret": "a", "scopes": "b"}',
        b'{"secret": "\\ud800"}',
        b'{"secret": "\xff"}',
        b'{"secret": "%s"}' % (b"x" * 2_000),
        b'{"secret": "a", "public_id": "%s"}' % (b"x" * 201),
        b'{"secret": "a"}' + b" " * 9_000,
        b"[" * 100_000,
    ],
)
def test_whatever_is_wrong_with_a_body_is_told_by_the_application(
    verifier: SignedIn, fast: Counting, body: bytes
) -> None:
    headers = {"Authorization": f"Bearer {verifier.token}", "Content-Type": "application/json"}
    quick = verifier.client.post("/v1/verify", data=body, headers=headers)
    headers["Content-Type"] += "; charset=utf-8"
    slow = verifier.client.post("/v1/verify", data=body, headers=headers)

    assert alike(quick) == alike(slow)
    assert fast.answered == 0


@hypothesis_settings(max_examples=150)
@for_all(st.data())
def test_any_value_of_any_field_is_judged_alike_on_both_ways(verifier: SignedIn, data: st.DataObject) -> None:
    texts = st.text(max_size=60) | st.sampled_from(
        [*Mode, *Channel, "192.0.2.1", "::ffff:192.0.2.1", "kl_api_key_live_"]
    )
    values = texts | st.none() | st.integers() | st.lists(texts, max_size=3)
    names = ("secret", "public_id", "client_ip", "mode", "channel", "scopes", "api", "other")
    body = data.draw(st.fixed_dictionaries({"secret": texts}, optional=dict.fromkeys(names[1:], values)))

    quick = verify(verifier.client, verifier.token, body, plain=True)

    assert alike(quick) == alike(verify(verifier.client, verifier.token, body, plain=False))


@pytest.mark.parametrize("token", ["", "nothing", format_secret("operator", Mode.LIVE, "0" * 30)])
def test_a_token_that_is_not_good_is_refused_by_the_application(
    client: FlaskClient, credentials: dict[str, tuple[str, str | None]], fast: Counting, token: str
) -> None:
    secret, _ = credentials["api key"]
    assert verify(client, token, {"secret": secret}, plain=True).status_code == 401
    assert client.get("/v1/authorize", headers={"X-Gateway-Token": token, "X-API-Key": secret}).status_code == 401
    assert fast.answered == 0


def test_an_operator_who_is_no_gateway_is_refused_by_the_application(
    administrator: SignedIn, credentials: dict[str, tuple[str, str | None]], fast: Counting
) -> None:
    secret, _ = credentials["api key"]
    assert verify(administrator.client, administrator.token, {"secret": secret}, plain=True).status_code == 403
    assert fast.answered == 0


def test_every_plain_subrequest_is_answered_as_the_application_does(
    verifier: SignedIn, credentials: dict[str, tuple[str, str | None]], fast: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick: list[Any] = []
    slow: list[Any] = []
    for answers, routed in ((quick, True), (slow, False)):
        if not routed:
            monkeypatch.setattr(fast_path.FastPath, "__call__", lambda self, *args: self._application(*args))
        for secret, public_id in credentials.values():
            basic = "Basic " + base64.b64encode(f"{public_id or ''}:{secret}".encode()).decode()
            for said in ({"X-API-Key": secret}, {"Authorization": f"bearer {secret}"}, {"Authorization": basic}):
                for query in ("", "?mode=live&scopes=customer:view,payment_route:view", "?channel=ftp&api=x", "?mode="):
                    headers = {"X-Gateway-Token": verifier.token, "X-Real-IP": "192.0.2.9", **said}
                    answers.append(alike(verifier.client.get("/v1/authorize" + query, headers=headers)))

    assert quick == slow
    assert fast.answered == len(quick) * 3 // 4  # all but those that ask for no mode, which is told to be wrong


def test_every_plain_form_is_answered_as_the_application_does(
    administrator: SignedIn, verifier: SignedIn, credentials: dict[str, tuple[str, str | None]], fast: Counting
) -> None:
    def post(path: str, form: bytes, authorization: str | None, *, plain: bool) -> TestResponse:
        media_type = FORM if plain else f"{FORM}; charset=utf-8"
        headers = {} if authorization is None else {"Authorization": authorization}
        return verifier.client.post(path, data=form, headers=headers, content_type=media_type)

    def basic(name: str) -> str:
        secret, public_id = credentials[name]
        return "Basic " + base64.b64encode(f"{public_id or ''}:{secret}".encode()).decode()

    granted = b"grant_type=client_credentials"
    token = post("/oauth2/token", granted, basic("client"), plain=False).get_json()["access_token"].encode()
    good = [(granted, basic("client")), (granted + b"&scope=customer%3Aview", basic("client"))]
    asked = [
        *(("/oauth2/token", form, signed_in) for form, signed_in in good),
        *(("/oauth2/token", granted, basic(name)) for name in credentials if name != "client"),
        *(
            ("/oauth2/token", form, basic("client"))
            for form in (b"", b"grant_type=", granted * 2, granted + b"&" + granted, granted + b"&scope=nobody%3Ahas")
        ),
        *(("/oauth2/token", form, basic("client")) for form in (b"\xff", b"grant_type=%ff", b"a=1&" * 101)),
        *(("/oauth2/token", granted, header) for header in (None, "", "Basic", "Basic !", "Bearer x")),
        *(
            ("/oauth2/introspect", b"token=" + text, signed_in)
            for text in (token, b"x", b"")
            for signed_in in (basic("client"), f"Bearer {verifier.token}", f"Bearer {administrator.token}", "Bearer x")
        ),
    ]
    for path, form, signed_in in asked:
        quick, slow = (post(path, form, signed_in, plain=plain) for plain in (True, False))
        for answer in (quick, slow):
            if answer.status_code == 200 and path == "/oauth2/token":
                answer.data = answer.data.replace(answer.get_json()["access_token"].encode(), b"a token")
        assert alike(quick) == alike(slow), (path, form, signed_in)
    assert fast.answered == len(asked) - 4  # all but those that cannot be read, and the one that says it twice


def test_a_query_of_a_stranger_or_a_long_one_is_not_remembered(verifier: SignedIn, fast: Counting) -> None:
    kept = fast_path._required.cache_info().currsize
    long = "?scopes=" + "+".join(f"a{number}" for number in range(500))

    verifier.client.get("/v1/authorize?scopes=of:a-stranger", headers={"X-API-Key": "x"})
    verifier.client.get("/v1/authorize" + long, headers={"X-API-Key": "x", "X-Gateway-Token": verifier.token})

    assert fast_path._required.cache_info().currsize == kept
    assert fast.answered == 0


def test_a_body_that_was_cut_off_is_not_taken_for_a_whole_one(
    verifier: SignedIn, credentials: dict[str, tuple[str, str | None]], fast: Counting
) -> None:
    secret, _ = credentials["api key"]
    body = json.dumps({"secret": secret}).encode()
    headers = {"Authorization": f"Bearer {verifier.token}", "Content-Type": "application/json"}

    answer = verifier.client.post(
        "/v1/verify", data=body, headers=headers, environ_overrides={"CONTENT_LENGTH": str(len(body) + 50)}
    )

    assert answer.status_code == 400
    assert fast.answered == 0


def test_the_bound_of_bodies_holds_here_too(
    services: Services, verifier: SignedIn, credentials: dict[str, tuple[str, str | None]], fast: Counting
) -> None:
    small = create_app(replace(services, settings=replace(services.settings, body_bytes_max=1_024))).test_client()
    secret, _ = credentials["api key"]
    body = {"secret": secret, "scopes": [f"customer:{number}" for number in range(100)]}

    assert verify(small, verifier.token, body, plain=True).status_code == 413
    assert fast.answered == 0


def test_a_fault_here_is_told_as_any_other(
    services: Services, verifier: SignedIn, credentials: dict[str, tuple[str, str | None]], app: Flask
) -> None:
    secret, _ = credentials["api key"]
    app.config["PROPAGATE_EXCEPTIONS"] = False
    with services.store.connect() as connection:
        connection.execute("ALTER TABLE credential_status RENAME TO elsewhere")

    answer = verify(verifier.client, verifier.token, {"secret": secret}, plain=True)

    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert answer.headers["X-Request-Id"] == "same"


def test_a_database_that_gave_no_answer_is_not_asked_a_second_time(
    verifier: SignedIn, credentials: dict[str, tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, _ = credentials["api key"]
    asked = 0

    def silent(*_: Any) -> None:
        nonlocal asked
        asked += 1
        raise StoreUnavailable("PostgreSQL gave no answer in time")

    monkeypatch.setattr(LedgerDatastore, "look_up", silent)
    answer = verify(verifier.client, verifier.token, {"secret": secret}, plain=True)

    assert (answer.status_code, asked) == (503, 1)
    assert answer.headers["Retry-After"]
