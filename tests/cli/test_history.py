"""The history: readable, complete, and the state of any time."""

from uuid import UUID

import pytest

from api.cli.history import TOLD
from ledger.events import EVENTS, Event
from tests.cli.conftest import CommandLine, CreateCredential


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.TOPIC)
def test_every_event_has_something_told_of_it(event: type[Event]) -> None:
    assert event in TOLD


def test_a_timeline_says_who_what_when_why_through_what(keyledger: CommandLine, create: CreateCredential) -> None:
    created = create("--name", "Billing", "--contact-email", "dev@example.com", "--reason", "INC-1")
    keyledger.ok("credential", "rotate", created["id"], "--overlap", "24h", "--reason", "quarterly")
    keyledger.ok("credential", "revoke", created["id"], "--because", "owner_left", "--reason", "Ada left")
    told = keyledger.ok("history", created["id"]).out
    for part in (
        "created  by command_line:",
        "through the command line",
        "why: INC-1",
        "“Billing”",
        "contact dev@example.com",
        f"public id {created['public_id']}",
        "scopes fixed",
        "why: quarterly",
        "the one before was to stay good until",
        "because: owner_left",
        "why: Ada left",
        "version 4, position 5, request ",
    ):
        assert part in told, part
    assert not any(line != line.rstrip() for line in told.splitlines())


def test_json_has_every_event_in_order_with_its_context_and_nothing_that_verifies_a_secret(
    keyledger: CommandLine, create: CreateCredential
) -> None:
    created = create("--allow", "192.0.2.0/24", "--reason", "INC-1")
    ran = keyledger.ok("history", created["id"], "--json")
    topics = [event["topic"] for event in ran.json["data"]]
    assert topics == ["credential.created", "credential.scopes_fixed", "credential.whitelisted"]
    first = ran.json["data"][0]
    assert (first["version"], first["position"], first["via"], first["reason"]) == (1, 2, "command_line", "INC-1")
    assert UUID(first["request_id"])
    assert first["actor"].startswith("command_line:")
    assert first["data"]["secret"] == {"version": 1, "algorithm": "hmac-sha256", "hint": created["secret"][-4:]}
    assert "digest" not in ran.out
    assert "password_hash" not in ran.out


def test_as_of_a_time_gives_what_had_happened_and_the_state_it_gave(
    keyledger: CommandLine, create: CreateCredential
) -> None:
    created = create("--name", "Before")
    keyledger.ok("credential", "describe", created["id"], "--name", "After")
    then = created["created_at"]
    past = keyledger.ok("history", created["id"], "--as-of", then, "--json").json
    assert (past["state"]["name"], past["state"]["version"], len(past["data"])) == ("Before", 2, 2)
    told = keyledger.ok("history", created["id"], "--as-of", then).out
    assert "As of " in told
    assert "Before" in told
    assert "After" not in told
    too_early = keyledger("history", created["id"], "--as-of", "2001-01-01T00:00:00Z")
    assert (too_early.exit_code, too_early.err) == (
        4,
        "error: no such credential, application, account, operator or organisation at that time\n",
    )


def test_operators_and_organisations_have_histories_too(keyledger: CommandLine, organisation: str) -> None:
    keyledger.ok("organisation", "rename", organisation, "Acme Ltd")
    assert "renamed" in keyledger.ok("history", organisation).out
    keyledger.ok("operator", "enrol", "--name", "Ada", "--role", "viewer", "--organisation", organisation)
    operator_id = keyledger.ok("operator", "list", "--json").json["data"][0]["id"]
    assert f"viewer in organisation {organisation}" in keyledger.ok("history", operator_id).out
    past = keyledger.ok("history", operator_id, "--as-of", "2999-01-01T00:00:00Z", "--json").json
    assert past["state"]["name"] == "Ada"


def test_an_erased_history_says_so_instead_of_showing_empty_fields_as_facts(
    keyledger: CommandLine, create: CreateCredential
) -> None:
    created = create("--allow", "192.0.2.0/24", "--contact-email", "dev@example.com")
    keyledger.ok("credential", "revoke", created["id"])
    keyledger.ok("credential", "erase", created["id"], "--yes")
    told = keyledger.ok("history", created["id"]).out
    assert "erased: networks" in told
    assert "any address" not in told
    assert "dev@example.com" not in told
