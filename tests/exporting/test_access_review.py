"""The access review: who had what at a time, exactly as it was then, and the last use as it is known now."""

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from uuid import UUID

import duckdb
import pyarrow.parquet as pq
import pytest

from api.exporting.files import ReviewFormat, review_file
from api.exporting.manifests import Tally
from api.wiring import Services
from ledger.access_review import AccessReview
from ledger.commands import (
    ConnectApis,
    DescribeApplication,
    DescribeCredential,
    EraseCredential,
    RenameOrganisation,
    RevokeCredential,
    SuspendCredential,
)
from ledger.permissions import api_names
from ledger.service import ACCESS_REVIEW
from ledger.values import Description, EmailAddress, Label, Name, RevocationReason, Scope
from projections.access_review import access_review
from projections.usage import UsageRecorder
from tests import given
from tests.projections.keeping_up import catch_up

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


def on_day(day: int) -> datetime:
    return BEGINNING + timedelta(days=day)


@pytest.fixture
def organisation(services: Services) -> UUID:
    return given.an_organisation(services)


def make(services: Services, organisation: UUID, day: int = 0, **changes: Any) -> UUID:
    return given.a_credential(services, organisation, context=given.context(on_day(day)), **changes)[0].id


def reviewed(services: Services, organisation: UUID, form: ReviewFormat, as_of: datetime) -> tuple[bytes, Tally]:
    review: AccessReview = services.ledger.load(ACCESS_REVIEW, given.an_access_review(services, organisation, as_of))
    catch_up(services)
    tally = Tally()
    return b"".join(review_file(services.log, review, form, on_day(300), tally)), tally


def rows(services: Services, organisation: UUID, as_of: datetime) -> list[dict[str, Any]]:
    content, _ = reviewed(services, organisation, ReviewFormat.PARQUET, as_of)
    found: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
    return found


def test_a_review_tells_who_had_what_then_and_not_what_it_is_now(services: Services, organisation: UUID) -> None:
    application, account = given.an_application(services, organisation), given.an_account(services, organisation)
    before = datetime.now(UTC)
    credential = make(services, organisation, application_id=application, account_id=account, name=Label("Billing"))
    as_of = datetime.now(UTC)
    context = given.context()
    services.ledger.handle(
        DescribeApplication(
            context=context, application_id=application, title=Name("Other"), description=Description("")
        )
    )
    services.ledger.handle(
        DescribeCredential(
            context=context,
            credential_id=credential,
            name=Label("Renamed"),
            description=Description(""),
            contact_email=EmailAddress("new@example.com"),
        )
    )
    services.ledger.handle(
        RevokeCredential(context=context, credential_id=credential, revocation_reason=RevocationReason.UNSPECIFIED)
    )
    assert before < as_of
    (was,) = rows(services, organisation, as_of)
    assert (was["name"], was["owner"], was["application"], was["account"], was["status"]) == (
        "Billing",
        "dev@example.com",
        "Ledger sync",
        "Acme Messaging",
        "active",
    )
    assert was["scopes"] == sorted(was["scopes"]) != []
    (now,) = rows(services, organisation, datetime.now(UTC))
    assert (now["name"], now["owner"], now["application"], now["status"]) == (
        "Renamed",
        "new@example.com",
        "Other",
        "revoked",
    )


def test_a_review_tells_which_scopes_granted_something_then(services: Services, organisation: UUID) -> None:
    view, edit = "customer:view", "customer:edit"
    given.a_catalogue(
        services,
        organisation,
        {view: ["live", "test"], edit: ["live", "test"]},
        {"all": [view, edit], "reading": [view]},
    )
    application = given.an_application(services, organisation, "all")
    for where in (None, application):
        given.a_credential(services, organisation, application_id=where, scopes=(Scope(edit), Scope(view)))

    def effective() -> tuple[datetime, list[list[str]]]:
        at = datetime.now(UTC)
        return at, told(at)

    def told(at: datetime) -> list[list[str]]:
        found = rows(services, organisation, at)
        assert {tuple(row["scopes"]) for row in found} == {(edit, view)}
        return [row["effective_scopes"] for row in found]  # that of the application is the newer one

    whole = effective()
    services.ledger.handle(
        ConnectApis(context=given.context(), application_id=application, apis=api_names(["reading"]))
    )
    narrowed = effective()
    given.a_catalogue(services, organisation, {edit: ["live", "test"]}, {"reading": [edit]})
    retired = effective()

    assert [scopes for _, scopes in (whole, narrowed, retired)] == [
        [[edit, view], [edit, view]],
        [[view], [edit, view]],
        [[edit], [edit]],
    ]
    assert [told(at) for at, _ in (whole, narrowed, retired)] == [scopes for _, scopes in (whole, narrowed, retired)]
    page = Page(reviewed(services, organisation, ReviewFormat.HTML, narrowed[0])[0]).texts
    assert f"granted nothing: {edit}" in page


def test_age_and_what_is_overdue_are_counted_at_the_time_of_the_review(services: Services, organisation: UUID) -> None:
    make(services, organisation, day=0)
    for day, overdue in ((30, False), (90, False), (91, True)):
        (row,) = rows(services, organisation, on_day(day))
        assert (row["age_days"], row["rotation_overdue"]) == (day, overdue)
        assert row["rotation_due_at"] == on_day(services.settings.rotation_days)


def test_nobody_rotates_what_is_suspended(services: Services, organisation: UUID) -> None:
    credential = make(services, organisation)
    services.ledger.handle(SuspendCredential(context=given.context(on_day(1)), credential_id=credential))
    (row,) = rows(services, organisation, on_day(200))
    assert (row["status"], row["rotation_due_at"], row["rotation_overdue"]) == ("suspended", None, False)


def test_the_last_use_is_the_one_known_now(services: Services, organisation: UUID) -> None:
    used, unused = make(services, organisation, day=1), make(services, organisation, day=2)
    usage = UsageRecorder(services.store, 60)
    usage.start()
    usage.note(used, 1, on_day(100))
    usage.stop()
    uses = {row["credential_id"]: row["last_used_at"] for row in rows(services, organisation, on_day(50))}
    assert uses == {str(used): on_day(100), str(unused): None}


def test_it_has_every_credential_of_the_organisation_and_of_no_other(
    services: Services, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.access_review.CHUNK_MAX", 2)
    ids = [make(services, organisation, day=day) for day in range(5)]
    make(services, given.an_organisation(services, "Umbrella"))
    catch_up(services)
    assert [line.credential.id for line in access_review(services.log, organisation, on_day(3))] == ids[3::-1]


def test_an_erased_owner_is_gone_from_reviews_of_the_past_too(services: Services, organisation: UUID) -> None:
    credential = make(services, organisation)
    context = given.context(on_day(2))
    services.ledger.handle(
        RevokeCredential(context=context, credential_id=credential, revocation_reason=RevocationReason.OWNER_LEFT)
    )
    services.ledger.handle(EraseCredential(context=context, credential_id=credential))
    for form in (ReviewFormat.CSV, ReviewFormat.HTML):
        content, _ = reviewed(services, organisation, form, on_day(1))
        assert b"dev@example.com" not in content
    assert b"(erased)" in content


def test_csv_and_parquet_agree_and_the_manifest_counts_by_status(
    services: Services, organisation: UUID, tmp_path: Any
) -> None:
    for day in range(3):
        make(services, organisation, day=day, name=Label(f"Billing {day}"))
    content, tally = reviewed(services, organisation, ReviewFormat.CSV, on_day(10))
    (tmp_path / "review.csv").write_bytes(content)
    query = "SELECT credential_id::text, name, age_days, rotation_overdue FROM read_csv(?)"
    of_csv = duckdb.execute(query, [str(tmp_path / "review.csv")]).fetchall()
    names = ("credential_id", "name", "age_days", "rotation_overdue")
    assert of_csv == [tuple(row[name] for name in names) for row in rows(services, organisation, on_day(10))]
    assert (tally.written().rows, tally.written().counts) == (3, {"active": 3})


class Page(HTMLParser):
    """The tags of a page, the links in it, and its texts."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


@pytest.fixture
def page(services: Services, organisation: UUID) -> Callable[[datetime], Page]:
    return lambda as_of: Page(reviewed(services, organisation, ReviewFormat.HTML, as_of)[0])


def test_the_page_prints_every_credential_without_a_script_or_a_link(
    services: Services, organisation: UUID, page: Callable[[datetime], Page]
) -> None:
    make(services, organisation, name=Label("<script>alert(1)</script>"))
    found = page(on_day(100))
    assert "<script>alert(1)</script>" in found.texts
    assert {"script", "link", "img", "a"}.isdisjoint(found.tags)
    assert {"src", "href", "style", "onclick"}.isdisjoint(found.attributes)
    assert found.tags.count("tr") == 2
    assert "2026-04-01 overdue" in found.texts
    assert "@media print" in "".join(found.texts)


def test_the_page_says_whose_it_is_by_the_name_of_then_and_when_each_credential_ends(
    services: Services, organisation: UUID, page: Callable[[datetime], Page]
) -> None:
    make(services, organisation, day=1, expires_at=on_day(50))
    planned = make(services, organisation, day=2)
    services.ledger.handle(
        RevokeCredential(context=given.context(on_day(3)), credential_id=planned, effective_at=on_day(20))
    )
    registered = datetime.now(UTC)
    services.ledger.handle(
        RenameOrganisation(context=given.context(), organisation_id=organisation, name=Name("Acme Renamed"))
    )
    told = page(on_day(10)).texts  # before it was registered: as it is called now
    assert "Acme Renamed" in told
    assert {"active, ends 2026-01-21", "active, ends 2026-02-20"} <= set(told)
    later = page(on_day(60)).texts
    assert {"revoked 2026-01-21", "expired 2026-02-20"} <= set(later)
    assert "Acme Renamed" not in page(registered).texts


def test_a_page_without_credentials_says_so(page: Callable[[datetime], Page]) -> None:
    assert "There was no credential." in page(on_day(0)).texts
