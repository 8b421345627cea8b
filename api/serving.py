"""`keyledger serve`: everything one installation needs, in the foreground until Ctrl-C.

This process owns the embedded PostgreSQL and the projector and watches over the server's workers; the workers do
nothing but answer HTTP. They stop in the order in which they need each other: workers, projector, PostgreSQL.
"""

import errno
import http.client
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, NoReturn

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import Server
from uuid_utils.compat import uuid7

from api.attesting import Attestation
from api.erasing import erase_again
from api.observability import configure_logging, logging_config
from api.sealing import open_sealed_log
from api.sweeping import Sweeper
from api.webhook_delivering import WebhookDeliverer
from api.wiring import Services, open_services
from api.witnesses import witness_policy
from api.wsgi import build
from ledger.commands import EnrolOperator
from ledger.errors import NameAlreadyClaimed
from ledger.events import Context
from ledger.secret_format import well_formed
from ledger.secrets import HINT_CHARS, IssuedSecret
from ledger.service import Ledger
from ledger.settings import PREFIX, Settings, SettingsError
from ledger.store.embedded import EmbeddedPostgres
from ledger.store.interrupts import interrupts_held
from ledger.store.keys import make_master_key_file
from ledger.store.log import EventLog
from ledger.store.migrate import migrate
from ledger.values import Mode, Name, Role, Via
from projections.operator_status import administrators_exist
from projections.reports import ReportCounter
from projections.runner import Projector
from projections.sealed.sealer import Sealer

# Connections that wait in the kernel; beyond them it refuses new ones, which a client notices at once.
BACKLOG = 1024
# Connections that a worker holds, kept-alive ones too: gateways keep dozens each, and one more than this waits until
# another ends. Each takes a file descriptor, of which a process may often have 1,024, and has one request at a time.
CONNECTIONS_MAX = 512
# A request's line and headers; nginx passes on at most 32 KB, and longer ones have no use here.
HEADER_BYTES_MAX = 65_536
# A client that is slower than this to send its headers holds a connection that others could use, and so does one that
# keeps it and asks nothing: clients of ours, and the configurations of nginx here, let go of theirs before.
HEADER_MILLISECONDS_MAX = 10_000
# Workers finish what they took: a commit and the search for its outcome, bounded by the statements' timeouts.
STOP_SECONDS_MAX = 40
# A worker that was told to stop and did not is told again after that long.
REMIND_SECONDS = 1.0
# A short command may hold the embedded PostgreSQL; workers of a killed server may hold the port.
HANDOVER_SECONDS_MAX = 5.0
# Connections of an embedded PostgreSQL beyond those of our pools: commands, psql, its own reserve.
SPARE_CONNECTIONS = 30
# A process's group commit, the projector's views, sealer, attestation, sweeper, counter and webhooks.
CONNECTIONS_BESIDE_POOL = 9
READY_SECONDS_MAX = 600.0  # after that whoever waits for the URL has read the log; a busy machine may take minutes
ANSWER_SECONDS_MAX = 60.0  # of one look whether it answers; where that was lost, the next one asks anew


def serve(settings: Settings) -> None:
    """Serve until a signal ends it. Prints the first administrator's token once, and the URL once it answers, each on
    a line of its own.

    Raises `SettingsError`, `WrongMasterKey`, `MigrationError`, `EmbeddedPostgresError` and `StoreUnavailable`, each
    with what to do.
    """
    signal.signal(signal.SIGTERM, _interrupt)  # until the server takes the signals over, unwind as for Ctrl-C
    configure_logging(settings)
    witness_policy(settings)  # a wrong file is told before anything is made, or a token is shown once
    address = _free_address(settings)
    prepare_data_dir(settings)
    with _database(settings) as conninfo:
        migrate(conninfo, settings.schema)
        settings = replace(settings, database_url=conninfo)
        with open_services(settings, conninfo) as services:
            erase_again(services)
            token = first_administrator(services.log, services.ledger)
            if token is not None:
                _say(token, "This is the first administrator's token. It is shown this once: store it now.")
            with _projecting(services), _shared_metrics():
                threading.Thread(target=_announce, args=(settings, address), daemon=True).start()
                _run_server(replace(settings, bootstrap_token=""), address)


def prepare_data_dir(settings: Settings) -> None:
    """Make the data directory and, where none is given, a master key in it."""
    try:
        if not settings.data_dir.exists():
            # Passable for the user PostgreSQL runs as under root; the key in it is 0600.
            settings.data_dir.mkdir(parents=True, mode=0o711)
        if not settings.master_key:
            make_master_key_file(settings.master_key_file)
    except OSError as error:
        raise SettingsError(
            f"{PREFIX}DATA_DIR is {settings.data_dir}, which cannot be written: {error.strerror}"
        ) from None


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """The conninfo of the PostgreSQL to use. An embedded one is this process's own: with its owner it would end."""
    if settings.database_url:
        yield settings.database_url
        return
    each = settings.pool_size_max + CONNECTIONS_BESIDE_POOL
    connections = {"max_connections": str((settings.workers + 1) * each + SPARE_CONNECTIONS)}
    deadline = time.monotonic() + HANDOVER_SECONDS_MAX
    while True:
        with EmbeddedPostgres(settings.data_dir, connections) as server:
            if server.owner:
                yield server.conninfo
                return
        if time.monotonic() > deadline:
            raise SettingsError(
                f"another keyledger runs on {settings.data_dir}: stop it, or name another {PREFIX}DATA_DIR"
            )
        time.sleep(0.1)


def first_administrator(log: EventLog, ledger: Ledger) -> str | None:
    """Enrol the first administrator of a new installation and return its token; None where there is one already."""
    if administrators_exist(log.datastore):
        return None
    digests, given = log.keyring.digests, log.settings.bootstrap_token
    if given and not well_formed(given):
        raise SettingsError(f"{PREFIX}BOOTSTRAP_TOKEN is not a well-formed operator token")
    issued = digests.issue("operator", Mode.LIVE)
    if given:
        stored = replace(issued.stored, digest=digests.candidates(given)[0], hint=given[-HINT_CHARS:])
        issued = IssuedSecret(given, stored)
    command = EnrolOperator(
        context=Context(datetime.now(UTC), "system", Via.SYSTEM, reason="first administrator of a new installation"),
        operator_id=uuid7(),
        organisation_id=None,
        name=Name("first administrator"),
        email=None,
        roles=frozenset({Role.ADMINISTRATOR}),
        production=True,
        secret=issued.stored,
    )
    try:
        ledger.handle(command)
    except NameAlreadyClaimed:  # another process of this installation was first with the same bootstrap token
        return None
    return None if given else issued.plaintext


@contextmanager
def _projecting(services: Services) -> Iterator[None]:
    """What works in the background, where this process is to do that."""
    if not services.settings.projector:
        yield
        return
    open_sealed_log(services.log, services.ledger)
    projector, sweeper, sealer = Projector(services.log), Sweeper(services), Sealer(services.log)
    counter = ReportCounter(services.store, services.settings.rotation_days, services.settings.report_interval)
    deliverer, attestation = WebhookDeliverer(services), Attestation(services)
    projector.start()
    sealer.start()
    sweeper.start()
    deliverer.start()
    attestation.start()
    counter.start()
    try:
        yield
    finally:
        counter.stop()
        attestation.stop()
        deliverer.stop()
        sweeper.stop()
        sealer.stop()
        projector.stop()


@contextmanager
def _shared_metrics() -> Iterator[None]:
    """A directory in which the workers keep their metrics together, for as long as they run."""
    with TemporaryDirectory(prefix="keyledger-metrics-") as directory:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
        try:
            yield
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


# --- where it listens ------------------------------------------------------------------------------------------------


def _free_address(settings: Settings) -> str:
    """The IP address to listen on. The workers share the port (SO_REUSEPORT), so a second server would take half of
    the first one's requests without a word: what nobody may share is tried here.
    """
    try:
        family, _, _, _, found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise SettingsError(f"{PREFIX}HOST is {settings.host}, which is no address here: {error.strerror}") from None
    deadline = time.monotonic() + HANDOVER_SECONDS_MAX
    while True:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(found)
                listener.listen()
                return str(found[0])
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SettingsError(f"cannot listen on {settings.url}: {error.strerror}") from None
            if time.monotonic() > deadline:
                raise SettingsError(
                    f"port {settings.port} of {settings.host} is in use: stop what listens there, "
                    f"or set {PREFIX}PORT to another one"
                ) from None
        time.sleep(0.1)


def _announce(settings: Settings, address: str) -> None:
    """Say the URL as soon as it answers, so that whoever reads it can use it."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - it is compared
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection(reachable, settings.port, timeout=ANSWER_SECONDS_MAX)
            connection.request("GET", "/healthz", headers={"Connection": "close"})
            connection.getresponse().read()
            connection.close()
        except OSError:
            time.sleep(0.02)
        else:
            _say(settings.url)
            return


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


# --- the server ------------------------------------------------------------------------------------------------------


class _LightSleep(threading.Event):
    """An event for which a thread that handles signals can wait, and miss none of them for longer than a moment."""

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is not None:
            return super().wait(timeout)
        while not super().wait(REMIND_SECONDS):
            pass
        return True


class _Server(Server):  # type: ignore[misc, valid-type]  # a name that granian chooses at run time
    """granian, whose workers do not see Ctrl-C: the terminal sends it to all of them, and this process alone decides
    in which order they end.

    Python handles a signal between two of its steps. One that comes after the last step before a thread falls asleep
    does not wake it: such a sleep ends by itself here, and where it is a worker's, by being told again.
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.main_loop_interrupt = _LightSleep()

    def _stop_workers(self) -> None:
        ended = threading.Event()
        threading.Thread(target=self._remind_workers, args=(ended,), daemon=True).start()
        try:
            super()._stop_workers()
        finally:
            ended.set()

    def _remind_workers(self, ended: threading.Event) -> None:
        while not ended.wait(REMIND_SECONDS):
            for worker in list(self.wrks):
                worker.terminate()

    def _spawn_workers(self, *args: Any, **more: Any) -> None:
        with interrupts_held():
            super()._spawn_workers(*args, **more)

    def _respawn_workers(self, *args: Any, **more: Any) -> None:
        with interrupts_held():
            super()._respawn_workers(*args, **more)


def _run_server(settings: Settings, address: str) -> None:
    """granian in this process's foreground, until a signal ends it."""
    # A forked worker would share our connections and locks, and hold those locks when we are killed.
    multiprocessing.set_start_method("spawn", force=True)
    server = _Server(
        "keyledger",
        address=address,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=settings.threads,
        backlog=BACKLOG,
        backpressure=CONNECTIONS_MAX,  # which counts connections, whether or not they ask for anything
        http=HTTPModes.http1,  # what proxies speak to us; HTTP/2's header lists have bounds of their own
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_MILLISECONDS_MAX, max_buffer_size=HEADER_BYTES_MAX),
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS_MAX,
        log_level=LogLevels.info,
        log_dictconfig=logging_config(settings.log_level),
        log_access=False,  # the application logs requests, with more in them
        process_name="keyledger",
    )
    try:
        server.serve(target_loader=partial(build, settings), wrap_loader=False)
    except SystemExit:
        # It came back with workers that end as soon as they start.
        sys.exit("error: the server's workers do not stay up; the log above says why")
