"""`keyledger import`: credentials that another system issued, by the SHA-256 of their secrets.

The file is read twice: first every row is checked, then the good ones are recorded. So a file with a bad row leaves
nothing behind unless the caller wants the rest to go on.

An imported credential's id is made from the organisation, the source and the row's external id (or its digest), so a
second run meets the credentials of the first, whether that ended or was killed half-way, and records none twice.
"""

import csv
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto
from pathlib import Path
from typing import Any, TextIO
from uuid import UUID, uuid5

import click
import orjson

from api.cli import options
from api.cli.exits import Exit
from api.cli.output import print_json, progress_bar, tell
from api.cli.session import Session, open_ledger
from ledger.catalogue import PRESETS, Catalogue
from ledger.commands import CreateCredential
from ledger.credential import create_credential
from ledger.errors import AlreadyExists, InvalidValue, NameAlreadyClaimed, NotAllowedNow
from ledger.issuing import adopt_credential
from ledger.service import ORGANISATION
from ledger.values import LABEL_CHARS_MAX, AccessLevel, Environment, Kind, Mode

COLUMNS = (
    "external_id",
    "sha256",
    "kind",
    "public_id",
    "login",
    "channel",
    "mode",
    "environment",
    "name",
    "description",
    "contact_email",
    "access_level",
    "preset",
    "scopes",
    "allowlist",
    "expires_at",
    "hint",
    "labels",
)
LISTS = ("scopes", "allowlist")  # separated by spaces in CSV

LINE_BYTES_MAX = 65_536  # what the API reads of a request: no row needs more
SHOWN_BAD_ROWS_MAX = 100  # whoever has more of them has one mistake made often
# Rows handed to the writers and not yet answered, for each writer: enough that none waits for the reader.
AHEAD_PER_WRITER = 4


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was not imported. Its values are not repeated: one may be a secret in the wrong column."""

    line: int
    field: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the file, by the line it begins on."""

    line: int
    values: Mapping[str, Any]


class Outcome(Enum):
    """What became of a good row."""

    IMPORTED = auto()
    ALREADY_THERE = auto()


@dataclass(slots=True)
class Tally:
    """What has become of the rows so far."""

    rows: int = 0
    imported: int = 0
    already_there: int = 0
    bad: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)

    def count(self, outcome: Outcome | BadRow) -> None:
        """Take one row's outcome in."""
        if isinstance(outcome, BadRow):
            self.bad += 1
            if len(self.bad_rows) < SHOWN_BAD_ROWS_MAX:
                self.bad_rows.append(outcome)
        elif outcome is Outcome.IMPORTED:
            self.imported += 1
        else:
            self.already_there += 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What holds for every row of an import: whose, from where, and what a row has that says nothing itself."""

    session: Session
    organisation_id: UUID
    catalogue: Catalogue
    source: str
    reason: str
    defaults: Mapping[str, Any]


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--organisation", type=click.UUID, required=True, help="Whose they will be.")
@click.option("--format", "form", type=click.Choice(["csv", "ndjson"]), help="Told from the file's name if left out.")
@click.option("--source", default="import", show_default=True, help="The system they come from; the same every run.")
@click.option("--kind", type=options.OneOf(Kind), default=Kind.API_KEY, show_default=True, help="Of rows without.")
@click.option("--mode", type=options.OneOf(Mode), help="Of rows without mode and environment.")
@click.option("--environment", type=options.OneOf(Environment), help="Of rows without mode and environment.")
@click.option("--full", is_flag=True, help="Rows without scopes get every scope there is.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Of rows without scopes.")
@click.option("--scope", "scopes", multiple=True, help="Of rows without scopes; may be given repeatedly.")
@click.option("--keep-going", is_flag=True, help="Import the good rows although there are bad ones.")
@click.option("--dry-run", is_flag=True, help="Check every row, record nothing.")
@options.reason
@options.as_json
@click.pass_context
def import_(
    ctx: click.Context,
    /,
    file: Path,
    organisation: UUID,
    form: str | None,
    source: str,
    keep_going: bool,
    dry_run: bool,
    reason: str,
    json: bool,
    **defaults: Any,
) -> None:
    """Import credentials that another system issued, from CSV or NDJSON with the SHA-256 of their secrets.

    Their holders keep the secrets they have. Running it again imports nothing twice.
    """
    form = form or ("ndjson" if file.suffix in (".ndjson", ".jsonl", ".json") else "csv")
    with open_ledger() as session:
        session.services.ledger.load(ORGANISATION, organisation)
        catalogue = session.services.catalogues.current(organisation)
        plan = Plan(session, organisation, catalogue, source, reason, _defaults(**defaults))
        tally = _check(plan, file, form)
        if not dry_run and (keep_going or not tally.bad):
            tally = _record(plan, file, form, tally.rows, keep_going)
    _report(tally, dry_run, json)
    ctx.exit(Exit.OK if not tally.bad else Exit.NOT_ALL_WELL if keep_going else Exit.INVALID_VALUE)


def _defaults(
    kind: str, mode: str | None, environment: str | None, full: bool, preset: str | None, scopes: tuple[str, ...]
) -> Mapping[str, Any]:
    if full + bool(preset) + bool(scopes) > 1:
        raise click.UsageError("--full, --preset and --scope exclude each other")
    if mode and environment:
        raise click.UsageError("--mode and --environment exclude each other: the environment tells the mode")
    grant: dict[str, Any] = {"access_level": AccessLevel.FULL} if full else {}
    if preset:
        grant = {"preset": preset}
    if scopes:
        grant = {"scopes": scopes}
    return {"kind": kind, "mode": mode, "environment": environment, "grant": grant}


def _check(plan: Plan, file: Path, form: str) -> Tally:
    """Build and decide every row, recording nothing."""
    tally = Tally()
    with progress_bar() as progress:
        task = progress.add_task("Checking", total=None)
        for row in _rows(file, form):
            tally.rows += 1
            try:
                if isinstance(row, BadRow):
                    tally.count(row)
                else:
                    create_credential(None, _command(plan, row))
            except InvalidValue as error:
                tally.count(BadRow(row.line, error.field, error.reason))
            progress.update(task, advance=1)
    return tally


def _record(plan: Plan, file: Path, form: str, total: int, keep_going: bool) -> Tally:
    """Record the good rows. Many at a time, so that one commit carries many; a bounded number, so that memory is."""
    tally = Tally(rows=total)
    writers = plan.session.services.settings.threads
    waiting: deque[Future[Outcome | BadRow]] = deque()
    with (
        progress_bar() as progress,
        ThreadPoolExecutor(writers, thread_name_prefix="import") as pool,
    ):
        task = progress.add_task("Importing", total=total)

        def settle(left: int) -> None:
            while len(waiting) > left:
                tally.count(waiting.popleft().result())
                progress.update(task, advance=1)

        try:
            for row in _rows(file, form):
                if tally.bad and not keep_going:
                    break
                waiting.append(pool.submit(_record_row, plan, row))
                settle(writers * AHEAD_PER_WRITER)
            settle(0)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # what has begun ends; the next run finds it there
            raise
    return tally


def _record_row(plan: Plan, row: Row | BadRow) -> Outcome | BadRow:
    if isinstance(row, BadRow):
        return row
    try:
        command = _command(plan, row)
        plan.session.services.ledger.handle(command)
    except InvalidValue as error:
        return BadRow(row.line, error.field, error.reason)
    except AlreadyExists:
        return _compared(plan, row, command)
    except NameAlreadyClaimed as error:
        claimed = {"secret": "sha256"}.get(error.claim, error.claim)
        return BadRow(row.line, claimed, "another credential has it already")
    except NotAllowedNow as error:
        return BadRow(row.line, error.code, str(error))
    return Outcome.IMPORTED


def _compared(plan: Plan, row: Row, command: CreateCredential) -> Outcome | BadRow:
    """Already there, unless the row now names another secret: then its holder would be refused, and nobody told."""
    first = plan.session.credential(command.credential_id).secrets[0]
    # Under another digest key the digests cannot be compared; then the id alone decides.
    if first.key_id == command.secret.key_id and first.digest != command.secret.digest:
        return BadRow(row.line, "sha256", "this external_id was imported with another one: rotate it instead")
    return Outcome.ALREADY_THERE


def _report(tally: Tally, dry_run: bool, json: bool) -> None:
    for bad in tally.bad_rows:
        tell(f"error: {bad}")
    if tally.bad > len(tally.bad_rows):
        tell(f"error: and {tally.bad - len(tally.bad_rows)} more bad rows")
    counts = {name: getattr(tally, name) for name in ("rows", "imported", "already_there", "bad")}
    if json:
        bad_rows = [{"line": bad.line, "field": bad.field, "reason": bad.reason} for bad in tally.bad_rows]
        print_json({**counts, "dry_run": dry_run, "bad_rows": bad_rows})
    elif dry_run:
        click.echo(f"{tally.rows} rows: {tally.rows - tally.bad} good, {tally.bad} bad. Nothing was recorded.")
    else:
        click.echo(
            f"{tally.rows} rows: {tally.imported} imported, {tally.already_there} already there, {tally.bad} bad."
        )


# --- from a row to a command -----------------------------------------------------------------------------------------


def _command(plan: Plan, row: Row) -> CreateCredential:
    """The command that a row asks for; `InvalidValue` names the column."""
    values = {name: value for name, value in row.values.items() if value not in ("", None)}
    external_id, sha256 = values.pop("external_id", None), values.pop("sha256", None)
    if sha256 is None:
        raise InvalidValue("sha256", "is required")
    if external_id is not None and len(external_id) > LABEL_CHARS_MAX:  # it is kept as a label
        raise InvalidValue("external_id", f"is longer than {LABEL_CHARS_MAX} characters")
    if not {"mode", "environment"} & values.keys():
        values |= {name: plan.defaults[name] for name in ("mode", "environment")}
    if not {"access_level", "preset", "scopes"} & values.keys():
        values |= plan.defaults["grant"]
    if "expires_at" in values:
        values["expires_at"] = _expiry(values["expires_at"])
    if external_id is not None:
        values["labels"] = {"external_id": external_id, **values.get("labels", {})}
    identity = f"external_id {plan.source}\n{external_id}" if external_id else f"sha256 {sha256.strip().lower()}"
    return adopt_credential(
        plan.session.services.keyring.digests,
        plan.catalogue,
        plan.session.context(plan.reason),
        plan.organisation_id,
        kind=values.pop("kind", plan.defaults["kind"]),
        sha256=sha256,
        imported_from=plan.source,
        credential_id=uuid5(plan.organisation_id, identity),
        **values,
    )


def _expiry(text: str) -> datetime:
    moment = options.parse_moment(text)
    if moment is None:
        raise InvalidValue("expires_at", "is not a time with its zone, like 2026-05-31T12:00:00Z")
    return moment


# --- from a file to rows ---------------------------------------------------------------------------------------------


def _rows(file: Path, form: str) -> Iterator[Row | BadRow]:
    return _csv_rows(file) if form == "csv" else _ndjson_rows(file)


def _csv_rows(file: Path) -> Iterator[Row | BadRow]:
    """RFC 4180 with a header line. A header we do not understand refuses the file: it would be ignored silently."""
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as opened:
        reader = csv.reader(_bounded_lines(opened), strict=True)
        header: list[str] | None = None
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                if header is None:
                    raise InvalidValue("header", "is not CSV") from None
                # Where the next row begins cannot be known.
                yield BadRow(line, "row", f"is not CSV ({error}): nothing after it was read")
                return
            if cells is None:
                break
            if not cells:
                continue
            if header is None:
                header = _checked_header(cells)
                continue
            yield _csv_row(line, header, cells)
    if header is None:
        raise InvalidValue("header", "the file is empty")


def _bounded_lines(opened: TextIO) -> Iterator[str]:
    while line := opened.readline(LINE_BYTES_MAX + 1):
        if len(line) > LINE_BYTES_MAX:
            raise csv.Error(f"a line of more than {LINE_BYTES_MAX} characters")
        yield line


def _checked_header(cells: list[str]) -> list[str]:
    header = [name.strip() for name in cells]
    unknown = [name for name in header if name not in COLUMNS or name == "labels"]
    if unknown:
        known = ", ".join(name for name in COLUMNS if name != "labels")
        raise InvalidValue("header", f"has {len(unknown)} columns that are not among {known}")
    if len(set(header)) != len(header):
        raise InvalidValue("header", "names a column twice")
    return header


def _csv_row(line: int, header: list[str], cells: list[str]) -> Row | BadRow:
    if len(cells) != len(header):
        return BadRow(line, "row", f"has {len(cells)} cells where the header has {len(header)}")
    values: dict[str, Any] = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    for name in LISTS:
        if values.get(name):
            values[name] = values[name].split()
    return _typed(Row(line, values))


def _ndjson_rows(file: Path) -> Iterator[Row | BadRow]:
    """One JSON object a line (JSON Lines); empty lines are skipped."""
    with file.open("rb") as opened:
        number = 0
        while content := opened.readline(LINE_BYTES_MAX + 1):
            number += 1
            if len(content) > LINE_BYTES_MAX:
                while content and not content.endswith(b"\n"):
                    content = opened.readline(LINE_BYTES_MAX)
                yield BadRow(number, "row", f"is longer than {LINE_BYTES_MAX} bytes")
                continue
            content = content.removeprefix(b"\xef\xbb\xbf") if number == 1 else content
            if not content.strip():
                continue
            try:
                values = orjson.loads(content)
            except orjson.JSONDecodeError:
                yield BadRow(number, "row", "is not JSON")
                continue
            yield _typed(Row(number, values)) if isinstance(values, dict) else BadRow(number, "row", "is not an object")


def _typed(row: Row) -> Row | BadRow:
    """The row, if its columns are known and hold what they should."""
    for name, value in row.values.items():
        if name not in COLUMNS:
            return BadRow(row.line, "row", "has a column that is not known")
        if value in ("", None):
            continue
        if name in LISTS:
            good = isinstance(value, list) and all(_is_text(item) for item in value)
        elif name == "labels":
            good = isinstance(value, dict) and all(_is_text(item) for pair in value.items() for item in pair)
        else:
            good = _is_text(value)
        if not good:
            return BadRow(row.line, name, "is not of the right type" if not isinstance(value, str) else "is not UTF-8")
    return replace(row, values=dict(row.values))


def _is_text(value: object) -> bool:
    """Whether it is a text that was UTF-8 in the file."""
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)
