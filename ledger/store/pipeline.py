"""Several prepared statements in one write, their answers in one read.

psycopg's own pipeline waits for the socket at every statement. Each wait lets go of the interpreter's lock, and among
thirty busy threads it takes milliseconds to get it back, while the head row stays locked. Here libpq collects
the statements, one system call sends them, and the thread waits once for all answers.
"""

import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

UUID_OID, TEXT_OID = 2950, 25  # pg_type.oid, fixed for all time
BINARY = 1  # the format of a parameter or a result in the protocol


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """A statement to prepare once a connection; `oids` are the types of its parameters, which travel in binary."""

    name: bytes
    text: bytes
    oids: tuple[int, ...] = ()


Call = tuple[Statement, Sequence[bytes | None]]

BEGIN = Statement(b"begin", b"BEGIN")
COMMIT = Statement(b"commit", b"COMMIT")
ROLLBACK = Statement(b"rollback", b"ROLLBACK")


class Pipeline:
    """One connection kept in libpq's pipeline mode, for one thread at a time.

    `on_notice` is given what the server says beside its answers; it lasts no longer than that call.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        seconds_max: float,
        on_notice: Callable[[psycopg.errors.Diagnostic], None] = lambda _: None,
    ) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        # The server's own timeouts end what it knows of; this one ends the wait for a server that fell silent.
        self._seconds_max = seconds_max
        self._prepared: set[bytes] = set()
        connection.add_notice_handler(on_notice)
        self._pgconn.enter_pipeline_mode()

    @property
    def broken(self) -> bool:
        """Whether the connection is of no more use."""
        return self._pgconn.status == ConnStatus.BAD

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, be it one that failed."""
        return self._pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def run(self, calls: Sequence[Call]) -> list[PGresult]:
        """Send the calls together and return their results, in order.

        Raises the first error of the server, after which the others did not run and the connection is good again; or
        `psycopg.OperationalError` with the connection `broken`, after which what was sent may or may not have run.
        """
        deadline = time.monotonic() + self._seconds_max
        try:
            preparing = self._send(calls)
            self._flush(deadline)
            return self._results(preparing, deadline)
        except BaseException:
            # Interrupted half-way (a lost connection, a signal): what comes next on it would be somebody else's answer.
            if self.broken or self._pgconn.transaction_status in (TransactionStatus.ACTIVE, TransactionStatus.UNKNOWN):
                self.close()
            raise

    def _send(self, calls: Sequence[Call]) -> list[bytes | None]:
        """Hand everything to libpq. For each answer to come: the statement that it says is prepared, or None."""
        pgconn, answers = self._pgconn, list[bytes | None]()
        for statement, params in calls:
            name = statement.name
            if name not in self._prepared and name not in answers:
                pgconn.send_prepare(name, statement.text, statement.oids)
                answers.append(name)
            pgconn.send_query_prepared(name, params, (BINARY,) * len(params), BINARY)
            answers.append(None)
        pgconn.pipeline_sync()
        return answers

    def _flush(self, deadline: float) -> None:
        while self._pgconn.flush():
            # A server whose own output is not read may stop reading: take what it has while waiting to write.
            if self._wait(select.POLLIN | select.POLLOUT, deadline) & select.POLLIN:
                self._pgconn.consume_input()

    def _results(self, preparing: Sequence[bytes | None], deadline: float) -> list[PGresult]:
        pgconn, results = self._pgconn, list[PGresult]()
        error: psycopg.Error | None = None
        answers = iter(preparing)
        while True:
            while pgconn.is_busy():
                self._wait(select.POLLIN, deadline)
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:  # between two statements, or after the last word of a dead connection
                if self.broken:
                    raise error or psycopg.OperationalError("the connection is lost")
                continue
            status = result.status
            if status == ExecStatus.PIPELINE_SYNC:
                break
            prepared = next(answers, None)
            if status == ExecStatus.FATAL_ERROR:
                error = error or error_from_result(result)
            elif status != ExecStatus.PIPELINE_ABORTED:
                if prepared is None:
                    results.append(result)
                else:
                    self._prepared.add(prepared)
        if error is not None:
            raise error
        return results

    def _wait(self, events: int, deadline: float) -> int:
        """Until the socket is ready. A poller of its own each time: the connection may have closed its socket."""
        poller = select.poll()
        poller.register(self._pgconn.socket, events)
        ready = poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ready:
            self.close()
            raise psycopg.OperationalError(f"PostgreSQL gave no answer in {self._seconds_max:g} seconds")
        return ready[0][1]


# --- parameters in PostgreSQL's binary format ------------------------------------------------------------------------

_NULL = b"\xff\xff\xff\xff"


def element(value: bytes | None) -> bytes:
    """A value as an array holds it: its length, then its bytes."""
    return _NULL if value is None else len(value).to_bytes(4, "big") + value


def array(oid: int, count: int, elements: bytes) -> bytes:
    """An array, as PostgreSQL's array_recv reads it: number of dimensions, has nulls, type, length, lower bound."""
    return b"\0\0\0\1\0\0\0\1%b%b\0\0\0\1%b" % (oid.to_bytes(4, "big"), count.to_bytes(4, "big"), elements)


def bigint(value: int) -> bytes:
    """A bigint."""
    return value.to_bytes(8, "big", signed=True)
