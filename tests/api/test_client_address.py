"""The address that a request came from, as events record it."""

from ipaddress import ip_network

import pytest

from api.incoming import client_address

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))


@pytest.mark.parametrize(
    ("remote", "forwarded_for", "address"),
    [
        ("192.0.2.7", None, "192.0.2.7"),
        ("192.0.2.7", "", "192.0.2.7"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.2"),
        ("192.0.2.7", "203.0.113.9", "192.0.2.7"),
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, 192.0.2.7, 10.0.0.2", "192.0.2.7"),
        ("2001:db8::1", "2001:0DB9::0001", "2001:db9::1"),
        # What cannot be read was written by the client, or it holds such a byte that the server gives nothing of it.
        ("10.0.0.1", "unknown", ""),
        ("10.0.0.1", "", ""),
        ("10.0.0.1", "192.0.2.7, unknown, 10.0.0.2", ""),
        ("", "203.0.113.9", ""),
        # By which interface of some host it was reached is nobody else's business, and a name for it has no end.
        ("fe80::1%eth0", "", "fe80::1"),
        ("10.0.0.1", "fe80::1%eth0", "fe80::1"),
        ("10.0.0.1", "fe80::1%" + "x" * 60_000, ""),
        # As a socket that takes both families writes an IPv4 address.
        ("::ffff:192.0.2.7", "", "192.0.2.7"),
        ("::ffff:10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
    ],
)
def test_the_first_address_from_the_right_that_is_no_trusted_proxys(
    remote: str, forwarded_for: str | None, address: str
) -> None:
    assert client_address(remote, forwarded_for, TRUSTED) == address
