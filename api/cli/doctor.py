"""`keyledger doctor`: looks at everything the service stands on, changes nothing, and says what to do.

Each check answers ok, warn or fail. Without what a check builds on, it is left out: one cause, one line.
"""

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import click
import psycopg

from api.cli import options
from api.cli.exits import Exit, one_line
from api.cli.output import console, print_json
from api.cli.session import checked_settings, refuse_absent_database
from api.wiring import database
from ledger.errors import StoreUnavailable
from ledger.settings import Settings, SettingsError
from ledger.store.datastore import LedgerDatastore
from ledger.store.embedded import EmbeddedPostgresError
from ledger.store.keys import Keyring, same_check_value
from ledger.store.migrate import SERVER_VERSION_MIN, MigrationError, pending
from projections.operator_status import administrators_exist
from projections.runner import lag
from projections.sealed.attested import WITNESSING, witnessing_delay
from projections.sealed.sealer import delay
from projections.sealed.signing import SIGNING

# PostgreSQL stops when it cannot write its log; a gigabyte is what max_wal_size lets it take at once.
FREE_BYTES_WARN = 2 * 1024**3
FREE_BYTES_FAIL = 256 * 1024**2
# Expiry and overlaps are decided by the caller's clock: beyond a second people notice, beyond a minute they are wrong.
CLOCK_WARN = timedelta(seconds=1)
CLOCK_FAIL = timedelta(seconds=60)


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, and what to do about it where anything is to be done."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""


@click.command()
@options.as_json
@click.pass_context
def doctor(ctx: click.Context, json: bool) -> None:
    """Check configuration, keys, database, migrations, projections, clock and disk. Exit code 1 if anything fails."""
    findings = list(_findings())
    failed = any(finding.verdict is Verdict.FAIL for finding in findings)
    if json:
        data = [
            {"check": f.check, "verdict": f.verdict, "found": f.found, "advice": f.advice or None} for f in findings
        ]
        print_json({"healthy": not failed, "checks": data})
    else:
        _print(findings)
    ctx.exit(Exit.NOT_ALL_WELL if failed else Exit.OK)


def _print(findings: list[Finding]) -> None:
    out = console(sys.stdout)
    styles = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}
    for finding in findings:
        out.print(f"{finding.verdict:<5}", style=styles[finding.verdict], end="", markup=False)
        out.print(f"{finding.check}: {finding.found}", markup=False, soft_wrap=True)
        if finding.advice:
            out.print(f"     -> {finding.advice}", markup=False, soft_wrap=True)


def _findings() -> Iterator[Finding]:
    try:
        settings = checked_settings()
    except SettingsError as error:
        yield Finding("configuration", Verdict.FAIL, one_line(error), "correct that variable and run this again")
        return
    where = "the database that KEYLEDGER_DATABASE_URL names" if settings.database_url else "the embedded PostgreSQL"
    yield Finding("configuration", Verdict.OK, f"uses {where}, schema {settings.schema}")
    keyring = None
    for finding, ring in _master_key(settings):
        keyring = ring or keyring
        yield finding
    if not settings.database_url:
        yield _disk(settings.data_dir)
    with ExitStack() as stack:
        try:
            refuse_absent_database(settings)
            conninfo = stack.enter_context(database(settings))
            store = LedgerDatastore(conninfo, settings)
            stack.callback(store.close)
            asked_at = datetime.now(UTC)
            connection = stack.enter_context(store.connect())
        except (SettingsError, EmbeddedPostgresError) as error:
            yield Finding("connection", Verdict.FAIL, one_line(error), "start with `keyledger serve`, once")
            return
        except StoreUnavailable as error:
            advice = "see that the server runs and that KEYLEDGER_DATABASE_URL is right"
            yield Finding("connection", Verdict.FAIL, one_line(error), advice)
            return
        took = (datetime.now(UTC) - asked_at) / timedelta(milliseconds=1)
        yield Finding("connection", Verdict.OK, f"connected within {took:.0f} ms")
        yield from _server(connection)
        yield _clock(connection)
        migrations = _migrations(connection)
        yield migrations
        if migrations.verdict is Verdict.FAIL:
            return
        yield _registered_keys(connection, keyring)
        yield _log(connection)
        yield _administrators(store)
        yield from _projections(store, settings)


def _master_key(settings: Settings) -> Iterator[tuple[Finding, Keyring | None]]:
    try:
        keyring = Keyring.from_settings(settings)
    except SettingsError as error:
        advice = "`keyledger serve` or `keyledger migrate --init` makes one for a new ledger"
        yield Finding("master key", Verdict.FAIL, one_line(error), advice), None
        return
    yield Finding("master key", Verdict.OK, f"key {keyring.current} is the current one"), keyring
    named = os.environ.get("KEYLEDGER_MASTER_KEY_FILE")
    file = Path(named) if named else settings.master_key_file
    if named or not settings.master_key:
        yield _file_mode(file), None


def _file_mode(file: Path) -> Finding:
    held = file.stat()
    mode = stat.S_IMODE(held.st_mode)
    if mode & (stat.S_IWGRP | stat.S_IRWXO):
        return Finding("master key file", Verdict.FAIL, f"{file} has mode {mode:04o}", f"chmod 600 {file}")
    if mode & stat.S_IRGRP:  # as container secrets often are
        return Finding("master key file", Verdict.WARN, f"{file} can be read by its group", f"chmod 600 {file}")
    return Finding("master key file", Verdict.OK, f"{file} has mode {mode:04o}")


def _disk(data_dir: Path) -> Finding:
    if not data_dir.is_dir():
        return Finding("disk", Verdict.WARN, f"{data_dir} is not there yet")
    free = shutil.disk_usage(data_dir).free
    verdict = Verdict.FAIL if free < FREE_BYTES_FAIL else Verdict.WARN if free < FREE_BYTES_WARN else Verdict.OK
    advice = "" if verdict is Verdict.OK else "make room: PostgreSQL stops when it cannot write"
    return Finding("disk", verdict, f"{free / 1024**3:.1f} GiB free for {data_dir}", advice)


def _server(connection: psycopg.Connection[Any]) -> Iterator[Finding]:
    version = connection.info.server_version
    shown = f"PostgreSQL {version // 10_000}.{version % 10_000}"
    if version < SERVER_VERSION_MIN:
        yield Finding("server", Verdict.FAIL, shown, f"move to PostgreSQL {SERVER_VERSION_MIN // 10_000} or later")
    elif _value(connection, "SELECT pg_is_in_recovery()"):
        yield Finding("server", Verdict.FAIL, f"{shown}, a read-only standby", "point KEYLEDGER_DATABASE_URL elsewhere")
    else:
        yield Finding("server", Verdict.OK, shown)
    unsafe = [name for name in ("fsync", "full_page_writes", "synchronous_commit") if _off(connection, name)]
    if unsafe:
        lost = "what was acknowledged can be lost in a power cut: switch on"
        yield Finding("durability", Verdict.FAIL, f"{', '.join(unsafe)} off", f"{lost} {', '.join(unsafe)}")
    else:
        yield Finding("durability", Verdict.OK, "what is acknowledged is on disk")
    encoding = _value(connection, "SHOW server_encoding")
    if encoding != "UTF8":
        yield Finding("encoding", Verdict.FAIL, f"the database is in {encoding}", "create it anew in UTF8")


def _off(connection: psycopg.Connection[Any], name: str) -> bool:
    return bool(_value(connection, "SELECT current_setting(%s)", name) == "off")


def _clock(connection: psycopg.Connection[Any]) -> Finding:
    before = datetime.now(UTC)
    theirs = _value(connection, "SELECT clock_timestamp()")
    after = datetime.now(UTC)
    apart = max(before - theirs, theirs - after, timedelta(0))  # the journey's time is nobody's fault
    verdict = Verdict.FAIL if apart > CLOCK_FAIL else Verdict.WARN if apart > CLOCK_WARN else Verdict.OK
    advice = "" if verdict is Verdict.OK else "synchronise both clocks (NTP): expiry depends on them"
    found = f"{apart.total_seconds():.1f} s from the database's" if apart else "agrees with the database's"
    return Finding("clock", verdict, found, advice)


def _migrations(connection: psycopg.Connection[Any]) -> Finding:
    try:
        missing = pending(connection)
    except MigrationError as error:
        return Finding("migrations", Verdict.FAIL, one_line(error), "install the version of Keyledger that it is for")
    if missing:
        return Finding("migrations", Verdict.FAIL, f"{len(missing)} not applied", "run `keyledger migrate`")
    return Finding("migrations", Verdict.OK, "all applied")


def _registered_keys(connection: psycopg.Connection[Any], keyring: Keyring | None) -> Finding:
    if keyring is None:
        return Finding("master key check", Verdict.FAIL, "there is no key to check", "see above")
    held = keyring.check_values()
    known = connection.execute("SELECT key_id, check_value FROM ledger_master_keys").fetchall()
    missing = [name for name, value in known if name not in held or not same_check_value(held[name], bytes(value))]
    if missing:
        advice = "restore the right master key; retired ones stay in the ring, after the current one"
        return Finding("master key check", Verdict.FAIL, f"this ledger was written with {', '.join(missing)}", advice)
    return Finding("master key check", Verdict.OK, "it is the one this ledger was written with")


def _log(connection: psycopg.Connection[Any]) -> Finding:
    head = _value(connection, "SELECT position FROM ledger_head")
    newest = _value(connection, "SELECT coalesce(max(notification_id), 0) FROM ledger_events")
    if head != newest:
        found = f"the head is at {head}, the newest event at {newest}"
        return Finding("log", Verdict.FAIL, found, "stop writing and restore the database from a backup")
    return Finding("log", Verdict.OK, f"{head} events")


def _administrators(store: LedgerDatastore) -> Finding:
    if administrators_exist(store):
        return Finding("administrator", Verdict.OK, "there is one")
    advice = "`keyledger serve` makes the first, `keyledger operator enrol --role administrator` another"
    return Finding("administrator", Verdict.WARN, "nobody administers every organisation", advice)


def _projections(store: LedgerDatastore, settings: Settings) -> Iterator[Finding]:
    lags = lag(store) | {SIGNING: delay(store)}
    if settings.witnesses:
        lags[WITNESSING] = witnessing_delay(store)
    for name, one in lags.items():
        behind = one.head - one.position
        if one.seconds_behind > settings.projection_lag_max:
            found = f"{behind} events and {one.seconds_behind:.0f} s behind"
            yield Finding(f"projection {name}", Verdict.WARN, found, "see that `keyledger serve` or `project` runs")
        else:
            yield Finding(f"projection {name}", Verdict.OK, "up to date" if not behind else f"{behind} events behind")


def _value(connection: psycopg.Connection[Any], query: str, *params: object) -> Any:
    row = connection.execute(query, params).fetchone()
    return None if row is None else row[0]
