"""What stands around a door in the tests: a running API, a service that is guarded, programs, and clients over HTTP."""

import base64
import datetime
import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from psycopg import sql

from api.wiring import Services, open_services
from ledger.commands import Command
from ledger.settings import Settings
from ledger.store.migrate import migrate
from ledger.values import Role
from tests import given
from tests.conftest import MASTER_KEY
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SECONDS_MAX = 30.0
START_SECONDS_MAX = 60.0  # a program in Python takes two to import what it needs; the machine may be busy
STOP_SECONDS_MAX = 60.0  # workers may take forty to finish what they took
# A worker that is told to end as it begins to answer may miss it (see `api/serving.py`); here it has no more to do.
GRANIAN = (sys.executable, "-m", "granian", "--workers-kill-timeout", "10")


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

    def handle(self) -> None:
        """As usual; a proxy may end a connection whenever it has no more use for it."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Wire:
    """A line between a proxy and the API that passes every byte on unchanged, and keeps what the proxy said."""

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
        self._open.add(near)  # before looking: whoever cuts the line meanwhile finds it there
        if self._cut:
            self._open.discard(near)
            near.close()
            return
        # Where the API has ended, so does the line: what a thread raises would fail whatever test runs then.
        with suppress(OSError), near, socket.create_connection(("127.0.0.1", self._api_port)) as far:
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
            with suppress(OSError):  # the proxy was first
                near.shutdown(socket.SHUT_RDWR)
        try:
            yield
        finally:
            self._cut = False

    def close(self) -> None:
        """Accept no more."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # or whoever waits for a connection goes on to listen
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
class Installation:
    """The API on granian, its ledger with one organisation and a gateway of it, and a service to be guarded."""

    directory: Path
    services: Services
    organisation: UUID
    token: str
    wire: Wire
    service_port: int

    @property
    def url(self) -> str:
        """Where the API is asked."""
        return f"http://127.0.0.1:{self.wire.port}"

    def key(self, **changes: Any) -> tuple[UUID, str]:
        """A new credential of the organisation, an API key unless it is changed: its id and secret."""
        receipt, secret = given.a_credential(self.services, self.organisation, **changes)
        return receipt.id, secret

    def handle(self, command: type[Command], credential_id: UUID) -> None:
        """Carry out a command that takes nothing but a credential."""
        self.services.ledger.handle(command(context=given.context(), credential_id=credential_id))  # type: ignore[call-arg]


@contextmanager
def an_installation(postgres: str, directory: Path) -> Iterator[Installation]:
    """Everything running but the door itself."""
    with ExitStack() as stack:
        settings = stack.enter_context(_a_ledger(postgres, directory))
        services = stack.enter_context(open_services(settings, postgres))
        organisation = given.an_organisation(services)
        _, token = given.an_operator(services, Role.VERIFIER, organisation_id=organisation)
        wire = Wire(stack.enter_context(_api(settings)))
        stack.callback(wire.close)
        service = ThreadingHTTPServer(("127.0.0.1", 0), _Service)
        threading.Thread(target=service.serve_forever, daemon=True).start()
        stack.callback(service.server_close)
        stack.callback(service.shutdown)
        yield Installation(directory, services, organisation, token, wire, service.server_address[1])


@contextmanager
def _a_ledger(postgres: str, directory: Path) -> Iterator[Settings]:
    schema = f"test_{directory.name}_{os.getpid()}"
    migrate(postgres, schema)
    try:
        yield Settings(database_url=postgres, schema=schema, data_dir=directory, master_key=MASTER_KEY)
    finally:
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute("SET client_min_messages TO warning")
            connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(schema)))


@contextmanager
def _api(settings: Settings) -> Iterator[int]:
    port = free_port()
    environment = {
        **os.environ,
        "KEYLEDGER_DATABASE_URL": settings.database_url,
        "KEYLEDGER_SCHEMA": settings.schema,
        "KEYLEDGER_MASTER_KEY": settings.master_key,
        "KEYLEDGER_LOG_LEVEL": "ERROR",
    }
    command = [*GRANIAN, "--interface", "wsgi", "--port", str(port), "--no-access-log"]
    command += ["--workers", "1", "--blocking-threads", "4", "--log-level", "error", "--factory", "api.wsgi:build"]
    with running(command, port, environment, cwd=ROOT):
        yield port


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: Path | None = None,
) -> Iterator[None]:
    """A program, from when it listens until it is told to end. What it prints is added to `output`."""
    with ExitStack() as stack:
        printed = stack.enter_context(output.open("ab")) if output else None
        process = stack.enter_context(
            subprocess.Popen(command, env=environment, cwd=cwd, stdout=printed, stderr=printed and subprocess.STDOUT)
        )
        try:
            deadline = time.monotonic() + START_SECONDS_MAX
            while not _listens(port):
                told = output.read_text() if output else ""
                assert process.poll() is None, f"{command[0]} ended: {process.returncode} {told}"
                assert time.monotonic() < deadline, f"{command[0]} does not listen: {told}"
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            process.wait(STOP_SECONDS_MAX)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def example(name: str, directory: Path, changes: Mapping[str, str]) -> Path:
    """A file of examples/, written to the directory. Nothing is changed in it but what is asked, and all of that."""
    text = (EXAMPLES / name).read_text()
    for ours, here in changes.items():
        assert ours in text, ours
        text = text.replace(ours, here)
    written = directory / Path(name).name
    written.write_text(text)
    return written


def ask(
    port: int,
    headers: dict[str, str] | None = None,
    method: str = "GET",
    path: str = "/orders?page=2",
    body: Any = None,
) -> Reply:
    """One request of a client over HTTP."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS_MAX)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        read = answer.read()
        reached = json.loads(read) if read.startswith(b'{"path"') else None
        return Reply(answer.status, answer.getheaders(), reached)
    finally:
        connection.close()


def soon(reached: Callable[[], bool]) -> bool:
    """Whether it is so to whoever asks a second after something was acknowledged, as is promised, and a second more for
    what stands in between. As a rule it takes milliseconds. What counts is when it was asked, however long the answer
    takes on a busy machine.
    """
    promised = time.monotonic() + 2.0
    while True:
        last = time.monotonic() > promised
        if reached():
            return True
        if last:
            return False
        time.sleep(0.002)


def basic(user: str, password: str) -> dict[str, str]:
    """The header of HTTP Basic (RFC 7617)."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def certify(certificate: Path, key: Path) -> None:
    """A certificate for this machine, signed by itself."""
    private, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    signed = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key.write_bytes(private.private_bytes(*form))
