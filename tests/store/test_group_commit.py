"""Group commit by itself: its `commit` is a function, so these hand it functions that wait, fail or count."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.errors import OutcomeUnknown, QueueFull, Unavailable
from ledger.store.group_commit import GroupCommit
from tests.waiting import until

Commit = Callable[[Sequence[int]], Sequence[int | Exception]]


def group_of(commit: Commit, batch_max: int = 256, queue_max: int = 1000, wait: float = 10.0) -> GroupCommit[int, int]:
    return GroupCommit(commit, batch_max=batch_max, queue_max=queue_max, wait_seconds_max=wait)


class Gate:
    """A commit that waits until it is let through, and remembers what it was given and on which thread."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: list[int] = []
        self.entered = threading.Semaphore(0)
        self.let_through = threading.Semaphore(0)

    def __call__(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        self.threads.append(threading.get_ident())
        self.entered.release()
        assert self.let_through.acquire(timeout=30)
        return [item * 10 for item in items]


def queue_up(group: GroupCommit[int, int], pool: ThreadPoolExecutor, items: Sequence[int]) -> list[Future[int]]:
    """Submit from a thread each, in this order."""
    futures = []
    for item in items:
        depth = group.depth
        futures.append(pool.submit(group.submit, item))
        until(lambda depth=depth: group.depth > depth)  # type: ignore[misc]
    return futures


def test_an_idle_group_commits_on_the_callers_own_thread() -> None:
    threads = []

    def commit(items: Sequence[int]) -> Sequence[int]:
        threads.append(threading.get_ident())
        return items

    group = group_of(commit)
    assert [group.submit(n) for n in range(3)] == [0, 1, 2]
    assert set(threads) == {threading.get_ident()}


def test_those_who_come_during_a_commit_share_the_next_one_in_their_order() -> None:
    gate = Gate()
    group = group_of(gate)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(group.submit, 0)
        assert gate.entered.acquire(timeout=10)
        others = queue_up(group, pool, [1, 2, 3, 4])
        gate.let_through.release(2)
        assert [first.result(10), *(f.result(10) for f in others)] == [0, 10, 20, 30, 40]
    assert gate.batches == [[0], [1, 2, 3, 4]]


def test_no_batch_is_larger_than_its_bound() -> None:
    gate = Gate()
    group = group_of(gate, batch_max=2)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(group.submit, 0)]
        assert gate.entered.acquire(timeout=10)
        futures += queue_up(group, pool, [1, 2, 3, 4, 5])
        gate.let_through.release(4)
        assert [f.result(10) for f in futures] == [0, 10, 20, 30, 40, 50]
    assert gate.batches == [[0], [1, 2], [3, 4], [5]]


def test_a_full_queue_refuses_at_once_and_takes_again_when_it_has_room() -> None:
    gate = Gate()
    group = group_of(gate, queue_max=2)
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(group.submit, 0)]
        assert gate.entered.acquire(timeout=10)
        futures += queue_up(group, pool, [1, 2])
        begun = time.monotonic()
        with pytest.raises(QueueFull):
            group.submit(3)
        assert time.monotonic() - begun < 5  # half of what is waited for a place
        gate.let_through.release(3)
        assert [f.result(10) for f in futures] == [0, 10, 20]
        assert group.submit(4) == 40
    assert gate.batches == [[0], [1, 2], [4]]


def test_who_waits_too_long_leaves_the_queue_with_nothing_done() -> None:
    gate = Gate()
    group = group_of(gate, wait=0.2)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(group.submit, 0)
        assert gate.entered.acquire(timeout=10)
        late = pool.submit(group.submit, 1)
        with pytest.raises(QueueFull, match="nothing was recorded"):
            late.result(10)
        gate.let_through.release(2)
        assert first.result(10) == 0
        assert group.submit(2) == 20
    assert gate.batches == [[0], [2]]


def test_who_was_taken_and_gets_no_answer_is_told_that_the_outcome_is_unknown() -> None:
    gate = Gate()
    group = group_of(gate, wait=5.0)  # long enough for both to be queued and taken on a busy machine
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(group.submit, 0)
        assert gate.entered.acquire(timeout=10)
        leader, follower = queue_up(group, pool, [1, 2])
        gate.let_through.release()
        assert first.result(10) == 0
        group._wait_seconds_max = 0.1  # from here on; the first wait of both goes on
        with pytest.raises(OutcomeUnknown):
            follower.result(20)
        gate.let_through.release()
        assert leader.result(10) == 10


def test_each_caller_gets_its_own_result_or_error() -> None:
    gate = Gate()
    refused = KeyError("two")
    group = group_of(
        lambda items: [refused if item == 2 else result for item, result in zip(items, gate(items), strict=True)]
    )
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(group.submit, 0)
        assert gate.entered.acquire(timeout=10)
        one, two, three = queue_up(group, pool, [1, 2, 3])
        gate.let_through.release(2)
        assert (first.result(10), one.result(10), three.result(10)) == (0, 10, 30)
        with pytest.raises(KeyError, match="two"):
            two.result(10)


@pytest.mark.parametrize("fault", [RuntimeError("a bug"), KeyboardInterrupt(), "a result too few"])
def test_a_batch_that_ends_in_a_fault_answers_everyone_and_stops_nobody_after_it(fault: BaseException | str) -> None:
    gate = Gate()

    def commit(items: Sequence[int]) -> Sequence[int | Exception]:
        results = gate(items)
        if 2 not in items:
            return results
        if isinstance(fault, str):
            return results[:-1]
        raise fault

    group = group_of(commit)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(group.submit, 0)
        assert gate.entered.acquire(timeout=10)
        leader, follower, last = queue_up(group, pool, [1, 2, 3])
        gate.let_through.release(3)
        assert first.result(10) == 0
        with pytest.raises(ValueError if isinstance(fault, str) else type(fault)):
            leader.result(10)
        answers = [f.exception(10) for f in (follower, last)]
        assert isinstance(answers[-1], OutcomeUnknown)
        assert group.submit(4) == 40


def test_a_leader_interrupted_while_it_gathers_leaves_the_lead_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate()
    group = group_of(gate)
    gather = group._gather
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(group.submit, 0)
        assert gate.entered.acquire(timeout=10)
        leader, follower = queue_up(group, pool, [1, 2])
        interrupted: list[bool] = []

        def interrupt_once() -> None:
            if not interrupted:
                interrupted.append(True)
                raise KeyboardInterrupt  # as a signal's handler would, in the main thread
            gather()

        monkeypatch.setattr(group, "_gather", interrupt_once)
        gate.let_through.release(3)
        assert first.result(10) == 0
        with pytest.raises(KeyboardInterrupt):
            leader.result(10)
        assert follower.result(10) == 20
        assert group.submit(3) == 30
    assert gate.batches == [[0], [2], [3]]


def test_closing_answers_those_taken_and_refuses_the_rest() -> None:
    gate = Gate()
    group = group_of(gate)
    with ThreadPoolExecutor(8) as pool:
        taken = [pool.submit(group.submit, 0)]
        assert gate.entered.acquire(timeout=10)
        taken += queue_up(group, pool, [1, 2])
        closing = pool.submit(group.close)
        until(lambda: group._closed)
        with pytest.raises(Unavailable, match="stopping"):
            group.submit(3)
        assert not closing.done()
        gate.let_through.release(2)
        closing.result(10)
        assert [f.result(0) if f.done() else f.result(10) for f in taken] == [0, 10, 20]


def test_closing_does_not_wait_for_ever() -> None:
    gate = Gate()
    group = group_of(gate)
    with ThreadPoolExecutor(2) as pool:
        stuck = pool.submit(group.submit, 0)
        assert gate.entered.acquire(timeout=10)
        begun = time.monotonic()
        group.close(seconds_max=0.2)
        assert 0.2 <= time.monotonic() - begun < 5
        gate.let_through.release()
        stuck.result(10)


@settings(max_examples=25)
@given(
    writers=st.integers(1, 24),
    each=st.integers(1, 40),
    batch_max=st.integers(1, 32),
    queue_max=st.integers(1, 32),
    pause_us=st.sampled_from([0, 100, 1000]),
)
def test_every_item_is_committed_once_and_answered_or_refused_whatever_the_load(
    writers: int, each: int, batch_max: int, queue_max: int, pause_us: int
) -> None:
    committed: list[int] = []
    at_once: list[int] = []
    running = threading.Lock()

    def commit(items: Sequence[int]) -> Sequence[int]:
        assert running.acquire(blocking=False), "two commits at a time"
        committed.extend(items)
        at_once.append(len(items))
        time.sleep(pause_us / 1e6)
        running.release()
        return [item + 1 for item in items]

    group = group_of(commit, batch_max, queue_max)

    def write(writer: int) -> list[int]:
        answered = []
        for item in range(writer * each, (writer + 1) * each):
            try:
                assert group.submit(item) == item + 1
                answered.append(item)
            except QueueFull:
                pass
        return answered

    with ThreadPoolExecutor(writers) as pool:
        answered = [item for mine in pool.map(write, range(writers)) for item in mine]
    assert sorted(committed) == sorted(answered)
    assert len(set(committed)) == len(committed)
    assert max(at_once) <= batch_max
    assert group.depth == 0
    assert not group._leading
