"""The history: readable, complete, and the state of any time."""

from uuid import UUID

import pytest

from api.telling import TOLD
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
    enrolled_at = keyledger.ok("operator", "list", "--json").json["data"][0]["enrolled_at"]
    past = keyledger.ok("history", operator_id, "--as-of", enrolled_at, "--json").json
    assert past["state"]["name"] == "Ada"


@pytest.mark.parametrize("command", ["history", "replay"])
def test_what_will_have_been_is_refused(keyledger: CommandLine, create: CreateCredential, command: str) -> None:
    refused = keyledger(command, create()["id"], "--as-of", "2999-01-01T00:00:00Z")
    assert (refused.exit_code, refused.out) == (3, "")
    assert "lies in the future" in refused.err


def test_the_past_of_an_account_says_nothing_of_channels_which_its_events_do_not_tell(
    keyledger: CommandLine, organisation: str
) -> None:
    opening = ("--kind", "master", "--name", "Acme", "--opened-on", "2024-03-01")
    account = keyledger.ok("account", "open", "--organisation", organisation, *opening, "--json").json
    assert "active channels" in keyledger.ok("account", "show", account["id"]).out
    [opened] = keyledger.ok("history", account["id"], "--json").json["data"]
    told = keyledger.ok("history", account["id"], "--as-of", opened["at"]).out
    assert "opened on" in told
    assert "active channels" not in told


def test_what_an_erased_credential_or_operator_had_is_told_as_erased_at_every_moment(
    keyledger: CommandLine, create: CreateCredential, organisation: str
) -> None:
    created = create("--allow", "192.0.2.0/24", "--contact-email", "dev@example.com")
    keyledger.ok("credential", "revoke", created["id"])
    keyledger.ok("credential", "erase", created["id"], "--yes")
    past = keyledger.ok("history", created["id"], "--as-of", created["created_at"]).out
    for told in (past, keyledger.ok("credential", "show", created["id"]).out):
        facts = dict(line.split(maxsplit=1) for line in told.splitlines() if line.endswith(" (erased)"))
        assert facts == {"allowlist": "(erased)", "contact": "(erased)"}

    keyledger.ok("operator", "enrol", "--name", "Ada", "--role", "viewer", "--organisation", organisation)
    operator = keyledger.ok("operator", "list", "--json").json["data"][0]
    keyledger.ok("operator", "remove", operator["id"])
    keyledger.ok("operator", "erase", operator["id"], "--yes")
    then = keyledger.ok("history", operator["id"], "--as-of", operator["enrolled_at"], "--json").json["state"]
    assert (then["name"], then["removed_at"]) == ("", None)
    assert then["erased_at"] is not None
    assert "Ada" not in keyledger.ok("history", operator["id"], "--as-of", operator["enrolled_at"]).out


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


def test_a_replay_shows_each_step_with_the_state_that_it_gave(keyledger: CommandLine, create: CreateCredential) -> None:
    created = create("--name", "Before", "--contact-email", "dev@example.com")
    keyledger.ok("credential", "describe", created["id"], "--name", "After")
    keyledger.ok("credential", "suspend", created["id"])
    told = keyledger.ok("replay", created["id"]).out
    assert "contact email: dev@example.com" in told
    assert "name: Before → After" in told
    assert "status: active → suspended" in told
    steps = keyledger.ok("replay", created["id"], "--json").json["data"]
    assert [(step["state"]["name"], step["state"]["status"]) for step in steps] == [
        ("Before", "active"),
        ("Before", "active"),
        ("After", "active"),
        ("After", "suspended"),
    ]
    assert keyledger.ok("history", created["id"], "--states", "--json").json["data"] == steps
    assert "state" not in keyledger.ok("history", created["id"], "--json").json["data"][0]


def test_a_replay_works_for_everything_that_has_a_history(keyledger: CommandLine, organisation: str) -> None:
    account = keyledger.ok(
        "account", "open", "--organisation", organisation, "--kind", "master", "--name", "Acme", "--json"
    ).json
    keyledger.ok("account", "close", account["id"], "--reason", "sold", "--yes")
    assert "status: open → closed" in keyledger.ok("replay", account["id"]).out
    assert keyledger("replay", organisation).exit_code == 0
    assert keyledger("replay", "00000000-0000-0000-0000-000000000000").exit_code == 4


def test_the_signing_secret_of_a_webhook_endpoint_is_in_no_history(keyledger: CommandLine, organisation: str) -> None:
    url = "https://hooks.example.com/keyledger"
    registered = keyledger.ok("webhook", "register", "--organisation", organisation, "--url", url, "--json").json
    for command in ("history", "replay"):
        for json in ((), ("--json",)):
            told = keyledger.ok(command, registered["id"], *json).out
            assert registered["secret"].removeprefix("whsec_") not in told


def test_a_difference_has_the_fields_before_and_after_and_what_happened_between(
    keyledger: CommandLine, create: CreateCredential
) -> None:
    created = create("--name", "Before")
    keyledger.ok("credential", "describe", created["id"], "--name", "After", "--reason", "a merger")
    found = keyledger.ok("diff", created["id"], "--from", created["created_at"], "--json").json
    assert found["changes"] == {"name": {"before": "Before", "after": "After"}}
    assert [event["topic"] for event in found["events"]] == ["credential.described"]
    told = keyledger.ok("diff", created["id"], "--from", "2", "--to", "3").out
    assert "Before" in told
    assert "why: a merger" in told
    assert "scopes fixed" not in told
    assert keyledger("diff", created["id"], "--from", "3", "--to", "2").exit_code == 3
    assert keyledger("diff", created["id"], "--from", "9").exit_code == 4


def test_the_list_and_the_reports_of_a_past_day(
    keyledger: CommandLine, create: CreateCredential, organisation: str
) -> None:
    created = create("--name", "Billing", "--expires-at", "2030-01-01T00:00:00Z")
    keyledger.ok("credential", "suspend", created["id"])
    then = ("--organisation", organisation, "--as-of", created["created_at"], "--json")
    (listed,) = keyledger.ok("credential", "list", "--status", "active", *then).json["data"]
    assert (listed["id"], listed["status"]) == (created["id"], "active")
    assert keyledger.ok("credential", "list", "--status", "suspended", *then).json["data"] == []
    (owned,) = keyledger.ok("report", "expiring", "--within", "2000d", *then).json["data"]
    assert owned["id"] == created["id"]
    assert keyledger.ok("report", "overdue", *then).json["data"] == []
    unused = keyledger("credential", "list", "--unused-since", "2026-01-01T00:00:00Z", *then)
    assert (unused.exit_code, "only the last use" in unused.err) == (3, True)
    ahead = keyledger("credential", "list", "--organisation", organisation, "--as-of", "2999-01-01T00:00:00Z")
    assert (ahead.exit_code, "in the future" in ahead.err) == (3, True)
