"""Where an organisation has the events of its credentials sent to: state, how events change it, what may be decided.

Each message is signed with the endpoint's own secret, which its receiver has too. It is rotated with an overlap, in
which messages carry two signatures. Removal is final and destroys the secret.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from ledger.commands import (
    DescribeWebhookEndpoint,
    DisableWebhookEndpoint,
    EnableWebhookEndpoint,
    RegisterWebhookEndpoint,
    RemoveWebhookEndpoint,
    RotateWebhookEndpointSecret,
)
from ledger.errors import (
    AlreadyExists,
    InvalidValue,
    NothingChanged,
    TwoSecretsLive,
    WebhookEndpointAlreadyDisabled,
    WebhookEndpointNotDisabled,
)
from ledger.errors import WebhookEndpointDisabled as WebhookEndpointIsDisabled
from ledger.errors import WebhookEndpointRemoved as WebhookEndpointIsRemoved
from ledger.events import (
    Event,
    Recorded,
    WebhookEndpointDescribed,
    WebhookEndpointDisabled,
    WebhookEndpointEnabled,
    WebhookEndpointRegistered,
    WebhookEndpointRemoved,
    WebhookEndpointSecretRotated,
)
from ledger.secret_versions import LIVE_MAX
from ledger.values import OVERLAP_MAX


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """One signing secret, since when and until when messages are signed with it (None: until further notice).

    `text` is the secret as its receiver has it, `whsec_...`; empty once the endpoint was removed.
    """

    version: int
    text: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None

    def live(self, at: datetime) -> bool:
        """Whether a message that is sent at that moment is signed with it."""
        return self.expires_at is None or self.expires_at > at


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """An endpoint as its events left it. `event_types` are those it is sent, empty for all."""

    id: UUID
    organisation_id: UUID
    url: str
    description: str
    event_types: tuple[str, ...]
    secrets: tuple[SigningSecret, ...]
    registered_at: datetime
    disabled_at: datetime | None
    disabled_reason: str
    removed_at: datetime | None
    version: int

    def live_secrets(self, at: datetime) -> tuple[SigningSecret, ...]:
        """Those that a message sent at that moment is signed with: the newest first, as receivers will look for it."""
        return tuple(secret for secret in reversed(self.secrets) if secret.live(at))


def evolve(state: WebhookEndpoint | None, recorded: Recorded) -> WebhookEndpoint:
    """The state after one more event."""
    event, version = recorded.event, recorded.aggregate_version
    if isinstance(event, WebhookEndpointRegistered):
        return WebhookEndpoint(
            id=recorded.aggregate_id,
            organisation_id=event.organisation_id,
            url=event.url,
            description=event.description,
            event_types=event.event_types,
            secrets=(SigningSecret(1, event.signing_secret, event.context.at),),
            registered_at=event.context.at,
            disabled_at=None,
            disabled_reason="",
            removed_at=None,
            version=version,
        )
    if state is None:
        raise TypeError(f"a webhook endpoint's history cannot begin with {type(event).__name__}")
    match event:
        case WebhookEndpointDescribed():
            return replace(
                state, url=event.url, description=event.description, event_types=event.event_types, version=version
            )
        case WebhookEndpointSecretRotated():
            return replace(state, secrets=_rotated(state.secrets, event), version=version)
        case WebhookEndpointDisabled():
            return replace(state, disabled_at=event.context.at, disabled_reason=event.context.reason, version=version)
        case WebhookEndpointEnabled():
            return replace(state, disabled_at=None, disabled_reason="", version=version)
        case WebhookEndpointRemoved():
            return replace(state, removed_at=event.context.at, version=version)
    raise TypeError(f"a webhook endpoint has no branch for {type(event).__name__}")


def register_webhook_endpoint(state: WebhookEndpoint | None, command: RegisterWebhookEndpoint) -> list[Event]:
    """A new endpoint, with its first signing secret."""
    if state is not None:
        raise AlreadyExists("a webhook endpoint with this id exists")
    return [
        WebhookEndpointRegistered(
            command.context,
            organisation_id=command.organisation_id,
            url=command.url,
            description=command.description or "",
            event_types=command.event_types,
            signing_secret=command.signing_secret,
        )
    ]


def describe_webhook_endpoint(state: WebhookEndpoint, command: DescribeWebhookEndpoint) -> list[Event]:
    """Another URL, description or choice of events."""
    _refuse_removed(state)
    event = WebhookEndpointDescribed(
        command.context,
        url=state.url if command.url is None else command.url,
        description=state.description if command.description is None else command.description,
        event_types=state.event_types if command.event_types is None else command.event_types,
    )
    if (event.url, event.description, event.event_types) == (state.url, state.description, state.event_types):
        raise NothingChanged("nothing would change")
    return [event]


def rotate_webhook_endpoint_secret(state: WebhookEndpoint, command: RotateWebhookEndpointSecret) -> list[Event]:
    """A new signing secret; messages are signed with the old one too for the overlap."""
    _refuse_removed(state)
    at = command.context.at
    if not 0 <= command.overlap.total_seconds() <= OVERLAP_MAX.total_seconds():
        reason = f"must lie between 0 and {int(OVERLAP_MAX.total_seconds())}"
        raise InvalidValue("overlap_seconds", reason, "out_of_range")
    if command.overlap and len(state.live_secrets(at)) >= LIVE_MAX:
        raise TwoSecretsLive("messages carry two signatures already: wait, or rotate without an overlap")
    return [WebhookEndpointSecretRotated(command.context, command.signing_secret, at + command.overlap)]


def disable_webhook_endpoint(state: WebhookEndpoint, command: DisableWebhookEndpoint) -> list[Event]:
    """Nothing more is sent to it, until it is enabled."""
    _refuse_removed(state)
    if state.disabled_at is not None:
        raise WebhookEndpointAlreadyDisabled("the webhook endpoint is disabled already")
    return [WebhookEndpointDisabled(command.context)]


def enable_webhook_endpoint(state: WebhookEndpoint, command: EnableWebhookEndpoint) -> list[Event]:
    """It is sent what was left, and what happens from now on."""
    _refuse_removed(state)
    if state.disabled_at is None:
        raise WebhookEndpointNotDisabled("the webhook endpoint is not disabled")
    return [WebhookEndpointEnabled(command.context)]


def remove_webhook_endpoint(state: WebhookEndpoint, command: RemoveWebhookEndpoint) -> list[Event]:
    """The end of the endpoint and of its signing secret."""
    _refuse_removed(state)
    return [WebhookEndpointRemoved(command.context)]


def refuse_to_test(*, removed_at: datetime | None, disabled_at: datetime | None) -> None:
    """Raises `WebhookEndpointRemoved` or `WebhookEndpointDisabled` where nothing would be sent."""
    if removed_at is not None:
        raise WebhookEndpointIsRemoved("the webhook endpoint was removed: register another")
    if disabled_at is not None:
        raise WebhookEndpointIsDisabled("the webhook endpoint is disabled: enable it first")


def _rotated(secrets: tuple[SigningSecret, ...], event: WebhookEndpointSecretRotated) -> tuple[SigningSecret, ...]:
    """Those still live end with the overlap; those that ended before sign nothing more and are forgotten."""
    at = event.context.at
    kept = tuple(replace(secret, expires_at=event.previous_expires_at) for secret in secrets if secret.live(at))
    return (*kept, SigningSecret(secrets[-1].version + 1, event.signing_secret, at))


def _refuse_removed(state: WebhookEndpoint) -> None:
    if state.removed_at is not None:
        raise WebhookEndpointIsRemoved("the webhook endpoint was removed: register another")
