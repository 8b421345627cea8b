"""What a webhook endpoint is told: CloudEvents 1.0 in JSON, structured mode (`application/cloudevents+json`).

A message holds ids and facts that are no one's secret: no name, no email, no login, no address, no reason that somebody
wrote. So nothing has to be erased where it was sent; whoever may know more asks the API by the id.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

import msgspec

from ledger.events import (
    CredentialCreated,
    CredentialDescribed,
    CredentialErased,
    CredentialOverlapEnded,
    CredentialResumed,
    CredentialRevoked,
    CredentialRotated,
    CredentialSuspended,
    CredentialWhitelisted,
    Event,
    Recorded,
)

Facts = Mapping[str, Any]

TEST = "webhook.test"
"""What is sent to try an endpoint, whichever types it is sent otherwise."""

# What is known of a credential from its beginning and never changes. A channel login is known by its login, which is a
# person's.
FACT_NAMES = ("kind", "mode", "environment", "channel", "account_id", "application_id", "public_id")
FACTS = (
    f"{', '.join(f'c.{name}' for name in FACT_NAMES[:-1])}, "
    "CASE WHEN c.kind <> 'channel_login' THEN c.public_id END AS public_id"
)


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent to each endpoint that is to know: the same bytes, under the same id, at every attempt."""

    id: str
    type: str
    body: str


# What a message tells of the event itself.
_TOLD: Mapping[type[Event], Callable[[Any], Facts]] = {
    CredentialCreated: lambda e: {"expires_at": e.expires_at, "supersedes": e.supersedes},
    CredentialDescribed: lambda _: {},
    CredentialWhitelisted: lambda _: {},
    CredentialRotated: lambda e: {
        "secret_version": e.secret.version,
        "previous_expires_at": e.previous_expires_at,
    },
    CredentialOverlapEnded: lambda e: {"retired_version": e.retired_version},
    CredentialSuspended: lambda _: {},
    CredentialResumed: lambda _: {},
    CredentialRevoked: lambda e: {"revocation_reason": e.revocation_reason, "effective_at": e.effective_at},
    CredentialErased: lambda _: {},
}
EVENTS = frozenset(_TOLD)
"""The events that become messages. Scopes are fixed with the creation, which is told already."""


def of_event(recorded: Recorded, facts: Facts) -> Message:
    """The message that tells an event of a credential with these unchanging facts."""
    event = recorded.event
    return _message(
        f"event {recorded.aggregate_version}",
        event.TOPIC,
        recorded.organisation_id,
        recorded.aggregate_id,
        event.context.at,
        {
            "credential_id": recorded.aggregate_id,
            **facts,
            "version": recorded.aggregate_version,
            **_TOLD[type(event)](event),
        },
    )


def of_notice(
    type_: str, organisation_id: UUID, credential_id: UUID, facts: Facts, due_at: datetime, now: datetime
) -> Message:
    """The message that tells of a date: one for each type, credential and date, however often it is made."""
    due = {"due_at" if type_ == "credential.rotation_due" else "expires_at": due_at.astimezone(UTC)}
    data = {"credential_id": credential_id, **facts, **due}
    return _message(f"{type_} {due_at.timestamp()}", type_, organisation_id, credential_id, now, data)


def of_test(organisation_id: UUID, endpoint_id: UUID, now: datetime, key: str | None = None) -> Message:
    """The message that tells of nothing but itself, for somebody who tries an endpoint: one for each key, if given."""
    what = f"test {now.timestamp() if key is None else key}"
    return _message(what, TEST, organisation_id, endpoint_id, now, {"endpoint_id": endpoint_id})


def _message(what: str, type_: str, organisation_id: UUID | None, subject: UUID, at: datetime, data: Facts) -> Message:
    message_id = f"msg_{uuid5(subject, what).hex}"
    body = {
        "specversion": "1.0",
        "id": message_id,
        "source": f"/v1/organisations/{organisation_id}",
        "type": type_,
        "subject": str(subject),
        "time": at,
        "datacontenttype": "application/json",
        "data": data,
    }
    return Message(message_id, type_, msgspec.json.encode(body).decode())
