"""Lists as the command line walks them: brought up to the log first, then page after page."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from api.cli.output import tell
from api.cli.session import Session
from projections import credential_list
from projections.credential_list import CredentialFilters, list_credentials
from projections.credential_status import status_row
from projections.credentials_as_of import credentials_as_of
from projections.organisation_status import list_organisations
from projections.pages import LIMIT_MAX, Page
from projections.readings import Shown
from projections.reports import list_owners
from projections.runner import Projector, lag, wait_for
from projections.view import View

PROJECTOR_SECONDS = 0.2  # a projector that runs and works is notified at once
CATCH_UP_SECONDS = 10.0  # some hundred thousand events; beyond that an old list now is better


def credentials(
    session: Session, organisation_id: UUID, filters: CredentialFilters, now: datetime
) -> Iterator[dict[str, Any]]:
    """An organisation's credentials, in the order of their list; one page of them is in memory at a time."""
    store, days = session.services.store, session.services.settings.rotation_days
    page = partial(list_credentials, store, organisation_id, filters, now=now, rotation_days=days, limit=LIMIT_MAX)
    return rows(page)


def owners(session: Session, organisation_id: UUID, now: datetime) -> Iterator[dict[str, Any]]:
    """Who answers for an organisation's credentials, by email; one page of them is in memory at a time."""
    store, days = session.services.store, session.services.settings.rotation_days
    return rows(partial(list_owners, store, organisation_id, now=now, rotation_days=days, limit=LIMIT_MAX))


def credentials_of_then(
    session: Session, organisation_id: UUID, filters: CredentialFilters, at: datetime
) -> Iterator[dict[str, Any]]:
    """The same as they were at a time, newest first; without last uses, which no event tells."""
    found = credentials_as_of(session.services.log, organisation_id, at, filters)
    return (dict(status_row(credential)) for credential in found)


def shown(*, hints: bool, past: bool) -> list[Shown]:
    """What of a list of credentials is noted: JSON has `hints` of secrets, a table has none."""
    return [*([Shown.HINT] if hints else []), *([Shown.PAST] if past else [])]


def rows(page_after: Callable[..., Page]) -> Iterator[dict[str, Any]]:
    """The rows of a list, page after page."""
    cursor = None
    while True:
        page = page_after(cursor=cursor)
        yield from page.rows
        cursor = page.cursor
        if cursor is None:
            return


def organisations(session: Session, only: UUID | None = None) -> Iterator[dict[str, Any]]:
    """All organisations, in the order of their registration, or the one."""
    after = None
    while found := list_organisations(session.services.store, only, after, LIMIT_MAX):
        yield from found
        after = found[-1]["organisation_id"]


def catch_up(session: Session, view: View = credential_list.VIEW) -> None:
    """Bring a list up to the log. A running projector does within milliseconds; where there is none, we do it."""
    log, store, name = session.services.log, session.services.store, view.name
    head = log.head()
    if wait_for(store, name, head, PROJECTOR_SECONDS):
        return
    projector = Projector(log, (view,))
    projector.start()
    caught_up = wait_for(store, name, head, CATCH_UP_SECONDS)
    projector.stop()
    if not caught_up:
        behind = lag(store)[name]
        tell(f"warning: this list lacks the newest {behind.head - behind.position} events")
