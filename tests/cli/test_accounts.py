"""Accounts from the command line."""

from typing import Any

import pytest

from tests.cli.conftest import CommandLine, now


@pytest.fixture
def open_account(keyledger: CommandLine, organisation: str) -> Any:
    """Opens a master account, changed as asked, and returns its document."""

    def open_account(*more: object) -> Any:
        named = ("--organisation", organisation, "--kind", "master", "--name", "Acme")
        return keyledger.ok("account", "open", *named, "--json", *more).json

    return open_account


def test_opening_prints_the_id_alone_and_the_remarks_beside_it(keyledger: CommandLine, organisation: str) -> None:
    ran = keyledger.ok("account", "open", "--organisation", organisation, "--kind", "merchant", "--name", "Shop")
    assert keyledger.ok("account", "show", ran.out.strip(), "--json").json["name"] == "Shop"
    assert "Opened merchant account Shop" in ran.err


def test_the_secrets_of_an_old_masters_logins_are_shown_once(keyledger: CommandLine, open_account: Any) -> None:
    opened = open_account("--opened-on", "2023-06-05")
    secrets = [one["secret"] for one in opened["credentials"]]
    shown = keyledger.ok("account", "show", opened["id"])
    assert all(one["public_id"] in shown.out for one in opened["credentials"])
    told = shown.out + keyledger.ok("account", "history", opened["id"]).out
    assert len(secrets) == 4
    assert not any(secret in told for secret in secrets)


def test_a_day_is_a_day(keyledger: CommandLine, organisation: str) -> None:
    named = ("--organisation", organisation, "--kind", "master", "--name", "Acme")
    refused = keyledger("account", "open", *named, "--opened-on", "6 June 2023")
    assert (refused.exit_code, "say a day, like 2023-06-05" in refused.err) == (2, True)
    assert keyledger("account", "open", *named, "--opened-on", "2999-01-01").exit_code == 3


def test_a_list_is_filtered_and_bounded(keyledger: CommandLine, organisation: str, open_account: Any) -> None:
    master = open_account("--reference", "C-17")
    sub = open_account("--kind", "sub", "--parent", master["id"])
    gone = open_account("--name", "Gone")
    keyledger.ok("account", "close", gone["id"], "--reason", "moved", "--yes")

    def listed(*more: object) -> Any:
        return keyledger.ok("account", "list", "--organisation", organisation, "--json", *more).json

    assert [one["id"] for one in listed()["data"]] == [master["id"], sub["id"], gone["id"]]
    assert [one["id"] for one in listed("--parent", master["id"])["data"]] == [sub["id"]]
    assert [one["id"] for one in listed("--kind", "sub")["data"]] == [sub["id"]]
    assert [one["id"] for one in listed("--closed")["data"]] == [gone["id"]]
    assert [one["id"] for one in listed("--open", "--search", "c-17")["data"]] == [master["id"]]
    bounded = listed("--limit", "1")
    assert (len(bounded["data"]), bounded["pagination"]) == (1, {"has_more": True})
    table = keyledger.ok("account", "list", "--organisation", organisation).out
    assert master["id"] in table
    assert "C-17" in table


def test_describing_changes_what_is_named_and_leaves_the_rest(keyledger: CommandLine, open_account: Any) -> None:
    opened = open_account("--reference", "C-17")
    described = keyledger.ok("account", "describe", opened["id"], "--name", "New", "--json").json
    assert (described["name"], described["reference"], described["version"]) == ("New", "C-17", 2)
    cleared = keyledger.ok("account", "describe", opened["id"], "--reference", "", "--expected-version", "2", "--json")
    assert cleared.json["reference"] == ""
    late = keyledger("account", "describe", opened["id"], "--name", "Late", "--expected-version", "2")
    assert late.exit_code == 6


def test_closing_says_why_asks_first_and_is_final(keyledger: CommandLine, open_account: Any) -> None:
    account = open_account()["id"]
    assert keyledger("account", "close", account, "--yes").exit_code == 2
    assert keyledger("account", "close", account, "--reason", "moved", stdin="n\n").exit_code == 1
    assert keyledger.ok("account", "show", account, "--json").json["status"] == "open"
    closed = keyledger.ok("account", "close", account, "--reason", "moved", "--yes", "--json").json
    assert (closed["status"], closed["closed_reason"]) == ("closed", "moved")
    assert keyledger("account", "close", account, "--reason", "again", "--yes").exit_code == 5


def test_a_history_tells_what_happened_and_what_it_was_at_a_time(keyledger: CommandLine, open_account: Any) -> None:
    account = open_account("--reference", "C-17", "--reason", "signed up")["id"]
    keyledger.ok("account", "describe", account, "--name", "New")
    keyledger.ok("account", "close", account, "--reason", "moved", "--yes")
    told = keyledger.ok("account", "history", account).out
    for words in ("opened", "why: signed up", "reference C-17", "described", "“New”", "closed", "why: moved"):
        assert words in told
    document = keyledger.ok("history", account, "--as-of", now(), "--json").json
    assert (document["kind"], document["state"]["status"]) == ("account", "closed")
    assert [one["topic"] for one in document["data"]] == ["account.opened", "account.described", "account.closed"]
    assert "closed because" in keyledger.ok("history", account, "--as-of", now()).out


def test_a_credential_hangs_on_an_open_account_only(
    keyledger: CommandLine, organisation: str, open_account: Any
) -> None:
    account = open_account()["id"]
    create = ("credential", "create", "--organisation", organisation, "--mode", "live", "--full", "--account", account)
    created = keyledger.ok(*create, "--json").json
    assert account in keyledger.ok("credential", "show", created["id"]).out
    keyledger.ok("account", "close", account, "--reason", "moved", "--yes")
    refused = keyledger(*create)
    assert refused.exit_code == 3
    assert refused.err == "error: account_id: is closed, or its master account is\n"
