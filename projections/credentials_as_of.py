"""An organisation's credentials as they were at a time: page by page, or all of them as a stream.

The list says which there were by then, newest first, in chunks; their histories, folded up to then, say what they were.
What a credential keeps for good, and what its row still tells of that time, is asked of the list in SQL, so that little
is folded in vain. Nothing here changes afterwards but by erasure, and by an event from a machine whose clock is behind.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from ledger.credential import Credential
from ledger.errors import InvalidValue, ViewBehind
from ledger.store.log import EventLog
from ledger.values import Status
from projections.credential_list import (
    EVERYTHING,
    STATUSES,
    VIEW,
    CredentialFilters,
    conditions_of,
    found_by,
    search_query,
    set_before,
)
from projections.history import Life, Moment
from projections.pages import LIMIT_DEFAULT, Page, checked_limit, decode_cursor, encode_cursor, rows_of_page
from projections.runner import wait_for
from projections.words import asked_words

CHUNK_MAX = 250  # histories in memory at a time; two round trips are then little beside folding them
LOOKED_AT_MAX = 5_000  # credentials for one page: half a second's, where each must be folded and none fits
CATCH_UP_SECONDS = 2.0  # views are milliseconds behind; a thread that waits longer is one that others need

Key = tuple[datetime, UUID]


class PastPage(NamedTuple):
    """Some credentials as they were, and the cursor of the next page; None on the last.

    A page has fewer than were asked for, or none, where few of those that it looked at fit; the next goes on.
    """

    credentials: list[Credential]
    cursor: str | None


def list_credentials_as_of(
    log: EventLog,
    organisation_id: UUID,
    at: datetime,
    filters: CredentialFilters = EVERYTHING,
    *,
    cursor: str | None = None,
    limit: int = LIMIT_DEFAULT,
) -> PastPage:
    """A page of an organisation's credentials as they were at a time, newest first whatever the filters.

    Raises `InvalidValue` as `list_credentials` does, and for `unused_since`.
    """
    checked_limit(limit)
    of = (organisation_id, filters, at)
    last = decode_cursor(cursor, tuple[datetime, UUID], of) if cursor is not None else _beginning(at)
    found: list[Credential] = []
    walked = _walk(log, organisation_id, at, filters, last, limit + 1)
    for looked_at, (key, credential) in enumerate(walked, 1):
        if credential is not None:
            if len(found) == limit:
                return PastPage(found, encode_cursor(last, of))
            found.append(credential)
        last = key
        if looked_at == LOOKED_AT_MAX:
            return PastPage(found, encode_cursor(last, of))
    return PastPage(found, None)


def credentials_as_of(
    log: EventLog, organisation_id: UUID, at: datetime, filters: CredentialFilters = EVERYTHING
) -> Iterator[Credential]:
    """All of an organisation's credentials as they were at a time, newest first, in bounded memory.

    Raises `ViewBehind` where the list lacks events that the log has: nothing may be missing from what is taken for
    everything.
    """
    if not wait_for(log.datastore, VIEW.name, log.head(), CATCH_UP_SECONDS):
        raise ViewBehind("the list of credentials lacks the newest events: is a projector running?")
    walked = _walk(log, organisation_id, at, filters, _beginning(at), CHUNK_MAX)
    return (credential for _, credential in walked if credential is not None)


def owners_as_of(log: EventLog, organisation_id: UUID, at: datetime) -> list[dict[str, Any]]:
    """Who answered for an organisation's good credentials at a time: what `list_owners` gives, all of them.

    Each credential is folded, a second for some ten thousand; what is kept of them is a line for each owner. Raises
    `ViewBehind` as `credentials_as_of` does.
    """
    before = set_before(at, log.settings.rotation_days)
    owners: dict[str, dict[str, Any]] = {}
    for credential in credentials_as_of(log, organisation_id, at):
        if not credential.contact_email or credential.status(at) in (Status.REVOKED, Status.EXPIRED):
            continue
        email = credential.contact_email.lower()
        nothing = {"credentials": 0, "overdue": 0, "oldest_secret_at": None}
        owner = owners.setdefault(email, {"organisation_id": organisation_id, "contact_email": email, **nothing})
        owner["credentials"] += 1
        if credential.suspended_at is None:
            set_at = credential.rotated_at or credential.created_at
            owner["overdue"] += set_at < before
            owner["oldest_secret_at"] = min(set_at, owner["oldest_secret_at"] or set_at)
    return [owners[email] for email in sorted(owners)]


def list_owners_as_of(
    log: EventLog, organisation_id: UUID, at: datetime, *, cursor: str | None = None, limit: int = LIMIT_DEFAULT
) -> Page:
    """A page of `owners_as_of`, each of which looks at every credential anew.

    Raises `InvalidValue` as `list_owners` does, and where that would be more than `LOOKED_AT_MAX`.
    """
    of = ("owners", organisation_id, at)
    after = decode_cursor(cursor, tuple[str], of)[0] if cursor is not None else ""
    checked_limit(limit)
    there = log.datastore.row(
        "SELECT count(*) AS credentials FROM (SELECT FROM credential_list c "
        "WHERE c.organisation_id = %s AND c.created_at <= %s LIMIT %s) c",
        (organisation_id, at, LOOKED_AT_MAX + 1),
    )
    if there is None or there["credentials"] > LOOKED_AT_MAX:
        raise InvalidValue(
            "as_of",
            f"there were more than {LOOKED_AT_MAX} credentials: take an access review, or `keyledger report by-owner`",
            "too_many_credentials",
        )
    left = [owner for owner in owners_as_of(log, organisation_id, at) if owner["contact_email"] > after]
    shown = left[:limit]
    return Page(shown, encode_cursor((shown[-1]["contact_email"],), of) if len(left) > limit else None)


# --- walking ---------------------------------------------------------------------------------------------------------

_ORDER = "ORDER BY c.created_at DESC, c.credential_id DESC"
_WALK = (
    "SELECT c.created_at, c.credential_id, {may_fit} AS may_fit FROM (SELECT * FROM credential_list c "  # noqa: S608
    "WHERE c.organisation_id = %(organisation)s AND (c.created_at, c.credential_id) < (%(after_time)s, %(after_id)s) "
    f"AND {{fits}} {_ORDER} LIMIT %(chunk)s) c {_ORDER}"
)


def _beginning(at: datetime) -> Key:
    """Right before the newest credential that there was; PostgreSQL's times are microseconds."""
    return at + timedelta(microseconds=1), UUID(int=0)


def _walk(
    log: EventLog, organisation_id: UUID, at: datetime, filters: CredentialFilters, after: Key, chunk: int
) -> Iterator[tuple[Key, Credential | None]]:
    """Every credential after a place in the list, as it was; None for one that the filters leave out.

    The first chunk is as large as may be all that is wanted; those after it grow, as few seem to fit.
    """
    query, parameters = _query(organisation_id, at, filters, log.settings.rotation_days)
    holds = _rule(filters, at, log.settings.rotation_days)
    while True:
        page = {"after_time": after[0], "after_id": after[1], "chunk": chunk}
        rows = rows_of_page(log.datastore, query, parameters | page)
        histories = log.histories_with_keys([row["credential_id"] for row in rows if row["may_fit"]])
        for row in rows:
            after = row["created_at"], row["credential_id"]
            history = histories.pop(row["credential_id"], None)
            credential = history and Life(history.recorded, history.data_key is None).reads(Moment(time=at))
            yield after, credential if credential and holds(credential) else None
        if len(rows) < chunk:
            return
        chunk = min(2 * chunk, CHUNK_MAX)


def _query(
    organisation_id: UUID, at: datetime, filters: CredentialFilters, rotation_days: int
) -> tuple[str, dict[str, Any]]:
    """The next chunk, with what its rows tell: which may fit the filters and so have to be folded.

    What has not changed since reads as it did then, so the list's own conditions decide. What has changed is folded,
    but for one that had ended by then, or had not, as its row still tells: an expiry is never changed, and a revocation
    is never undone or put off.
    """
    for_good = CredentialFilters(
        kind=filters.kind,
        mode=filters.mode,
        environment=filters.environment,
        channel=filters.channel,
        account=filters.account,
        application=filters.application,
    )
    fits, parameters = conditions_of(for_good, now=at, rotation_days=rotation_days)
    reads, more = conditions_of(replace(filters, unused_since=None), now=at, rotation_days=rotation_days)
    parameters |= more | {"organisation": organisation_id}
    if filters.q is not None:
        parameters["q"] = search_query(organisation_id, filters.q)
        reads.append("c.search @@ %(q)s::tsquery")
    if filters.status in (Status.REVOKED, Status.EXPIRED):
        ended = STATUSES[filters.status]
    else:
        ended = "c.over_at > %(now)s" if filters.status is not None or _about_good_ones(filters) else "true"
    may_fit = f"({ended} AND (c.changed_at > %(now)s OR ({' AND '.join(['true', *reads])})))"
    return _WALK.format(may_fit=may_fit, fits=" AND ".join(["true", *fits])), parameters


def _about_good_ones(filters: CredentialFilters) -> bool:
    return bool(filters.overdue or filters.due_before or filters.expiring_before or filters.without_owner)


# --- the filters, of a folded state -----------------------------------------------------------------------------------


def _rule(filters: CredentialFilters, at: datetime, rotation_days: int) -> Callable[[Credential], bool]:
    """Whether the filters hold for what a credential was: as `conditions_of` has them, without what never changes."""
    if filters.unused_since is not None:
        raise InvalidValue(
            "unused_since",
            "cannot be asked of the past: only the last use of each secret is kept, and no event tells of it",
            "contradiction",
        )
    rules: list[Callable[[Credential], bool]] = []
    if filters.status is not None:
        rules.append(lambda c: c.status(at) is filters.status)
    if filters.contact_email is not None:
        email = filters.contact_email.lower()
        rules.append(lambda c: c.contact_email.lower() == email != "")
    if filters.q is not None:
        *whole, beginning = asked_words(filters.q)
        rules.append(lambda c: _is_found(found_by(c), whole, beginning))
    if _about_good_ones(filters):
        rules.append(lambda c: c.status(at) not in (Status.REVOKED, Status.EXPIRED))
    due = [moment for moment in (at if filters.overdue else None, filters.due_before) if moment]
    if due:
        before = set_before(min(due), rotation_days)
        rules.append(lambda c: c.suspended_at is None and (c.rotated_at or c.created_at) < before)
    if filters.expiring_before is not None:
        by = filters.expiring_before
        rules.append(lambda c: c.expires_at is not None and c.expires_at == _end(c) and c.expires_at < by)
    if filters.without_owner:  # of what was erased since nobody can say whether it had one
        rules.append(lambda c: c.contact_email == "" and c.erased_at is None)
    return lambda c: all(rule(c) for rule in rules)


def _is_found(words: list[str], whole: list[str], beginning: str) -> bool:
    return set(whole) <= set(words) and any(word.startswith(beginning) for word in words)


def _end(c: Credential) -> datetime | None:
    """When it ends, or ended: the list's `over_at`."""
    return min((moment for moment in (c.revoked_at, c.expires_at) if moment), default=None)
