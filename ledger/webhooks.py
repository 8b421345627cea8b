"""Webhooks: what an endpoint may be sent, where one may be, and the secret that its messages are signed with.

Signatures are those of Standard Webhooks 1.0 (github.com/standard-webhooks/standard-webhooks), so that receivers check
them with a library that others wrote.
"""

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit
from uuid import UUID

from uuid_utils.compat import uuid7

from ledger.commands import DescribeWebhookEndpoint, RegisterWebhookEndpoint, RotateWebhookEndpointSecret
from ledger.errors import InvalidValue
from ledger.events import Context
from ledger.values import AnyAddress, AnyNetwork, Description, WebhookUrl, optional, unmapped_address

EVENT_TYPES = (
    "credential.created",
    "credential.described",
    "credential.whitelisted",
    "credential.rotated",
    "credential.overlap_ended",
    "credential.rotation_due",
    "credential.expiring",
    "credential.suspended",
    "credential.resumed",
    "credential.revoked",
    "credential.erased",
)
"""What an endpoint can be sent: the topics of a credential's events, and the two that come of time alone."""

SECRET_BYTES = 32  # the specification asks for 24 to 64; as many as HMAC-SHA256 has use for
SECRET_PREFIX = "whsec_"  # noqa: S105 - where one begins

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are the IPv4 address that is meant
# All of IPv6 that is given out for public use. What stands for IPv4 in other ways lies outside of it: local NAT64
# (64:ff9b:1::/48), compatible (::/96) and translated (::ffff:0:0:0/96) addresses, as do site-local ones (fec0::/10).
_IPV6_UNICAST = IPv6Network("2000::/3")
# What older versions of Python take for public: relays to 6to4 (RFC 7526), and documentation (RFC 9637).
_NOT_PUBLIC_EITHER = (IPv4Network("192.88.99.0/24"), IPv6Network("3fff::/20"))


# --- signing ---------------------------------------------------------------------------------------------------------


def new_signing_secret() -> str:
    """A fresh secret as its receiver configures it: `whsec_` and base64."""
    return SECRET_PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signed_headers(message_id: str, timestamp: int, body: bytes, signing_secrets: Sequence[str]) -> dict[str, str]:
    """The headers that let a receiver check a message, sent at a time in whole seconds; a signature of each secret."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{_signature(secret, signed)}" for secret in signing_secrets),
    }


def _signature(secret: str, signed: bytes) -> str:
    key = b64decode(secret.removeprefix(SECRET_PREFIX))
    return b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


# --- where endpoints may be ------------------------------------------------------------------------------------------


def may_send_to(address: AnyAddress, *, encrypted: bool, private: Sequence[AnyNetwork]) -> bool:
    """Whether a message may go to an address: to public ones by TLS, and in any way to those in networks that the
    installation names. Whoever registers an endpoint must not reach through us what only we can reach.
    """
    meant = _meant(address)
    if any(meant in network for network in private):
        return True
    if isinstance(meant, IPv6Address) and meant not in _IPV6_UNICAST:
        return False
    return (
        encrypted
        and meant.is_global
        and not meant.is_multicast
        and not any(meant in network for network in _NOT_PUBLIC_EITHER)
    )


def _meant(address: AnyAddress) -> AnyAddress:
    """The IPv4 address that is reached by an IPv6 one that stands for it; any other as it is."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return ip_address(address.packed[-4:])
        if address.sixtofour is not None:
            return address.sixtofour
    return unmapped_address(address)


def parse_url(url: str, private: Sequence[AnyNetwork]) -> WebhookUrl:
    """A URL to send to. Raises `InvalidValue`, also for one that could never be sent to: a host's addresses are looked
    at when it is connected to, but an address in the URL, and its scheme, can be told now.
    """
    parsed = WebhookUrl(url)
    parts = urlsplit(parsed)
    encrypted = parts.scheme == "https"
    if not encrypted and not private:
        raise InvalidValue("url", "must begin with https: messages are sent over TLS", "invalid_url")
    try:
        address = ip_address(parts.hostname or "")
    except ValueError:  # a name
        return parsed
    if not may_send_to(address, encrypted=encrypted, private=private):
        raise InvalidValue("url", "is at an address that messages are not sent to", "invalid_url")
    return parsed


# --- commands --------------------------------------------------------------------------------------------------------


def issue_webhook_endpoint(
    context: Context,
    organisation_id: UUID,
    private: Sequence[AnyNetwork],
    *,
    url: str,
    description: str | None = None,
    event_types: Iterable[str] = (),
) -> tuple[RegisterWebhookEndpoint, str]:
    """A new endpoint, and the secret that its messages will be signed with."""
    secret = new_signing_secret()
    command = RegisterWebhookEndpoint(
        context=context,
        endpoint_id=uuid7(),
        organisation_id=organisation_id,
        url=parse_url(url, private),
        description=optional(Description, description),
        event_types=parse_event_types(event_types),
        signing_secret=secret,
    )
    return command, secret


def describe_webhook_endpoint(
    context: Context,
    endpoint_id: UUID,
    private: Sequence[AnyNetwork],
    *,
    url: str | None = None,
    description: str | None = None,
    event_types: Iterable[str] | None = None,
    expected_version: int | None = None,
) -> DescribeWebhookEndpoint:
    """What to change of an endpoint. None leaves a value as it is, an empty description clears it."""
    return DescribeWebhookEndpoint(
        context=context,
        expected_version=expected_version,
        endpoint_id=endpoint_id,
        url=None if url is None else parse_url(url, private),
        description=None if description is None else Description(description),
        event_types=None if event_types is None else parse_event_types(event_types),
    )


def issue_webhook_secret(
    context: Context,
    endpoint_id: UUID,
    *,
    overlap: timedelta = timedelta(0),
    expected_version: int | None = None,
) -> tuple[RotateWebhookEndpointSecret, str]:
    """The next signing secret of an endpoint."""
    secret = new_signing_secret()
    command = RotateWebhookEndpointSecret(
        context=context,
        expected_version=expected_version,
        endpoint_id=endpoint_id,
        signing_secret=secret,
        overlap=overlap,
    )
    return command, secret


def parse_event_types(values: Iterable[str]) -> tuple[str, ...]:
    """Types of messages, distinct and sorted; none for all. Raises `InvalidValue` for one that there is not."""
    found = set(values)
    if not found <= set(EVENT_TYPES):
        raise InvalidValue("event_types", f"are not among {', '.join(EVENT_TYPES)}", "invalid_choice")
    return tuple(sorted(found))
