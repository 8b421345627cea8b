"""Having others attest to the root log: witnesses cosign its newest checkpoint, and an authority timestamps one.

One of the processes that work in the background does this, whoever holds the advisory lock. It holds no transaction
while it waits for an answer, and every wait has a bound. What is missing is told: in the log, by metrics, and by
`keyledger log status`.
"""

import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from api.exchange import FAILURES, post
from api.wiring import Services
from api.witnesses import ALARMING, Asked, Outcome, cosign, served_policy, with_cosignatures, witness_policy
from ledger import timestamping
from ledger.errors import StoreUnavailable
from ledger.sealed_log import SealedLog
from ledger.store.datastore import UNAVAILABLE
from ledger.timestamping import InvalidTimestamp
from ledger.tlog.policy import Policy
from projections.runner import begin_tracking, take_lead
from projections.sealed import attested, reading
from projections.sealed.attested import WITNESSING, Submission, Timestamp, WitnessStatus
from projections.sealed.sealer import sealed_log
from projections.sealed.signing import verifier_keys
from projections.sealed.trees import ROOT, Connection, origin_of

ASKED_AT_ONCE_MAX = 16  # threads that wait for witnesses; more witnesses than that take turns
PAUSE_SECONDS_MAX = 60.0  # a witness, or an authority, that is back is noticed within that time
JITTER = 0.2  # of a pause at most
TIMESTAMP_SECONDS = 15.0  # authorities of notaries take seconds
RETRY_LEAD_SECONDS = 1.0
STOP_SECONDS_MAX = 30.0  # a round is bounded by less

logger = logging.getLogger("keyledger.attesting")


@dataclass(slots=True)
class _Pause:
    """When somebody who failed is asked again: later every time, up to a bound."""

    failures: int = 0
    until: float = float("-inf")

    def over(self) -> bool:
        return time.monotonic() >= self.until

    def after(self, *, failed: bool, first: float) -> None:
        self.failures = self.failures + 1 if failed else 0
        pause = min(PAUSE_SECONDS_MAX, first * 2 ** min(self.failures - 1, 20)) if failed else 0.0
        self.until = time.monotonic() + pause * random.uniform(1.0, 1.0 + JITTER)  # noqa: S311 - spreads load


class Attestation:
    """Has the root log attested to, on a thread of its own. Raises SettingsError where the witnesses' file is none."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._policy = witness_policy(services.settings)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._witness_pauses = {name: _Pause() for name in self._policy.witnesses} if self._policy else {}
        self._authority_pause = _Pause()
        self._told_at = float("-inf")

    def start(self) -> None:
        """Begin, where there is anybody to ask."""
        if self._policy is not None or self._services.settings.timestamp_url:
            self._thread = threading.Thread(target=self._run, name="attesting", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Finish the round under way, and end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS_MAX)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._services.store.connect() as connection:
                    self._lead(connection)
            except (*UNAVAILABLE, StoreUnavailable) as error:
                logger.warning("attesting lost PostgreSQL (%s): trying again", type(error).__name__)
            except Exception:
                logger.exception("attesting failed: trying again")
            self._stopping.wait(RETRY_LEAD_SECONDS)

    def _lead(self, connection: Connection) -> None:
        if not take_lead(self._services.log, connection, "attesting", self._stopping):
            return
        while not self._stopping.is_set():
            self.round(connection)
            self._stopping.wait(self._services.settings.witness_seconds)

    def round(self, connection: Connection) -> None:
        """Ask everybody once whose turn it is, if there is anything new to ask for."""
        state = sealed_log(self._services.log)
        if state is None:
            return
        if self._policy is not None:
            begin_tracking(connection, WITNESSING)
            self._witness(connection, state, self._policy)
            self._tell_of_delay()
        if self._services.settings.timestamp_url and self._authority_pause.over():
            self._timestamp(connection, state)

    # --- witnesses ---------------------------------------------------------------------------------------------------

    def _witness(self, connection: Connection, state: SealedLog, witnesses: Policy) -> None:
        policy = served_policy(witnesses, verifier_keys(self._services.keyring, state, ROOT))
        held = attested.find_witnessed_root(connection, state.base)
        root = reading.find_tree(connection, ROOT)
        satisfied = held is not None and policy.satisfied(held.checkpoint.encode())  # the policy may have changed
        if satisfied and held is not None and root is not None and held.size == root.signed_size:
            return
        if not any(pause.over() for pause in self._witness_pauses.values()):
            return
        submission = attested.submit(connection, state.base)
        if submission is None:
            return
        answers = self._ask_all(connection, submission, policy)
        cosignatures = [asked.cosignature for asked in answers if asked.cosignature is not None]
        cosigned = with_cosignatures(submission.checkpoint, cosignatures)
        if policy.satisfied(cosigned.encode()):
            attested.accept(connection, submission, cosigned, datetime.now(UTC))

    def _ask_all(self, connection: Connection, submission: Submission, policy: Policy) -> list[Asked]:
        """Ask all witnesses whose turn it is, at once, and keep what became of it."""
        names = [name for name, pause in self._witness_pauses.items() if pause.over()]
        known = {
            name: attested.cosigned_size(connection, policy.witnesses[name].encode(), submission.origin)
            for name in names
        }
        with ThreadPoolExecutor(ASKED_AT_ONCE_MAX, "witness") as pool:
            answers = list(pool.map(lambda name: self._ask(submission, policy, name, known[name]), names))
        root = reading.find_tree(connection, ROOT)
        size_now = 0 if root is None else root.signed_size
        for name, asked in zip(names, answers, strict=True):
            if asked.outcome is Outcome.AHEAD and asked.size <= size_now:
                busy = "somebody else showed it what was signed a moment ago"
                asked = replace(asked, outcome=Outcome.UNAVAILABLE, detail=busy)  # noqa: PLW2901
            self._note(connection, submission, policy, name, asked)
        return answers

    def _ask(self, submission: Submission, policy: Policy, name: str, known: int) -> Asked:
        note = submission.checkpoint.encode()
        return cosign(policy.urls[name], policy.witnesses[name], note, submission.size, known, self._prove)

    def _prove(self, old: int, new: int) -> list[bytes]:
        with self._services.store.cursor_of_tuples() as curs:
            return reading.consistency_proof(curs.connection, ROOT, old, new)

    def _note(self, connection: Connection, submission: Submission, policy: Policy, name: str, asked: Asked) -> None:
        """Keep and tell what became of asking a witness."""
        pause, cosigned = self._witness_pauses[name], asked.outcome is Outcome.COSIGNED
        pause.after(failed=not cosigned, first=self._services.settings.witness_seconds)
        now = datetime.now(UTC)
        status = WitnessStatus(
            vkey=policy.witnesses[name].encode(),
            name=name,
            origin=submission.origin,
            size=asked.size,
            cosigned_at=now if cosigned else None,
            asked_at=now,
            outcome=asked.outcome,
            detail=asked.detail,
        )
        attested.keep_status(connection, status)
        if asked.outcome in ALARMING:
            logger.critical(
                "witness %s was shown another history of %s: %s. Was an old backup restored, and the signer's memory "
                "with it? Nothing here mends that: see docs/witnesses.md",
                name,
                submission.origin,
                asked.detail,
            )
        elif not cosigned:
            level = logging.WARNING if pause.failures == 1 else logging.INFO
            logger.log(level, "witness %s did not cosign (%s): %s", name, asked.outcome, asked.detail)

    def _tell_of_delay(self) -> None:
        """Say once in a while that the quorum is missing for longer than it may be."""
        bound, now = self._services.settings.witness_delay_max, time.monotonic()
        behind = attested.witnessing_delay(self._services.store).seconds_behind
        if behind > bound and now - self._told_at > bound:
            self._told_at = now
            logger.error(
                "for %.0f seconds no quorum of witnesses cosigned the root log: auditors cannot tell whether others "
                "are shown another",
                behind,
            )

    # --- timestamps --------------------------------------------------------------------------------------------------

    def _timestamp(self, connection: Connection, state: SealedLog) -> None:
        """Have the newest root checkpoint stamped, the newest witnessed one where there are witnesses."""
        settings = self._services.settings
        newest = attested.newest_timestamp(connection, state.base)
        now = datetime.now(UTC)
        if newest is not None and (now - newest.stamped_at).total_seconds() < settings.timestamp_seconds:
            return
        if self._policy is not None:
            root = attested.find_witnessed_root(connection, state.base)
            size, checkpoint = (0, "") if root is None else (root.size, root.checkpoint)
        else:
            tree = reading.find_tree(connection, ROOT)
            size, checkpoint = (0, "") if tree is None else (tree.signed_size, tree.checkpoint)
        if size <= (0 if newest is None else newest.size):
            return
        response = self._ask_authority(checkpoint)
        self._authority_pause.after(failed=response is None, first=settings.witness_seconds)
        if response is not None:
            attested.keep_timestamp(connection, Timestamp(origin_of(state.base, ROOT), size, checkpoint, response, now))

    def _ask_authority(self, checkpoint: str) -> bytes | None:
        asked = timestamping.ask(text_of(checkpoint))
        try:
            answer = post(
                self._services.settings.timestamp_url,
                asked.request,
                {"Content-Type": timestamping.REQUEST_TYPE, "User-Agent": "keyledger"},
                seconds=TIMESTAMP_SECONDS,
                bytes_max=timestamping.RESPONSE_BYTES_MAX,
            )
            if answer.status != 200:
                raise InvalidTimestamp(f"it answered {answer.status}")
            asked.check(answer.body)
        except (*FAILURES, InvalidTimestamp) as failure:
            logger.warning("the timestamping authority did not stamp the root log: %s", failure)
            return None
        return answer.body


def text_of(checkpoint: str) -> str:
    """The text of a signed checkpoint, which is what timestamps are over."""
    return checkpoint[: checkpoint.rindex("\n\n") + 1]
