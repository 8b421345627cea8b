"""The client over TLS: only to whom it trusts, and within the deadline there too."""

import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from keyledger_client import DeadlineExceeded, Unavailable
from tests.client.asking import Ask, by_task, by_thread
from tests.client.misbehaving import Misbehaving, valid
from tests.running.doors import certify
from tests.waiting import until

LATE_SECONDS = 15.0  # what heeds its deadline is done long before, on a busy machine too

both = pytest.mark.parametrize("ask", [by_thread, by_task])


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    certify(tmp_path / "certificate.pem", tmp_path / "key.pem")
    return tmp_path / "certificate.pem"


@pytest.fixture
def secure(certificate: Path) -> Iterator[Misbehaving]:
    """A server that talks TLS."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with closing(Misbehaving(tls)) as running:
        yield running


@both
def test_an_authority_of_ones_own_can_be_trusted(secure: Misbehaving, certificate: Path, ask: Ask) -> None:
    secure.does = [valid()]

    assert ask(secure.url, ssl_context=ssl.create_default_context(cafile=certificate))


@both
def test_whoever_is_not_trusted_is_told_nothing(secure: Misbehaving, ask: Ask) -> None:
    secure.does = [valid()]

    with pytest.raises(Unavailable, match="certificate"):
        ask(secure.url)

    assert secure.requests == []


@both
@pytest.mark.parametrize("how", ["hangs", "drips"])
def test_the_deadline_holds_over_tls(secure: Misbehaving, certificate: Path, ask: Ask, how: str) -> None:
    secure.does = [getattr(secure, how)]
    started = time.monotonic()

    with pytest.raises(DeadlineExceeded):
        ask(secure.url, timeout=2, ssl_context=ssl.create_default_context(cafile=certificate))

    assert time.monotonic() - started < LATE_SECONDS  # without a deadline it would go on for ever


@both
def test_a_server_that_accepts_and_stays_silent_before_tls_is_left_within_the_deadline(
    server: Misbehaving, ask: Ask
) -> None:
    started = time.monotonic()

    with pytest.raises(Unavailable):
        ask(server.url.replace("http:", "https:"), timeout=2)

    assert time.monotonic() - started < LATE_SECONDS
    until(lambda: server.connections >= 3)  # it notices them in a thread of its own
    assert server.connections == 3  # each try to connect has its share of the time
