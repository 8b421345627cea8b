"""One HTTP request of our own, bounded in time and size: to receivers of webhooks, witnesses, timestamping authorities.

Redirects are answers like any other: they are not followed. Proxies of the environment are not used, as they would
connect for us.
"""

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from threading import Timer
from urllib.parse import SplitResult, urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

CONNECT_SECONDS = 5.0  # for each address of a name; looking the name up has the resolver's own bound

FAILURES = (HTTPError, HTTPException, OSError, UnicodeError)
"""What a request can fail with."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole."""

    status: int
    content_type: str
    body: bytes


def post(url: str, body: bytes, headers: Mapping[str, str], *, seconds: float, bytes_max: int) -> Answer:
    """Send a request once; raises one of `FAILURES` where no whole answer of at most `bytes_max` came in time."""
    parts = urlsplit(url)
    with closing(connection_to(parts)) as connection:
        connection.connect()
        with cut_off(connection, seconds) as deadline:
            answer = send(connection, parts, body, headers)
            received = answer.read(bytes_max + 1, decode_content=False)
            if time.monotonic() >= deadline:  # cut off, what is read until the connection ends looks complete
                raise TimeoutError("the answer did not come in time")
    if len(received) > bytes_max:
        raise OSError(f"the answer has more than {bytes_max} bytes")
    return Answer(answer.status, answer.headers.get("Content-Type", ""), received)


def send(connection: HTTPConnection, parts: SplitResult, body: bytes, headers: Mapping[str, str]) -> BaseHTTPResponse:
    """POST to the path and query of a URL, on a connection to its host; returns before the answer's body is read."""
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    host = parts.netloc.rpartition("@")[2]
    connection.request("POST", target, body, {"Host": host, **headers}, preload_content=False)
    return connection.getresponse()


def connection_to(parts: SplitResult, address: str | None = None) -> HTTPConnection:
    """A connection to the host of a URL, not yet opened; to this of its addresses, where one was chosen."""
    host = address or parts.hostname or ""
    if parts.scheme != "https":
        return HTTPConnection(host, port_of(parts), timeout=CONNECT_SECONDS)
    return HTTPSConnection(
        host, port_of(parts), timeout=CONNECT_SECONDS, ssl_context=_tls(), server_hostname=parts.hostname
    )


def port_of(parts: SplitResult) -> int:
    """The port that a URL means."""
    return parts.port or (443 if parts.scheme == "https" else 80)


@cache
def _tls() -> ssl.SSLContext:
    """The system's authorities, read once: that takes longer than a connection."""
    return ssl.create_default_context()


@contextmanager
def cut_off(connection: HTTPConnection, seconds: float) -> Iterator[float]:
    """End the exchange after its time, even where a byte comes now and then: a socket's timeout begins anew then.

    Gives the deadline, on the monotonic clock.
    """
    sock = connection.sock
    if sock is None:
        raise ConnectionError("the connection was lost")
    sock.settimeout(seconds)
    timer = Timer(seconds, _shut_down, (sock,))
    timer.daemon = True
    deadline = time.monotonic() + seconds
    timer.start()
    try:
        yield deadline
    finally:
        timer.cancel()


def _shut_down(sock: socket.socket) -> None:
    # TLS's own way would take the connection away under the thread that reads from it.
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
