"""What is nginx's alone in examples/nginx/nginx.conf; what holds for every proxy is in `test_forward_auth.py`."""

import http.client
from collections.abc import Iterator

import pytest

from tests.running.doors import SECONDS_MAX, Installation
from tests.running.proxies import Front, a_front


@pytest.fixture(scope="module")
def front(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """nginx, once for all tests here."""
    with a_front("nginx", tmp_path_factory.mktemp("nginx"), installation) as front:
        yield front


def test_of_the_client_the_api_gets_its_credential_its_address_and_what_it_asked_for(front: Front) -> None:
    front.behind.wire.said.clear()
    _, secret = front.behind.key()

    assert front.ask({"X-API-Key": secret, "Cookie": "session=1", "X-Real-IP": "192.0.2.7"}).status == 200

    lines = front.behind.wire.said.decode().splitlines()
    assert lines[0] == "GET /v1/authorize?mode=live&scopes=customer:view HTTP/1.1"
    assert {"X-Original-URI: /orders?page=2", "X-Real-IP: 127.0.0.1", f"X-API-Key: {secret}"} <= set(lines)
    assert not [line for line in lines if "192.0.2.7" in line or "session" in line]


def test_where_the_api_is_asked_is_not_open_to_clients(front: Front) -> None:
    _, secret = front.behind.key()

    assert front.ask({"X-API-Key": secret}, path="/_authorize").status == 404


@pytest.mark.parametrize("name", ["X-API-Key", "Authorization", "X-Gateway-Token"])
def test_granian_takes_neither_of_two_headers_for_the_only_one(front: Front, name: str) -> None:
    _, secret = front.behind.key()
    token = front.behind.token
    prefix, good = {
        "X-API-Key": ("", secret),
        "Authorization": ("Bearer ", secret),
        "X-Gateway-Token": ("", token),
    }[name]
    rest = {"X-API-Key": secret} if name == "X-Gateway-Token" else {"X-Gateway-Token": token}

    def status(*values: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", front.behind.wire.port, timeout=SECONDS_MAX)
        connection.putrequest("GET", "/v1/authorize")
        for header, value in [*rest.items(), *((name, prefix + value) for value in values)]:
            connection.putheader(header, value)
        connection.endheaders()
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    assert [status(good), status(good, "other"), status("other", good)] == [200, 401, 401]
