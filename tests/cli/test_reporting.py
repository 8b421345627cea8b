"""Reports from the command line."""

import csv
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest

from api.wiring import Services
from ledger.commands import SuspendCredential
from ledger.values import EmailAddress, Label
from projections.usage import UsageRecorder
from tests import given
from tests.cli.conftest import CommandLine

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def make(services: Services, organisation: UUID, name: str, days: int = 0, **changes: Any) -> UUID:
    """A credential of some days ago."""
    context = given.context(NOW - days * DAY)
    return given.a_credential(services, organisation, name=Label(name), context=context, **changes)[0].id


@pytest.fixture
def acme(services: Services) -> UUID:
    """An organisation that has something for each report."""
    acme = given.an_organisation(services, "Acme")
    make(services, acme, "made today")
    make(services, acme, "soon due", 80)
    make(services, acme, "overdue", 100, contact_email=EmailAddress("Grace@example.com"))
    make(services, acme, "nobody's", contact_email=None)
    make(services, acme, "soon over", expires_at=NOW + 7 * DAY)
    used = make(services, acme, "old and used", 101, contact_email=EmailAddress("grace@example.com"))
    usage = UsageRecorder(services.store, 60)
    usage.note(used, 1, NOW - DAY)
    usage.flush()
    return acme


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("due",), {"soon due", "overdue", "old and used"}),
        (("due", "--within", "5d"), {"overdue", "old and used"}),
        (("overdue",), {"overdue", "old and used"}),
        (("unused",), {"overdue"}),
        (("unused", "--for", "30d"), {"overdue", "soon due"}),
        (("expiring",), {"soon over"}),
        (("expiring", "--within", "1d"), set()),
        (("without-owner",), {"nobody's"}),
    ],
)
def test_a_report_has_what_it_is_about_in_each_form(
    keyledger: CommandLine, acme: UUID, arguments: tuple[str, ...], names: set[str]
) -> None:
    asked = ("report", *arguments, "--organisation", acme)
    assert {one["name"] for one in keyledger.ok(*asked, "--json").json["data"]} == names
    rows = list(csv.DictReader(StringIO(keyledger.ok(*asked, "--csv").out)))
    assert {row["name"].removeprefix("'") for row in rows} == names
    assert {row["organisation"] for row in rows} <= {"Acme"}
    table = keyledger.ok(*asked).out
    assert all(name in table for name in names)
    assert "made today" not in table


def test_owners_are_told_with_how_many_they_answer_for(services: Services, keyledger: CommandLine, acme: UUID) -> None:
    suspended = make(services, acme, "suspended", 200, contact_email=EmailAddress("ada@example.com"))
    services.ledger.handle(SuspendCredential(context=given.context(), credential_id=suspended))
    told = keyledger.ok("report", "by-owner", "--organisation", acme, "--json").json["data"]
    assert [(one["contact_email"], one["credentials"], one["overdue"]) for one in told] == [
        ("ada@example.com", 1, 0),
        ("dev@example.com", 3, 0),
        ("grace@example.com", 2, 2),
    ]
    assert told[0]["next_rotation_due_at"] is None
    oldest = datetime.fromisoformat(told[2]["next_rotation_due_at"])
    assert abs(oldest - (NOW - 11 * DAY)) < timedelta(minutes=1)


def test_owners_are_all_told_however_many_pages_they_fill(
    services: Services, keyledger: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    organisation = given.an_organisation(services)
    for number in range(5):
        make(services, organisation, "one", contact_email=EmailAddress(f"dev-{number}@example.com"))
    monkeypatch.setattr("api.cli.listing.LIMIT_MAX", 2)
    told = keyledger.ok("report", "by-owner", "--json").json["data"]
    assert [one["contact_email"] for one in told] == [f"dev-{number}@example.com" for number in range(5)]


def test_a_report_of_all_organisations_says_whose_each_line_is(
    services: Services, keyledger: CommandLine, acme: UUID
) -> None:
    make(services, given.an_organisation(services, "Globex"), "theirs", 100)
    table = keyledger.ok("report", "overdue").out
    assert {"organisation", "Acme", "Globex", "theirs"} <= set(table.split())
    rows = list(csv.DictReader(StringIO(keyledger.ok("report", "overdue", "--csv").out)))
    assert [row["organisation"] for row in rows] == ["Acme", "Acme", "Globex"]


def test_a_table_ends_where_asked_and_says_so_and_csv_does_not_end(
    services: Services, keyledger: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    organisation = given.an_organisation(services)
    for _ in range(5):
        make(services, organisation, "old key", 100)
    monkeypatch.setattr("api.cli.listing.LIMIT_MAX", 2)
    monkeypatch.setattr("api.cli.reporting.TABLE_ROWS", 3)
    table = keyledger.ok("report", "overdue")
    assert table.out.count("old key") == 3  # which no random id holds
    assert "These are the first 3; there are more" in table.err
    assert len(keyledger.ok("report", "overdue", "--csv").out.splitlines()) == 1 + 5
    assert len(keyledger.ok("report", "overdue", "--json", "--limit", 4).json["data"]) == 4


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)"])
def test_a_name_is_no_formula_in_a_spreadsheet(services: Services, keyledger: CommandLine, name: str) -> None:
    make(services, given.an_organisation(services), name, 100)
    (row,) = csv.DictReader(StringIO(keyledger.ok("report", "overdue", "--csv").out))
    assert row["name"] == "'" + name


def test_what_cannot_be_told_is_refused(keyledger: CommandLine, organisation: str) -> None:
    assert keyledger("report", "overdue", "--json", "--csv").exit_code == 2
    assert keyledger("report", "due", "--within", "soon").exit_code == 2
    assert keyledger("report", "overdue", "--organisation", UUID(int=1)).exit_code == 4
    assert keyledger.ok("report", "by-owner", "--organisation", organisation, "--json").json == {"data": []}
