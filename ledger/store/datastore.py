"""The connections of one process to one ledger: a bounded pool over the eventsourcing library's datastore."""

import select
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from eventsourcing.postgres import ConnectionPool, PostgresDatastore
from psycopg import sql
from psycopg.errors import FeatureNotSupported
from psycopg.pq.abc import PGresult
from psycopg.rows import TupleRow, dict_row, tuple_row
from psycopg_pool import PoolTimeout, TooManyRequests

from ledger.errors import StoreUnavailable
from ledger.settings import Settings
from ledger.store.pipeline import Pipeline, Statement
from ledger.store.reading import Readers

Params = Sequence[Any] | Mapping[str, Any]

# A transaction that does nothing for this long belongs to a process that hangs; its locks must not outlive it.
IDLE_IN_TRANSACTION_SECONDS = 10

# The pool waits longer from try to try, minutes after a long outage. Giving up early makes the next request the next
# try, so that reading works as soon as the server does.
RECONNECT_SECONDS = 0.25


class LedgerDatastore(PostgresDatastore):
    """Pooled connections in autocommit, with the ledger's schema first in their search path and every wait bounded.

    The library's datastore takes a host, a port and a password apart; this one takes any conninfo, so that TLS and
    every other libpq setting holds. Build it after a fork.
    """

    def __init__(self, conninfo: str, settings: Settings) -> None:
        super().__init__("", "", 0, "", "", schema=settings.schema, originator_id_type="uuid")
        self.conninfo = psycopg.conninfo.make_conninfo(
            conninfo, connect_timeout=max(2, int(settings.connect_timeout)), client_encoding="UTF8"
        )
        self._session = session_settings(settings)
        # The server ends its own statements; a second more is for the way there and back.
        self._answer_seconds_max = settings.statement_timeout + settings.lock_timeout + 1
        self._writer: Pipeline | None = None
        readers = max(1, settings.pool_size_max // 3)
        self.readers = Readers(
            self.connect,
            count=readers,
            wait_seconds_max=settings.connect_timeout,
            answer_seconds_max=self._answer_seconds_max,
        )
        self.unconfirmed = Unconfirmed()
        self.pool = ConnectionPool(
            self.conninfo,
            connection_class=psycopg.Connection[Any],
            kwargs={"row_factory": dict_row, "autocommit": True, "application_name": "keyledger"},
            min_size=1,
            max_size=settings.pool_size_max - readers - 1,  # one is the writer's
            # More waiting than this means the answers would come after their callers gave up.
            max_waiting=settings.threads * 4,
            timeout=settings.connect_timeout,
            reconnect_timeout=RECONNECT_SECONDS,
            configure=self._configure,
            check=self._check_open,
            open=False,
            name="keyledger",
        )

    def _configure(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(self._session)

    def _check_open(self, connection: psycopg.Connection[Any]) -> None:
        """Refuse a pooled connection that the server closed while it lay idle: its socket has its farewell to read.

        Without a round trip, so that every use can be checked and a restarted server is noticed before a query fails.
        """
        poller = select.poll()
        poller.register(connection.pgconn.socket, select.POLLIN)
        if poller.poll(0):
            connection.close()
            self.pool.check()  # the others died with it; the pool would sleep a second over each
            raise psycopg.OperationalError("the server closed the connection")

    def register_type_adapters(self) -> None:
        """Nothing, and so no connection: what the ledger inserts are arrays of plain types."""

    def writer(self) -> Pipeline:
        """The one connection that commits go through, opened again where it was lost; for one thread at a time.

        It is not the pool's: readers that hold every pooled connection must not hold up writing, and a commit saves
        the pool's bookkeeping.
        """
        if self._writer is None or self._writer.broken:
            connection = self.connect()
            # Its few statements go by keys, and their arrays would have each planned anew at every commit.
            connection.execute("SET plan_cache_mode TO force_generic_plan")
            self._writer = Pipeline(connection, self._answer_seconds_max, self.unconfirmed.notice)
        return self._writer

    def drop_writer(self) -> None:
        """Close the writer's connection; the next commit opens another."""
        if self._writer is not None:
            self._writer.close()

    def close(self) -> None:
        """Close every connection. Answer what was taken first (`GroupCommit.close`)."""
        with suppress(AttributeError):  # the library's __del__ calls this even where __init__ failed
            self.drop_writer()
            self.readers.close()
        super().close()

    def __exit__(self, *_: object) -> None:
        self.close()  # the library's own leaves by the pool alone

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of its own, outside the pool, set up like the others (for listening and long reads)."""
        with unavailable_as_such():
            connection = psycopg.connect(self.conninfo, autocommit=True, application_name="keyledger")
            try:
                self._configure(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def rows(self, query: str, params: Params = ()) -> list[dict[str, Any]]:
        """All rows of a query of ours, as dictionaries. A database that cannot answer raises `StoreUnavailable`."""
        with unavailable_as_such():
            self.pool.open()
            with self.pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
                try:
                    cursor.execute(query, params, prepare=True)
                except FeatureNotSupported:  # a migration changed a table under statements that were prepared before
                    cursor.execute("DEALLOCATE ALL")  # which the driver heeds: it prepares them anew
                    cursor.execute(query, params, prepare=True)
                return cursor.fetchall()

    def row(self, query: str, params: Params = ()) -> dict[str, Any] | None:
        """The first row of a query of ours, or None."""
        return next(iter(self.rows(query, params)), None)

    def look_up(self, statement: Statement, params: Sequence[bytes | None]) -> PGresult:
        """The rows of a prepared statement that only reads; see `Readers`. Raises `StoreUnavailable`."""
        with unavailable_as_such():
            return self.readers.look_up(statement, params)

    @contextmanager
    def cursor_of_tuples(self) -> Iterator[psycopg.Cursor[TupleRow]]:
        """A cursor of a pooled connection in autocommit. A database that cannot answer raises `StoreUnavailable`."""
        with unavailable_as_such():
            self.pool.open()
            with self.pool.connection() as connection, connection.cursor(row_factory=tuple_row) as cursor:
                yield cursor


def session_settings(settings: Settings) -> sql.Composed:
    """What every session begins with. Server-side timeouts end what a client cannot."""
    return sql.SQL(
        "SET search_path TO {schema}, public; SET timezone TO 'UTC'; "
        "SET statement_timeout TO {statement}; SET lock_timeout TO {lock}; "
        "SET idle_in_transaction_session_timeout TO {idle}"
    ).format(
        schema=sql.Identifier(settings.schema),
        statement=sql.Literal(int(settings.statement_timeout * 1000)),
        lock=sql.Literal(int(settings.lock_timeout * 1000)),
        idle=sql.Literal(IDLE_IN_TRANSACTION_SECONDS * 1000),
    )


class Unconfirmed:
    """Whether the server told that a commit returned without its synchronous standby's word: to it only a warning."""

    def __init__(self) -> None:
        self.told = False

    def notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        """Take notice. The diagnostic is gone after this call."""
        if diagnostic.sqlstate == "01000" and "synchronous replication" in (diagnostic.message_primary or ""):
            self.told = True


# What the server says when it cannot serve now: lost connections, timeouts, no room. Nothing was recorded.
UNAVAILABLE = (
    psycopg.OperationalError,  # with disk full, too many connections, shutdown and query cancelled beneath it
    psycopg.InterfaceError,
    PoolTimeout,
    TooManyRequests,
    psycopg.errors.ReadOnlySqlTransaction,  # a standby that was promoted away from
    psycopg.errors.LockNotAvailable,
)


@contextmanager
def unavailable_as_such() -> Iterator[None]:
    """Turns what the driver raises when PostgreSQL cannot serve into `StoreUnavailable`."""
    try:
        yield
    except UNAVAILABLE as error:
        raise StoreUnavailable(f"PostgreSQL cannot serve now ({type(error).__name__})") from error
