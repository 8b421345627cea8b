"""Look-ups that are asked thousands of times a second: prepared statements on a few connections of their own.

A driver's cursor over a pooled connection costs several times what PostgreSQL takes to answer, mostly in bookkeeping
under the interpreter's lock. Here a thread takes a free connection, sends the statement's parameters in the protocol's
own form, and waits once.
"""

import queue
import select
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus
from psycopg.pq.abc import PGresult

from ledger.store.pipeline import BINARY, Statement

# Asks for the next connection to be opened.
_NOT_OPEN = None


class _SilentServerError(psycopg.OperationalError):
    """The wait for an answer was over before it came."""


class Readers:
    """At most `count` connections, each opened when it is first needed and again when it was lost.

    `wait_seconds_max` bounds the wait for a free one, `answer_seconds_max` the wait for a server that fell silent.
    """

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        *,
        count: int,
        wait_seconds_max: float,
        answer_seconds_max: float,
    ) -> None:
        self._connect = connect
        self.count = count
        self._wait_seconds_max = wait_seconds_max
        self._answer_seconds_max = answer_seconds_max
        self._free: queue.SimpleQueue[_Reader | None] = queue.SimpleQueue()
        for _ in range(count):
            self._free.put(_NOT_OPEN)

    def look_up(self, statement: Statement, params: Sequence[bytes | None]) -> PGresult:
        """The rows of a statement that only reads. Raises `psycopg.Error`."""
        try:
            reader = self._free.get(timeout=self._wait_seconds_max)
        except queue.Empty:
            raise psycopg.OperationalError("no connection became free in time") from None
        try:
            if reader is not None:
                try:
                    return reader.run(statement, params)
                except (psycopg.OperationalError, psycopg.errors.InvalidSqlStatementName) as error:
                    if not reader.broken or isinstance(error, _SilentServerError):
                        raise  # whoever asks has waited long enough
                    # It died while it lay idle, as when the server starts again. Nothing was read, so ask another.
            reader = _Reader(self._connect(), self._answer_seconds_max)
            return reader.run(statement, params)
        finally:
            self._free.put(_NOT_OPEN if reader is None or reader.broken else reader)

    @property
    def busy(self) -> int:
        """How many of the connections are asking something just now."""
        return self.count - self._free.qsize()

    def close(self) -> None:
        """Close the connections that are free; those in use belong to threads that must have ended."""
        for _ in range(self.count):
            try:
                reader = self._free.get_nowait()
            except queue.Empty:
                return
            if reader is not None:
                reader.close()


class _Reader:
    """One connection, for one thread at a time."""

    def __init__(self, connection: psycopg.Connection[Any], answer_seconds_max: float) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._pgconn.nonblocking = 1
        self._answer_seconds_max = answer_seconds_max
        self._prepared: set[bytes] = set()
        self._poller = select.poll()
        self._poller.register(self._pgconn.socket, select.POLLIN)

    @property
    def broken(self) -> bool:
        """Whether the connection is of no more use."""
        return self._pgconn.status == ConnStatus.BAD

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def run(self, statement: Statement, params: Sequence[bytes | None]) -> PGresult:
        """The statement's rows; it is prepared at its first use."""
        pgconn = self._pgconn
        try:
            if statement.name not in self._prepared:
                pgconn.send_prepare(statement.name, statement.text, statement.oids)
                _checked(self._answer())
                self._prepared.add(statement.name)
            pgconn.send_query_prepared(statement.name, params, (BINARY,) * len(params), BINARY)
            result = self._answer()
        except BaseException:
            self.close()  # what comes next on it would be somebody else's answer
            raise
        try:
            return _checked(result)
        except psycopg.errors.InvalidSqlStatementName:
            self.close()  # somebody deallocated what was prepared; a new one has it
            raise

    def _answer(self) -> PGresult:
        pgconn, deadline = self._pgconn, time.monotonic() + self._answer_seconds_max
        while pgconn.flush():  # a kilobyte at most, so it is sent at once unless the server does not read
            self._wait(deadline)
        self._wait(deadline)
        while pgconn.is_busy():
            self._wait(deadline)
        result = pgconn.get_result()
        if result is None:
            raise psycopg.OperationalError("the connection is lost")
        while pgconn.is_busy():
            self._wait(deadline)
        pgconn.get_result()  # None: the end of this answer
        return result

    def _wait(self, deadline: float) -> None:
        if not self._poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise _SilentServerError("PostgreSQL gave no answer in time")
        self._pgconn.consume_input()


def _checked(result: PGresult) -> PGresult:
    if result.status == ExecStatus.FATAL_ERROR:
        raise error_from_result(result)
    return result
