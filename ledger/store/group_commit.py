"""Many callers, one commit: whoever finds nobody committing leads, and carries along all who wait.

There is no thread of its own. A caller that finds the ledger idle commits at once on its own thread; while it does,
others queue, and when it is done the first of them leads the next batch. Throughput grows with the load, and one client
alone pays nothing for it. The queue is bounded: beyond the bound a caller is refused at once, having done nothing.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ledger.errors import OutcomeUnknown, QueueFull, Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

# How long a leader lets a batch gather when the one before had company: callers that were just answered come back with
# their next command within that time, and a commit costs several times as much. An idle ledger never waits.
GATHER_SECONDS = 0.0004


class _Ticket(Generic[Item, Result]):
    """One caller's place in the queue. `wake` is held until there is something to tell its thread."""

    __slots__ = ("item", "leads", "outcome", "taken", "wake")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.wake = threading.Lock()
        self.wake.acquire()
        self.outcome: tuple[Result | Exception] | None = None
        self.taken = False
        self.leads = False


class GroupCommit(Generic[Item, Result]):
    """Batches the items of concurrent callers into calls of `commit`, one call at a time.

    `commit` takes the items of one batch, in the order they were submitted, and returns for each its result or the
    exception to raise to its caller. Where it raises, nobody knows what became of the batch: the caller on whose
    thread it ran gets what was raised, the others `OutcomeUnknown`.
    """

    def __init__(
        self,
        commit: Callable[[Sequence[Item]], Sequence[Result | Exception]],
        *,
        batch_max: int,
        queue_max: int,
        wait_seconds_max: float,
    ) -> None:
        self._commit = commit
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._wait_seconds_max = wait_seconds_max
        self._mutex = threading.Lock()  # guards all below; never held while waiting for anything
        self._queue: deque[_Ticket[Item, Result]] = deque()
        self._leading = False
        self._closed = False
        self._company = 1  # how many the last batch carried
        self._gathering = 0  # the length of the queue that a leader waits for; 0 where none does
        self._gathered = threading.Lock()
        self._gathered.acquire()

    @property
    def depth(self) -> int:
        """How many callers wait to be taken into a batch."""
        return len(self._queue)

    def submit(self, item: Item) -> Result:
        """Have the item committed, alone or in company; returns its result or raises its error.

        Raises `Unavailable` where the service stops, `QueueFull` where the bound is reached or nobody took the item in
        time (nothing was done), and `OutcomeUnknown` where the batch that took it does not come back.
        """
        ticket: _Ticket[Item, Result] = _Ticket(item)
        self._enqueue(ticket)
        try:
            if not ticket.leads:
                self._wait(ticket)
            if ticket.leads:
                self._lead(ticket)
        except BaseException:
            self._abandon(ticket)
            raise
        if ticket.outcome is None:
            raise OutcomeUnknown("the batch that carried the command was interrupted")
        (outcome,) = ticket.outcome
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def close(self, seconds_max: float = 30.0) -> None:
        """Refuse new items and wait until those taken are answered, no longer than a service manager waits for us."""
        with self._mutex:
            self._closed = True
        deadline = time.monotonic() + seconds_max
        while (self._leading or self._queue) and time.monotonic() < deadline:
            time.sleep(0.005)

    def _enqueue(self, ticket: _Ticket[Item, Result]) -> None:
        with self._mutex:
            if self._closed:
                raise Unavailable("the service is stopping")
            if len(self._queue) >= self._queue_max:
                raise QueueFull("too many commands wait to be recorded")
            self._queue.append(ticket)
            if not self._leading:
                self._leading = ticket.leads = True
            elif self._gathering and len(self._queue) >= self._gathering:
                self._gathering = 0
                self._gathered.release()

    def _wait(self, ticket: _Ticket[Item, Result]) -> None:
        """Until the ticket is answered, or is to lead."""
        if ticket.wake.acquire(timeout=self._wait_seconds_max):
            return
        with self._mutex:
            if ticket.leads or ticket.outcome is not None:
                return
            if not ticket.taken:
                self._queue.remove(ticket)
                raise QueueFull("the command waited too long to be recorded; nothing was recorded")
        # Taken: the store bounds every statement, so an answer comes; a second bound guards against a bug in that.
        if not ticket.wake.acquire(timeout=self._wait_seconds_max):
            raise OutcomeUnknown("the command was handed to the database and no answer came")

    def _lead(self, own: _Ticket[Item, Result]) -> None:
        """Commit one batch, which holds the leader's own item as its first, and hand the lead on."""
        self._gather()
        batch = self._take()
        try:
            outcomes = self._commit([ticket.item for ticket in batch])
            for ticket, outcome in zip(batch, outcomes, strict=True):
                ticket.outcome = (outcome,)
        finally:
            own.leads = False
            self._hand_on()
            for ticket in batch[1:]:
                ticket.wake.release()

    def _gather(self) -> None:
        """Give those who were answered a moment to come back, no longer than they need."""
        with self._mutex:
            wanted = min(self._company, self._batch_max)
            if len(self._queue) >= wanted:
                return
            self._gathering = wanted
        came = self._gathered.acquire(timeout=GATHER_SECONDS)
        with self._mutex:
            if not came and not self._gathering:  # the last one came just as the time was over
                self._gathered.acquire()
            self._gathering = 0

    def _take(self) -> list[_Ticket[Item, Result]]:
        with self._mutex:
            self._company = min(len(self._queue), self._batch_max)
            batch = [self._queue.popleft() for _ in range(self._company)]
            for ticket in batch:
                ticket.taken = True
        return batch

    def _hand_on(self) -> None:
        """Let the first who waits lead, or nobody."""
        with self._mutex:
            if self._queue:
                self._queue[0].leads = True
                self._queue[0].wake.release()
            else:
                self._leading = False

    def _abandon(self, ticket: _Ticket[Item, Result]) -> None:
        """Its thread was interrupted (a signal, mostly): nobody must wait for it to lead."""
        with self._mutex:
            if not ticket.taken and ticket in self._queue:
                self._queue.remove(ticket)
        if ticket.leads:
            ticket.leads = False
            self._gathering = 0
            self._hand_on()
