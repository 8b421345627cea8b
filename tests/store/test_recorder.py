"""The recorder's rules, shown on the real PostgreSQL: positions, races, isolation, and all or nothing."""

import multiprocessing
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from psycopg import sql
from uuid_utils.compat import uuid7

from ledger.errors import (
    AlreadyExists,
    CommandInFlight,
    InvalidValue,
    LedgerError,
    LoginAlreadyClaimed,
    NameAlreadyClaimed,
    StaleVersion,
    StoreUnavailable,
)
from ledger.settings import Settings
from ledger.store.datastore import LedgerDatastore
from ledger.store.keys import WrappedKey
from ledger.store.recorder import (
    Append,
    BatchStatistics,
    Claim,
    IdempotencyEntry,
    InlineTable,
    LedgerRecorder,
    Positions,
)
from tests.waiting import SECONDS_MAX, until

ORGANISATION = UUID(int=7)
VIEW = InlineTable("recorder_view", key=("id",), columns=("id", "name", "amount"))

OpenRecorder = Callable[..., LedgerRecorder]


@pytest.fixture
def ledger(settings: Settings) -> Settings:
    """A fresh ledger with an inline view of this file's own."""
    with connected(settings) as connection:
        connection.execute(
            "CREATE TABLE recorder_view (id uuid PRIMARY KEY, name text UNIQUE, amount smallint CHECK (amount <> 13))"
        )
    return settings


@pytest.fixture
def open_recorder(ledger: Settings) -> Iterator[OpenRecorder]:
    """Opens a recorder with connections of its own, as another process would."""
    with ExitStack() as stack:

        def opened(**changes: Any) -> LedgerRecorder:
            observe = changes.pop("observe", None)
            settings = replace(ledger, **changes)
            datastore = stack.enter_context(LedgerDatastore(settings.database_url, settings))
            return LedgerRecorder(datastore, settings, observe)

        yield opened


@pytest.fixture
def recorder(open_recorder: OpenRecorder) -> LedgerRecorder:
    return open_recorder()


@contextmanager
def connected(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(settings.schema)))
        yield connection


def contents(settings: Settings) -> dict[str, int]:
    """How many rows each table of a command has, and the head."""
    tables = ("ledger_events", "ledger_claims", "ledger_data_keys", "ledger_idempotency", "recorder_view")
    with connected(settings) as connection:
        found = {
            table: connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))).fetchone()
            for table in tables
        }
        found["head"] = connection.execute("SELECT position FROM ledger_head").fetchone()
    return {table: row[0] for table, row in found.items() if row is not None}


def an_append(aggregate_id: UUID | None = None, version: int = 1, events: int = 1, **more: Any) -> Append:
    aggregate_id = aggregate_id or uuid7()
    stored = [StoredEvent(aggregate_id, version + n, "tested", b'{"n":%d}' % n) for n in range(events)]
    return Append(stored, ORGANISATION, **more)


def a_row(aggregate_id: UUID, name: str = "", amount: int = 1) -> dict[InlineTable, list[dict[str, Any]]]:
    return {VIEW: [{"id": aggregate_id, "name": name or str(aggregate_id), "amount": amount}]}


def with_everything(**changes: Any) -> Append:
    """A command that writes to every table there is."""
    aggregate_id = uuid7()
    given: dict[str, Any] = {
        "events": 2,
        "claims": [Claim("login", str(aggregate_id))],
        "data_key": WrappedKey(aggregate_id, "0" * 16, b"wrapped"),
        "idempotency": IdempotencyEntry("operator:1", str(aggregate_id), b"f", b"answer"),
        "rows": a_row(aggregate_id),
        **changes,
    }
    return an_append(aggregate_id, **given)


def in_one_batch(
    recorder: LedgerRecorder, settings: Settings, appends: Sequence[Append]
) -> list[Positions | Exception]:
    """Append from a thread each, in order, all in one commit: the head is held until all of them wait."""

    def outcome(append: Append) -> Positions | Exception:
        try:
            return recorder.append(append)
        except (LedgerError, psycopg.Error) as error:
            return error

    with ThreadPoolExecutor(len(appends) + 1) as pool:
        with connected(settings) as holder, holder.transaction():
            holder.execute("SELECT * FROM ledger_head FOR UPDATE")
            first = pool.submit(outcome, an_append())
            until(lambda: recorder.group._leading and recorder.group.depth == 0)
            outcomes = []
            for append in appends:
                depth = recorder.group.depth
                outcomes.append(pool.submit(outcome, append))
                until(partial(_queued_or_done, recorder, depth, outcomes[-1]))
        assert not isinstance(first.result(20), Exception)
        return [future.result(20) for future in outcomes]


def _queued_or_done(recorder: LedgerRecorder, depth: int, outcome: Future[Any]) -> bool:
    return recorder.group.depth > depth or outcome.done()


class Tail:
    """A reader that polls for what is new while others write, as a projection does, and keeps what it saw."""

    def __init__(self, settings: Settings) -> None:
        self.seen: list[int] = []
        self._stop = threading.Event()
        self._settings = settings
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> "Tail":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _read(self) -> None:
        with connected(self._settings) as connection:
            last_look = False
            while not last_look:
                last_look = self._stop.is_set()  # so that what was committed before the stop is seen
                after = self.seen[-1] if self.seen else 0
                query = "SELECT notification_id FROM ledger_events WHERE notification_id > %s ORDER BY notification_id"
                self.seen += [row[0] for row in connection.execute(query, (after,))]


# --- positions -------------------------------------------------------------------------------------------------------


# A writer's commands: each on an aggregate of its own, or on one that others write to as well, where it mostly loses.
PLAN = st.lists(st.tuples(st.none() | st.integers(0, 2), st.integers(1, 4)), max_size=8)


@hypothesis_settings(max_examples=12)
@given(plans=st.lists(PLAN, min_size=1, max_size=12), batch_maxima=st.lists(st.integers(1, 16), min_size=1, max_size=3))
def test_positions_have_no_gaps_and_no_reader_sees_one_before_those_below_it(
    plans: list[list[tuple[int | None, int]]], batch_maxima: list[int], ledger: Settings
) -> None:
    shared = [uuid7() for _ in range(3)]
    before = contents(ledger)["head"]

    def write(recorder: LedgerRecorder, plan: list[tuple[int | None, int]]) -> list[int]:
        positions = list[int]()
        for which, events in plan:
            aggregate_id, version = uuid7(), 1
            if which is not None:
                aggregate_id = shared[which]
                newest = recorder.select_events(aggregate_id, desc=True, limit=1)
                version = newest[0].originator_version + 1 if newest else 1
            try:
                given = recorder.append(an_append(aggregate_id, version, events))
            except StaleVersion:
                continue
            assert list(given) == list(range(given[0], given[0] + events))
            positions += given
        return positions

    with ExitStack() as stack:
        processes = []
        for batch_max in batch_maxima:
            settings = replace(ledger, commit_batch_max=batch_max)
            datastore = stack.enter_context(LedgerDatastore(settings.database_url, settings))
            processes.append(LedgerRecorder(datastore, settings))
        tail, pool = stack.enter_context(Tail(ledger)), stack.enter_context(ThreadPoolExecutor(len(plans)))
        writing = [pool.submit(write, processes[n % len(processes)], plan) for n, plan in enumerate(plans)]
        acknowledged = sorted(position for done in writing for position in done.result(60))
    after = contents(ledger)["head"]
    assert acknowledged == list(range(before + 1, after + 1))
    assert tail.seen == list(range(1, after + 1))


def _write_from_a_process(settings: Settings, shared: Sequence[UUID], answers: Any) -> None:
    with LedgerDatastore(settings.database_url, settings) as datastore:
        recorder = LedgerRecorder(datastore, settings)

        def write(number: int) -> tuple[list[int], list[UUID]]:
            positions, won = list[int](), list[UUID]()
            for aggregate_id in shared:
                positions += recorder.append(an_append(events=1 + number % 3))
                try:
                    positions += recorder.append(an_append(aggregate_id, claims=[Claim("name", f"n{aggregate_id}")]))
                    won.append(aggregate_id)
                except (StaleVersion, NameAlreadyClaimed):
                    pass
            return positions, won

        with ThreadPoolExecutor(6) as pool:
            results = list(pool.map(write, range(6)))
    answers.put(([p for mine, _ in results for p in mine], [a for _, mine in results for a in mine]))


def test_real_processes_share_the_positions_without_gaps_and_each_race_has_one_winner(ledger: Settings) -> None:
    spawn = multiprocessing.get_context("spawn")
    shared, answers = [uuid7() for _ in range(15)], spawn.Queue()
    workers = [spawn.Process(target=_write_from_a_process, args=(ledger, shared, answers)) for _ in range(3)]
    with Tail(ledger) as tail:
        for worker in workers:
            worker.start()
        results = [answers.get(timeout=60) for _ in workers]
        for worker in workers:
            worker.join(60)
    positions = sorted(p for mine, _ in results for p in mine)
    assert positions == list(range(1, contents(ledger)["head"] + 1)) == tail.seen
    assert sorted(a for _, won in results for a in won) == sorted(shared)


# --- races -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recorders", [1, 3])
@pytest.mark.parametrize(
    ("contender", "refusal"),
    [
        (an_append, StaleVersion),
        (lambda shared: an_append(claims=[Claim("login", str(shared))]), LoginAlreadyClaimed),
        (lambda shared: an_append(rows=a_row(uuid7(), str(shared))), psycopg.errors.UniqueViolation),
        (lambda shared: an_append(idempotency=IdempotencyEntry("me", str(shared), b"f", None)), CommandInFlight),
    ],
    ids=["version", "name", "row", "idempotency key"],
)
def test_a_race_has_exactly_one_winner(
    contender: Callable[[UUID], Append],
    refusal: type[Exception],
    recorders: int,
    ledger: Settings,
    open_recorder: OpenRecorder,
) -> None:
    processes = [open_recorder() for _ in range(recorders)]
    for _ in range(5):
        shared, start = uuid7(), threading.Barrier(12)

        def race(number: int, shared: UUID = shared, start: threading.Barrier = start) -> bool:
            start.wait()
            try:
                processes[number % recorders].append(contender(shared))
            except refusal:
                return False
            return True

        with ThreadPoolExecutor(12) as pool:
            assert sum(pool.map(race, range(12))) == 1
    assert contents(ledger)["head"] == contents(ledger)["ledger_events"] == 5


def test_in_a_batch_the_first_wins_and_a_later_one_may_follow_it(recorder: LedgerRecorder, ledger: Settings) -> None:
    shared = uuid7()
    key = IdempotencyEntry("me", "key", b"f", None)
    outcomes = in_one_batch(
        recorder,
        ledger,
        [
            an_append(shared, idempotency=key),
            an_append(shared),
            an_append(shared, version=2, events=2, claims=[Claim("name", "a")]),
            an_append(claims=[Claim("name", "a")]),
            an_append(shared, version=4, rows=a_row(shared, "later")),
            an_append(idempotency=key),
            an_append(version=3),
        ],
    )
    kinds = [type(o) if isinstance(o, Exception) else list(o) for o in outcomes]
    assert kinds == [[2], StaleVersion, [3, 4], NameAlreadyClaimed, [5], CommandInFlight, StaleVersion]


def test_of_two_rows_with_one_key_in_a_batch_the_later_stays(recorder: LedgerRecorder, ledger: Settings) -> None:
    shared = uuid7()
    in_one_batch(recorder, ledger, [an_append(shared, n, rows=a_row(shared, f"name {n}", n)) for n in (1, 2, 3)])
    with connected(ledger) as connection:
        assert connection.execute("SELECT name, amount FROM recorder_view").fetchall() == [("name 3", 3)]


def test_a_name_is_taken_over_from_the_one_who_has_it_and_from_nobody_else(
    recorder: LedgerRecorder, ledger: Settings
) -> None:
    first, second = uuid7(), uuid7()
    recorder.append(an_append(first, claims=[Claim("slot", "a")]))

    recorder.append(an_append(second, claims=[Claim("slot", "a", over=first)]))
    for over in (None, first, uuid7()):
        with pytest.raises(NameAlreadyClaimed):
            recorder.append(an_append(claims=[Claim("slot", "a", over=over)]))

    with connected(ledger) as connection:
        assert connection.execute("SELECT aggregate_id FROM ledger_claims").fetchall() == [(second,)]


def test_of_two_who_take_a_name_over_in_a_batch_the_first_gets_it(recorder: LedgerRecorder, ledger: Settings) -> None:
    first = uuid7()
    recorder.append(an_append(first, claims=[Claim("slot", "a")]))

    outcomes = in_one_batch(recorder, ledger, [an_append(claims=[Claim("slot", "a", over=first)]) for _ in range(3)])

    assert [type(outcome) for outcome in outcomes] == [range, NameAlreadyClaimed, NameAlreadyClaimed]
    assert contents(ledger)["ledger_claims"] == 1


# --- all or nothing --------------------------------------------------------------------------------------------------


def test_a_command_is_recorded_with_all_that_belongs_to_it(recorder: LedgerRecorder, ledger: Settings) -> None:
    assert list(recorder.append(with_everything())) == [1, 2]
    assert contents(ledger) == {
        "ledger_events": 2,
        "ledger_claims": 1,
        "ledger_data_keys": 1,
        "ledger_idempotency": 1,
        "recorder_view": 1,
        "head": 2,
    }


def test_several_commands_in_one_commit_have_positions_in_a_row(recorder: LedgerRecorder, ledger: Settings) -> None:
    shared = uuid7()
    positions = recorder.append_all([with_everything(), an_append(shared), an_append(shared, 2, events=2)])

    assert [list(of_one) for of_one in positions] == [[1, 2], [3], [4, 5]]
    assert contents(ledger)["ledger_events"] == contents(ledger)["head"] == 5


@pytest.mark.parametrize("place", [0, 1, 2])
def test_several_commands_in_one_commit_are_recorded_all_or_none(
    recorder: LedgerRecorder, ledger: Settings, place: int
) -> None:
    recorder.append(an_append(claims=[Claim("name", "taken")]))
    before = contents(ledger)
    for bad in ({"claims": [Claim("name", "taken")]}, {"version": 7}, {"rows": a_row(uuid7(), amount=2**80)}):
        appends = [with_everything(), with_everything()]
        appends.insert(place, an_append(**bad))

        with pytest.raises((NameAlreadyClaimed, StaleVersion, InvalidValue)):
            recorder.append_all(appends)

        assert contents(ledger) == before
        recorder.append_all(appends[:place] + appends[place + 1 :])  # what they would have taken is free
        before = contents(ledger)


def test_a_released_name_and_a_destroyed_key_are_gone(recorder: LedgerRecorder, ledger: Settings) -> None:
    append = with_everything()
    aggregate_id = UUID(str(append.events[0].originator_id))
    recorder.append(append)
    recorder.append(an_append(aggregate_id, 3, releases_claims=True, destroys_data_key=True))
    assert (contents(ledger)["ledger_claims"], contents(ledger)["ledger_data_keys"]) == (0, 0)
    recorder.append(an_append(claims=append.claims))


TOO_LONG = "x".join(str(uuid7()) for _ in range(2_000))  # more than an index holds, and it does not compress


@pytest.mark.parametrize(
    ("poison", "refusal"),
    [
        ({"rows": {VIEW: [{"id": uuid7(), "name": "a NUL \0 inside", "amount": 1}]}}, InvalidValue),
        ({"rows": {VIEW: [{"id": uuid7(), "name": "half a pair \ud800", "amount": 1}]}}, InvalidValue),
        ({"rows": {VIEW: [{"id": uuid7(), "name": "n", "amount": 99_999}]}}, InvalidValue),
        ({"rows": {VIEW: [{"id": uuid7(), "name": "n", "amount": 13}]}}, psycopg.errors.CheckViolation),
        ({"claims": [Claim("name", "a NUL \0")]}, InvalidValue),
        ({"claims": [Claim("name", "half a pair \udfff")]}, InvalidValue),
        ({"claims": [Claim("name", TOO_LONG)]}, InvalidValue),
        ({"idempotency": IdempotencyEntry("me", TOO_LONG, b"", None)}, InvalidValue),
        ({"data_key": WrappedKey(UUID(int=1), "0" * 16, b"of another")}, AlreadyExists),
    ],
    ids=["nul", "surrogate", "range", "check", "nul claim", "surrogate claim", "long claim", "long key", "key"],
)
def test_what_the_database_cannot_hold_fails_its_own_command_alone(
    poison: dict[str, Any], refusal: type[Exception], recorder: LedgerRecorder, ledger: Settings
) -> None:
    recorder.append(an_append(UUID(int=1), data_key=WrappedKey(UUID(int=1), "0" * 16, b"first")))
    before = contents(ledger)
    with pytest.raises(refusal) as alone:
        recorder.append(with_everything(**poison))
    assert contents(ledger) == before
    if isinstance(alone.value, InvalidValue):
        assert "NUL" in str(alone.value) or "surrogate" in str(alone.value) or "cannot be stored" in str(alone.value)
        assert alone.value.field
    good = [with_everything() for _ in range(6)]
    outcomes = in_one_batch(recorder, ledger, [*good[:4], with_everything(**poison), *good[4:]])
    assert isinstance(outcomes.pop(4), refusal)
    assert sorted(p for o in outcomes if not isinstance(o, Exception) for p in o) == list(range(3, 15))
    after = contents(ledger)
    assert after["ledger_events"] == after["head"] == 14
    assert after["recorder_view"] == after["ledger_claims"] == after["ledger_idempotency"] == 6


def test_a_backslash_before_u0000_is_not_a_nul(recorder: LedgerRecorder, ledger: Settings) -> None:
    text = "\\u0000 and \\\\u0000"
    recorder.append(an_append(rows=a_row(uuid7(), text)))
    with connected(ledger) as connection:
        assert connection.execute("SELECT name FROM recorder_view").fetchall() == [(text,)]


@hypothesis_settings(max_examples=30)
@given(name=st.text(st.characters(codec=None), max_size=12), amount=st.integers(-40_000, 40_000))
def test_any_text_and_number_is_recorded_as_it_is_or_refused(
    name: str, amount: int, recorder: LedgerRecorder, ledger: Settings
) -> None:
    aggregate_id = uuid7()
    try:
        recorder.append(an_append(aggregate_id, rows=a_row(aggregate_id, f"{name}{aggregate_id}", amount)))
    except (InvalidValue, psycopg.errors.CheckViolation):
        assert "\0" in name or any("\ud800" <= c <= "\udfff" for c in name) or abs(amount) > 32_767 or amount == 13
        assert recorder.select_events(aggregate_id) == []
        return
    with connected(ledger) as connection:
        row = connection.execute("SELECT name, amount FROM recorder_view WHERE id = %s", (aggregate_id,)).fetchone()
    assert row == (f"{name}{aggregate_id}", amount)


def test_a_table_swapped_for_another_between_two_commits_takes_the_rows_from_then_on(
    recorder: LedgerRecorder, ledger: Settings
) -> None:
    recorder.append(an_append(rows=a_row(uuid7())))
    with connected(ledger) as connection:
        connection.execute(
            "BEGIN; CREATE TABLE shadow (extra text, name text, id uuid PRIMARY KEY, amount bigint); "
            "DROP TABLE recorder_view; ALTER TABLE shadow RENAME TO recorder_view; COMMIT"
        )
    recorder.append(an_append(rows=a_row(uuid7(), amount=70_000)))
    with connected(ledger) as connection:
        assert connection.execute("SELECT amount FROM recorder_view").fetchall() == [(70_000,)]


# --- company, and what is told of it ---------------------------------------------------------------------------------


def test_batches_form_under_load_and_one_client_alone_commits_by_itself(open_recorder: OpenRecorder) -> None:
    seen: list[BatchStatistics] = []
    recorder = open_recorder(observe=seen.append)
    for _ in range(5):
        recorder.append(an_append())
    assert [(batch.commands, batch.events, batch.refused) for batch in seen] == [(1, 1, 0)] * 5
    seen.clear()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: recorder.append(an_append(events=2)), range(320)))
    assert sum(batch.commands for batch in seen) == 320
    assert sum(batch.events for batch in seen) == 640
    assert len(seen) < 160


def test_an_observer_that_fails_does_not_unsay_what_was_recorded(open_recorder: OpenRecorder) -> None:
    def fail(_: BatchStatistics) -> None:
        raise RuntimeError("metrics are down")

    assert list(open_recorder(observe=fail).append(an_append())) == [1]


def test_one_notification_tells_of_a_batch_and_carries_the_head(recorder: LedgerRecorder, ledger: Settings) -> None:
    with connected(ledger) as listener:
        listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(recorder.notify_channel)))
        in_one_batch(recorder, ledger, [an_append(events=3), an_append(events=2)])
        told = [n.payload for n in listener.notifies(timeout=SECONDS_MAX, stop_after=2)]
        told += [n.payload for n in listener.notifies(timeout=0.5)]
        assert told == ["1", "6"]


def test_a_ledger_without_its_head_row_refuses_and_says_what_to_do(recorder: LedgerRecorder, ledger: Settings) -> None:
    with connected(ledger) as connection:
        connection.execute("DELETE FROM ledger_head")
    with pytest.raises(StoreUnavailable, match="restore"):
        recorder.append(an_append())
    with connected(ledger) as connection:
        connection.execute("INSERT INTO ledger_head (position) VALUES (0)")
    assert list(recorder.append(an_append())) == [1]
