"""Sending one message to a webhook endpoint: bounded in time and size, and to no address that it may not go to.

The host is looked up, its addresses are checked, and one of those checked is connected to, so that a name that means
another address a moment later (DNS rebinding) gains nothing. Certificates are checked for the name. Redirects are
answers like any other: they are not followed. Proxies of the environment are not used, as they would connect for us.
"""

import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from http.client import HTTPException
from ipaddress import ip_address
from threading import Timer
from urllib.parse import SplitResult, urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from ledger.values import AnyNetwork
from ledger.webhooks import may_send_to
from projections.webhook_delivery import RESPONSE_CHARS_MAX, Attempt

CONNECT_SECONDS = 5.0
ATTEMPT_SECONDS = 15.0  # as long as Standard Webhooks advises to wait; a receiver takes a message and works on it later
ADDRESSES_MAX = 3  # of a name, those that are tried where one does not answer
ERROR_CHARS_MAX = 200


class AddressRefused(OSError):
    """The host has no address that messages may be sent to."""


def post(url: str, body: bytes, headers: Mapping[str, str], private: Sequence[AnyNetwork]) -> Attempt:
    """Send a message once. Whatever goes wrong is told in what is returned."""
    at, began = datetime.now(UTC), time.monotonic()
    status, error, response = None, "", ""
    try:
        parts = urlsplit(url)
        with closing(_connected(parts, private)) as connection, _cut_off(connection) as deadline:
            target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
            host = parts.netloc.rpartition("@")[2]
            connection.request("POST", target, body, {"Host": host, **headers}, preload_content=False)
            answer = connection.getresponse()
            if time.monotonic() >= deadline:
                raise TimeoutError("the answer did not come in time")  # cut off in its headers, it looks complete
            status = answer.status
            # What does not come, or is no text, is not worth failing for: the status was what mattered.
            with suppress(HTTPError, HTTPException, OSError):
                response = _text(answer.read(RESPONSE_CHARS_MAX, decode_content=False))
    except (HTTPError, HTTPException, OSError, UnicodeError) as failure:
        error = f"{type(failure).__name__}: {failure}"[:ERROR_CHARS_MAX]
    return Attempt(at, round((time.monotonic() - began) * 1000), status, _text(error.encode()), response)


def _connected(parts: SplitResult, private: Sequence[AnyNetwork]) -> HTTPConnection:
    """A connection to the first of the host's addresses that may be sent to and answers."""
    failure: Exception = AddressRefused("the host has no address that messages may be sent to")
    for address in _addresses(parts, private)[:ADDRESSES_MAX]:
        connection = _connection(parts, address)
        try:
            connection.connect()
        except (HTTPError, OSError) as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _addresses(parts: SplitResult, private: Sequence[AnyNetwork]) -> list[str]:
    encrypted = parts.scheme == "https"
    found = socket.getaddrinfo(parts.hostname, _port(parts), type=socket.SOCK_STREAM)
    addresses = dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found)
    return [
        address
        for address in addresses
        if "%" not in address and may_send_to(ip_address(address), encrypted=encrypted, private=private)
    ]


def _connection(parts: SplitResult, address: str) -> HTTPConnection:
    if parts.scheme != "https":
        return HTTPConnection(address, _port(parts), timeout=CONNECT_SECONDS)
    return HTTPSConnection(
        address, _port(parts), timeout=CONNECT_SECONDS, ssl_context=_tls(), server_hostname=parts.hostname
    )


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


@cache
def _tls() -> ssl.SSLContext:
    """The system's authorities, read once: that takes longer than a connection."""
    return ssl.create_default_context()


@contextmanager
def _cut_off(connection: HTTPConnection) -> Iterator[float]:
    """End the exchange after its time, even where a byte comes now and then: a socket's timeout begins anew then."""
    sock = connection.sock
    if sock is None:
        raise ConnectionError("the connection was lost")
    sock.settimeout(ATTEMPT_SECONDS)
    timer = Timer(ATTEMPT_SECONDS, _shut_down, (sock,))
    timer.daemon = True
    deadline = time.monotonic() + ATTEMPT_SECONDS
    timer.start()
    try:
        yield deadline
    finally:
        timer.cancel()


def _shut_down(sock: socket.socket) -> None:
    # TLS's own way would take the connection away under the thread that reads from it.
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _text(data: bytes) -> str:
    """What can be kept and shown of an answer."""
    text = data.decode("utf-8", "replace")
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)
