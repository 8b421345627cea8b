"""Sending one message: only where it may go, over TLS that is checked, and within bounds whatever the receiver does."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from api import exchange, webhook_sending
from api.webhook_sending import post
from projections.webhook_delivery import RESPONSE_CHARS_MAX
from tests.ports import free_port
from tests.receiving import Receiver, receiving
from tests.waiting import SECONDS_MAX

HERE = [ip_network("127.0.0.0/8")]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def certificate(directory: Path, *names: str) -> Path:
    """A certificate that signs itself for some hosts, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "receiver")])
    alternatives = x509.SubjectAlternativeName([x509.DNSName(one) for one in names])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    file = directory / "receiver.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    )
    return file


@pytest.fixture
def over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver at https://localhost, whose certificate this process trusts."""
    file = certificate(tmp_path, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    trusting = ssl.create_default_context(cafile=str(file))
    monkeypatch.setattr(exchange, "_tls", lambda: trusting)
    with receiving(context) as running:
        yield running


def looked_up(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Names mean these addresses, from one look-up to the next; returns what was looked up."""
    left, asked, real = list(answers), list[str](), socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *args: Any, **more: Any) -> list[Any]:
        if host[0].isdigit():
            return real(host, port, *args, **more)
        asked.append(host)
        found = left.pop(0) if len(left) > 1 else left[0]
        families = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [(families[ip_address(one).version], socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_the_message_is_posted_to_the_path_and_query_with_the_host_of_the_url(receiver: Receiver) -> None:
    url = receiver.url.replace("127.0.0.1", "localhost") + "?a=b"
    attempt = post(url, b'{"a":1}', {"webhook-id": "msg_1"}, HERE)

    assert (attempt.status, attempt.delivered, attempt.error) == (204, True, "")
    (one,) = receiver.received
    assert (one.path, one.body, one.headers["webhook-id"]) == ("/hook?a=b", b'{"a":1}', "msg_1")
    assert one.headers["host"] == url.split("/")[2]


def test_tls_is_checked_for_the_name_though_the_address_is_connected_to(
    over_tls: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = over_tls.url.replace("127.0.0.1", "localhost")
    assert post(named, b"{}", {}, HERE).delivered

    wrong = post(over_tls.url, b"{}", {}, HERE)  # a certificate for a name is none for the address
    assert (wrong.status, "certificate" in wrong.error.lower()) == (None, True)
    monkeypatch.setattr(exchange, "_tls", ssl.create_default_context)
    unknown = post(named, b"{}", {}, HERE)
    assert (unknown.status, "certificate" in unknown.error.lower()) == (None, True)
    assert len(over_tls.received) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_that_means_an_address_inside_is_not_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    looked_up(monkeypatch, ["127.0.0.1", "::1", "169.254.169.254"])
    port = receiver.url.split(":")[2].split("/")[0]
    attempt = post(f"{scheme}://hooks.example.com:{port}/", b"{}", {}, [])

    assert (attempt.status, attempt.delivered) == (None, False)
    assert attempt.error.startswith("AddressRefused")
    assert receiver.received == []


def test_what_was_checked_is_what_is_connected_to_however_the_name_changes(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # First an address that is allowed but answers nothing, then the one that must not be reached.
    asked = looked_up(monkeypatch, ["127.9.9.9"], ["127.0.0.1"])
    port = receiver.url.split(":")[2].split("/")[0]
    attempt = post(f"http://rebinding.example:{port}/", b"{}", {}, [ip_network("127.9.0.0/16")])

    assert attempt.status is None
    assert asked == ["rebinding.example"]
    assert receiver.received == []


def test_another_address_of_the_name_is_tried_where_one_does_not_answer(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up(monkeypatch, ["127.9.9.9", "127.0.0.1"])
    assert post(receiver.url.replace("127.0.0.1", "hooks.example.com"), b"{}", {}, HERE).delivered


def test_a_redirect_is_not_followed_and_only_the_beginning_of_an_answer_is_kept(receiver: Receiver) -> None:
    receiver.answer(307, headers={"Location": receiver.url}, body=b"\x00<p>" + b"x" * 100_000)
    attempt = post(receiver.url, b"{}", {}, HERE)

    assert (attempt.status, attempt.delivered) == (307, False)
    assert attempt.response.startswith("\ufffd<p>xxx")
    assert len(attempt.response) == RESPONSE_CHARS_MAX
    assert len(receiver.received) == 1


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"HTTP/1.1 200"])
def test_a_receiver_that_drips_is_cut_off(beginning: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_sending, "ATTEMPT_SECONDS", 3.0 if beginning.endswith(b"\n") else 1.0)
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            accepted, _ = server.accept()
            with accepted:
                accepted.sendall(beginning)
                while not stop.wait(0.05):
                    try:
                        accepted.sendall(b" ")
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        began = time.monotonic()
        attempt = post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {}, HERE)
        took = time.monotonic() - began
        stop.set()
        thread.join()

    assert took < SECONDS_MAX  # it drips for ever
    assert attempt.delivered is beginning.endswith(b"\r\n\r\n")  # its status had come
    assert attempt.status is not None or attempt.error


def test_what_goes_wrong_is_told_in_a_word() -> None:
    for url in (f"http://127.0.0.1:{free_port()}/", "https://nobody.invalid/"):
        attempt = post(url, b"{}", {}, HERE)
        assert (attempt.status, attempt.delivered) == (None, False)
        assert 0 < len(attempt.error) <= webhook_sending.ERROR_CHARS_MAX
