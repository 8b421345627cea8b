"""Listing, filtering and searching credentials."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.wiring import Services
from ledger.commands import (
    DescribeCredential,
    EndOverlap,
    EraseCredential,
    ResumeCredential,
    RevokeCredential,
    RotateSecret,
    SuspendCredential,
)
from ledger.credential import evolve
from ledger.errors import InvalidValue
from ledger.values import Channel, Description, EmailAddress, Environment, Kind, Label, Login, Mode, PublicId, Status
from projections.credential_list import CredentialFilters, list_credentials
from projections.credential_status import find_credential
from projections.pages import Page, encode_cursor
from projections.usage import UsageRecorder
from projections.view import fold
from projections.words import words
from tests import given
from tests.projections.keeping_up import catch_up

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def page(services: Services, organisation: UUID, *, now: datetime | None = None, **asked: Any) -> Page:
    paging = {name: asked.pop(name) for name in ("cursor", "limit") if name in asked}
    return list_credentials(
        services.store,
        organisation,
        CredentialFilters(**asked),
        now=now or datetime.now(UTC),
        rotation_days=90,
        **paging,
    )


def found(services: Services, organisation: UUID, **asked: Any) -> set[str]:
    return {row["name"] for row in page(services, organisation, **asked).rows}


def make(services: Services, organisation: UUID, name: str, **changes: Any) -> UUID:
    return given.a_credential(services, organisation, name=Label(name), **changes)[0].id


@pytest.fixture
def organisation(services: Services) -> UUID:
    return given.an_organisation(services)


def test_a_row_shows_what_the_detail_page_shows(services: Services, organisation: UUID) -> None:
    credential = make(services, organisation, "one")
    usage = UsageRecorder(services.store, 60)
    usage.note(credential, 1, NOW)
    usage.flush()
    catch_up(services)
    (row,) = page(services, organisation).rows
    assert row == find_credential(services.store, organisation, credential)
    assert list(row["last_used"]) == ["1"]


def test_another_organisations_credentials_are_not_there(services: Services, organisation: UUID) -> None:
    make(services, given.an_organisation(services, "Other"), "theirs")
    make(services, organisation, "ours")
    catch_up(services)
    assert found(services, organisation) == {"ours"}
    assert found(services, organisation, q="theirs") == set()
    assert page(services, uuid4()).rows == []


@pytest.mark.parametrize(
    ("filter_name", "value", "changes"),
    [
        ("kind", Kind.OAUTH_CLIENT, {"kind": Kind.OAUTH_CLIENT}),
        ("mode", Mode.TEST, {"mode": Mode.TEST}),
        ("environment", Environment.STAGING, {"mode": Mode.TEST, "environment": Environment.STAGING}),
        ("channel", Channel.EMAIL, {"channel": Channel.EMAIL}),
        ("account", UUID(int=1), {"account_id": UUID(int=1)}),
        ("application", UUID(int=2), {"application_id": UUID(int=2)}),
        ("contact_email", "Owner@Example.com", {"contact_email": EmailAddress("owner@example.com")}),
    ],
)
def test_a_filter_finds_its_value_alone(
    services: Services, organisation: UUID, filter_name: str, value: object, changes: dict[str, Any]
) -> None:
    for number in (1, 9):
        given.an_account(services, organisation, account_id=UUID(int=number))
    make(services, organisation, "other", account_id=UUID(int=9), application_id=UUID(int=9))
    make(services, organisation, "asked for", **changes)
    catch_up(services)
    assert found(services, organisation, **{filter_name: value}) == {"asked for"}
    assert found(services, organisation, **{filter_name: value}, q="other") == set()


def test_status_is_what_the_domain_says_at_that_time(services: Services, organisation: UUID) -> None:
    ids = {
        name: make(services, organisation, name, **more)
        for name, more in {
            "active": {},
            "expiring": {"expires_at": NOW + 2 * DAY},
            "expiring suspended": {"expires_at": NOW + 2 * DAY},
            "rotating": {},
            "overlap ended": {},
            "suspended": {},
            "resumed": {},
            "suspended rotating": {},
            "revoked": {},
            "to be revoked": {},
            "suspended to be revoked": {},
            "expiring to be revoked": {"expires_at": NOW + 2 * DAY},
        }.items()
    }

    def rotate(name: str) -> None:
        stored = services.keyring.digests.issue(Kind.API_KEY, Mode.LIVE).stored
        handle(RotateSecret, name, secret=stored, overlap=DAY)

    def handle(command: type[Any], name: str, **more: Any) -> None:
        services.ledger.handle(command(context=given.context(), credential_id=ids[name], **more))

    for name in ("rotating", "overlap ended", "suspended rotating"):
        rotate(name)
    handle(EndOverlap, "overlap ended")
    for name in ("expiring suspended", "suspended", "resumed", "suspended rotating", "suspended to be revoked"):
        handle(SuspendCredential, name)
    handle(ResumeCredential, "resumed")
    handle(RevokeCredential, "revoked")
    for name in ("to be revoked", "suspended to be revoked", "expiring to be revoked"):
        handle(RevokeCredential, name, effective_at=NOW + 3 * DAY)
    catch_up(services)

    states = {name: services.log.histories([i], services.log.head())[i] for name, i in ids.items()}
    for moment in (datetime.now(UTC), NOW + 2 * DAY + timedelta(hours=1), NOW + 4 * DAY):
        listed = {status: found(services, organisation, status=status, now=moment) for status in Status}
        expected = {
            status: {name for name, events in states.items() if fold(evolve, events).status(moment) is status}
            for status in Status
        }
        assert listed == expected


def test_overdue_is_what_is_good_and_was_not_rotated_in_time(services: Services, organisation: UUID) -> None:
    long_ago = given.context(NOW - 100 * DAY)
    make(services, organisation, "old", context=long_ago)
    make(services, organisation, "new")
    revoked = make(services, organisation, "old revoked", context=long_ago)
    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=revoked))
    rotated = make(services, organisation, "old rotated", context=long_ago)
    stored = services.keyring.digests.issue(Kind.API_KEY, Mode.LIVE).stored
    services.ledger.handle(RotateSecret(context=given.context(), credential_id=rotated, secret=stored))
    catch_up(services)
    assert found(services, organisation, overdue=True) == {"old"}


def test_due_before_is_what_falls_due_until_then_and_what_is_overdue(services: Services, organisation: UUID) -> None:
    for name, days in (("overdue", 91), ("due in ten days", 80), ("due in a month", 60)):
        make(services, organisation, name, context=given.context(NOW - days * DAY))
    suspended = make(services, organisation, "suspended", context=given.context(NOW - 91 * DAY))
    services.ledger.handle(SuspendCredential(context=given.context(), credential_id=suspended))
    catch_up(services)
    assert found(services, organisation, due_before=NOW + 14 * DAY) == {"overdue", "due in ten days"}
    assert found(services, organisation, due_before=NOW + 14 * DAY, overdue=True) == {"overdue"}
    assert found(services, organisation, due_before=NOW + 31 * DAY, overdue=False) == {
        "overdue",
        "due in ten days",
        "due in a month",
    }
    assert found(services, organisation, due_before=datetime.min.replace(tzinfo=UTC)) == set()


def test_without_owner_is_what_is_good_and_has_nobody_to_write_to(services: Services, organisation: UUID) -> None:
    make(services, organisation, "owned")
    make(services, organisation, "nobody's", contact_email=None)
    revoked = make(services, organisation, "nobody's, revoked", contact_email=None)
    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=revoked))
    catch_up(services)
    assert found(services, organisation, without_owner=True) == {"nobody's"}


def test_expiring_before_is_what_is_good_until_sooner(services: Services, organisation: UUID) -> None:
    make(services, organisation, "never")
    make(services, organisation, "soon", expires_at=NOW + DAY)
    make(services, organisation, "later", expires_at=NOW + 30 * DAY)
    catch_up(services)
    assert found(services, organisation, expiring_before=NOW + 7 * DAY) == {"soon"}
    assert found(services, organisation, expiring_before=NOW + 7 * DAY, now=NOW + 2 * DAY) == set()


def test_unused_since_is_what_is_good_and_no_secret_of_was_seen(services: Services, organisation: UUID) -> None:
    before = given.context(NOW - 60 * DAY)
    ids = {name: make(services, organisation, name, context=before) for name in ("never", "long ago", "lately")}
    make(services, organisation, "made since")
    usage = UsageRecorder(services.store, 60)
    usage.note(ids["long ago"], 1, NOW - 50 * DAY)
    usage.note(ids["lately"], 1, NOW - 50 * DAY)
    usage.note(ids["lately"], 2, NOW - DAY)
    usage.flush()
    catch_up(services)
    assert found(services, organisation, unused_since=NOW - 30 * DAY) == {"never", "long ago"}


def test_what_lies_idle_the_longest_comes_first_and_every_use_counts(services: Services, organisation: UUID) -> None:
    before = given.context(NOW - 60 * DAY)
    ids = {name: make(services, organisation, name, context=before) for name in ("a week", "a month", "never", "now")}
    catch_up(services)  # the list is told of uses, if not of each
    usage = UsageRecorder(services.store, 60)
    for name, ago in (("a week", 7 * DAY), ("a month", 30 * DAY), ("now", 1.5 * DAY), ("now", timedelta(0))):
        usage.note(ids[name], 1, NOW - ago)
        usage.flush()
    usage.note(ids["a week"], 1, NOW - 6.5 * DAY)
    usage.flush()
    idle = page(services, organisation, unused_since=NOW - 5 * DAY)
    assert [row["name"] for row in idle.rows] == ["never", "a month", "a week"]
    assert found(services, organisation, unused_since=NOW - 6.9 * DAY) == {"never", "a month"}
    assert found(services, organisation, unused_since=NOW + DAY) == set(ids)


@pytest.mark.parametrize(
    "q",
    [
        "billing",
        "BILLING exp",
        "grosse",  # without accents, whatever was typed
        "finance",
        "finance@pay",
        "finance@payments.example.org",
        "example.org",
        "ak_live_4e5Xyz",  # what another parser takes for a number
        "4e5xyz",
        "ledger nightly",
        "platform",
    ],
)
def test_a_search_finds_words_and_the_beginning_of_the_last(services: Services, organisation: UUID, q: str) -> None:
    make(
        services,
        organisation,
        "Billing export Größe",
        contact_email=EmailAddress("finance@payments.example.org"),
        public_id=PublicId("ak_live_4e5XyzAbcdefghijklmnop"),
        description=Description("nightly\nledger"),
        labels={"team": "platform"},
    )
    make(services, organisation, "Other")
    catch_up(services)
    assert found(services, organisation, q=q) == {"Billing export Größe"}


def test_a_search_needs_every_word_and_only_the_last_may_be_cut(services: Services, organisation: UUID) -> None:
    make(services, organisation, "Billing export")
    catch_up(services)
    assert found(services, organisation, q="billing import") == set()
    assert found(services, organisation, q="bill export") == set()
    assert found(services, organisation, q="xport") == set()


def test_a_word_longer_than_an_index_entry_is_found_and_stops_nobody(services: Services, organisation: UUID) -> None:
    make(services, organisation, "long", description=Description("名" * 2000))
    catch_up(services)
    assert found(services, organisation, q="名" * 100) == {"long"}


def test_an_erased_credential_is_not_found_by_what_was_personal(services: Services, organisation: UUID) -> None:
    credential = make(
        services,
        organisation,
        "login",
        kind=Kind.CHANNEL_LOGIN,
        channel=Channel.FTP,
        login=Login("grace"),
        contact_email=EmailAddress("grace@navy.example"),
    )
    catch_up(services)
    assert found(services, organisation, q="grace") == {"login"}
    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=credential))
    services.ledger.handle(EraseCredential(context=given.context(), credential_id=credential))
    catch_up(services)
    assert found(services, organisation, q="grace") == set()
    assert found(services, organisation, contact_email="grace@navy.example") == set()
    assert found(services, organisation, contact_email="") == set()
    assert found(services, organisation, q="login") == {"login"}


def test_a_changed_description_is_found_anew_and_the_old_one_is_not(services: Services, organisation: UUID) -> None:
    credential = make(services, organisation, "before")
    catch_up(services)
    services.ledger.handle(DescribeCredential(context=given.context(), credential_id=credential, name=Label("after")))
    catch_up(services)
    assert found(services, organisation, q="after") == {"after"}
    assert found(services, organisation, q="before") == set()


def walk(services: Services, organisation: UUID, **asked: Any) -> Iterator[Page]:
    cursor = None
    while True:
        one = page(services, organisation, cursor=cursor, **asked)
        yield one
        cursor = one.cursor
        if cursor is None:
            return


def test_walking_all_pages_gives_every_row_once_even_with_inserts_in_between(
    services: Services, organisation: UUID
) -> None:
    # Three share each moment, so that pages end between equals.
    before = {
        make(services, organisation, str(number), context=given.context(NOW - timedelta(seconds=number // 3)))
        for number in range(23)
    }
    catch_up(services)
    walked: list[UUID] = []
    moments = []
    for one in walk(services, organisation, limit=4):
        walked += [row["credential_id"] for row in one.rows]
        moments += [row["created_at"] for row in one.rows]
        make(services, organisation, "newer")
        make(services, organisation, "imported, and as old as the middle", context=given.context(moments[-1]))
        catch_up(services)
    assert len(walked) == len(set(walked))
    assert before <= set(walked)
    assert moments == sorted(moments, reverse=True)


def test_a_page_that_ends_with_the_last_row_says_so(services: Services, organisation: UUID) -> None:
    for number in range(4):
        make(services, organisation, str(number))
    catch_up(services)
    assert [len(one.rows) for one in walk(services, organisation, limit=2)] == [2, 2]
    assert [len(one.rows) for one in walk(services, organisation, limit=3, kind=Kind.API_KEY)] == [3, 1]


@pytest.mark.parametrize("cursor", ["", "x", "=", "e30", "eyJrIjpbMSwyXX0", "ä", "A" * 1000, "bnVsbA", "\x00"])
def test_a_bad_cursor_is_refused_by_name(services: Services, organisation: UUID, cursor: str) -> None:
    with pytest.raises(InvalidValue, match="cursor: is not a cursor"):
        page(services, organisation, cursor=cursor)


def test_a_cursor_is_good_for_its_own_filters_and_organisation_alone(services: Services, organisation: UUID) -> None:
    for number in range(3):
        make(services, organisation, str(number))
    catch_up(services)
    cursor = page(services, organisation, limit=1).cursor
    with pytest.raises(InvalidValue, match="cursor: belongs to a list with other filters"):
        page(services, organisation, cursor=cursor, kind=Kind.API_KEY)
    with pytest.raises(InvalidValue, match="cursor: belongs to a list with other filters"):
        page(services, given.an_organisation(services), cursor=cursor)
    with pytest.raises(InvalidValue, match="cursor: is not a cursor"):
        page(services, organisation, cursor=encode_cursor((1, 2, 3), (organisation, CredentialFilters())))


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_a_limit_out_of_bounds_is_refused_by_name(services: Services, organisation: UUID, limit: int) -> None:
    with pytest.raises(InvalidValue, match="limit: must lie between 1 and 200"):
        page(services, organisation, limit=limit)


@pytest.mark.parametrize("q", ["", "  ", "!!! & |", "x" * 201, "a " * 17])
def test_a_search_for_nothing_or_too_much_is_refused_by_name(services: Services, organisation: UUID, q: str) -> None:
    with pytest.raises(InvalidValue, match=r"^q: "):
        page(services, organisation, q=q)


@pytest.mark.parametrize("q", ["a' & b", "x:*", "a | !b", "<-> (", "\\", "a\x00b", "ﬁ ₂ İ ß"])
def test_a_search_never_reads_as_syntax(services: Services, organisation: UUID, q: str) -> None:
    if words(q):
        page(services, organisation, q=q)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ({"overdue": True}, ["due longest", "due", "due since yesterday"]),
        ({"due_before": NOW + 30 * DAY}, ["due longest", "due", "due since yesterday", "due soon"]),
        ({"expiring_before": NOW + 30 * DAY}, ["ends first", "ends next", "ends later"]),
        ({"status": Status.EXPIRED}, ["ended last", "ended"]),
        ({"status": Status.ROTATING}, ["overlaps till tomorrow", "overlaps"]),
    ],
    ids=["overdue", "due", "expiring", "expired", "rotating"],
)
def test_what_a_time_decides_about_comes_by_that_time_page_after_page(
    services: Services, organisation: UUID, asked: dict[str, Any], names: list[str]
) -> None:
    def old(name: str, days: int, **changes: Any) -> UUID:
        return make(services, organisation, name, context=given.context(NOW - days * DAY), **changes)

    def rotate(credential: UUID, at: datetime, overlap: timedelta) -> None:
        secret = services.keyring.digests.issue(Kind.API_KEY, Mode.LIVE).stored
        services.ledger.handle(
            RotateSecret(context=given.context(at), credential_id=credential, secret=secret, overlap=overlap)
        )

    rotate(old("due", 200), NOW - 95 * DAY, 0 * DAY)
    old("due since yesterday", 91)
    old("due longest", 100)
    old("due soon", 80)
    old("ends next", 1, expires_at=NOW + 3 * DAY)
    old("ends later", 3, expires_at=NOW + 20 * DAY)
    old("ends first", 2, expires_at=NOW + DAY)
    old("ended last", 6, expires_at=NOW - DAY)
    old("ended", 5, expires_at=NOW - 2 * DAY)
    for name, days in (("overlaps", 2), ("overlaps till tomorrow", 1)):
        rotate(old(name, days), NOW, days * DAY)
    catch_up(services)

    walked = [row["name"] for one in walk(services, organisation, limit=1, **asked) for row in one.rows]

    assert walked == names
