"""Sweeping: writing into the history of each thing what the end of another one meant for it.

Closing an account or archiving an application is one event, and in effect at once: whoever verifies looks at these too.
The credentials that hang on it are then revoked one by one in the background, each by a command of its own, so that
each history tells its own end. A sweep looks for what is left, whatever was done before: it goes on after a crash, and
two at once do no harm. Bulk revocations are carried out in the same way (`api/bulk_revoking.py`).
"""

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg

from api.bulk_revoking import sweep_bulk_revocations
from api.erasing import erase_brought_back, sweep_unlisted_erasures
from api.retaining import sweep_retention
from api.wiring import Services
from ledger.account import reason_of_closing
from ledger.application import reason_of_archiving
from ledger.commands import CloseAccount, Command, RevokeCredential
from ledger.errors import NotAllowedNow, StoreUnavailable
from ledger.events import Context
from ledger.store.datastore import UNAVAILABLE
from ledger.values import RevocationReason, Via
from projections.account_status import LeftOpen, list_credentials_left_open, list_subs_left_open
from projections.application_status import list_credentials_of_archived
from projections.runner import advisory_key

BATCH = 500  # a second or two of commands, which is how long stopping may have to wait
# Nothing depends on a sweep but what histories show. A look takes two microseconds for each account ever closed.
SWEEP_SECONDS = 5.0
STOP_SECONDS_MAX = 30.0  # a command is bounded by its statements' timeouts

logger = logging.getLogger("keyledger.sweeper")


def sweep_closed_accounts(services: Services) -> int:
    """Close the sub-accounts of closed masters and revoke the credentials of closed accounts, at most a batch of each.

    Returns how many it dealt with. What is recorded is done in the name of who closed the account, by the system.
    """
    subs = [
        CloseAccount(context=_context(left), account_id=left.id) for left in list_subs_left_open(services.store, BATCH)
    ]
    credentials = [
        RevokeCredential(
            context=_context(left), credential_id=left.id, revocation_reason=RevocationReason.NO_LONGER_USED
        )
        for left in list_credentials_left_open(services.store, BATCH)
    ]
    return sum(_handled(services, command) for command in (*subs, *credentials))


def sweep_archived_applications(services: Services) -> int:
    """Revoke the credentials of archived applications, at most a batch, and return how many were revoked.

    What is recorded is done in the name of who archived the application, by the system.
    """
    return sum(
        _handled(
            services,
            RevokeCredential(
                context=Context(
                    at=datetime.now(UTC),
                    actor=row["archived_by"],
                    via=Via.SYSTEM,
                    request_id=row["archived_request_id"],
                    reason=reason_of_archiving(row["archived_reason"]),
                ),
                credential_id=row["credential_id"],
                revocation_reason=RevocationReason.NO_LONGER_USED,
            ),
        )
        for row in list_credentials_of_archived(services.store, BATCH)
    )


def _context(left: LeftOpen) -> Context:
    return Context(
        at=datetime.now(UTC),
        actor=left.closed_by,
        via=Via.SYSTEM,
        request_id=left.closed_request_id,
        reason=reason_of_closing(left.closed_reason),
    )


def _handled(services: Services, command: Command) -> bool:
    """Whether the command was recorded; False where somebody else ended the thing first."""
    try:
        services.ledger.handle(command)
    except NotAllowedNow:
        return False
    return True


Sweep = Callable[[Services], int]
"""Deals with at most a batch of what is left to do, and returns how many that were: 0 for nothing left."""

SWEEPS: tuple[Sweep, ...] = (
    sweep_closed_accounts,
    sweep_archived_applications,
    sweep_bulk_revocations,
    sweep_retention,
    sweep_unlisted_erasures,
    erase_brought_back,  # should the database be restored while we run
)


class Sweeper:
    """Runs the sweeps of a ledger on a thread of its own. Of several processes one sweeps at a time."""

    def __init__(self, services: Services, sweeps: tuple[Sweep, ...] = SWEEPS) -> None:
        self._services = services
        self._sweeps = sweeps
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Begin with what an earlier process left."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batches under way and end. What is left is for the next one to start."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS_MAX)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._services.store.connect() as connection:
                    self._lead(connection)
            except (*UNAVAILABLE, StoreUnavailable) as error:
                logger.warning("sweeping lost PostgreSQL (%s): trying again", type(error).__name__)
            except Exception:
                logger.exception("sweeping failed: trying again")
            self._stopping.wait(SWEEP_SECONDS)

    def _lead(self, connection: psycopg.Connection[Any]) -> None:
        """Wait until no other process sweeps, then sweep, until stopped."""
        key = advisory_key(self._services.store.schema, "sweeping")
        leads = False
        while not self._stopping.is_set():
            if not leads:
                row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
                leads = bool(row and row[0])
            dealt_with = sum(map(self._dealt_with, self._sweeps)) if leads else 0
            if not dealt_with:
                self._stopping.wait(SWEEP_SECONDS)

    def _dealt_with(self, sweep: Sweep) -> int:
        """How many a sweep dealt with; 0 where it failed, which keeps none of the others from theirs."""
        try:
            return sweep(self._services)
        except (*UNAVAILABLE, StoreUnavailable):
            raise
        except Exception:
            logger.exception("%s failed: trying again", sweep.__name__)
            return 0
