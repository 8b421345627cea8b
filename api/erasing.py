"""Erasing: the commands by which everything that the ledger knows of the person behind a credential is destroyed, and
keeping it so when a backup from before is restored.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from api.wiring import Services
from ledger.commands import (
    Command,
    EraseBulkRevocation,
    EraseCredential,
    EraseOperator,
    RemoveOperator,
    RevokeCredential,
)
from ledger.credential import Credential
from ledger.errors import NotAllowedNow, ViewBehind
from ledger.events import Context
from ledger.operator import Operator
from ledger.service import CREDENTIAL, OPERATOR
from ledger.settings import PREFIX, SettingsError
from ledger.store.erasures import BATCH, Erasure, erasures_in
from ledger.values import RevocationReason, Via
from projections import credential_list, credential_status, operator_status
from projections.bulk_revocation_status import list_naming
from projections.erasure_marks import keep_mark, list_marks
from projections.runner import Projector, wait_for

# How far back a sweep looks for erasures that are not listed yet: clocks of different machines differ by less.
UNLISTED_LOOKED_FOR = timedelta(minutes=10)
CATCH_UP_SECONDS_MAX = 600.0  # a backup's list is seconds behind its log, one that was never kept up a million events
_EVER = datetime.min.replace(tzinfo=UTC)

logger = logging.getLogger("keyledger.erasing")


def erasure_of(
    services: Services, credential_id: UUID, context: Context, expected_version: int | None = None
) -> Sequence[Command]:
    """What erases a credential, for one commit: the bulk revocations that name an email which it ever had, and last the
    credential itself.
    """
    history = services.log.history(credential_id).recorded
    emails = {email for recorded in history if (email := getattr(recorded.event, "contact_email", ""))}
    organisation_id = history[0].organisation_id if history else None
    runs = [] if organisation_id is None else list_naming(services.store, organisation_id, emails)
    return [
        *(EraseBulkRevocation(context=context, run_id=run_id) for run_id in runs),
        EraseCredential(context=context, expected_version=expected_version, credential_id=credential_id),
    ]


def ended_and_erased(
    services: Services, credential_id: UUID, context: Context, revocation_reason: RevocationReason
) -> Sequence[Command]:
    """What erases a credential that may not be revoked yet: then it is, in the same commit."""
    credential: Credential = services.ledger.load(CREDENTIAL, credential_id)
    erasure = erasure_of(services, credential_id, context)
    if credential.revoked_at is not None and credential.revoked_at <= credential.moment(context.at):
        return erasure
    revocation = RevokeCredential(context=context, credential_id=credential_id, revocation_reason=revocation_reason)
    return [revocation, *erasure]


# --- after a restore -------------------------------------------------------------------------------------------------


def erase_again(services: Services) -> int:
    """Do what `erase_brought_back` does, and then list what the database says was erased, should the list be new.

    The list of credentials and its search are brought up to that: the backup's hold what was erased in clear. Raises
    `ViewBehind` where they do not get there.
    """
    erased = erase_brought_back(services)
    if credential_list.holds_erased(services.store):
        _catch_up(services)
    _list_erasures(services, _EVER)
    return erased


def erase_brought_back(services: Services) -> int:
    """Erase what the list of erasures names and the database holds nevertheless, as a backup from before was restored;
    returns how much that was.

    To be called before anything is answered or shown. What still admitted somebody at the time of the backup is ended
    first. The database keeps the mark up to which the list was compared with it, and a backup an older one; so it
    costs two look-ups where nothing was erased since. Raises `SettingsError` where the list has no place although it
    was given one: what was erased would be forgotten there.
    """
    if services.settings.erasures and not services.erasures.kept:
        raise SettingsError(f"{PREFIX}ERASURES is {services.settings.erasures}, whose directory is not there")
    newest = services.erasures.newest_mark()
    kept = list_marks(services.store)
    if newest is None or newest in kept:
        return 0
    compared = services.erasures.own_marks(kept)
    erased, done = 0, True
    for batch in services.erasures.batches(after=compared[-1] if compared else None):
        if brought_back := _brought_back(services, batch):
            erased += sum(_erased_again(services, erasure) for erasure in brought_back)
            done = done and not _brought_back(services, batch)
    if done:
        keep_mark(services.store, newest, instead_of=compared)
    if erased:
        logger.warning("a restored backup held what was erased: it was erased again", extra={"detail": str(erased)})
    return erased


def _erased_again(services: Services, erasure: Erasure) -> bool:
    """Whether it was erased; False where another process of this installation was first."""
    try:
        services.ledger.handle_all(_erasing_again(services, erasure, datetime.now(UTC)))
    except NotAllowedNow:
        return False
    return True


def _catch_up(services: Services) -> None:
    """Bring the list of credentials up to the log, with whatever other process is at it too."""
    projector = Projector(services.log, (credential_list.VIEW,))
    projector.start()
    try:
        if not wait_for(services.store, credential_list.VIEW.name, services.log.head(), CATCH_UP_SECONDS_MAX):
            raise ViewBehind("the list of credentials still holds what was erased: rebuild it, then start again")
    finally:
        projector.stop()


def _brought_back(services: Services, batch: Sequence[Erasure]) -> list[Erasure]:
    ids = [erasure.id for erasure in batch]
    there = {
        *credential_status.list_not_erased(services.store, ids),
        *operator_status.list_not_erased(services.store, ids),
    }
    return [erasure for erasure in batch if erasure.id in there]


def _erasing_again(services: Services, erasure: Erasure, at: datetime) -> Sequence[Command]:
    """In the name of who erased it first, by the system."""
    context = Context(at, erasure.actor, Via.SYSTEM, reason=reason_of_erasing_again(erasure.reason))
    if erasure.aggregate == OPERATOR.name:
        operator: Operator = services.ledger.load(OPERATOR, erasure.id)
        ends: list[Command] = (
            [] if operator.removed_at is not None else [RemoveOperator(context=context, operator_id=erasure.id)]
        )
        return [*ends, EraseOperator(context=context, operator_id=erasure.id)]
    return ended_and_erased(services, erasure.id, context, RevocationReason.UNSPECIFIED)


def reason_of_erasing_again(reason: str) -> str:
    """What a history tells of why something was erased that had been before."""
    return "erased before, and brought back by a restored backup" + (f": {reason}" if reason else "")


def sweep_unlisted_erasures(services: Services) -> int:
    """List what another machine erased a moment ago, or this one just before it was cut off."""
    _list_erasures(services, datetime.now(UTC) - UNLISTED_LOOKED_FOR)
    return 0  # nothing of it is left for another look


def _list_erasures(services: Services, since: datetime) -> None:
    """Enter into the list what the database says was erased since a time."""
    if not services.erasures.kept:
        return
    for ids in _erased_since(services, since):
        histories = services.log.histories_with_keys(services.erasures.missing(ids))
        services.erasures.remember(
            erasure for history in histories.values() for erasure in erasures_in(history.recorded)
        )


def _erased_since(services: Services, since: datetime) -> Iterator[list[UUID]]:
    for list_erased in (credential_status.list_erased, operator_status.list_erased):
        after = since, UUID(int=0)
        while rows := list_erased(services.store, *after, BATCH):
            yield [one for _, one in rows]
            after = rows[-1]
