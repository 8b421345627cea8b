"""The sealer: one thread for a ledger that keeps the trees up with the log, and has them signed.

Whoever holds the advisory lock seals; other processes wait to take over. Events wait for each other, so that a busy
ledger seals many in one round: until `seal_events` of them are there, or the first waited for `seal_seconds`.
"""

import logging
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime

from ledger.errors import SealingBehind, StoreUnavailable
from ledger.sealed_log import SealedLog, evolve
from ledger.store.datastore import UNAVAILABLE, LedgerDatastore
from ledger.store.keys import WrongMasterKey
from ledger.store.log import EventLog
from ledger.values import SEALED_LOG_ID
from projections.runner import Lag, await_hint, lag, listen, take_lead
from projections.sealed.integrating import ROUND_EVENTS_MAX, TRACKING, LogDamaged, integrate, rebase
from projections.sealed.memory import SignerMemory
from projections.sealed.signing import SIGNING, TREES_MAX, Signer, SignerRefuses
from projections.sealed.trees import Connection, position_of

RETRY_SECONDS = 10.0  # what the sealer stops at takes a person, or a database that comes back
ROUNDS_MAX = 100  # a few seconds of them: then it is looked whether the key was changed
OPEN_SECONDS = 1.0  # how long to wait for whoever opens the sealed log at the first start
STOP_SECONDS_MAX = 30.0  # a round is bounded by its statements' timeouts
CHECK_SECONDS = 1.0  # how old what a process knows of the delay may be

logger = logging.getLogger("keyledger.sealer")


def sealed_log(log: EventLog) -> SealedLog | None:
    """The sealed log as its events leave it; None before it was opened."""
    state: SealedLog | None = None
    for recorded in log.history(SEALED_LOG_ID).recorded:
        state = evolve(state, recorded)
    return state


def delay(store: LedgerDatastore) -> Lag:
    """How far signing is behind the log."""
    return lag(store, [SIGNING])[SIGNING]


@dataclass(slots=True)
class Admission:
    """Refuses commands where sealing is behind for more than `seconds_max`. Asks once a second at most."""

    store: LedgerDatastore
    seconds_max: float
    _asked_at: float = field(default=float("-inf"), init=False)
    _behind: float = field(default=0.0, init=False)

    def __call__(self) -> None:
        """Raise `SealingBehind` where no command may be taken."""
        now = time.monotonic()
        if now - self._asked_at > CHECK_SECONDS:
            self._asked_at = now  # before the question, so that others who come meanwhile do not ask too
            self._behind = delay(self.store).seconds_behind
        if self._behind > self.seconds_max:
            raise SealingBehind(f"events have waited to be sealed for {self._behind:.0f} seconds")


class Sealer:
    """Seals a log, on a thread of its own. Build it after a fork; `start` it, and `stop` it."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="sealer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the rounds under way, and end. What is left is for the next one to start."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS_MAX)

    def _run(self) -> None:
        """Lead or wait for the lead; after whatever goes wrong, begin again."""
        while not self._stopping.is_set():
            try:
                with (
                    self._log.datastore.connect() as connection,
                    SignerMemory(self._log.settings.signer_memory_file) as memory,
                ):
                    self._lead(connection, Signer(memory, self._log.keyring))
                continue  # stopping
            except SignerRefuses as refusal:
                logger.critical("nothing is signed until an operator looks into it: %s", refusal)
            except (LogDamaged, WrongMasterKey) as error:
                logger.critical("nothing is sealed until an operator looks into it: %s", error)
            except (*UNAVAILABLE, StoreUnavailable) as error:
                logger.warning("lost PostgreSQL (%s): sealing goes on when it is back", type(error).__name__)
            except (sqlite3.Error, OSError) as error:
                logger.critical("the signer's memory cannot be used, so nothing is signed: %s", error)
            except Exception:
                logger.exception("sealing failed: trying again")
            self._stopping.wait(RETRY_SECONDS)

    def _lead(self, connection: Connection, signer: Signer) -> None:
        if not take_lead(self._log, connection, "sealing", self._stopping):
            return
        listen(self._log, connection)
        with self._log.datastore.connect() as integrating:
            self._keep_up(integrating, connection, signer)

    def _keep_up(self, integrating: Connection, connection: Connection, signer: Signer) -> None:
        while not self._stopping.is_set():
            state = sealed_log(self._log)
            if state is None:
                self._stopping.wait(OPEN_SECONDS)
                continue
            begin(connection, signer, state)
            while not self._stopping.is_set():
                seal(self._log, integrating, connection, signer, state, stopping=self._stopping)
                self._await_events(integrating, connection)
                newer = sealed_log(self._log)
                if newer is not None and newer.version != state.version:
                    break  # another key, or another name

    def _await_events(self, integrating: Connection, connection: Connection) -> None:
        """Until enough events wait, or the first of them waited long enough.

        Both connections are asked meanwhile: one that nobody uses for hours is forgotten by what lies on the way to
        PostgreSQL, and only missed when there is something to seal.
        """
        settings = self._log.settings
        since: float | None = None
        while not self._stopping.is_set():
            waiting = self._log.head(connection=connection) - position_of(integrating, TRACKING)
            now = time.monotonic()
            since = None if waiting <= 0 else since or now
            if since is not None and (waiting >= settings.seal_events or now - since >= settings.seal_seconds):
                return
            left = settings.projection_poll if since is None else since + settings.seal_seconds - now
            await_hint(connection, min(left, settings.projection_poll), self._stopping)


def begin(connection: Connection, signer: Signer, state: SealedLog) -> None:
    """Look at all that was ever signed, and have what was signed under another name or by another key signed anew.

    Raises `SignerRefuses` for the first head that the trees no longer hold.
    """
    for refusal in signer.check_memory(connection, state):
        raise refusal
    if signer.memory.is_new and connection.execute("SELECT 1 FROM sealed_tree WHERE signed_size > 0").fetchone():
        logger.critical(
            "this signer remembers nothing of a log that was signed before: it goes on from the checkpoints in the "
            "database. If you did not move it here, find out what became of its memory"
        )
    rebase(connection, state.base)
    # By another key: the checkpoint before stands until then.
    while signer.sign_heads(connection, state, datetime.now(UTC), every=True) == TREES_MAX:
        pass


def seal(
    log: EventLog,
    integrating: Connection,
    signing: Connection,
    signer: Signer,
    state: SealedLog,
    rounds_max: int = ROUNDS_MAX,
    stopping: threading.Event | None = None,
) -> int:
    """Seal and sign what there is to, a round of `ROUND_EVENTS_MAX` at a time; returns how many events were sealed.

    Once `stopping` is set, no further round is begun.

    While one round is signed, the next is put into the trees, by a connection and a thread of its own. To the signer
    that is nothing new: it goes by what it finds there. `signing` is the connection that has the lead, so that whoever
    lost it shows no checkpoint.

    Raises what `integrate` and `Signer.sign_heads` do.
    """
    sealed = some = integrate(log, integrating, state.base)
    with ThreadPoolExecutor(1, "integrating") as thread:
        for _ in range(rounds_max - 1):
            if some < ROUND_EVENTS_MAX or (stopping is not None and stopping.is_set()):
                break
            following = thread.submit(integrate, log, integrating, state.base)
            sign(signing, signer, state)
            some = following.result()
            sealed += some
    sign(signing, signer, state)
    return sealed


def sign(connection: Connection, signer: Signer, state: SealedLog) -> None:
    """Sign all that is in the trees; raises what `Signer.sign_heads` does."""
    while signer.sign_heads(connection, state, datetime.now(UTC)) == TREES_MAX:
        pass
