"""Signatures as Standard Webhooks has them, and where messages may be sent to."""

from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from ledger.errors import InvalidValue
from ledger.events import CredentialScopesFixed
from ledger.values import WebhookUrl
from ledger.webhooks import (
    EVENT_TYPES,
    may_send_to,
    new_signing_secret,
    parse_event_types,
    parse_url,
    signed_headers,
)
from projections.view import OF_CREDENTIALS
from projections.webhook_messages import EVENTS

PRIVATE = [ip_network("10.1.0.0/16"), ip_network("fd00::/8")]


def test_a_signature_is_the_published_one() -> None:
    # The example of the specification's own libraries.
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', [secret])

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(
    st.lists(st.builds(new_signing_secret), min_size=1, max_size=2), st.text(st.characters(exclude_categories=["Cs"]))
)
def test_each_of_several_secrets_verifies_with_the_library_of_others(secrets: list[str], text: str) -> None:
    body = f'"{text.encode().hex()}"'.encode()
    headers = signed_headers("msg_1", int(datetime.now(UTC).timestamp()), body, secrets)

    assert [Webhook(secret).verify(body, headers) for secret in secrets] == [text.encode().hex()] * len(secrets)


def test_every_event_of_a_credential_is_a_message_but_the_scopes_that_come_with_its_creation() -> None:
    assert set(OF_CREDENTIALS) - EVENTS == {CredentialScopesFixed}
    of_time = {"credential.rotation_due", "credential.expiring"}
    assert {event.TOPIC for event in EVENTS} | of_time == set(EVENT_TYPES)


@pytest.mark.parametrize(
    ("address", "encrypted", "allowed"),
    [
        ("93.184.215.14", True, True),
        ("93.184.215.14", False, False),
        ("2606:4700::1111", True, True),
        ("10.0.0.1", True, False),
        ("10.1.2.3", True, True),
        ("10.1.2.3", False, True),
        ("fd12::1", False, True),
        ("127.0.0.1", True, False),
        ("::1", True, False),
        ("0.0.0.0", True, False),  # noqa: S104 - it is compared
        ("169.254.169.254", True, False),  # where clouds keep credentials
        ("100.64.0.1", True, False),
        ("224.0.0.1", True, False),
        ("ff0e::1", True, False),
        ("fe80::1", True, False),
        ("::ffff:127.0.0.1", True, False),
        ("::ffff:93.184.215.14", True, True),
        ("64:ff9b::7f00:1", True, False),  # 127.0.0.1 behind NAT64
        ("64:ff9b::5db8:d70e", True, True),
        ("2002:7f00:1::", True, False),  # 127.0.0.1 behind 6to4
        ("64:ff9b:1::7f00:1", True, False),
        ("::7f00:1", True, False),
        ("::ffff:0:7f00:1", True, False),
        ("fec0::1", True, False),
        ("3fff::1", True, False),
        ("4000::1", True, False),
        ("192.88.99.1", True, False),
    ],
)
def test_messages_go_to_public_addresses_by_tls_and_to_those_that_are_allowed(
    address: str, encrypted: bool, allowed: bool
) -> None:
    assert may_send_to(ip_address(address), encrypted=encrypted, private=PRIVATE) is allowed


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com",
        "https://hooks.example.com:8443/a/b?c=d&e=%20f",
        "HTTPS://Hooks.Example.com/",
        "https://93.184.215.14/",
        "https://[2606:4700::1111]:443/",
        "https://xn--bcher-kva.example/",
    ],
)
def test_a_url_is_taken_as_it_is(url: str) -> None:
    assert parse_url(url, []) == WebhookUrl(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "hooks.example.com",
        "//hooks.example.com/",
        "ftp://hooks.example.com/",
        "https://",
        "https:///path",
        "https://user@hooks.example.com/",
        "https://user:password@hooks.example.com/",
        "https://hooks.example.com/#fragment",
        "https://hooks.example.com:0/",
        "https://hooks.example.com:65536/",
        "https://hooks..example.com/",
        "https://-hooks.example.com/",
        "https://bücher.example/",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/\r\nX: y",
        "https://[::1",
        "https://[127.0.0.1]/",
        "https://127.0.0.1/",
        "https://[::ffff:10.0.0.1]/",
        "http://hooks.example.com/",
    ],
)
def test_any_other_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        parse_url(url, [])
    assert (refused.value.field, refused.value.code) in {("url", "invalid_url"), ("url", "forbidden_characters")}


def test_plain_http_is_taken_where_a_network_is_allowed() -> None:
    assert parse_url("http://hooks.internal:8080/", PRIVATE) == "http://hooks.internal:8080/"
    assert parse_url("http://10.1.2.3/", PRIVATE) == "http://10.1.2.3/"
    with pytest.raises(InvalidValue):
        parse_url("http://93.184.215.14/", PRIVATE)


def test_types_are_distinct_and_sorted_and_known() -> None:
    assert parse_event_types(["credential.rotated", "credential.revoked", "credential.rotated"]) == (
        "credential.revoked",
        "credential.rotated",
    )
    with pytest.raises(InvalidValue):
        parse_event_types(["account.opened"])
