"""Erasing operators, the retention policy, and who read what, at the command line."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.store.erasures import Erasure
from tests.cli.conftest import CommandLine, CreateCredential
from tests.projections.test_sealing import sealing


def test_a_removed_operator_is_erased_after_asking(keyledger: CommandLine) -> None:
    enrolled = keyledger.ok(
        "operator", "enrol", "--name", "Grace", "--email", "grace@example.com", "--role", "auditor", "--json"
    ).json
    assert keyledger("operator", "erase", enrolled["id"], "--yes").exit_code == 5
    keyledger.ok("operator", "remove", enrolled["id"])
    assert keyledger("operator", "erase", enrolled["id"], stdin="n\n").exit_code == 1
    erased = keyledger.ok("operator", "erase", enrolled["id"], "--yes", "--json").json
    assert (erased["name"], erased["email"]) == ("", None)
    assert "name and email destroyed" in keyledger.ok("history", enrolled["id"]).out


@pytest.mark.parametrize("command", [("history",), ("credential", "show"), ("log", "status")])
def test_what_a_restored_backup_brought_back_is_erased_before_anything_of_it_is_shown(
    services: Services, keyledger: CommandLine, create: CreateCredential, command: tuple[str, ...]
) -> None:
    credential = create("--contact-email", "grace@example.com")["id"]
    with sealing(services) as by_hand:
        by_hand.seal()
    erased = Erasure(UUID(credential), "credential", datetime.now(UTC), "command_line:ada", "asked to")
    services.erasures.remember([erased])  # which the backup knows nothing of

    ran = keyledger(*command, *([] if command[0] == "log" else [credential]))

    assert "grace@example.com" not in ran.out
    assert "1 that were erased: they were erased again" in ran.err
    assert "grace@example.com" not in keyledger.ok("history", credential).out
    assert "erased again" not in keyledger.everything_shown[-1]


def test_retention_is_shown_before_it_erases_and_is_off_by_default(
    keyledger: CommandLine, create: CreateCredential, organisation: str
) -> None:
    created = create("--name", "Billing")
    keyledger.ok("credential", "revoke", created["id"])
    assert keyledger.ok("retention", "--dry-run", "--json").json["data"] == []
    shown = keyledger.ok("retention", "--dry-run", "--days", "30", "--organisation", organisation, "--json").json
    assert [(one["credential_id"], one["due"]) for one in shown["data"]] == [(created["id"], False)]
    assert "Billing" in keyledger.ok("retention", "--dry-run", "--days", "30").out
    assert "Erased the personal data of 0 credentials" in keyledger.ok("retention").out
    assert keyledger("retention", "--days", "30").exit_code == 2


def test_what_the_command_line_showed_is_told_like_what_the_api_did(
    keyledger: CommandLine, create: CreateCredential, organisation: str, tmp_path: Path
) -> None:
    one, of = create()["id"], ("--organisation", organisation)
    then = create()["created_at"]
    ada = keyledger.ok("operator", "enrol", "--name", "Ada", "--role", "auditor", *of, "--json").json["id"]
    shown: list[tuple[tuple[object, ...], list[str]]] = [
        (("history", one), ["hint", "history"]),
        (("replay", one), ["hint", "history", "past"]),
        (("history", one, "--as-of", then), ["hint", "history", "past"]),
        (("diff", one, "--from", "1"), ["hint", "past"]),
        (("credential", "show", one), ["hint"]),
        (("credential", "usage", one), ["usage"]),
        (("credential", "list", *of, "--json"), ["hint"]),
        (("credential", "list", *of, "--as-of", then), ["past"]),
        (("report", "overdue", *of, "--json", "--as-of", then), ["hint", "past"]),
        (("report", "by-owner", *of, "--json", "--as-of", then), ["past"]),
        (("activity", *of), ["activity"]),
        (("catalogue", "history", organisation), ["history"]),
        (("audit", "review", *of, "--output", tmp_path / "review.csv", "--reason", "audit"), ["export"]),
        (("operator", "list", *of, "--json"), ["hint"]),
        (("operator", "show", ada), ["hint"]),
        (("history", ada), ["hint", "history"]),
        (("readings", *of), ["readings"]),
    ]
    for nothing_of_it in (
        ("credential", "list", *of),
        ("operator", "list", *of),
        ("report", "overdue", *of),
        ("audit", "exports", *of),
    ):
        keyledger.ok(*nothing_of_it)
    for command, _ in shown:
        keyledger.ok(*command)

    told = keyledger.ok("readings", *of, "--json", "--limit", "100").json["data"]

    assert [each["what"] for each in reversed(told)] == [*(what for _, what in shown), ["readings"]]
    first = told[-1]
    assert (first["via"], first["route"], first["aggregate_id"]) == ("command_line", "keyledger history", one)
    assert first["actor"].startswith("command_line:")
    mine = keyledger.ok("readings", *of, "--actor", first["actor"], "--about", one, "--json").json["data"]
    assert len(mine) == len([each for each in told if each["aggregate_id"] == one]) + 1
    assert "about" in keyledger.ok("readings").out


def test_a_command_that_is_refused_is_no_reading(keyledger: CommandLine, organisation: str) -> None:
    nobody = "01a1fd80-ffd6-74a7-a0db-57fcfae1465b"
    assert keyledger("history", nobody).exit_code == 4
    assert keyledger("credential", "show", nobody).exit_code == 4
    told = keyledger.ok("readings", "--json").json["data"]
    assert [each["what"] for each in told] == [["readings"]]


def test_an_organisation_is_given_a_retention_of_its_own_after_asking(
    keyledger: CommandLine, create: CreateCredential, organisation: str
) -> None:
    created = create()
    keyledger.ok("credential", "revoke", created["id"])
    setting = ("organisation", "set-retention", organisation)
    assert keyledger(*setting, "--days", "30", stdin="n\n").exit_code != 0
    assert keyledger(*setting, "--yes").exit_code == 2
    assert keyledger.ok(*setting, "--days", "30", "--yes", "--json").json["retention_days"] == 30
    (due,) = keyledger.ok("retention", "--dry-run", "--json").json["data"]
    assert (due["credential_id"], due["due"]) == (created["id"], False)
    assert "as the installation says" in keyledger.ok(*setting, "--installation", "--yes").out
    assert keyledger.ok("retention", "--dry-run", "--json").json["data"] == []
    assert "30 days after a credential ended" in keyledger.ok("history", organisation).out
