"""Credentials as they are listed, filtered and searched. Kept up by the projector.

A row carries all that a list's answer shows, so a page is one query. Which index answers which filter stands in
docs/projections.md and is held by tests/projections/test_credential_list_plans.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from ledger.credential import Credential, evolve
from ledger.store.datastore import LedgerDatastore
from ledger.store.recorder import InlineTable, Row
from ledger.values import Channel, Environment, Kind, Mode, Status
from projections.credential_status import STATUS, status_row
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
    Beside,
    StateView,
)
from projections.words import SEARCH_WALK_ROWS, as_query, asked_words, distinct_words

LIST = InlineTable(
    "credential_list",
    key=("credential_id",),
    columns=(*STATUS.columns, "over_at", "secret_set_at", "overlap_ends_at", "search"),
)


def rows_of(credential: Credential) -> dict[InlineTable, list[Row]]:
    """The row that stands for a credential as it is."""
    c = credential
    ends = [s.expires_at for s in c.secrets[:-1] if s.expires_at is not None]
    row = {
        **status_row(c),
        "over_at": min((moment for moment in (c.revoked_at, c.expires_at) if moment), default="infinity"),
        "secret_set_at": c.rotated_at or c.created_at,
        "overlap_ends_at": max(ends) if ends else None,
        "search": _search_vector(c),
    }
    return {LIST: [row]}


VIEW: StateView[Credential] = StateView(
    name="credential_list",
    aggregate="credential",
    inline=False,
    evolve=evolve,
    tables=(LIST,),
    rows_of=rows_of,
    beside=Beside(
        "seen_at",
        "UPDATE {table} c SET seen_at = u.at FROM "
        "(SELECT credential_id, max(last_used_at) AS at FROM secret_usage GROUP BY credential_id) u "
        "WHERE u.credential_id = c.credential_id",
    ),
    handles=OF_CREDENTIALS,
    ignores=(
        *OF_ORGANISATIONS,
        *OF_CATALOGUES,
        *OF_OPERATORS,
        *OF_ACCOUNTS,
        *OF_APPLICATIONS,
        *OF_BULK_REVOCATIONS,
        *OF_WEBHOOK_ENDPOINTS,
        *OF_SIGNING_KEYS,
        *OF_EXPORTS,
        *OF_SEALED_LOG,
    ),
)


# --- words -----------------------------------------------------------------------------------------------------------


def found_by(c: Credential) -> list[str]:
    """The words that a credential is found by."""
    texts = [c.name, c.public_id, c.contact_email, c.description, *c.labels, *c.labels.values()]
    return distinct_words("\n".join(texts))


def _search_vector(c: Credential) -> str:
    tenant = _tenant(c.organisation_id)
    return " ".join([tenant + word for word in found_by(c)])


def _tenant(organisation_id: UUID) -> str:
    """What a tenant's words begin with, so that a search reads its own part of the index, whatever others call theirs.

    From the random end of the id. Should two tenants share it, the query's own condition tells them apart.
    """
    return organisation_id.hex[-6:]


def search_query(organisation_id: UUID, q: str) -> str:
    """What finds the words of a search in one tenant's list, as a tsquery."""
    return as_query(asked_words(q), _tenant(organisation_id))


# --- queries ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CredentialFilters:
    """Which credentials to list: those for which everything that is given holds.

    `q` searches name, public id, email, description and labels. The reports are about what is still good. `due_before`:
    its secret's rotation falls due before that time, and it is not suspended; `overdue`: before now. `expiring_before`:
    it expires before that. `unused_since`: made before that time, and no secret of it seen since. `without_owner`: it
    has no email to write to.
    """

    status: Status | None = None
    kind: Kind | None = None
    mode: Mode | None = None
    environment: Environment | None = None
    channel: Channel | None = None
    account: UUID | None = None
    application: UUID | None = None
    contact_email: str | None = None
    q: str | None = None
    overdue: bool = False
    due_before: datetime | None = None
    unused_since: datetime | None = None
    expiring_before: datetime | None = None
    without_owner: bool = False


EVERYTHING = CredentialFilters()

# What had ended when it last changed is in no index of what is good, whose condition is the first of these.
LIVE = "c.over_at > c.changed_at AND c.over_at > %(now)s"
# Nobody rotates what is suspended; once it is resumed it is due.
DUE = f"{LIVE} AND c.suspended_at IS NULL AND c.secret_set_at < %(set_before)s"
STATUSES = {
    Status.ACTIVE: f"{LIVE} AND c.suspended_at IS NULL AND (c.overlap_ends_at IS NULL OR c.overlap_ends_at <= %(now)s)",
    Status.ROTATING: f"{LIVE} AND c.suspended_at IS NULL AND c.overlap_ends_at > %(now)s",
    Status.SUSPENDED: f"{LIVE} AND c.suspended_at IS NOT NULL",
    Status.EXPIRED: "c.expires_at <= %(now)s AND (c.revoked_at IS NULL OR c.revoked_at > %(now)s)",
    Status.REVOKED: "c.revoked_at <= %(now)s",
}
# When it was made or in use, up to a day before its last use. An index leaves out what is in use, but for the few of
# that day, which their last uses do. A use that this has not heard of only costs a look at those.
_SEEN = "greatest(c.created_at, c.seen_at)"
_SELECT = (
    f"SELECT {', '.join(f'c.{column}' for column in STATUS.columns)}, "  # noqa: S608
    "(SELECT jsonb_object_agg(u.version, u.last_used_at) FROM secret_usage u "
    "WHERE u.credential_id = c.credential_id) AS last_used, {time} AS ordered_by "
    "FROM {source} c WHERE {where} {order} LIMIT %(limit)s"
)


@dataclass(frozen=True, slots=True)
class _Order:
    """By a time, an expression over a row `c`, and then by id, both one way, as an index has them."""

    time: str
    descending: bool

    @property
    def clause(self) -> str:
        way = "DESC" if self.descending else "ASC"
        return f"ORDER BY {self.time} {way}, c.credential_id {way}"

    @property
    def after(self) -> str:
        """The condition for what comes after a cursor."""
        sign = "<" if self.descending else ">"
        return f"({self.time}, c.credential_id) {sign} (%(after_time)s, %(after_id)s)"


def _order_of(filters: CredentialFilters) -> _Order:
    """A list of what a time decides about comes by that time, so that a page is a part of its index: first what is due
    the longest, what ends the soonest (itself or its overlap), what lies idle the longest, what ended last. Any other
    comes newest first.
    """
    if filters.overdue or filters.due_before is not None:
        return _Order("c.secret_set_at", descending=False)
    if filters.expiring_before is not None:
        return _Order("c.over_at", descending=False)
    if filters.unused_since is not None:
        return _Order(_SEEN, descending=False)
    if filters.status is Status.ROTATING:
        return _Order("c.overlap_ends_at", descending=False)
    if filters.status is Status.EXPIRED:
        return _Order("c.expires_at", descending=True)
    return _Order("c.created_at", descending=True)


def list_credentials(
    store: LedgerDatastore,
    organisation_id: UUID,
    filters: CredentialFilters = EVERYTHING,
    *,
    now: datetime,
    rotation_days: int,
    cursor: str | None = None,
    limit: int = LIMIT_DEFAULT,
) -> Page:
    """A page of an organisation's credentials: newest first, or by the time that a filter is about (`_order_of`).

    Rows have the columns of `credential_status` and `last_used` ({version: time}), as `find_credential` gives them.
    Raises `InvalidValue` for a limit out of bounds, a cursor that is none or of another list, and an unusable `q`.
    """
    queries, parameters = list_queries(
        organisation_id, filters, now=now, rotation_days=rotation_days, cursor=cursor, limit=limit
    )
    rows: list[dict[str, Any]] = []
    for query in queries:
        rows = rows_of_page(store, query, parameters)
        times = [row.pop("ordered_by") for row in rows]
        if len(rows) > limit:
            rows.pop()
            key = (times[-2], rows[-1]["credential_id"])
            return Page(rows, encode_cursor(key, (organisation_id, filters)))
    return Page(rows, None)


def count_credentials(
    store: LedgerDatastore,
    organisation_id: UUID,
    filters: CredentialFilters,
    *,
    now: datetime,
    rotation_days: int,
    most: int,
) -> int:
    """How many of an organisation's credentials these filters find (but for `q`), counted to `most` and no further, so
    that a number on a page costs no more than a page of the list does.
    """
    conditions, parameters = conditions_of(filters, now=now, rotation_days=rotation_days)
    where = " AND ".join(["c.organisation_id = %(organisation)s", *conditions])
    query = f"SELECT count(*) AS found FROM (SELECT FROM credential_list c WHERE {where} LIMIT %(most)s) counted"  # noqa: S608
    found: int = rows_of_page(store, query, parameters | {"organisation": organisation_id, "most": most})[0]["found"]
    return found


def list_queries(
    organisation_id: UUID,
    filters: CredentialFilters,
    *,
    now: datetime,
    rotation_days: int,
    cursor: str | None,
    limit: int,
) -> tuple[list[str], dict[str, Any]]:
    """The statements of a page and their parameters; the first that gives more rows than the limit is enough.

    A search is two: among the next thousand rows, and, if those do not fill the page, through the index of words. The
    planner cannot choose between the two ways, as it guesses how many rows have a word that begins so.
    """
    conditions, parameters = conditions_of(filters, now=now, rotation_days=rotation_days)
    parameters |= {
        "organisation": organisation_id,
        "limit": checked_limit(limit) + 1,
        "search_walk": SEARCH_WALK_ROWS,
    }
    order = _order_of(filters)
    after = ["c.organisation_id = %(organisation)s"]
    if cursor is not None:
        key = decode_cursor(cursor, tuple[datetime, UUID], (organisation_id, filters))
        parameters["after_time"], parameters["after_id"] = key
        after.append(order.after)
    where = " AND ".join([*after, *conditions])
    select = partial(_SELECT.format, time=order.time, order=order.clause)
    if filters.q is None:
        return [select(source="credential_list", where=where)], parameters
    parameters["q"] = search_query(organisation_id, filters.q)
    next_rows = f"(SELECT * FROM credential_list c WHERE {' AND '.join(after)} {order.clause} LIMIT %(search_walk)s)"  # noqa: S608
    return [
        select(source=next_rows, where=f"{where} AND c.search @@ %(q)s::tsquery"),
        # OFFSET 0 keeps the planner from walking the list instead.
        select(source="(SELECT * FROM credential_list c WHERE c.search @@ %(q)s::tsquery OFFSET 0)", where=where),
    ], parameters


def conditions_of(filters: CredentialFilters, *, now: datetime, rotation_days: int) -> tuple[list[str], dict[str, Any]]:
    """All filters but `q` as SQL about a row `c` of the list, and the parameters that it names."""
    parameters: dict[str, Any] = {"now": now}
    conditions = [*_conditions(filters, parameters)]
    due = [moment for moment in (now if filters.overdue else None, filters.due_before) if moment]
    if due:
        parameters["set_before"] = set_before(min(due), rotation_days)
        conditions.append(DUE)
    return conditions, parameters


def holds_erased(store: LedgerDatastore) -> bool:
    """Whether the list still holds personal data that was erased, as it is not up to the log."""
    row = store.row(
        "SELECT EXISTS (SELECT FROM credential_status s JOIN credential_list c USING (credential_id) "
        "WHERE s.erased_at IS NOT NULL AND c.erased_at IS NULL) AS holds"
    )
    return bool(row and row["holds"])


def set_before(due_before: datetime, rotation_days: int) -> datetime:
    """Before when a secret was set whose rotation is due before that time."""
    period = timedelta(days=rotation_days)
    return max(due_before, datetime.min.replace(tzinfo=UTC) + period) - period


def _conditions(filters: CredentialFilters, parameters: dict[str, Any]) -> Iterator[str]:
    """The filters as SQL over literal columns; what was asked for goes into the parameters."""
    for column, value in (
        ("kind", filters.kind),
        ("mode", filters.mode),
        ("environment", filters.environment),
        ("channel", filters.channel),
        ("account_id", filters.account),
        ("application_id", filters.application),
    ):
        if value is not None:
            parameters[column] = value if isinstance(value, UUID) else str(value)
            yield f"c.{column} = %({column})s"
    if filters.status is not None:
        yield STATUSES[filters.status]
    if filters.contact_email is not None:
        parameters["contact_email"] = filters.contact_email
        yield "lower(c.contact_email) = lower(%(contact_email)s) AND c.contact_email <> ''"
    if filters.expiring_before is not None:
        parameters["expiring_before"] = filters.expiring_before
        # What comes first is the expiry, and not a revocation that was set for an earlier time.
        yield f"{LIVE} AND c.over_at < %(expiring_before)s AND c.over_at = c.expires_at"
    if filters.without_owner:
        yield f"{LIVE} AND c.contact_email = ''"
    if filters.unused_since is not None:
        parameters["unused_since"] = filters.unused_since
        yield (
            f"{LIVE} AND {_SEEN} < %(unused_since)s AND NOT EXISTS (SELECT FROM secret_usage s "
            # OFFSET 0 keeps the planner from reading all uses there are, to join them.
            "WHERE s.credential_id = c.credential_id AND s.last_used_at >= %(unused_since)s OFFSET 0)"
        )
