"""Accounts, as they are read and listed, and as verification finds them closed. Inline: a closed one is so at once."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.account import Account, evolve
from ledger.store.datastore import LedgerDatastore
from ledger.store.recorder import InlineTable, Row
from ledger.values import AccountKind
from projections.pages import LIMIT_DEFAULT, Page, checked_limit, decode_cursor, encode_cursor, rows_of_page
from projections.view import (
    OF_ACCOUNTS,
    OF_APPLICATIONS,
    OF_BULK_REVOCATIONS,
    OF_CATALOGUES,
    OF_CREDENTIALS,
    OF_EXPORTS,
    OF_OPERATORS,
    OF_ORGANISATIONS,
    OF_SEALED_LOG,
    OF_SIGNING_KEYS,
    OF_WEBHOOK_ENDPOINTS,
    StateView,
)

STATUS = InlineTable(
    "account_status",
    key=("account_id",),
    columns=(
        "account_id",
        "organisation_id",
        "kind",
        "parent_id",
        "name",
        "reference",
        "opened_on",
        "closed_at",
        "closed_by",
        "closed_reason",
        "closed_request_id",
        "version",
    ),
)


def rows_of(account: Account) -> dict[InlineTable, list[Row]]:
    """The row that stands for an account as it is."""
    return {STATUS: [status_row(account)]}


def status_row(account: Account) -> Row:
    """An account as it is read."""
    return {
        "account_id": account.id,
        "organisation_id": account.organisation_id,
        "kind": account.kind,
        "parent_id": account.parent_id,
        "name": account.name,
        "reference": account.reference,
        "opened_on": account.opened_on,
        "closed_at": account.closed_at,
        "closed_by": account.closed_by,
        "closed_reason": account.closed_reason,
        "closed_request_id": account.closed_request_id,
        "version": account.version,
    }


VIEW: StateView[Account] = StateView(
    name="account_status",
    aggregate="account",
    inline=True,
    evolve=evolve,
    tables=(STATUS,),
    rows_of=rows_of,
    handles=OF_ACCOUNTS,
    ignores=(
        *OF_ORGANISATIONS,
        *OF_CATALOGUES,
        *OF_OPERATORS,
        *OF_APPLICATIONS,
        *OF_CREDENTIALS,
        *OF_BULK_REVOCATIONS,
        *OF_WEBHOOK_ENDPOINTS,
        *OF_SIGNING_KEYS,
        *OF_EXPORTS,
        *OF_SEALED_LOG,
    ),
)


# --- queries ---------------------------------------------------------------------------------------------------------

# With the master that a sub-account is closed with, and the channels on which a key of the account is good now.
_CLOSED = "coalesce(a.closed_at, p.closed_at) IS NOT NULL"
_SELECT = (
    f"SELECT a.*, p.closed_at AS parent_closed_at, CASE WHEN {_CLOSED} THEN '[]'::jsonb ELSE ("  # noqa: S608
    "SELECT coalesce(jsonb_agg(jsonb_build_object('channel', c.channel, 'credential_id', c.credential_id, "
    "'kind', c.kind, 'public_id', c.public_id, 'mode', c.mode) ORDER BY c.channel, c.created_at, c.credential_id), "
    "'[]'::jsonb) FROM credential_status c WHERE c.account_id = a.account_id AND c.channel IS NOT NULL "
    "AND coalesce(c.revoked_at, 'infinity'::timestamptz) > %(now)s AND c.suspended_at IS NULL "
    "AND (c.expires_at IS NULL OR c.expires_at > %(now)s)) END AS channels "
    "FROM account_status a LEFT JOIN account_status p ON p.account_id = a.parent_id "
)


def find_account(
    store: LedgerDatastore, organisation_id: UUID, account_id: UUID, *, now: datetime
) -> dict[str, Any] | None:
    """One account's row, with `parent_closed_at` and its active `channels`; None where there is no such one."""
    return store.row(
        _SELECT + "WHERE a.account_id = %(account)s AND a.organisation_id = %(organisation)s",
        {"account": account_id, "organisation": organisation_id, "now": now},
    )


@dataclass(frozen=True, slots=True)
class AccountFilters:
    """Which accounts to list: those for which everything that is given holds.

    `parent` is a master, whose sub-accounts are listed; `q` is a part of the name or of the reference.
    """

    kind: AccountKind | None = None
    parent: UUID | None = None
    closed: bool | None = None
    q: str | None = None


EVERY_ACCOUNT = AccountFilters()


def list_accounts(
    store: LedgerDatastore,
    organisation_id: UUID,
    filters: AccountFilters = EVERY_ACCOUNT,
    *,
    now: datetime,
    cursor: str | None = None,
    limit: int = LIMIT_DEFAULT,
) -> Page:
    """A page of an organisation's accounts, in the order in which they were entered; rows as `find_account` has them.

    Raises `InvalidValue` for a limit out of bounds and a cursor that is none or of another list.
    """
    parameters: dict[str, Any] = {"organisation": organisation_id, "now": now, "limit": checked_limit(limit) + 1}
    conditions = ["a.organisation_id = %(organisation)s"]
    if filters.kind is not None:
        parameters["kind"] = str(filters.kind)
        conditions.append("a.kind = %(kind)s")
    if filters.parent is not None:
        parameters["parent"] = filters.parent
        conditions.append("a.parent_id = %(parent)s")
    if filters.closed is not None:
        conditions.append(_CLOSED if filters.closed else f"NOT ({_CLOSED})")
    if filters.q is not None:
        # Walks the accounts of the organisation: there are thousands of them where there are millions of credentials.
        parameters["q"] = filters.q
        conditions.append(
            "(position(lower(%(q)s) IN lower(a.name)) > 0 OR position(lower(%(q)s) IN lower(a.reference)) > 0)"
        )
    if cursor is not None:
        parameters["after"] = decode_cursor(cursor, tuple[UUID], (organisation_id, filters))[0]
        conditions.append("a.account_id > %(after)s")
    rows = rows_of_page(
        store, f"{_SELECT} WHERE {' AND '.join(conditions)} ORDER BY a.account_id LIMIT %(limit)s", parameters
    )
    if len(rows) <= limit:
        return Page(rows, None)
    rows.pop()
    return Page(rows, encode_cursor((rows[-1]["account_id"],), (organisation_id, filters)))


@dataclass(frozen=True, slots=True)
class LeftOpen:
    """What hangs on a closed account and does not say so itself yet: its id, and who closed the account and why."""

    id: UUID
    closed_by: str
    closed_reason: str
    closed_request_id: str


def list_subs_left_open(store: LedgerDatastore, limit: int) -> list[LeftOpen]:
    """Sub-accounts of closed masters that are not closed themselves yet."""
    return _left_open(
        store,
        "SELECT s.account_id AS id, m.closed_by, m.closed_reason, m.closed_request_id FROM account_status m "
        "JOIN account_status s ON s.parent_id = m.account_id "
        "WHERE m.closed_at IS NOT NULL AND s.closed_at IS NULL LIMIT %s",
        limit,
    )


def list_credentials_left_open(store: LedgerDatastore, limit: int) -> list[LeftOpen]:
    """Credentials of closed accounts that are not revoked themselves yet."""
    return _left_open(
        store,
        "SELECT c.credential_id AS id, a.closed_by, a.closed_reason, a.closed_request_id FROM account_status a "
        # One look at an index for each closed account: OFFSET 0 keeps the planner from reading all credentials instead.
        "CROSS JOIN LATERAL (SELECT credential_id, changed_at, revoked_at FROM credential_status s "
        "WHERE s.account_id = a.account_id AND coalesce(s.revoked_at, 'infinity'::timestamptz) > now() OFFSET 0) c "
        # By our clock it is not revoked yet; by that of whoever revoked it, it may be.
        "WHERE a.closed_at IS NOT NULL AND coalesce(c.revoked_at, 'infinity'::timestamptz) > c.changed_at LIMIT %s",
        limit,
    )


def _left_open(store: LedgerDatastore, query: str, limit: int) -> list[LeftOpen]:
    return [LeftOpen(**row) for row in store.rows(query, (limit,))]
