"""Bulk revocations: what one would revoke, its confirmation, and carrying it out step by step, whoever does it and
however often it was cut off.

A step revokes the next credentials of a run and counts them in one commit. So what the run says of itself is true at
any moment, a run that was cut off goes on behind its last step, and of two processes at the same run one is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from api.wiring import Services
from ledger.bulk_revocation import BulkRevocation, Selection, refuse_too_many
from ledger.commands import AdvanceBulkRevocation, Command, RevokeCredential, StartBulkRevocation
from ledger.errors import NotAllowedNow, SelectionChanged, StaleVersion
from ledger.events import Context
from ledger.service import BULK_REVOCATION
from ledger.values import Mode, RevocationReason, Via
from projections.bulk_revocation_status import list_unfinished, select_open, still_open

STEP_CREDENTIALS = 100  # a commit of some ten milliseconds, which nobody notices who commits beside it
SWEPT_RUNS_MAX = 10  # those that come after wait for the next look


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a bulk revocation would revoke, in the order of ids, and the digest that confirms just that."""

    organisation_id: UUID
    selection: Selection
    revocation_reason: RevocationReason
    credential_ids: Sequence[UUID]
    live: bool
    digest: str


def dry_run(
    services: Services,
    organisation_id: UUID,
    selection: Selection,
    revocation_reason: RevocationReason,
    at: datetime,
) -> DryRun:
    """Look at what is covered, and touch nothing. Raises `InvalidValue` for more than a run takes."""
    rows = select_open(services.store, organisation_id, selection, at)
    ids = [row["credential_id"] for row in rows]
    refuse_too_many(ids)
    return DryRun(
        organisation_id,
        selection,
        revocation_reason,
        ids,
        any(row["mode"] == Mode.LIVE for row in rows),
        selection.digest(organisation_id, revocation_reason, ids),
    )


def confirmed(looked: DryRun, digest: str, context: Context) -> StartBulkRevocation:
    """The command that begins the run which `digest` confirms. Raises `SelectionChanged` where it was another one's."""
    if digest != looked.digest:
        raise SelectionChanged(
            f"what you confirmed is not what would be revoked now, {len(looked.credential_ids)} in number: look again"
        )
    return StartBulkRevocation(
        context=context,
        run_id=uuid7(),
        organisation_id=looked.organisation_id,
        contact_email=looked.selection.contact_email,
        selection=looked.selection.described(),
        revocation_reason=looked.revocation_reason,
        digest=digest,
        credential_ids=tuple(looked.credential_ids),
    )


def sweep_bulk_revocations(services: Services) -> int:
    """One step of each run that is not finished, oldest first; returns how many credentials were dealt with."""
    return sum(advance(services, run_id) for run_id in list_unfinished(services.store, SWEPT_RUNS_MAX))


def advance(services: Services, run_id: UUID) -> int:
    """The next step of a run; returns how many credentials it dealt with.

    0 where the run is finished, and where somebody else was faster, at the run or at one of its credentials: then the
    step was not recorded, and the next look decides on what is there by then. Each revocation is made in the name of
    who confirmed the run, for the same request and reason, by the system.
    """
    run: BulkRevocation = services.ledger.load(BULK_REVOCATION, run_id)
    step = run.left[:STEP_CREDENTIALS]
    if not step:
        return 0
    context = replace(run.started, at=datetime.now(UTC), via=Via.SYSTEM)
    to_revoke = still_open(services.store, step, context.at)
    commands: list[Command] = [
        RevokeCredential(context=context, credential_id=credential_id, revocation_reason=run.revocation_reason)
        for credential_id in to_revoke
    ]
    count = AdvanceBulkRevocation(
        context=context,
        expected_version=run.version,
        run_id=run_id,
        revoked=len(to_revoke),
        skipped=len(step) - len(to_revoke),
    )
    try:
        services.ledger.handle_all([*commands, count])
    except (NotAllowedNow, StaleVersion):
        return 0
    return len(step)
