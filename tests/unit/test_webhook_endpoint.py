"""The rules of a webhook endpoint: registered, described, its secret rotated, disabled, enabled, removed."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from ledger import errors
from ledger.commands import (
    Command,
    DescribeWebhookEndpoint,
    DisableWebhookEndpoint,
    EnableWebhookEndpoint,
    RegisterWebhookEndpoint,
    RemoveWebhookEndpoint,
    RotateWebhookEndpointSecret,
)
from ledger.events import (
    Event,
    WebhookEndpointDescribed,
    WebhookEndpointDisabled,
    WebhookEndpointEnabled,
    WebhookEndpointRegistered,
    WebhookEndpointRemoved,
    WebhookEndpointSecretRotated,
)
from ledger.service import WEBHOOK_ENDPOINT, fold
from ledger.values import OVERLAP_MAX, Description, WebhookUrl
from ledger.webhook_endpoint import WebhookEndpoint, evolve
from tests.unit.deciding import AGGREGATE, DAY, NOW, ORGANISATION, START, at, given, recorded

URL = WebhookUrl("https://hooks.example.com/keyledger")
OTHER = WebhookUrl("https://hooks.example.com/other")


def registered(when: datetime = START, **changes: Any) -> WebhookEndpointRegistered:
    values: dict[str, Any] = {
        "organisation_id": ORGANISATION,
        "url": URL,
        "description": "tickets",
        "event_types": ("credential.revoked",),
        "signing_secret": "whsec_1",
        **changes,
    }
    return WebhookEndpointRegistered(at(when), **values)


def register(**changes: Any) -> RegisterWebhookEndpoint:
    values: dict[str, Any] = {
        "context": at(NOW),
        "endpoint_id": AGGREGATE,
        "organisation_id": ORGANISATION,
        "url": URL,
        "description": Description("tickets"),
        "event_types": ("credential.revoked",),
        "signing_secret": "whsec_1",
        **changes,
    }
    return RegisterWebhookEndpoint(**values)


def describe(**changes: Any) -> DescribeWebhookEndpoint:
    return DescribeWebhookEndpoint(context=at(NOW), endpoint_id=AGGREGATE, **changes)


def rotate(overlap: timedelta = timedelta(0)) -> RotateWebhookEndpointSecret:
    return RotateWebhookEndpointSecret(
        context=at(NOW), endpoint_id=AGGREGATE, signing_secret="whsec_2", overlap=overlap
    )


def rotated(until: datetime, version: int = 2, when: datetime = START) -> WebhookEndpointSecretRotated:
    return WebhookEndpointSecretRotated(at(when), f"whsec_{version}", until)


DISABLE = DisableWebhookEndpoint(context=at(NOW), endpoint_id=AGGREGATE)
ENABLE = EnableWebhookEndpoint(context=at(NOW), endpoint_id=AGGREGATE)
REMOVE = RemoveWebhookEndpoint(context=at(NOW), endpoint_id=AGGREGATE)
DISABLED = WebhookEndpointDisabled(at(START, reason="410"))


def after(*events: Event) -> WebhookEndpoint:
    state: WebhookEndpoint = fold(WEBHOOK_ENDPOINT, recorded(events))
    return state


def test_it_is_registered_once() -> None:
    given().when(register()).then(registered(NOW))
    given().when(register(description=None, event_types=())).then(registered(NOW, description="", event_types=()))
    given(registered()).when(register()).refuses(errors.AlreadyExists, "already_exists")


def test_describing_changes_what_is_given_and_leaves_the_rest() -> None:
    case = given(registered())
    case.when(describe(url=OTHER)).then(WebhookEndpointDescribed(at(NOW), OTHER, "tickets", ("credential.revoked",)))
    case.when(describe(description=Description(""), event_types=())).then(
        WebhookEndpointDescribed(at(NOW), URL, "", ())
    )
    for command in (describe(), describe(url=URL)):
        case.when(command).refuses(errors.NothingChanged, "nothing_changed")


def test_a_rotation_ends_the_old_secret_at_once_or_after_an_overlap_of_bounded_length() -> None:
    given(registered()).when(rotate()).then(rotated(NOW, when=NOW))
    given(registered()).when(rotate(DAY)).then(rotated(NOW + DAY, when=NOW))
    for overlap in (-timedelta(seconds=1), OVERLAP_MAX + timedelta(seconds=1)):
        given(registered()).when(rotate(overlap)).refuses(errors.InvalidValue, "out_of_range", field="overlap_seconds")


def test_there_are_never_more_than_two_signatures() -> None:
    overlapping = given(registered(), rotated(NOW + DAY))
    overlapping.when(rotate(DAY)).refuses(errors.TwoSecretsLive, "two_secrets_live")
    overlapping.when(rotate()).then(rotated(NOW, when=NOW))
    given(registered(), rotated(NOW)).when(rotate(DAY)).then(rotated(NOW + DAY, when=NOW))


def test_messages_are_signed_with_what_is_live_the_newest_first() -> None:
    state = after(registered(), rotated(NOW))
    assert [secret.text for secret in state.live_secrets(START)] == ["whsec_2", "whsec_1"]
    assert [secret.text for secret in state.live_secrets(NOW)] == ["whsec_2"]
    assert [secret.version for secret in after(registered(), rotated(NOW), rotated(NOW, 3, NOW)).secrets] == [
        2,
        3,
    ]
    assert "whsec" not in repr(state)


def test_disabling_is_lifted_by_enabling() -> None:
    given(registered()).when(DISABLE).then(WebhookEndpointDisabled(at(NOW)))
    given(registered(), DISABLED).when(DISABLE).refuses(
        errors.WebhookEndpointAlreadyDisabled, "webhook_endpoint_already_disabled"
    )
    given(registered()).when(ENABLE).refuses(errors.WebhookEndpointNotDisabled, "webhook_endpoint_not_disabled")
    given(registered(), DISABLED).when(ENABLE).then(WebhookEndpointEnabled(at(NOW)))
    assert (after(registered(), DISABLED).disabled_at, after(registered(), DISABLED).disabled_reason) == (START, "410")
    lifted = after(registered(), DISABLED, WebhookEndpointEnabled(at(START)))
    assert replace(lifted, version=1) == after(registered())


@pytest.mark.parametrize("command", [describe(url=OTHER), rotate(), DISABLE, ENABLE, REMOVE])
def test_removal_is_final(command: Command) -> None:
    given(registered()).when(REMOVE).then(WebhookEndpointRemoved(at(NOW)))
    given(registered(), WebhookEndpointRemoved(at(START))).when(command).refuses(
        errors.WebhookEndpointRemoved, "webhook_endpoint_removed"
    )


def test_a_history_cannot_begin_in_the_middle() -> None:
    with pytest.raises(TypeError, match="cannot begin with WebhookEndpointDisabled"):
        evolve(None, recorded([DISABLED])[0])
