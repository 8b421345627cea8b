"""The examples of nginx, Caddy and HAProxy, in the real programs, between a client, the API on granian and a service.

What holds for all three stands here, once. What is nginx's alone is in `test_nginx.py`.
"""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from ledger.commands import ResumeCredential, RevokeCredential, SuspendCredential
from ledger.values import Kind, Mode, Network, PublicId, Role, Scope
from tests import given
from tests.running.doors import SECONDS_MAX, Installation, basic, soon
from tests.running.proxies import PROXIES, Front, a_front

NAMES = ("X-Credential-Id", "X-Organisation-Id", "X-Application-Id", "X-Public-Id", "X-Mode", "X-Scopes")


@pytest.fixture(scope="module", params=PROXIES)
def front(
    request: pytest.FixtureRequest, installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    """Each of the proxies, once for all tests here."""
    with a_front(request.param, tmp_path_factory.mktemp(request.param), installation) as front:
        yield front


# --- who gets in -----------------------------------------------------------------------------------------------------


def test_a_good_key_passes_as_x_api_key_and_as_bearer(front: Front) -> None:
    application = given.an_application(front.behind.services, front.behind.organisation)
    credential_id, secret = front.behind.key()
    _, of_an_application = front.behind.key(application_id=application)

    for headers in ({"X-API-Key": secret}, {"Authorization": f"Bearer {secret}"}):
        reply = front.ask(headers)

        assert reply.status == 200
        assert reply.reached is not None
        assert reply.reached["path"] == "/orders?page=2"
        assert reply.passed_on("X-Credential-Id") == [str(credential_id)]
        assert reply.passed_on("X-Organisation-Id") == [str(front.behind.organisation)]
        assert reply.passed_on("X-Application-Id") == []
        assert reply.passed_on("X-Mode") == ["live"]
        assert "customer:view" in reply.passed_on("X-Scopes")[0].split()
    # Its application is connected to nothing, so no scope is left of those that it was given.
    assert front.ask({"X-API-Key": of_an_application}).status == 403


def test_an_oauth_clients_identifier_and_secret_pass_as_basic_and_another_identifier_does_not(front: Front) -> None:
    credential_id, secret = front.behind.key(kind=Kind.OAUTH_CLIENT, public_id=(name := PublicId(f"one_{front.name}")))
    front.behind.key(kind=Kind.OAUTH_CLIENT, public_id=(other := PublicId(f"two_{front.name}")))

    reply = front.ask(basic(name, secret))

    assert reply.status == 200
    assert reply.passed_on("X-Credential-Id") == [str(credential_id)]
    assert reply.passed_on("X-Public-Id") == [name]
    assert front.ask(basic(other, secret)).status == 401


def test_an_access_token_passes_with_its_scopes_until_its_credential_is_revoked(front: Front) -> None:
    name = PublicId(f"with_tokens_{front.name}")
    scopes = (Scope("customer:view"), Scope("customer:edit"))
    credential_id, secret = front.behind.key(kind=Kind.OAUTH_CLIENT, public_id=name, scopes=scopes)
    form = urlencode({"grant_type": "client_credentials", "scope": "customer:view"}).encode()
    asked = urllib.request.Request(f"{front.behind.url}/oauth2/token", form, basic(name, secret))
    with urllib.request.urlopen(asked, timeout=SECONDS_MAX) as answer:
        bearer = {"Authorization": f"Bearer {json.load(answer)['access_token']}"}

    reply = front.ask(bearer)

    assert reply.status == 200
    assert reply.passed_on("X-Credential-Id") == [str(credential_id)]
    assert reply.passed_on("X-Scopes") == ["customer:view"]
    front.behind.handle(RevokeCredential, credential_id)
    assert soon(lambda: front.ask(bearer).status == 401)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": "kl_api_key_live_" + "0" * 36},
        {"Authorization": "Bearer nothing"},
        {"Authorization": "Negotiate nothing"},
        {"X-API-Key": "nothing", "Authorization": "Bearer nothing"},
        basic("nobody", "nothing"),
    ],
)
def test_no_credential_or_a_wrong_one_is_challenged_and_does_not_reach_the_service(
    front: Front, headers: dict[str, str]
) -> None:
    reply = front.ask(headers)

    assert (reply.status, reply.reached) == (401, None)
    alone = headers.keys() == {"Authorization"} and headers["Authorization"].startswith("Bearer")
    error = ', error="invalid_token"' if alone else ""
    assert reply.values("WWW-Authenticate") == [f'Bearer realm="api"{error}, Basic realm="api", charset="UTF-8"']
    assert reply.values("X-Code") == []


def test_another_network_is_refused_whatever_the_client_says_of_its_address(front: Front) -> None:
    _, elsewhere = front.behind.key(networks=(Network("192.0.2.0/24"),))
    _, here = front.behind.key(networks=(Network("127.0.0.0/8"),))
    names = ("X-Real-IP", "X_Real_IP", "X-Forwarded-For", "X_Forwarded_For", "Client-Ip", "X-Client-IP")
    lies = dict.fromkeys(names, "192.0.2.7") | {"Forwarded": "for=192.0.2.7"}
    path = "/orders?client_ip=192.0.2.7"

    assert front.ask({"X-API-Key": elsewhere}).status == 403
    assert front.ask({"X-API-Key": elsewhere, **lies}, path=path).status == 403
    reply = front.ask({"X-API-Key": here, **lies}, path=path)
    assert reply.status == 200
    assert reply.passed_on("X-Real-IP") == reply.passed_on("X-Forwarded-For") == ["127.0.0.1"]
    assert reply.passed_on("Forwarded") == reply.passed_on("X_Real_IP") == reply.passed_on("X_Forwarded_For") == []


def test_another_mode_is_refused(front: Front) -> None:
    _, secret = front.behind.key(mode=Mode.TEST)

    assert front.ask({"X-API-Key": secret}).status == 403


def test_the_scope_that_the_method_takes_is_asked_for(front: Front) -> None:
    _, reads = front.behind.key(scopes=(Scope("customer:view"),))
    _, writes = front.behind.key(scopes=(Scope("customer:edit"),))

    assert [front.ask({"X-API-Key": reads}, method).status for method in ("GET", "POST", "DELETE")] == [200, 403, 403]
    assert [front.ask({"X-API-Key": writes}, method).status for method in ("GET", "POST")] == [403, 200]


def test_a_revoked_key_is_refused_at_once(front: Front) -> None:
    credential_id, secret = front.behind.key()
    assert front.ask({"X-API-Key": secret}).status == 200

    front.behind.handle(RevokeCredential, credential_id)

    assert soon(lambda: front.ask({"X-API-Key": secret}).status == 401)


def test_a_suspended_key_is_refused_until_it_is_resumed(front: Front) -> None:
    credential_id, secret = front.behind.key()

    front.behind.handle(SuspendCredential, credential_id)
    assert soon(lambda: front.ask({"X-API-Key": secret}).status == 401)
    front.behind.handle(ResumeCredential, credential_id)
    assert soon(lambda: front.ask({"X-API-Key": secret}).status == 200)


def test_nobody_gets_in_while_the_api_does_not_answer(front: Front) -> None:
    _, secret = front.behind.key()

    with front.behind.wire.cut():
        reply = front.ask({"X-API-Key": secret})

    assert reply.reached is None
    assert reply.status == {"nginx": 500, "caddy": 502, "haproxy": 503}[front.name]
    assert front.ask({"X-API-Key": secret}).status == 200


@pytest.mark.parametrize("name", PROXIES)
def test_without_a_good_gateways_token_nobody_gets_in(name: str, installation: Installation, tmp_path: Path) -> None:
    _, secret = installation.key()
    _, no_gateway = given.an_operator(installation.services, Role.ADMINISTRATOR)

    for token, refused in (("kl_operator_live_" + "0" * 36, 401), (no_gateway, 403)):
        with a_front(name, tmp_path, installation, token=token) as front:
            reply = front.ask({"X-API-Key": secret})

            assert (reply.status, reply.reached) == (refused, None)


@pytest.mark.parametrize("name", PROXIES)
def test_without_a_file_for_the_token_it_does_not_start(name: str, installation: Installation, tmp_path: Path) -> None:
    program = PROXIES[name](tmp_path, installation, 8000, installation.token, {})
    for file in tmp_path.glob("token*"):
        file.unlink()

    checked, ran = (
        subprocess.run(command, capture_output=True, text=True, env=program.environment, timeout=SECONDS_MAX)
        for command in (program.check, program.run)
    )

    assert 0 not in (checked.returncode, ran.returncode)
    assert "token" in checked.stderr + checked.stdout


def test_a_script_of_haproxy_that_fails_lets_nobody_in(installation: Installation, tmp_path: Path) -> None:
    _, secret = installation.key()
    without = {"http-request set-var(txn.keyledger.required)": "http-request set-var(txn.keyledger.mistyped)"}

    with a_front("haproxy", tmp_path, installation, changes=without) as front:
        reply = front.ask({"X-API-Key": secret})

        assert (reply.status, reply.reached) == (503, None)
        assert "txn.keyledger.required is not set" in front.log.read_text()


# --- what reaches whom -----------------------------------------------------------------------------------------------


def test_what_a_client_says_about_itself_is_replaced_in_every_spelling(front: Front) -> None:
    credential_id, secret = front.behind.key()
    lies = dict.fromkeys(NAMES, "a lie") | {name.replace("-", "_"): "a lie" for name in NAMES}

    reply = front.ask({"X-API-Key": secret, **lies})

    assert reply.status == 200
    assert reply.passed_on("X-Credential-Id") == [str(credential_id)]
    assert reply.reached is not None
    assert "a lie" not in json.dumps(reply.reached)


def test_a_client_cannot_have_taken_away_what_is_told_about_it(front: Front) -> None:
    credential_id, secret = front.behind.key()

    reply = front.ask({"X-API-Key": secret, "Connection": "close, x-credential-id, X-Scopes, X-Gateway-Token"})

    if reply.reached is None:
        assert reply.status == 400
    else:
        assert reply.passed_on("X-Credential-Id") == [str(credential_id)]
        assert reply.passed_on("X-Scopes")
        assert "x-" not in "".join(reply.passed_on("Connection")).lower()  # for a proxy that may stand behind


@pytest.mark.parametrize("protocol", ["h2c", "H2C", "TLS/1.0", "websocket, h2c", "h2c, websocket"])
def test_nobody_gets_a_connection_to_the_service_that_would_carry_requests_unasked(front: Front, protocol: str) -> None:
    _, secret = front.behind.key()
    upgrading = {
        "Connection": "Upgrade, HTTP2-Settings",
        "Upgrade": protocol,
        "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA",
    }

    reply = front.ask({"X-API-Key": secret, **upgrading})

    if reply.reached is None:
        assert reply.status == 400  # no WebSocket, as it says
    else:
        assert (reply.status, reply.passed_on("Upgrade")) == (200, [])


def test_a_websocket_is_asked_about_when_it_is_opened(front: Front) -> None:
    _, secret = front.behind.key()
    opening = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    opening["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="

    assert front.ask(opening).status == 401
    reply = front.ask({"X-API-Key": secret, **opening})

    # nginx takes some lines more for it, which its example does not have.
    assert reply.passed_on("Upgrade") == ([] if front.name == "nginx" else ["websocket"])


def test_neither_secrets_nor_tokens_reach_the_service(front: Front) -> None:
    _, secret = front.behind.key()

    for headers in ({"X-API-Key": secret}, {"Authorization": f"Bearer {secret}"}):
        reply = front.ask({**headers, "X-Gateway-Token": "the client's own", "X_Gateway_Token": "the client's own"})

        assert reply.status == 200
        assert reply.reached is not None
        told = json.dumps(reply.reached)
        assert not [
            text for text in (secret, front.behind.token, "the client's own", "X-Gateway-Token") if text in told
        ]


def test_a_clients_gateway_token_does_not_stand_in_for_the_gateways(front: Front) -> None:
    front.behind.wire.said.clear()
    _, secret = front.behind.key()
    _, theirs = given.an_operator(front.behind.services, Role.VERIFIER)

    assert front.ask({"X-API-Key": secret, "X-Gateway-Token": theirs, "X_Gateway_Token": theirs}).status == 200

    said = front.behind.wire.said.decode()
    assert f"x-gateway-token: {front.behind.token}\r\n" in said.replace("X-Gateway-Token", "x-gateway-token")
    assert theirs not in said


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_reaches_the_service_and_not_the_api(front: Front, chunked: bool) -> None:
    front.behind.wire.said.clear()
    _, secret = front.behind.key(scopes=(Scope("customer:edit"),))
    body: Any = iter([b"the whole", b" order"]) if chunked else b"the whole order"

    reply = front.ask({"X-API-Key": secret, "Cookie": "session=1"}, "POST", "/orders?page=2", body)

    assert reply.reached is not None
    assert reply.reached["body"] == "the whole order"
    assert reply.passed_on("Cookie") == ["session=1"]
    head, _, rest = front.behind.wire.said.decode().partition("\r\n\r\n")
    lines = head.splitlines()
    assert lines[0].startswith("GET /v1/authorize?mode=live&scopes=customer")
    assert not [line for line in lines if line.lower().startswith(("content-length", "transfer-encoding", "cookie"))]
    assert rest == ""


def test_a_401_of_the_service_is_its_own(front: Front) -> None:
    _, secret = front.behind.key()

    reply = front.ask({"X-API-Key": secret}, path="/refuses")

    assert (reply.status, reply.values("WWW-Authenticate")) == (401, [])
    assert reply.reached is not None


def test_neither_the_configuration_nor_the_log_holds_a_secret(front: Front) -> None:
    credential_id, secret = front.behind.key()
    front.ask({"X-API-Key": secret}, path=f"/orders?key={secret}")
    with front.behind.wire.cut():
        front.ask({"X-API-Key": secret})  # what goes wrong is told in another form

    deadline = time.monotonic() + SECONDS_MAX
    while str(credential_id) not in (text := front.log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert str(credential_id) in text
    assert "/orders" in text
    assert "kl_" not in text
    assert front.behind.token not in front.configuration.read_text()
