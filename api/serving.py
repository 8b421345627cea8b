"""`keyledger serve`: everything one installation needs, in the foreground until Ctrl-C.

This process owns the embedded PostgreSQL and the projector and watches over the server's workers; the workers do
nothing but answer HTTP. Each worker opens its own connections after it was started.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from granian.constants import Interfaces
from granian.server import Server
from uuid_utils.compat import uuid7

from api.wiring import database, open_services
from ledger.commands import EnrolOperator
from ledger.errors import NameAlreadyClaimed
from ledger.events import Context
from ledger.secrets import HINT_CHARS, IssuedSecret, well_formed
from ledger.service import Ledger
from ledger.settings import PREFIX, Settings, SettingsError
from ledger.store.keys import make_master_key_file
from ledger.store.log import EventLog
from ledger.store.migrate import migrate
from ledger.values import Mode, Name, Role, Via
from projections.operator_status import administrators_exist
from projections.runner import Projector

# Requests that wait for a thread of a worker; more than this and the kernel refuses connections.
BACKLOG = 1024


def serve(settings: Settings) -> None:
    """Serve until a signal ends it. Prints the URL, and the first administrator's token once, on lines of their own."""
    prepare_data_dir(settings)
    with database(settings) as conninfo:
        migrate(conninfo, settings.schema)
        with open_services(settings, conninfo) as services:
            token = first_administrator(services.log, services.ledger)
            with _projecting(services.log, settings.projector):
                _announce(settings, token)
                _run_server(settings, conninfo)


def prepare_data_dir(settings: Settings) -> None:
    """Make the data directory and, where none is given, a master key in it."""
    if not settings.data_dir.exists():
        # Passable for the user PostgreSQL runs as under root; the key in it is 0600.
        settings.data_dir.mkdir(parents=True, mode=0o711)
    if not settings.master_key:
        make_master_key_file(settings.master_key_file)


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
def _projecting(log: EventLog, wanted: bool) -> Iterator[None]:
    if not wanted:
        yield
        return
    projector = Projector(log)
    projector.start()
    try:
        yield
    finally:
        projector.stop()


def _announce(settings: Settings, token: str | None) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    out = sys.stdout
    out.write(f"http://{host}:{settings.port}\n")
    if token is not None:
        out.write(f"{token}\n")
        out.write("This is the first administrator's token. It is shown this once: store it now.\n")
    out.flush()


def _run_server(settings: Settings, conninfo: str) -> None:
    """granian in this process's foreground; its workers find their database in the environment."""
    os.environ[f"{PREFIX}DATABASE_URL"] = conninfo
    os.environ.pop(f"{PREFIX}DATABASE_URL_FILE", None)
    os.environ.pop(f"{PREFIX}BOOTSTRAP_TOKEN", None)
    os.environ.pop(f"{PREFIX}BOOTSTRAP_TOKEN_FILE", None)
    Server(
        "api.wsgi:build",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=settings.threads,
        backlog=BACKLOG,
        respawn_failed_workers=True,
        log_access=False,
        process_name="keyledger",
    ).serve()
