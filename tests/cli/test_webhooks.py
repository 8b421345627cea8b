"""Webhook endpoints from the command line."""

from typing import Any
from uuid import UUID

import pytest

from api.wiring import Services
from tests import given
from tests.cli.conftest import CommandLine

URL = "https://hooks.example.com/keyledger"


@pytest.fixture
def registered(keyledger: CommandLine, organisation: str) -> Any:
    """A registered endpoint's document."""
    return keyledger.ok("webhook", "register", "--organisation", organisation, "--url", URL, "--json").json


def test_registering_prints_the_secret_alone_and_the_remarks_beside_it(
    keyledger: CommandLine, organisation: str
) -> None:
    ran = keyledger.ok(
        "webhook", "register", "--organisation", organisation, "--url", URL, "--type", "credential.revoked"
    )
    (listed,) = keyledger.ok("webhook", "list", "--organisation", organisation, "--json").json["data"]

    assert ran.out.strip().startswith("whsec_")
    assert listed["id"] in ran.err
    assert (listed["url"], listed["event_types"]) == (URL, ["credential.revoked"])
    shown = keyledger.ok("webhook", "show", listed["id"]).out + keyledger.ok("webhook", "history", listed["id"]).out
    assert "sent credential.revoked" in shown
    assert ran.out.strip() not in shown
    assert URL in keyledger.ok("webhook", "list", "--organisation", organisation).out


def test_an_endpoint_is_changed_paused_and_removed(keyledger: CommandLine, registered: Any) -> None:
    endpoint = registered["id"]
    described = keyledger.ok(
        "webhook", "describe", endpoint, "--description", "tickets", "--type", "credential.revoked", "--json"
    ).json
    assert (described["description"], described["event_types"]) == ("tickets", ["credential.revoked"])
    assert keyledger.ok("webhook", "describe", endpoint, "--all-types", "--json").json["event_types"] == []
    assert keyledger("webhook", "describe", endpoint, "--all-types", "--type", "credential.revoked").exit_code == 2
    assert keyledger("webhook", "describe", endpoint, "--url", "https://10.0.0.1/").exit_code == 3

    assert "Disabled" in keyledger.ok("webhook", "disable", endpoint, "--reason", "moving").out
    assert keyledger("webhook", "disable", endpoint).exit_code == 5
    assert keyledger.ok("webhook", "enable", endpoint, "--json").json["status"] == "enabled"
    rotated = keyledger.ok("webhook", "rotate-secret", endpoint, "--overlap", "1d")
    assert rotated.out.strip() != registered["secret"]
    assert len(keyledger.ok("webhook", "show", endpoint, "--json").json["signing_secrets"]) == 2
    assert "Removed" in keyledger.ok("webhook", "remove", endpoint, "--reason", "moved").out
    told = keyledger.ok("webhook", "history", endpoint).out
    for word in ("registered", "described", "disabled", "moving", "enabled", "signing secret rotated", "removed"):
        assert word in told


def test_deliveries_are_listed_shown_and_replayed(
    keyledger: CommandLine, services: Services, organisation: str, registered: Any
) -> None:
    endpoint = registered["id"]
    credential, _ = given.a_credential(services, UUID(organisation))
    delivery = str(given.a_webhook_delivery(services, UUID(organisation), UUID(endpoint), credential.id))

    (listed,) = keyledger.ok("webhook", "deliveries", endpoint, "--status", "pending", "--json").json["data"]
    assert (listed["id"], listed["attempts"]) == (delivery, 0)
    assert "credential.revoked" in keyledger.ok("webhook", "deliveries", endpoint).out
    assert keyledger.ok("webhook", "deliveries", endpoint, "--status", "failed", "--json").json["data"] == []
    assert keyledger.ok("webhook", "delivery", endpoint, delivery, "--json").json["log"] == []
    assert "msg_1" in keyledger.ok("webhook", "delivery", endpoint, delivery).out
    assert "to be sent again" in keyledger.ok("webhook", "replay", endpoint, delivery).out
    assert keyledger("webhook", "replay", endpoint, endpoint).exit_code == 4
    keyledger.ok("webhook", "remove", endpoint)
    assert keyledger("webhook", "replay", endpoint, delivery).exit_code == 5


def test_an_endpoint_is_tried(keyledger: CommandLine, registered: Any) -> None:
    endpoint = registered["id"]
    queued = keyledger.ok("webhook", "test", endpoint, "--json").json
    assert (queued["type"], queued["status"], queued["credential_id"]) == ("webhook.test", "pending", None)
    assert queued["id"] in keyledger.ok("webhook", "test", endpoint).out  # the one that waits is the one meant
    keyledger.ok("webhook", "disable", endpoint)
    assert keyledger("webhook", "test", endpoint).exit_code == 5
