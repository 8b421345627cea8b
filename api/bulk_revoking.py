"""Carrying out bulk revocations: step by step, whoever does it and however often it was cut off.

A step revokes the next credentials of a run and counts them in one commit. So what the run says of itself is true at
any moment, a run that was cut off goes on behind its last step, and of two processes at the same run one is refused.
"""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from api.wiring import Services
from ledger.bulk_revocation import BulkRevocation
from ledger.commands import AdvanceBulkRevocation, Command, RevokeCredential
from ledger.errors import NotAllowedNow, StaleVersion
from ledger.service import BULK_REVOCATION
from ledger.values import Via
from projections.bulk_revocation_status import list_unfinished, still_open

STEP_CREDENTIALS = 100  # a commit of some ten milliseconds, which nobody notices who commits beside it
SWEPT_RUNS_MAX = 10  # those that come after wait for the next look


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
