"""Look-ups on connections of their own, on a real server that goes away."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from ledger.settings import Settings
from ledger.store.datastore import LedgerDatastore
from ledger.store.pipeline import Statement
from ledger.store.reading import Readers
from tests.waiting import SECONDS_MAX, until

_TEXT = 25
ECHO = Statement(b"echo", b"SELECT $1, $2", (_TEXT, _TEXT))
PID = Statement(b"pid", b"SELECT pg_backend_pid()::text")
SLEEP = Statement(b"sleep", b"SELECT pg_sleep(60)")
WRONG = Statement(b"wrong", b"SELECT 1/$1::int", (_TEXT,))


@pytest.fixture
def store(settings: Settings) -> Iterator[LedgerDatastore]:
    with LedgerDatastore(settings.database_url, settings) as opened:
        yield opened


def readers(store: LedgerDatastore, count: int = 2, wait: float = SECONDS_MAX, answer: float = SECONDS_MAX) -> Readers:
    return Readers(store.connect, count=count, wait_seconds_max=wait, answer_seconds_max=answer)


def pid(some: Readers) -> bytes | None:
    return some.look_up(PID, ()).get_value(0, 0)


def end(store: LedgerDatastore, *pids: bytes | None) -> None:
    for one in pids:
        assert one is not None
        store.rows("SELECT pg_terminate_backend(%s)", (int(one),))
        while store.rows("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (int(one),)):
            time.sleep(0.01)


def cancel_sleep(store: LedgerDatastore) -> bool:
    """Whether the long statement of this ledger ran, which it does no longer."""
    return bool(
        store.rows(
            "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND query = %s "
            "AND datname = current_database()",
            (SLEEP.text.decode(),),
        )
    )


def test_each_thread_gets_its_own_answer(store: LedgerDatastore) -> None:
    some = readers(store)

    def ask(number: int) -> tuple[Any, Any]:
        found = some.look_up(ECHO, (b"%d" % number, "ü".encode()))
        return found.get_value(0, 0), found.get_value(0, 1)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(200))) == [(b"%d" % n, "ü".encode()) for n in range(200)]
    some.close()


def test_no_more_connections_are_opened_than_allowed(store: LedgerDatastore) -> None:
    some = readers(store, count=3)
    with ThreadPoolExecutor(12) as pool:
        assert len(set(pool.map(lambda _: pid(some), range(100)))) <= 3
    some.close()


def test_a_connection_that_died_while_idle_is_replaced_without_an_error(store: LedgerDatastore) -> None:
    some = readers(store)
    pids = [pid(some), pid(some)]
    end(store, *pids)

    assert pid(some) not in pids
    assert pid(some) not in pids
    some.close()


def test_after_an_error_of_the_server_the_connection_goes_on(store: LedgerDatastore) -> None:
    some = readers(store, count=1)
    before = pid(some)
    with pytest.raises(psycopg.errors.DivisionByZero):
        some.look_up(WRONG, (b"0",))
    assert pid(some) == before
    some.close()


def test_a_statement_the_server_ends_for_its_time_is_not_asked_again(store: LedgerDatastore) -> None:
    some = readers(store, count=1)
    before = pid(some)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(some.look_up, SLEEP, ())
        until(lambda: cancel_sleep(store))
        with pytest.raises(psycopg.errors.QueryCanceled):
            asked.result()
    assert pid(some) == before
    some.close()


@pytest.mark.parametrize("forget", [b"DEALLOCATE ALL", b"DISCARD ALL"])
def test_a_connection_that_lost_its_statements_is_replaced_without_an_error(
    store: LedgerDatastore, forget: bytes
) -> None:
    some = readers(store, count=1)
    before = pid(some)
    some.look_up(Statement(b"forget", forget), ())
    assert pid(some) != before
    some.close()


def test_a_server_that_falls_silent_is_given_up(store: LedgerDatastore) -> None:
    some = readers(store, count=1, answer=3)  # which is time enough for all else, on a busy machine too
    before = pid(some)
    began = time.monotonic()
    with pytest.raises(psycopg.OperationalError, match="gave no answer in time"):
        some.look_up(SLEEP, ())
    assert time.monotonic() - began < SECONDS_MAX  # the statement takes a minute
    assert pid(some) != before
    some.close()


def test_who_finds_no_free_connection_is_told_so(store: LedgerDatastore) -> None:
    some = readers(store, count=1, wait=0.2)
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(some.look_up, SLEEP, ())
        until(lambda: some.busy)
        with pytest.raises(psycopg.OperationalError, match="free"):
            pid(some)
        until(lambda: cancel_sleep(store))
        assert busy.exception() is not None
    assert pid(some) is not None
    some.close()
