"""PostgreSQL stopped, killed, full, slow, locked, read-only or crowded: 503 meanwhile, and recovery by itself."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from api.wiring import Services, open_services
from ledger.errors import StoreUnavailable, Unavailable
from ledger.settings import Settings
from ledger.store.embedded import EmbeddedPostgres
from ledger.store.migrate import migrate
from tests import given
from tests.faults.checking import EVENTS_EACH, Attempt, attempt, check_everything
from tests.waiting import until

SCHEMA = "keyledger"


def until_acknowledged(services: Services, organisation: object, seconds_max: float = 30.0) -> list[Attempt]:
    """Try again and again, as a client that heeds Retry-After would; everything that was tried."""
    deadline, attempts = time.monotonic() + seconds_max, list[Attempt]()
    while not (attempts and attempts[-1].acknowledged):
        assert time.monotonic() < deadline, "it did not recover by itself"
        attempts.append(attempt(services, organisation))  # type: ignore[arg-type]
        time.sleep(0.05)
    return attempts


@contextmanager
def admin(conninfo: str, schema: str = SCHEMA) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(schema)))
        yield connection


def test_a_stopped_server_is_unavailable_and_a_started_one_is_used_again(
    own_directory: Path, settings: Settings
) -> None:
    with ExitStack() as stack:
        with EmbeddedPostgres(own_directory) as server:
            migrate(server.conninfo, SCHEMA)
            hasty = replace(settings, database_url=server.conninfo, schema=SCHEMA, connect_timeout=1.0)
            services = stack.enter_context(open_services(hasty, server.conninfo))
            organisation = given.an_organisation(services)
            attempts = [attempt(services, organisation)]
        for _ in range(5):  # seconds enough for a pool that waits longer from try to try to fall behind
            attempts.append(attempt(services, organisation))
            assert isinstance(attempts[-1].told, StoreUnavailable)
            with pytest.raises(StoreUnavailable):
                services.log.head()
            time.sleep(0.5)
        with EmbeddedPostgres(own_directory):
            attempts.append(attempt(services, organisation))
            assert attempts[-1].acknowledged
            assert services.log.head() == 1 + 2 * EVENTS_EACH
            check_everything(services, attempts)


def test_a_postmaster_killed_under_load_loses_and_doubles_nothing(
    own_directory: Path, own_settings: Settings, own_server: str
) -> None:
    with open_services(own_settings, own_server) as services:
        organisation = given.an_organisation(services)
        killed = threading.Event()

        def work(_: int) -> list[Attempt]:
            mine = [attempt(services, organisation) for _ in range(5)]
            while not killed.is_set():
                mine.append(attempt(services, organisation))
            return mine + until_acknowledged(services, organisation)

        with ThreadPoolExecutor(8) as pool:
            working = [pool.submit(work, n) for n in range(8)]
            for _ in range(2):
                time.sleep(0.5)
                cluster = Path(_one(own_server, "SHOW data_directory"))
                os.kill(int((cluster / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
                until(lambda: _answers(own_server))
            killed.set()
            attempts = [a for done in working for a in done.result(60)]
        assert sum(a.acknowledged for a in attempts) >= 8
        check_everything(services, attempts)


def test_a_disk_that_is_full_refuses_and_one_with_room_again_accepts(own_settings: Settings, own_server: str) -> None:
    """The kernel's own ENOSPC, for any user: the table's first page goes to /dev/full."""
    with open_services(own_settings, own_server) as services, admin(own_server) as connection:
        organisation = given.an_organisation(services)
        relation = Path(_one(own_server, "SHOW data_directory")) / _one(
            own_server, f"SELECT pg_relation_filepath('{SCHEMA}.credential_secret')"
        )
        aside = relation.with_name(f"{relation.name}.aside")
        relation.rename(aside)
        relation.symlink_to("/dev/full")
        try:
            attempts = [attempt(services, organisation) for _ in range(2)]
        finally:
            relation.unlink()
            aside.rename(relation)
        assert [str(a.told) for a in attempts] == ["PostgreSQL cannot serve now (DiskFull)"] * 2
        connection.execute("TRUNCATE credential_secret")  # every session forgets the file that it held open
        attempts.append(attempt(services, organisation))
        assert attempts[-1].acknowledged
        check_everything(services, attempts)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk; /dev/full stands for it elsewhere")
def test_a_disk_that_fills_up_under_the_write_ahead_log_loses_nothing(own_directory: Path, settings: Settings) -> None:
    disk = own_directory / "disk"
    disk.mkdir(mode=0o755)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=140m,mode=755", "tmpfs", disk], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"this root may not mount: {mounted.stderr.decode().strip()}")
    try:
        with EmbeddedPostgres(disk, settings={"max_wal_size": "32MB", "min_wal_size": "32MB"}) as server:
            migrate(server.conninfo, SCHEMA)
            hasty = replace(settings, database_url=server.conninfo, schema=SCHEMA, connect_timeout=1.0)
            with open_services(hasty, server.conninfo) as services:
                organisation = given.an_organisation(services)
                attempts = [attempt(services, organisation)]
                filler = disk / "filler"
                _fill(filler)
                deadline = time.monotonic() + 60
                while attempts[-1].acknowledged:
                    assert time.monotonic() < deadline, "the disk did not fill up"
                    _fill(filler)
                    with ThreadPoolExecutor(16) as pool:
                        attempts += pool.map(lambda _: attempt(services, organisation), range(200))
                        attempts.sort(key=lambda a: a.acknowledged, reverse=True)
                assert isinstance(attempts[-1].told, Unavailable)
                filler.unlink()
                attempts += until_acknowledged(services, organisation, 60)
                check_everything(services, attempts)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_statement_that_takes_too_long_is_unavailable_and_leaves_nothing(
    settings: Settings,
) -> None:
    hasty = replace(settings, statement_timeout=1.0)
    with (
        open_services(hasty, settings.database_url) as services,
        admin(settings.database_url, settings.schema) as connection,
    ):
        organisation = given.an_organisation(services)
        connection.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(5); RETURN NEW; END'; "
            "CREATE TRIGGER slow BEFORE INSERT ON credential_secret FOR EACH ROW EXECUTE FUNCTION slow()"
        )
        attempts = [attempt(services, organisation)]
        assert "QueryCanceled" in str(attempts[-1].told)
        connection.execute("DROP TRIGGER slow ON credential_secret")
        attempts.append(attempt(services, organisation))
        assert attempts[-1].acknowledged
        check_everything(services, attempts)


def test_a_lock_that_is_held_is_unavailable_after_its_timeout_and_free_again_after_it(settings: Settings) -> None:
    hasty = replace(settings, lock_timeout=0.3)
    with open_services(hasty, settings.database_url) as services:
        organisation = given.an_organisation(services)
        attempts = [attempt(services, organisation)]
        for statement in ("SELECT * FROM ledger_head FOR UPDATE", "LOCK TABLE credential_status"):
            with admin(settings.database_url, settings.schema) as holder, holder.transaction():
                holder.execute(statement)
                attempts.append(attempt(services, organisation))
                assert "LockNotAvailable" in str(attempts[-1].told)
            attempts.append(attempt(services, organisation))
            assert attempts[-1].acknowledged
        check_everything(services, attempts)


def test_a_server_that_only_reads_is_unavailable_for_writing(own_settings: Settings, own_server: str) -> None:
    with open_services(own_settings, own_server) as services, admin(own_server) as connection:
        organisation = given.an_organisation(services)
        attempts = [attempt(services, organisation)]
        for value, accepted in (("on", False), ("off", True)):
            connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            connection.execute("SELECT pg_reload_conf()")
            until(lambda value=value: _one(own_server, "SHOW default_transaction_read_only") == value)  # type: ignore[misc]

            def tried(accepted: bool = accepted) -> bool:
                attempts.append(attempt(services, organisation))
                return attempts[-1].acknowledged is accepted

            until(tried)  # the writer's own session reads its settings between two statements
        check_everything(services, attempts)


def test_a_crowded_server_is_unavailable_until_there_is_room(own_settings: Settings, own_server: str) -> None:
    with open_services(own_settings, own_server) as services, ExitStack() as crowd:
        organisation = given.an_organisation(services)
        attempts = [attempt(services, organisation)]

        def refused() -> bool:
            before = _sessions(own_server)
            services.store.drop_writer()  # as after any fault: it must connect anew
            until(lambda: _sessions(own_server) < before)
            with contextlib.suppress(psycopg.OperationalError):
                for _ in range(100):
                    crowd.enter_context(psycopg.connect(own_server))
            attempts.append(attempt(services, organisation))
            return isinstance(attempts[-1].told, StoreUnavailable)

        until(refused)  # a session that had ended may give its place up only when the crowd has come
        crowd.close()
        attempts += until_acknowledged(services, organisation)
        check_everything(services, attempts)


def _fill(filler: Path) -> None:
    """Take what room is left, to the last page."""
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


def _one(conninfo: str, query: str) -> str:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return str(row[0])


def _answers(conninfo: str) -> bool:
    try:
        return _one(conninfo, "SELECT 1") == "1"
    except psycopg.OperationalError:
        return False


def _sessions(conninfo: str) -> int:
    return int(_one(conninfo, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'keyledger'"))
