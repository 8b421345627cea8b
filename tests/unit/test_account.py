"""The rules of an account: opened, described, closed; and which ones begin with channel logins."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from ledger import errors
from ledger.account import Account, evolve, reason_of_closing
from ledger.commands import CloseAccount, DescribeAccount, OpenAccount
from ledger.events import AccountClosed, AccountDescribed, AccountOpened, Event
from ledger.opening import default_channels
from ledger.service import ACCOUNT, fold
from ledger.settings import Settings
from ledger.values import REASON_CHARS_MAX, AccountKind, Channel, Name, Reference
from tests.unit.deciding import AGGREGATE, NOW, ORGANISATION, START, at, given, recorded

PARENT = UUID("0197a000-0000-7000-8000-000000000009")
TODAY = NOW.date()


def opened(when: datetime = START, **changes: Any) -> AccountOpened:
    """A master account, opened some years ago."""
    values: dict[str, Any] = {
        "organisation_id": ORGANISATION,
        "kind": AccountKind.MASTER,
        "parent_id": None,
        "name": "Acme",
        "reference": "C-1",
        "opened_on": date(2024, 1, 31),
        **changes,
    }
    return AccountOpened(at(when), **values)


def open_(**changes: Any) -> OpenAccount:
    values: dict[str, Any] = {
        "context": at(NOW),
        "account_id": AGGREGATE,
        "organisation_id": ORGANISATION,
        "kind": AccountKind.MASTER,
        "name": Name("Acme"),
        "reference": Reference("C-1"),
        "opened_on": date(2024, 1, 31),
        **changes,
    }
    return OpenAccount(**values)


def describe(**changes: Any) -> DescribeAccount:
    return DescribeAccount(context=at(NOW), account_id=AGGREGATE, **changes)


def close(reason: str = "contract ended") -> CloseAccount:
    return CloseAccount(context=at(NOW, reason=reason), account_id=AGGREGATE)


def closed() -> AccountClosed:
    return AccountClosed(at(START, reason="contract ended", request_id="req-1"))


def after(*events: Event) -> Account:
    state: Account = fold(ACCOUNT, recorded(events))
    return state


def test_a_master_or_a_merchant_is_opened_alone_and_a_sub_account_beneath_its_master() -> None:
    given().when(open_()).then(opened(NOW))
    given().when(open_(kind=AccountKind.MERCHANT)).then(opened(NOW, kind=AccountKind.MERCHANT))
    sub = {"kind": AccountKind.SUB, "parent_id": PARENT}
    given().when(open_(**sub)).then(opened(NOW, **sub))
    given().when(open_(kind=AccountKind.SUB)).refuses(errors.InvalidValue, "missing_field", field="parent_id")
    for kind in (AccountKind.MASTER, AccountKind.MERCHANT):
        given().when(open_(kind=kind, parent_id=PARENT)).refuses(
            errors.InvalidValue, "contradiction", field="parent_id"
        )


def test_an_account_is_opened_on_the_day_that_is_given_or_today_in_utc() -> None:
    given().when(open_(opened_on=None)).then(opened(NOW, opened_on=TODAY))
    given().when(open_(opened_on=TODAY)).then(opened(NOW, opened_on=TODAY))
    given().when(open_(opened_on=date(1900, 1, 1))).then(opened(NOW, opened_on=date(1900, 1, 1)))
    given().when(open_(opened_on=date(1899, 12, 31))).refuses(errors.InvalidValue, "out_of_range", field="opened_on")
    given().when(open_(opened_on=TODAY + timedelta(days=1))).refuses(
        errors.InvalidValue, "future_time", field="opened_on"
    )


def test_a_reference_may_be_left_out() -> None:
    given().when(open_(reference=None)).then(opened(NOW, reference=""))


def test_an_id_is_used_once() -> None:
    given(opened()).when(open_()).refuses(errors.AlreadyExists, "already_exists")


def test_describing_changes_what_is_given_and_leaves_the_rest() -> None:
    given(opened()).when(describe(name=Name("New"))).then(AccountDescribed(at(NOW), "New", "C-1"))
    given(opened()).when(describe(reference=Reference(""))).then(AccountDescribed(at(NOW), "Acme", ""))
    described = after(opened(), AccountDescribed(at(NOW), "New", "C-2"))
    assert (described.name, described.reference) == ("New", "C-2")


@pytest.mark.parametrize("command", [describe(), describe(name=Name("Acme"), reference=Reference("C-1"))])
def test_describing_it_as_it_is_records_nothing(command: DescribeAccount) -> None:
    given(opened()).when(command).refuses(errors.NothingChanged, "nothing_changed")


def test_closing_says_why_and_is_final() -> None:
    given(opened()).when(close()).then(AccountClosed(at(NOW, reason="contract ended")))
    given(opened()).when(close("")).refuses(errors.InvalidValue, "missing_field", field="reason")
    for command in (close(), describe(name=Name("New"))):
        given(opened(), closed()).when(command).refuses(errors.AccountClosed, "account_closed")


def test_a_closed_account_remembers_who_closed_it_when_why_and_for_which_request() -> None:
    state = after(opened(), closed())
    assert state.closed_at == START
    assert (state.closed_by, state.closed_reason, state.closed_request_id) == (
        "command_line:tester",
        "contract ended",
        "req-1",
    )


def test_what_hangs_on_it_is_told_its_reason_once_and_within_bounds() -> None:
    assert reason_of_closing("moved") == "account closed: moved"
    assert reason_of_closing(reason_of_closing("moved")) == "account closed: moved"
    assert len(reason_of_closing("r" * REASON_CHARS_MAX)) == REASON_CHARS_MAX


def test_a_history_cannot_begin_in_the_middle() -> None:
    with pytest.raises(TypeError, match="cannot begin with AccountClosed"):
        evolve(None, recorded([closed()])[0])


DEFAULTS = (Channel.FTP, Channel.HTTP, Channel.WEB_SERVICE, Channel.EMAIL)


@pytest.mark.parametrize(
    ("kind", "opened_on", "channels"),
    [
        (AccountKind.MASTER, date(2023, 6, 5), DEFAULTS),
        (AccountKind.MASTER, date(1999, 12, 31), DEFAULTS),
        (AccountKind.MASTER, date(2023, 6, 6), ()),
        (AccountKind.MASTER, None, ()),
        (AccountKind.SUB, date(2023, 6, 5), ()),
        (AccountKind.MERCHANT, date(2023, 6, 5), ()),
    ],
)
def test_masters_of_before_the_day_begin_with_the_default_channels_and_no_others(
    kind: AccountKind, opened_on: date | None, channels: tuple[Channel, ...]
) -> None:
    assert default_channels(Settings(), open_(kind=kind, opened_on=opened_on)) == channels


def test_the_day_and_the_channels_are_settings() -> None:
    settings = Settings(channel_defaults_before=date(2000, 1, 1), default_channels=(Channel.REST,))
    assert default_channels(settings, open_(opened_on=date(1999, 12, 31))) == (Channel.REST,)
    assert default_channels(settings, open_(opened_on=date(2000, 1, 1))) == ()


def test_where_no_day_is_given_it_is_today_in_utc_also_for_the_defaults() -> None:
    there = datetime(2023, 6, 6, 1, tzinfo=timezone(timedelta(hours=14)))
    command = open_(context=at(there.astimezone(UTC)), opened_on=None)
    assert default_channels(Settings(), command) == DEFAULTS
