"""Sending one message to a webhook endpoint: bounded in time and size, and to no address that it may not go to.

The host is looked up, its addresses are checked, and one of those checked is connected to, so that a name that means
another address a moment later (DNS rebinding) gains nothing. Certificates are checked for the name.
"""

import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from http.client import HTTPException
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError

from api.exchange import FAILURES, connection_to, cut_off, port_of, send
from ledger.values import AnyNetwork
from ledger.webhooks import may_send_to
from projections.webhook_delivery import RESPONSE_CHARS_MAX, Attempt

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
        with closing(_connected(parts, private)) as connection, cut_off(connection, ATTEMPT_SECONDS) as deadline:
            answer = send(connection, parts, body, headers)
            if time.monotonic() >= deadline:
                raise TimeoutError("the answer did not come in time")  # cut off in its headers, it looks complete
            status = answer.status
            # What does not come, or is no text, is not worth failing for: the status was what mattered.
            with suppress(HTTPError, HTTPException, OSError):
                response = _text(answer.read(RESPONSE_CHARS_MAX, decode_content=False))
    except FAILURES as failure:
        error = f"{type(failure).__name__}: {failure}"[:ERROR_CHARS_MAX]
    return Attempt(at, round((time.monotonic() - began) * 1000), status, _text(error.encode()), response)


def _connected(parts: SplitResult, private: Sequence[AnyNetwork]) -> HTTPConnection:
    """A connection to the first of the host's addresses that may be sent to and answers."""
    failure: Exception = AddressRefused("the host has no address that messages may be sent to")
    for address in _addresses(parts, private)[:ADDRESSES_MAX]:
        connection = connection_to(parts, address)
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
    found = socket.getaddrinfo(parts.hostname, port_of(parts), type=socket.SOCK_STREAM)
    addresses = dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found)
    return [
        address
        for address in addresses
        if "%" not in address and may_send_to(ip_address(address), encrypted=encrypted, private=private)
    ]


def _text(data: bytes) -> str:
    """What can be kept and shown of an answer."""
    text = data.decode("utf-8", "replace")
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)
