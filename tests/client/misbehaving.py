"""A server that answers each request with the next of its instructions, whatever bytes those are."""

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

Behaviour = Callable[[socket.socket], None]

VERDICT: dict[str, Any] = {
    "valid": True,
    "code": "VALID",
    "credential_id": "019adcc1-5f63-7c4c-9a68-0d7b0d0c0a01",
    "organisation_id": "019adcc1-5f63-7c4c-9a68-0d7b0d0c0a02",
    "application_id": None,
    "kind": "api_key",
    "public_id": "kl_pub_1",
    "mode": "live",
    "environment": "production",
    "channel": None,
    "scopes": ["customer:view"],
    "expires_at": "2027-01-01T00:00:00Z",
    "request_id": "r-1",
}


def says(raw: bytes) -> Behaviour:
    """These bytes, and nothing after them."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_RDWR)

    return behave


def answers(status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> Behaviour:
    """A whole answer, on a connection that stays."""
    content = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    lines = [f"{name}: {value}" for name, value in {"Content-Length": len(content), **(headers or {})}.items()]
    head = "\r\n".join([f"HTTP/1.1 {status} Whatever", *lines, "", ""]).encode()
    return lambda connection: connection.sendall(head + content)


def valid() -> Behaviour:
    """The verdict that lets in."""
    return answers(200, VERDICT)


def resets(connection: socket.socket) -> None:
    """RST in place of an answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Misbehaving:
    """`does` is taken one by one by the requests, on however many connections; the last is repeated."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.does: list[Behaviour] = []
        self.requests: list[bytes] = []
        self.connections = 0
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def hangs(self, _connection: socket.socket) -> None:
        """Say nothing until the test is over."""
        self.over.wait(30)

    def drips(self, connection: socket.socket) -> None:
        """One byte of a header now and then, for ever."""
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self.over.wait(0.05):
            connection.sendall(b"a")

    def drips_its_body(self, connection: socket.socket) -> None:
        """One byte of a body now and then, for ever."""
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not self.over.wait(0.05):
            connection.sendall(b" ")

    def close(self) -> None:
        """Whoever hangs lets go."""
        self.over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # or whoever waits for a connection goes on to listen
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return  # closed: the test is over
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, ValueError):  # the client was first
            if self._tls is None:
                self._behave(connection)
                return
            with self._tls.wrap_socket(connection, server_side=True) as secured:
                self._behave(secured)

    def _behave(self, connection: socket.socket) -> None:
        while request := self._request(connection):
            with self._lock:
                self.requests.append(request)
                behave = self.does.pop(0) if len(self.does) > 1 else self.does[0]
            behave(connection)

    @staticmethod
    def _request(connection: socket.socket) -> bytes:
        request = b""
        while b"\r\n\r\n" not in request:
            if not (more := connection.recv(65_536)):
                return b""
            request += more
        head, _, body = request.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        while len(body) < length:
            if not (more := connection.recv(65_536)):
                return b""  # its deadline came between the head and the body
            body += more
        return head + b"\r\n\r\n" + body
