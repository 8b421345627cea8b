"""An account of a tenant: its state, how events change it, and what may be decided on it.

A master account stands alone or has sub-accounts beneath it; a merchant account stands alone. What hangs on a closed
account (its credentials, a master's sub-accounts) is refused from that moment on, wherever it is verified; a sweep then
writes it into the history of each (`api/sweeping.py`).
"""

from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from ledger.commands import CloseAccount, DescribeAccount, OpenAccount
from ledger.errors import AccountClosed as AccountIsClosed
from ledger.errors import AlreadyExists, InvalidValue, NothingChanged
from ledger.events import AccountClosed, AccountDescribed, AccountOpened, Event, Recorded
from ledger.values import REASON_CHARS_MAX, AccountKind, Reason

OPENED_ON_MIN = date(1900, 1, 1)  # no account is older: an earlier day is a slip, such as a year of two digits


@dataclass(frozen=True, slots=True)
class Account:
    """An account as its events left it. `parent_id` is a sub-account's master; `opened_on` is a day in UTC."""

    id: UUID
    organisation_id: UUID
    kind: AccountKind
    parent_id: UUID | None
    name: str
    reference: str
    opened_on: date
    closed_at: datetime | None
    closed_by: str
    closed_reason: str
    closed_request_id: str
    version: int


def evolve(state: Account | None, recorded: Recorded) -> Account:
    """The state after one more event."""
    event, version = recorded.event, recorded.aggregate_version
    if isinstance(event, AccountOpened):
        return Account(
            id=recorded.aggregate_id,
            organisation_id=event.organisation_id,
            kind=event.kind,
            parent_id=event.parent_id,
            name=event.name,
            reference=event.reference,
            opened_on=event.opened_on,
            closed_at=None,
            closed_by="",
            closed_reason="",
            closed_request_id="",
            version=version,
        )
    if state is None:
        raise TypeError(f"an account's history cannot begin with {type(event).__name__}")
    match event:
        case AccountDescribed():
            return replace(state, name=event.name, reference=event.reference, version=version)
        case AccountClosed():
            context = event.context
            return replace(
                state,
                closed_at=context.at,
                closed_by=context.actor,
                closed_reason=context.reason,
                closed_request_id=context.request_id,
                version=version,
            )
    raise TypeError(f"an account has no branch for {type(event).__name__}")


def open_account(state: Account | None, command: OpenAccount) -> list[Event]:
    """A new account; opened today, where no earlier day is given."""
    if state is not None:
        raise AlreadyExists("an account with this id exists")
    if command.kind is AccountKind.SUB and command.parent_id is None:
        raise InvalidValue("parent_id", "is required for a sub-account: its master", "missing_field")
    if command.kind is not AccountKind.SUB and command.parent_id is not None:
        raise InvalidValue("parent_id", "only a sub-account has one", "contradiction")
    today = command.context.at.date()
    opened_on = command.opened_on or today
    if opened_on > today:
        raise InvalidValue("opened_on", "lies in the future", "future_time")
    if opened_on < OPENED_ON_MIN:
        raise InvalidValue("opened_on", f"lies before {OPENED_ON_MIN}", "out_of_range")
    return [
        AccountOpened(
            command.context,
            organisation_id=command.organisation_id,
            kind=command.kind,
            parent_id=command.parent_id,
            name=command.name,
            reference=command.reference or "",
            opened_on=opened_on,
        )
    ]


def describe_account(state: Account, command: DescribeAccount) -> list[Event]:
    """Another name or reference."""
    _refuse_closed(state)
    event = AccountDescribed(
        command.context,
        name=state.name if command.name is None else command.name,
        reference=state.reference if command.reference is None else command.reference,
    )
    if (event.name, event.reference) == (state.name, state.reference):
        raise NothingChanged("nothing would change")
    return [event]


def close_account(state: Account, command: CloseAccount) -> list[Event]:
    """The end of the account and of all that hangs on it, for a reason that is given."""
    _refuse_closed(state)
    if not command.context.reason:
        raise InvalidValue("reason", "is required: say why the account is closed", "missing_field")
    return [AccountClosed(command.context)]


def reason_of_closing(closed_reason: str) -> Reason:
    """What the histories of those say that hang on a closed account: why that was closed, cut where it is too long."""
    told = closed_reason.removeprefix(_CLOSED)
    return Reason((_CLOSED + told)[:REASON_CHARS_MAX])


_CLOSED = "account closed: "


def _refuse_closed(state: Account) -> None:
    if state.closed_at is not None:
        raise AccountIsClosed("the account is closed, which is final")
