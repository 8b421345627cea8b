"""examples/nginx/nginx.conf in a real nginx, between a client, the API on granian and a service that it guards."""

import base64
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from api.wiring import Services, open_services
from ledger.commands import Command, ResumeCredential, RevokeCredential, SuspendCredential
from ledger.settings import Settings
from ledger.store.migrate import migrate
from ledger.values import Kind, Mode, Network, PublicId, Role, Scope
from tests import given
from tests.conftest import MASTER_KEY
from tests.programs import program

ROOT = Path(__file__).parents[2]
SECONDS_MAX = 30.0


class _Service(BaseHTTPRequestHandler):
    """Answers with what reached it; `/refuses` answers 401 on its own account."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self._body()
        answer = json.dumps({"path": self.path, "headers": self.headers.items(), "body": body.decode()}).encode()
        self.send_response(401 if self.path == "/refuses" else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815 - the names that http.server looks for

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Wire:
    """A line between nginx and the API that passes every byte on unchanged, and keeps what nginx said."""

    def __init__(self, api_port: int) -> None:
        self.said = bytearray()
        self._api_port = api_port
        self._cut = False
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # closed: the tests are over
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        if self._cut:
            near.close()
            return
        with near, socket.create_connection(("127.0.0.1", self._api_port)) as far:
            self._open.add(near)
            back = threading.Thread(target=self._pass, args=(far, near, bytearray()), daemon=True)
            back.start()
            self._pass(near, far, self.said)
            back.join()
            self._open.discard(near)

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
        try:
            while data := source.recv(65_536):
                kept += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one side is gone, and so is the connection

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Nobody answers at the other end."""
        self._cut = True
        for near in list(self._open):
            with suppress(OSError):  # nginx was first
                near.shutdown(socket.SHUT_RDWR)
        try:
            yield
        finally:
            self._cut = False

    def close(self) -> None:
        """Accept no more."""
        self._listener.close()


@dataclass(frozen=True)
class Reply:
    """What a client got. `reached` is what the service says it got: None where the request did not get there."""

    status: int
    headers: list[tuple[str, str]]
    reached: dict[str, Any] | None

    def values(self, name: str) -> list[str]:
        """Every value of a header of the answer."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def passed_on(self, name: str) -> list[str]:
        """Every value of a header as the service got it."""
        assert self.reached is not None
        return [value for key, value in self.reached["headers"] if key.lower() == name.lower()]


@dataclass(frozen=True)
class Front:
    """nginx, and the ledger behind the API that it asks."""

    port: int
    wire: _Wire
    services: Services
    organisation: UUID
    token: str
    configuration: Path
    log: Path

    def ask(
        self, headers: dict[str, str] | None = None, method: str = "GET", path: str = "/orders?page=2", body: Any = None
    ) -> Reply:
        """One request of a client."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS_MAX)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            read = answer.read()
            reached = json.loads(read) if read.startswith(b'{"path"') else None
            return Reply(answer.status, answer.getheaders(), reached)
        finally:
            connection.close()

    def key(self, **changes: Any) -> tuple[UUID, str]:
        """A new credential of the organisation, an API key unless it is changed: its id and secret."""
        receipt, secret = given.a_credential(self.services, self.organisation, **changes)
        return receipt.id, secret

    def handle(self, command: type[Command], credential_id: UUID) -> None:
        """Carry out a command that takes nothing but a credential."""
        self.services.ledger.handle(command(context=given.context(), credential_id=credential_id))  # type: ignore[call-arg]


@pytest.fixture(scope="module")
def front(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """Everything running, once for all tests here: each makes credentials of its own."""
    nginx, directory = program("nginx"), tmp_path_factory.mktemp("nginx")
    with ExitStack() as stack:
        settings = stack.enter_context(_a_ledger(postgres, directory))
        services = stack.enter_context(open_services(settings, postgres))
        organisation = given.an_organisation(services)
        _, token = given.an_operator(services, Role.VERIFIER, organisation_id=organisation)
        wire = _Wire(stack.enter_context(_api(settings)))
        stack.callback(wire.close)
        service = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
        threading.Thread(target=service.serve_forever, daemon=True).start()
        stack.callback(service.server_close)
        stack.callback(service.shutdown)
        port = _free_port()
        configuration = _configure(directory, port, wire.port, service.server_address[1], token)
        command = [nginx, "-p", str(directory), "-e", str(directory / "error.log"), "-c", str(configuration)]
        tested = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert tested.returncode == 0, tested.stderr
        assert "warn" not in tested.stderr
        stack.enter_context(_running(command, port))
        yield Front(port, wire, services, organisation, token, configuration, directory / "access.log")


@contextmanager
def _a_ledger(postgres: str, directory: Path) -> Iterator[Settings]:
    schema = f"test_nginx_{os.getpid()}"
    migrate(postgres, schema)
    try:
        yield Settings(database_url=postgres, schema=schema, data_dir=directory, master_key=MASTER_KEY)
    finally:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute("SET client_min_messages TO warning")
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))


@contextmanager
def _api(settings: Settings) -> Iterator[int]:
    port = _free_port()
    environment = {
        **os.environ,
        "KEYLEDGER_DATABASE_URL": settings.database_url,
        "KEYLEDGER_SCHEMA": settings.schema,
        "KEYLEDGER_MASTER_KEY": settings.master_key,
        "KEYLEDGER_LOG_LEVEL": "ERROR",
    }
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--port", str(port), "--no-access-log"]
    command += ["--workers", "1", "--blocking-threads", "4", "--log-level", "error", "--factory", "api.wsgi:build"]
    with _running(command, port, environment, cwd=ROOT):
        yield port


@contextmanager
def _running(
    command: Sequence[str], port: int, environment: dict[str, str] | None = None, cwd: Path | None = None
) -> Iterator[None]:
    """A program, from when it listens until it is told to end."""
    with subprocess.Popen(command, env=environment, cwd=cwd) as process:
        try:
            deadline = time.monotonic() + SECONDS_MAX
            while not _listens(port):
                assert process.poll() is None, f"{command[0]} ended: {process.returncode}"
                assert time.monotonic() < deadline, f"{command[0]} does not listen"
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(SECONDS_MAX)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _configure(directory: Path, port: int, api_port: int, service_port: int, token: str) -> Path:
    """The example; nothing but addresses and paths is changed."""
    token_file = directory / "token.conf"
    token_file.write_text(f"proxy_set_header X-Gateway-Token {token};\n")
    text = (ROOT / "examples/nginx/nginx.conf").read_text()
    for ours, here in {
        " /tmp/": f" {directory}/",
        "listen 127.0.0.1:8000": f"listen 127.0.0.1:{port}",
        "server 127.0.0.1:8080": f"server 127.0.0.1:{api_port}",
        "server 127.0.0.1:9000": f"server 127.0.0.1:{service_port}",
        "/etc/nginx/keyledger-gateway-token.conf": str(token_file),
        "/dev/stdout": str(directory / "access.log"),
        "/dev/stderr": str(directory / "error.log"),
        # As root nginx would give its workers to a user who cannot read here.
        "worker_processes auto;": "worker_processes 1; daemon off; master_process off;",
    }.items():
        assert ours in text, ours
        text = text.replace(ours, here)
    configuration = directory / "nginx.conf"
    configuration.write_text(text)
    return configuration


def _basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


# --- who gets in -----------------------------------------------------------------------------------------------------


def test_a_good_key_passes_as_x_api_key_and_as_bearer(front: Front) -> None:
    credential_id, secret = front.key()

    for headers in ({"X-API-Key": secret}, {"Authorization": f"Bearer {secret}"}):
        reply = front.ask(headers)

        assert reply.status == 200
        assert reply.reached is not None
        assert reply.reached["path"] == "/orders?page=2"
        assert reply.passed_on("X-Credential-Id") == [str(credential_id)]
        assert reply.passed_on("X-Organisation-Id") == [str(front.organisation)]
        assert reply.passed_on("X-Mode") == ["live"]
        assert "customer:view" in reply.passed_on("X-Scopes")[0].split()


def test_an_oauth_clients_identifier_and_secret_pass_as_basic_and_another_identifier_does_not(front: Front) -> None:
    credential_id, secret = front.key(kind=Kind.OAUTH_CLIENT, public_id=(name := PublicId("client_live_one")))
    front.key(kind=Kind.OAUTH_CLIENT, public_id=(other := PublicId("client_live_two")))

    reply = front.ask(_basic(name, secret))

    assert reply.status == 200
    assert reply.passed_on("X-Credential-Id") == [str(credential_id)]
    assert reply.passed_on("X-Public-Id") == [name]
    assert front.ask(_basic(other, secret)).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": "kl_api_key_live_" + "0" * 36},
        {"Authorization": "Bearer nothing"},
        _basic("nobody", "nothing"),
    ],
)
def test_no_credential_or_a_wrong_one_is_challenged_and_does_not_reach_the_service(
    front: Front, headers: dict[str, str]
) -> None:
    reply = front.ask(headers)

    assert (reply.status, reply.reached) == (401, None)
    assert reply.values("WWW-Authenticate") == ['Bearer realm="api", Basic realm="api", charset="UTF-8"']


def test_another_network_is_refused_whatever_the_client_says_of_its_address(front: Front) -> None:
    _, elsewhere = front.key(networks=(Network("192.0.2.0/24"),))
    _, here = front.key(networks=(Network("127.0.0.0/8"),))
    lies = {"X-Real-IP": "192.0.2.7", "X-Forwarded-For": "192.0.2.7", "Forwarded": "for=192.0.2.7"}

    assert front.ask({"X-API-Key": elsewhere}).status == 403
    assert front.ask({"X-API-Key": elsewhere, **lies}).status == 403
    reply = front.ask({"X-API-Key": here, **lies})
    assert reply.status == 200
    assert reply.passed_on("X-Real-IP") == reply.passed_on("X-Forwarded-For") == ["127.0.0.1"]
    assert reply.passed_on("Forwarded") == []


def test_another_mode_is_refused(front: Front) -> None:
    _, secret = front.key(mode=Mode.TEST)

    assert front.ask({"X-API-Key": secret}).status == 403


def test_the_scope_that_the_method_takes_is_asked_for(front: Front) -> None:
    _, reads = front.key(scopes=(Scope("customer:view"),))
    _, writes = front.key(scopes=(Scope("customer:edit"),))

    assert [front.ask({"X-API-Key": reads}, method).status for method in ("GET", "POST", "DELETE")] == [200, 403, 403]
    assert [front.ask({"X-API-Key": writes}, method).status for method in ("GET", "POST")] == [403, 200]


def test_a_revoked_key_is_refused_at_the_next_request(front: Front) -> None:
    credential_id, secret = front.key()
    assert front.ask({"X-API-Key": secret}).status == 200

    front.handle(RevokeCredential, credential_id)

    assert front.ask({"X-API-Key": secret}).status == 401


def test_a_suspended_key_is_refused_until_it_is_resumed(front: Front) -> None:
    credential_id, secret = front.key()

    front.handle(SuspendCredential, credential_id)
    suspended = front.ask({"X-API-Key": secret}).status
    front.handle(ResumeCredential, credential_id)

    assert (suspended, front.ask({"X-API-Key": secret}).status) == (401, 200)


def test_nobody_gets_in_while_the_api_does_not_answer(front: Front) -> None:
    _, secret = front.key()

    with front.wire.cut():
        reply = front.ask({"X-API-Key": secret})

    assert (reply.status, reply.reached) == (500, None)
    assert front.ask({"X-API-Key": secret}).status == 200


@pytest.mark.parametrize("name", ["X-API-Key", "Authorization", "X-Gateway-Token"])
def test_granian_takes_neither_of_two_headers_for_the_only_one(front: Front, name: str) -> None:
    _, secret = front.key()
    prefix, good = {
        "X-API-Key": ("", secret),
        "Authorization": ("Bearer ", secret),
        "X-Gateway-Token": ("", front.token),
    }[name]
    rest = {"X-API-Key": secret} if name == "X-Gateway-Token" else {"X-Gateway-Token": front.token}

    def status(*values: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", front.wire.port, timeout=SECONDS_MAX)
        connection.putrequest("GET", "/v1/authorize")
        for header, value in [*rest.items(), *((name, prefix + value) for value in values)]:
            connection.putheader(header, value)
        connection.endheaders()
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    assert [status(good), status(good, "other"), status("other", good)] == [200, 401, 401]


# --- what reaches whom -----------------------------------------------------------------------------------------------


def test_what_a_client_says_about_itself_is_replaced_in_every_spelling(front: Front) -> None:
    credential_id, secret = front.key()
    names = ("X-Credential-Id", "X-Organisation-Id", "X-Application-Id", "X-Public-Id", "X-Mode", "X-Scopes")
    lies = dict.fromkeys(names, "a lie") | {name.replace("-", "_"): "a lie" for name in names}

    reply = front.ask({"X-API-Key": secret, **lies})

    assert reply.status == 200
    assert reply.passed_on("X-Credential-Id") == [str(credential_id)]
    assert reply.reached is not None
    assert "a lie" not in json.dumps(reply.reached)


def test_neither_secrets_nor_tokens_reach_the_service(front: Front) -> None:
    _, secret = front.key()

    for headers in ({"X-API-Key": secret}, {"Authorization": f"Bearer {secret}"}):
        reply = front.ask({**headers, "X-Gateway-Token": "the client's own"})

        assert reply.status == 200
        assert reply.reached is not None
        told = json.dumps(reply.reached)
        assert not [text for text in (secret, front.token, "the client's own", "X-Gateway-Token") if text in told]


def test_a_clients_gateway_token_does_not_stand_in_for_the_gateways(front: Front) -> None:
    front.wire.said.clear()
    _, secret = front.key()
    _, theirs = given.an_operator(front.services, Role.VERIFIER)

    assert front.ask({"X-API-Key": secret, "X-Gateway-Token": theirs}).status == 200

    said = front.wire.said.decode()
    assert f"X-Gateway-Token: {front.token}\r\n" in said
    assert theirs not in said


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_reaches_the_service_and_not_the_api(front: Front, chunked: bool) -> None:
    front.wire.said.clear()
    _, secret = front.key(scopes=(Scope("customer:edit"),))
    body: Any = iter([b"the whole", b" order"]) if chunked else b"the whole order"

    reply = front.ask({"X-API-Key": secret, "Cookie": "session=1"}, "POST", "/orders?page=2", body)

    assert reply.reached is not None
    assert reply.reached["body"] == "the whole order"
    head, _, rest = front.wire.said.decode().partition("\r\n\r\n")
    lines = head.splitlines()
    assert lines[0] == "GET /v1/authorize?mode=live&scopes=customer:edit HTTP/1.1"
    assert {"X-Original-URI: /orders?page=2", "X-Real-IP: 127.0.0.1"} <= set(lines)
    assert not [line for line in lines if line.lower().startswith(("content-length", "transfer-encoding", "cookie"))]
    assert rest == ""


def test_where_the_api_is_asked_is_not_open_to_clients(front: Front) -> None:
    _, secret = front.key()

    assert front.ask({"X-API-Key": secret}, path="/_authorize").status == 404


def test_a_401_of_the_service_is_its_own(front: Front) -> None:
    _, secret = front.key()

    reply = front.ask({"X-API-Key": secret}, path="/refuses")

    assert (reply.status, reply.values("WWW-Authenticate")) == (401, [])
    assert reply.reached is not None


def test_neither_the_configuration_nor_the_log_holds_a_secret(front: Front) -> None:
    _, secret = front.key()
    front.ask({"X-API-Key": secret}, path=f"/orders?key={secret}")

    deadline = time.monotonic() + SECONDS_MAX
    while " GET /orders 200" not in (text := front.log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert " GET /orders 200" in text
    assert "kl_" not in text
    assert front.token not in front.configuration.read_text()
