"""The list of credentials as of a time: what folding every history up to then gives, in pages and as a stream."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given as drawn
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from api.wiring import Services
from ledger.commands import (
    Command,
    DescribeCredential,
    EndOverlap,
    EraseCredential,
    ResumeCredential,
    RevokeCredential,
    RotateSecret,
    SuspendCredential,
)
from ledger.credential import Credential, evolve
from ledger.errors import InvalidValue, LedgerError, ViewBehind
from ledger.values import EmailAddress, Environment, Kind, Label, Mode, Status
from projections import credentials_as_of as subject
from projections.credential_list import CredentialFilters, found_by
from projections.credentials_as_of import credentials_as_of, list_credentials_as_of
from projections.view import fold
from projections.words import words
from tests import given
from tests.projections.keeping_up import catch_up

ROTATION_DAYS = 90
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAYS = st.integers(0, 200)


def on_day(day: int) -> datetime:
    return BEGINNING + day * DAY


@pytest.fixture
def organisation(services: Services) -> UUID:
    return given.an_organisation(services)


def make(services: Services, organisation: UUID, day: int, **changes: Any) -> UUID:
    context = given.context(on_day(day))
    return given.a_credential(services, organisation, context=context, **changes)[0].id


def pages(services: Services, organisation: UUID, at: datetime, filters: CredentialFilters) -> Iterable[Credential]:
    cursor = None
    while True:
        found, cursor = list_credentials_as_of(services.log, organisation, at, filters, cursor=cursor, limit=2)
        assert len(found) <= 2
        yield from found
        if cursor is None:
            return


# --- the rule, for any lives -----------------------------------------------------------------------------------------


def naively(
    services: Services, ids: Iterable[UUID], at: datetime, filters: CredentialFilters
) -> list[tuple[UUID, int, Status]]:
    """Every history folded up to the time, and looked at: newest first."""
    found = []
    for credential_id in ids:
        recorded = services.log.history(credential_id).recorded
        late = (index for index, one in enumerate(recorded) if one.event.context.at > at)
        until = recorded[: next(late, len(recorded))]
        erased = bool(recorded) and fold(evolve, recorded).erased_at is not None
        if until and fits(fold(evolve, until), at, filters, erased=erased):
            found.append(fold(evolve, until))
    found.sort(key=lambda c: (c.created_at, c.id), reverse=True)
    return [(c.id, c.version, c.status(at)) for c in found]


def fits(c: Credential, at: datetime, filters: CredentialFilters, *, erased: bool) -> bool:
    """The filters in plain words, one after the other."""
    good = c.status(at) not in (Status.REVOKED, Status.EXPIRED)
    due_at = (c.rotated_at or c.created_at) + ROTATION_DAYS * DAY
    due = good and c.suspended_at is None
    first_end = min([moment for moment in (c.revoked_at, c.expires_at) if moment], default=None)
    holds: dict[str, Callable[[Any], bool]] = {
        "status": lambda value: c.status(at) is value,
        "kind": lambda value: c.kind is value,
        "mode": lambda value: c.mode is value,
        "environment": lambda value: c.environment is value,
        "contact_email": lambda value: c.contact_email.lower() == value.lower(),
        "q": lambda value: any(word.startswith(words(value)[-1]) for word in found_by(c)),
        "overdue": lambda value: not value or (due and due_at < at),
        "due_before": lambda value: due and due_at < value,
        "expiring_before": lambda value: good and c.expires_at == first_end is not None and c.expires_at < value,
        "without_owner": lambda value: not value or (good and c.contact_email == "" and not erased),
    }
    return all(rule(getattr(filters, name)) for name, rule in holds.items() if getattr(filters, name) is not None)


CREDENTIALS = st.fixed_dictionaries(
    {"day": DAYS},
    optional={
        "kind": st.sampled_from([Kind.API_KEY, Kind.OAUTH_CLIENT]),
        "name": st.sampled_from(["Billing", "Payouts"]).map(Label),
        "contact_email": st.none() | st.just(EmailAddress("Ada@example.com")),
        "lives_for": st.integers(1, 200),
    },
)
STEPS = st.sampled_from(
    ["rotate", "rotate for long", "end overlap", "suspend", "resume", "describe", "revoke", "revoke later", "erase"]
)
FILTERS = st.builds(
    CredentialFilters,
    status=st.none() | st.sampled_from(Status),
    kind=st.none() | st.just(Kind.API_KEY),
    environment=st.none() | st.just(Environment.PRODUCTION),
    contact_email=st.none() | st.sampled_from(["ada@example.com", "grace@example.com"]),
    q=st.none() | st.sampled_from(["bill", "grace"]),
    overdue=st.booleans(),
    due_before=st.none() | DAYS.map(on_day),
    expiring_before=st.none() | DAYS.map(on_day),
    without_owner=st.booleans(),
)
# Most filters with most others find nothing, so half of the times there is one.
ONE_FILTER = st.one_of(
    st.builds(CredentialFilters, status=st.sampled_from(Status)),
    st.builds(CredentialFilters, contact_email=st.just("grace@example.com")),
    st.builds(CredentialFilters, q=st.just("grace")),
    st.builds(CredentialFilters, overdue=st.just(True)),
    st.builds(CredentialFilters, due_before=DAYS.map(on_day)),
    st.builds(CredentialFilters, expiring_before=DAYS.map(on_day)),
    st.builds(CredentialFilters, without_owner=st.just(True)),
    st.just(CredentialFilters()),
)


def step(services: Services, what: str, credential_id: UUID, day: int) -> Command:
    of: dict[str, Any] = {"context": given.context(on_day(day)), "credential_id": credential_id}
    if what.startswith("rotate"):
        secret = services.keyring.digests.issue(Kind.API_KEY, Mode.LIVE).stored
        return RotateSecret(**of, secret=secret, overlap=30 * DAY if what == "rotate for long" else timedelta(0))
    commands: dict[str, Command] = {
        "end overlap": EndOverlap(**of),
        "suspend": SuspendCredential(**of),
        "resume": ResumeCredential(**of),
        "describe": DescribeCredential(**of, contact_email=EmailAddress("grace@example.com")),
        "revoke": RevokeCredential(**of),
        "revoke later": RevokeCredential(**of, effective_at=on_day(day + 20)),
        "erase": EraseCredential(**of),
    }
    return commands[what]


@hypothesis_settings(max_examples=60)
@drawn(
    st.lists(CREDENTIALS, min_size=1, max_size=6),
    st.lists(st.tuples(STEPS, st.integers(0, 5), DAYS), max_size=25),
    st.lists(st.tuples(DAYS, ONE_FILTER | FILTERS), min_size=1, max_size=20),
)
def test_the_list_as_of_a_time_is_every_history_folded_up_to_then(
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    born: list[dict[str, Any]],
    steps: list[tuple[str, int, int]],
    asked: list[tuple[int, CredentialFilters]],
) -> None:
    monkeypatch.setattr(subject, "CHUNK_MAX", 3)
    organisation = given.an_organisation(services)
    ids = []
    for one in born:
        expires_at = on_day(one["day"] + one.pop("lives_for")) if "lives_for" in one else None
        ids.append(make(services, organisation, **one, expires_at=expires_at))
    for what, which, day in steps:  # in no order of time: clocks differ
        with suppress(LedgerError):
            services.ledger.handle(step(services, what, ids[which % len(ids)], day))
    catch_up(services)

    for day, filters in asked:
        at = on_day(day)
        expected = naively(services, ids, at, filters)
        paged = [(c.id, c.version, c.status(at)) for c in pages(services, organisation, at, filters)]
        streamed = [(c.id, c.version, c.status(at)) for c in credentials_as_of(services.log, organisation, at, filters)]
        assert paged == streamed == expected


# --- the rest, case by case ------------------------------------------------------------------------------------------


def test_an_erased_credential_is_listed_as_erased_also_as_of_a_time_before_that(
    services: Services, organisation: UUID
) -> None:
    credential = make(services, organisation, 1)
    for what in ("revoke", "erase"):
        services.ledger.handle(step(services, what, credential, 10))
    catch_up(services)
    (then,) = credentials_as_of(services.log, organisation, on_day(5))
    assert (then.version, then.status(on_day(5))) == (2, Status.ACTIVE)
    assert (then.contact_email, then.erased_at) == ("", on_day(10))


def test_what_was_erased_since_is_not_said_to_have_had_no_owner(services: Services, organisation: UUID) -> None:
    erased, without = make(services, organisation, 1), make(services, organisation, 2, contact_email=None)
    for what in ("revoke", "erase"):
        services.ledger.handle(step(services, what, erased, 10))
    catch_up(services)
    found = credentials_as_of(services.log, organisation, on_day(5), CredentialFilters(without_owner=True))
    assert [c.id for c in found] == [without]


def test_another_organisations_credentials_are_not_there(services: Services, organisation: UUID) -> None:
    make(services, given.an_organisation(services, "Other"), 1)
    catch_up(services)
    assert list(credentials_as_of(services.log, organisation, on_day(5))) == []


def test_when_a_secret_was_used_is_not_asked_of_the_past(services: Services, organisation: UUID) -> None:
    with pytest.raises(InvalidValue, match="last use") as refused:
        list_credentials_as_of(services.log, organisation, on_day(5), CredentialFilters(unused_since=on_day(1)))
    assert refused.value.field == "unused_since"


def test_a_page_looks_at_a_bounded_number_and_the_next_goes_on_from_there(
    services: Services, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "LOOKED_AT_MAX", 2)
    oldest, *_ = [make(services, organisation, day) for day in range(5)]
    services.ledger.handle(step(services, "suspend", oldest, 6))
    catch_up(services)
    found: list[list[UUID]] = []
    cursors: list[str | None] = [None]
    while True:
        asked = CredentialFilters(status=Status.SUSPENDED)
        page = list_credentials_as_of(services.log, organisation, on_day(7), asked, cursor=cursors[-1])
        found.append([c.id for c in page.credentials])
        if page.cursor is None:
            break
        cursors.append(page.cursor)
    assert found == [[], [], [oldest]]
    assert all(one != other for one, other in pairwise(cursors))


def test_a_cursor_is_good_for_its_own_time_alone(services: Services, organisation: UUID) -> None:
    for day in range(2):
        make(services, organisation, day)
    catch_up(services)
    cursor = list_credentials_as_of(services.log, organisation, on_day(5), limit=1).cursor
    with pytest.raises(InvalidValue, match="other filters"):
        list_credentials_as_of(services.log, organisation, on_day(6), limit=1, cursor=cursor)


def test_what_is_taken_for_everything_is_refused_where_the_list_is_behind(
    services: Services, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "CATCH_UP_SECONDS", 0.1)
    make(services, organisation, 1)
    with pytest.raises(ViewBehind):
        credentials_as_of(services.log, organisation, on_day(5))
