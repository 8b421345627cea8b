"""The examples for Flask, Django and ASGI, each on a real server and before a running Keyledger: the same rules."""

import asyncio
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from keyledger_client import AsyncClient
from ledger.commands import RevokeCredential
from ledger.values import Kind, Mode, Network, Scope
from tests import given
from tests.client.asking import PATIENT
from tests.client.misbehaving import Misbehaving, answers
from tests.ports import free_port
from tests.running.doors import EXAMPLES, GRANIAN, ROOT, SECONDS_MAX, Installation, basic, running, soon

VIEW, EDIT = Scope("customer:view"), Scope("customer:edit")
CHALLENGE = 'Bearer realm="api", Basic realm="api", charset="UTF-8"'
NOT_GOOD = 'Bearer realm="api", error="invalid_token", Basic realm="api", charset="UTF-8"'
INTERFACES = {"flask": "wsgi", "django": "wsgi", "asgi": "asgi"}


@dataclass(frozen=True)
class Guarded:
    """A service out of the examples, and what it printed."""

    url: str
    behind: Installation
    log: Path = field(repr=False)

    def get(self, path: str = "/customers", **how: Any) -> requests.Response:
        """One request of a client."""
        return requests.get(self.url + path, timeout=SECONDS_MAX, allow_redirects=False, **how)

    def post(self, path: str = "/customers/edit", **how: Any) -> requests.Response:
        """One request of a client that changes something."""
        return requests.post(self.url + path, timeout=SECONDS_MAX, allow_redirects=False, **how)

    def lets_in(self, secret: str) -> bool:
        """Whether a secret opens the first operation."""
        return self.get(headers=key(secret)).status_code == 200


def key(secret: str) -> dict[str, str]:
    """The header of an API key."""
    return {"X-API-Key": secret}


# The services are as they stand; where nothing is said their clients wait as long as those of other tests.
PATIENTLY = f"""
from keyledger_client import AsyncClient, Client

for client in (AsyncClient, Client):
    client.__init__.__kwdefaults__.update({PATIENT!r})
"""


@contextmanager
def a_service(
    name: str, directory: Path, behind: Installation, url: str = "", token: str = "", target: str = "app:app"
) -> Iterator[Guarded]:
    """An example on granian, as its page says."""
    port, log = free_port(), directory / "service.log"
    token_file = directory / "gateway-token"
    token_file.write_text((token or behind.token) + "\n")
    (directory / "sitecustomize.py").write_text(PATIENTLY)
    environment = {
        **os.environ,
        "KEYLEDGER_URL": url or behind.url,
        "KEYLEDGER_GATEWAY_TOKEN_FILE": str(token_file),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "clients/python/src"), str(directory)]),
    }
    command = [*GRANIAN, "--interface", INTERFACES[name], "--port", str(port), target]
    with running(command, port, environment, cwd=EXAMPLES / name, output=log):
        yield Guarded(f"http://127.0.0.1:{port}", behind, log)


@pytest.fixture(scope="module", params=INTERFACES)
def service(
    request: pytest.FixtureRequest, installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    """Each example, once for all that holds for every one of them."""
    with a_service(request.param, tmp_path_factory.mktemp(request.param), installation) as guarded:
        yield guarded


def test_a_credential_with_the_scope_gets_in_and_the_service_knows_whose_it_is(service: Guarded) -> None:
    credential, secret = service.behind.key(scopes=(VIEW,))

    for headers in (key(secret), {"Authorization": f"Bearer {secret}"}, {"authorization": f"bearer {secret}"}):
        answer = service.get(headers=headers)
        assert (answer.status_code, answer.json()["asked_by"]) == (200, str(credential))


def test_a_key_pair_gets_in_by_basic(service: Guarded) -> None:
    command, issued = given.a_create_command(
        service.behind.services, service.behind.organisation, kind=Kind.KEY_PAIR, scopes=(VIEW,)
    )
    service.behind.services.ledger.handle(command)

    assert service.get(headers=basic(str(command.public_id), issued.plaintext)).status_code == 200
    assert service.get(headers=basic("kl_key_pair_live_other", issued.plaintext)).status_code == 401


def test_each_route_asks_for_its_own_scopes(service: Guarded) -> None:
    _, viewer = service.behind.key(scopes=(VIEW,))
    _, editor = service.behind.key(scopes=(VIEW, EDIT))

    assert service.post(headers=key(editor)).json()["edited"] is True
    refused = service.post(headers=key(viewer))
    assert refused.status_code == 403
    assert refused.headers["WWW-Authenticate"] == (
        'Bearer realm="api", error="insufficient_scope", scope="customer:view customer:edit"'
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Digest x"},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic !"},
        {"Authorization": "Basic bm8gY29sb24="},
        {"Authorization": "Basic //79/A=="},
        {"X-API-Key": ""},
        {"X-API-Key": "x" * 1025},
        basic("x" * 201, "secret"),
        {"Authorization": "Bearer x", "X-API-Key": "x"},
    ],
)
def test_without_one_credential_a_client_is_told_what_to_present(service: Guarded, headers: dict[str, str]) -> None:
    answer = service.get(headers=headers)

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == CHALLENGE
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json() == {"title": "Present a credential", "status": 401}


@pytest.mark.parametrize("secret", ["mistyped", "kl_api_key_live_x", "a, b", '"', "\\u0000"])
def test_a_credential_that_is_not_good_is_401_and_nothing_more_is_told(service: Guarded, secret: str) -> None:
    answer = service.get(headers=key(secret))

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == NOT_GOOD
    assert answer.json() == {"title": "The credential is not good", "status": 401}


def test_a_test_key_is_not_for_the_live_service(service: Guarded) -> None:
    _, secret = service.behind.key(scopes=(VIEW,), mode=Mode.TEST)

    answer = service.get(headers=key(secret))

    assert answer.status_code == 403
    assert "WWW-Authenticate" not in answer.headers


def test_the_clients_own_address_is_compared_and_not_what_it_says(service: Guarded) -> None:
    _, here = service.behind.key(scopes=(VIEW,), networks=(Network("127.0.0.0/8"),))
    _, elsewhere = service.behind.key(scopes=(VIEW,), networks=(Network("192.0.2.0/24"),))
    spoofed = {"X-Forwarded-For": "192.0.2.7", "X-Real-IP": "192.0.2.7", "Forwarded": "for=192.0.2.7"}

    assert service.lets_in(here)
    assert service.get(headers=key(elsewhere) | spoofed).status_code == 403


def test_revoking_shuts_the_door(service: Guarded) -> None:
    credential, secret = service.behind.key(scopes=(VIEW,))
    assert service.lets_in(secret)

    service.behind.handle(RevokeCredential, credential)

    assert soon(lambda: service.get(headers=key(secret)).status_code == 401)


def test_while_keyledger_does_not_answer_nobody_gets_in_and_afterwards_all_is_well(service: Guarded) -> None:
    _, secret = service.behind.key(scopes=(VIEW,))
    assert service.lets_in(secret)

    with service.behind.wire.cut():
        answer = service.get(headers=key(secret))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.json() == {"title": "Credentials cannot be checked now", "status": 503}

    assert service.lets_in(secret)


def test_what_is_public_is_asked_of_nobody(service: Guarded) -> None:
    with service.behind.wire.cut():
        assert service.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize("path", ["/nowhere", "/customers/", "//customers", "/customers/../customers", "/CUSTOMERS"])
def test_no_other_way_leads_to_a_guarded_route(service: Guarded, path: str) -> None:
    request = requests.Request("GET", service.url).prepare()
    request.url = service.url + path
    with requests.Session() as session:
        answer = session.send(request, timeout=SECONDS_MAX, allow_redirects=False)

    assert answer.status_code in (401, 404)


def test_no_secret_is_printed(service: Guarded) -> None:
    _, secret = service.behind.key(scopes=(VIEW,), mode=Mode.TEST)

    service.get(headers=key(secret))
    service.get(headers={"Authorization": f"Bearer {secret}"})

    printed = service.log.read_text()
    assert secret not in printed
    assert service.behind.token not in printed


# --- What each says of Keyledger's other answers ---------------------------------------------------------------------


@pytest.mark.parametrize("name", INTERFACES)
def test_a_wrong_gateway_token_lets_nobody_in_and_blames_no_client(
    name: str, installation: Installation, tmp_path: Path
) -> None:
    _, secret = installation.key(scopes=(VIEW,))

    with a_service(name, tmp_path, installation, token="kl_operator_live_nobody") as service:
        assert service.get(headers=key(secret)).status_code == 503


@pytest.mark.parametrize("name", INTERFACES)
def test_whoever_guesses_is_told_when_to_come_back(
    name: str, installation: Installation, server: Misbehaving, tmp_path: Path
) -> None:
    server.does = [answers(429, {"code": "too_many_attempts"}, {"Retry-After": "17"})]

    with a_service(name, tmp_path, installation, url=server.url) as service:
        answer = service.get(headers=key("guessed"))

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "17")


FORGETFUL = {
    "flask": "from app import app\napp.add_url_rule('/forgotten', view_func=lambda: 'open')\n",
    "django": "from app import *\nfrom app import app, urlpatterns\n"
    "urlpatterns.append(path('forgotten', lambda request: JsonResponse({})))\n",
}


@pytest.mark.parametrize("name", FORGETFUL)
def test_a_view_of_which_nothing_is_said_is_closed(name: str, installation: Installation, tmp_path: Path) -> None:
    (tmp_path / "forgetful.py").write_text(FORGETFUL[name])
    _, secret = installation.key(scopes=(VIEW, EDIT))

    with a_service(name, tmp_path, installation, target="forgetful:app") as service:
        assert service.lets_in(secret)
        assert service.get("/forgotten", headers=key(secret)).status_code == 403
        assert "is closed: nothing says who may call it" in service.log.read_text()


def test_a_websocket_is_guarded_as_a_request_is(installation: Installation) -> None:
    _, secret = installation.key(scopes=(VIEW,))

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async def opened(headers: list[tuple[bytes, bytes]]) -> list[str]:
        said: list[str] = []

        async def send(message: dict[str, Any]) -> None:
            said.append(message["type"])

        async with AsyncClient(installation.url, installation.token, timeout=SECONDS_MAX) as keyledger:
            guard = _module("asgi/guard.py").Guard(application, keyledger, VIEW)
            scope = {"type": "websocket", "path": "/", "headers": headers, "client": ("127.0.0.1", 1)}
            await guard(scope, None, send)
        return said

    assert asyncio.run(opened([(b"x-api-key", secret.encode())])) == ["websocket.accept"]
    assert asyncio.run(opened([])) == ["websocket.close"]
    assert asyncio.run(opened([(b"x-api-key", secret.encode())] * 2)) == ["websocket.close"]


def test_a_path_of_two_lines_is_one_line_of_the_log(
    installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    async def refused() -> None:
        async def send(_message: dict[str, Any]) -> None:
            pass

        async with AsyncClient(installation.url, installation.token, timeout=SECONDS_MAX) as keyledger:
            guard = _module("asgi/guard.py").Guard(None, keyledger, VIEW)
            await guard({"type": "http", "path": "/a\nlet in root", "headers": [], "client": None}, None, send)

    with caplog.at_level("INFO"):
        asyncio.run(refused())

    assert [one.getMessage() for one in caplog.records if one.name == "example"] == ["refused '/a\\nlet in root': None"]


def _module(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("example", EXAMPLES / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
