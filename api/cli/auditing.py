"""`keyledger audit`: take events out as a bundle, verify one, check the database, and say whom to believe."""

import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import click
from uuid_utils.compat import uuid7

from api import documents
from api.cli import exporting, options
from api.cli.output import print_json, tell
from api.cli.session import Session, open_ledger
from api.exporting.files import BUNDLE, EventFormat, check_can_write
from api.policies import auditors_policy
from ledger import auditing
from ledger.commands import RequestExport
from ledger.errors import InvalidValue, Unavailable
from ledger.export import Export, asks_for
from ledger.sealed_log import SealedLog
from ledger.service import EXPORT, ORGANISATION
from ledger.tlog import bundle
from ledger.tlog.bundle import InvalidBundle
from ledger.tlog.policy import NONE, Policy, encode
from ledger.tlog.policy import parse as parse_policy
from ledger.tlog.report import Known, Verdict, worst
from ledger.tlog.verifying import known_from
from projections.readings import Shown
from projections.sealed.checking import check as check_database
from projections.sealed.checking import list_trees
from projections.sealed.evidence import root_entries
from projections.sealed.exporting import SealedExport, erasures_shown, find_sealed, write_bundle
from projections.sealed.memory import SignerMemory
from projections.sealed.sealer import sealed_log
from projections.sealed.signing import verifier_keys
from projections.sealed.trees import INSTALLATION, ROOT

SEALED_SECONDS_MAX = 30.0  # a sealer that runs takes one; without one nothing comes of waiting
SEALED_SECONDS = 0.1  # between looks


@click.group()
def audit() -> None:
    """Export events that prove themselves, verify them, and check the database against what was sealed."""


@audit.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    add_help_option=False,
    options_metavar="FILE --policy POLICY [--known FILE]... [--json]",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="")
@click.pass_context
def verify(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Verify a bundle, without database or network. Exit codes tell verdicts apart: docs/auditing.md."""
    ctx.exit(auditing.main(arguments, prog="keyledger audit verify"))


audit.add_command(exporting.review)
audit.add_command(exporting.exports)


@audit.command()
@click.option("--organisation", "organisation_id", type=click.UUID, help="Whose events.")
@click.option("--installation", is_flag=True, help="The events that concern no organisation.")
@click.option("--from", "begin", type=options.Moment(), help="Not before this.")
@click.option("--to", "end", type=options.Moment(), help="Before this.")
@click.option("--credential", "aggregates", type=click.UUID, multiple=True, help="Only these; several times.")
@click.option("--topic", "topics", multiple=True, help="Only these kinds: credential.revoked, or credential for all.")
@click.option("--personal", is_flag=True, help="With personal fields in clear, beside the sealed ones.")
@click.option(
    "--format",
    "form",
    type=click.Choice([BUNDLE, *map(str, EventFormat)]),
    default=BUNDLE,
    show_default=True,
    help="The bundle that proves itself, or a file for other tools.",
)
@click.option(
    "--export", "export_id", type=click.UUID, help="One that was asked for before, as `audit exports` lists them."
)
@options.reason
@exporting.output_file
@options.as_json
def export(
    organisation_id: UUID | None,
    installation: bool,
    form: str,
    export_id: UUID | None,
    output: Path,
    reason: str,
    json: bool,
    **asked: Any,
) -> None:
    """Write an organisation's events to a file that proves itself. A file that was half written is gone on with, where
    the same is asked for, or nothing more than that it be written.

    A file in another format has the same events for other tools, and proves nothing. One that was cut off is written
    anew from the same export with --export, which asks for nothing that was not asked for before.
    """
    if export_id is not None and (reason or any(asked.values())):
        raise click.UsageError("--export names what was asked for, and why: nothing is added to that")
    if installation == (organisation_id is not None):
        raise click.UsageError("give either --organisation or --installation")
    if form != BUNDLE:
        check_can_write(EventFormat(form))
        exporting.refuse_existing(output)
    with open_ledger() as session:
        begun = _begun(output)
        if begun is not None and export_id not in (None, begun.export_id):
            raise click.UsageError(f"{output} is there, and is the beginning of another export")
        command = RequestExport(
            context=session.context(reason), export_id=uuid7(), organisation_id=organisation_id, **asked
        )
        if begun is None and export_id is not None:
            state: Export = session.services.ledger.load(EXPORT, export_id)
        elif begun is None:
            state = session.services.ledger.handle(command).state
        else:
            state = session.services.ledger.load(EXPORT, begun.export_id)
            if (reason or any(asked.values())) and not asks_for(state, command):
                raise click.UsageError(
                    f"{output} is there, and is the beginning of an export that was asked for otherwise: name another "
                    "file, or ask for nothing more, so that it is gone on with"
                )
            tell(f"Going on with the export that was asked for at {state.requested.at:%Y-%m-%d %H:%M:%SZ}.")
        if state.organisation_id != organisation_id:
            raise InvalidValue("export", "is one of another log", "contradiction")
        sealed = _await_sealed(session, state)
        session.shows(Shown.EXPORT, of=organisation_id, about=state.id)
        if form == BUNDLE:
            _write(session, sealed, output, begun)
            told = documents.export(state, sealed.manifest.size)
        else:
            told = exporting.write_events(session, state, sealed, EventFormat(form), output)
    if json:
        print_json(told)
    elif form != BUNDLE:
        click.echo(f"{output}: {told['rows']} events. A bundle of the same export proves them.")
    else:
        click.echo(f"{output}: {sealed.manifest.size} leaves. Verify it with `keyledger audit verify`.")


@dataclass(frozen=True, slots=True)
class _Begun:
    """What a half-written file has whole: so many bytes with this digest, the manifest's line and some leaves."""

    export_id: UUID
    manifest: bytes
    bytes: int
    leaves: int
    hashed: Any


def _begun(output: Path) -> _Begun | None:
    """How far a file got; None where there is none. Raises `UsageError` for one that is no part of an export."""
    if not output.exists():
        return None
    with output.open("rb") as file:
        first = file.readline(bundle.LINE_BYTES_MAX)
        try:
            manifest = bundle.parse_manifest(first)
        except InvalidBundle:
            raise click.UsageError(f"{output} is there, and is not the beginning of an export") from None
        hashed, whole, leaves = sha256(first), len(first), 0
        for line in file:
            if not line.endswith(b"\n"):
                break
            kind = bundle.type_of(line)
            if kind == "seal":
                raise click.UsageError(f"{output} is there, and is whole")
            if kind in ("head", "leaf"):  # what comes after the leaves is made anew
                hashed.update(line)
                whole += len(line)
                leaves += kind == "leaf"
    return _Begun(UUID(manifest.export), first, whole, leaves, hashed)


def _await_sealed(session: Session, state: Export) -> SealedExport:
    deadline = time.monotonic() + SEALED_SECONDS_MAX
    with session.services.store.connect() as connection:
        while (sealed := find_sealed(session.services.log, connection, state)) is None:
            if time.monotonic() > deadline:
                raise Unavailable("events are not being sealed: is `keyledger serve` running?")
            time.sleep(SEALED_SECONDS)
    return sealed


def _write(session: Session, sealed: SealedExport, output: Path, begun: _Begun | None) -> None:
    """Write the lines that the file lacks, after those that it has whole; all of them, where these may be of another
    bundle: after a key was rotated or a restore declared the export ends elsewhere, and what an erasure took out of it
    may still be in the beginning.
    """
    if begun is not None and (
        begun.leaves == 0
        or begun.manifest != bundle.encode_manifest(sealed.manifest)
        or erasures_shown(session.services.store, sealed)
    ):
        begun = None
    first, hashed = (0, None) if begun is None else (begun.leaves, begun.hashed)
    with output.open("ab") as file, exporting.watched(session, sealed, BUNDLE) as reached:
        file.truncate(0 if begun is None else begun.bytes)
        file.writelines(write_bundle(session.services.log, sealed, first, hashed, reached))


@audit.command()
@click.option("--organisation", "organisations", type=click.UUID, multiple=True, help="Whose log; several times.")
@click.option("--installation", is_flag=True, help="The log of what concerns no organisation.")
def policy(organisations: tuple[UUID, ...], installation: bool) -> None:
    """Print the policy to hand to an auditor: whose signatures to believe, and which witnesses (C2SP tlog-policy)."""
    if not organisations and not installation:
        raise click.UsageError("give --organisation or --installation")
    with open_ledger() as session:
        state = _log(session)
        for organisation_id in organisations:
            session.services.ledger.load(ORGANISATION, organisation_id)
        trees = (ROOT, *organisations, *([INSTALLATION] if installation else []))
        with session.services.store.connect() as connection:
            believed = auditors_policy(session.services, connection, state, trees)
    click.echo(encode(believed), nl=False)


@audit.command("root-log")
@exporting.output_file
def root_log(output: Path) -> None:
    """Write all entries of the root log, for auditors of any organisation: labels and salted digests, and no more.

    With them `audit verify --root-log` sees whether a head of the organisation was kept back from a bundle.
    """
    exporting.refuse_existing(output)
    with open_ledger() as session:
        exporting.write_whole(output, root_entries(session.services.store))
    click.echo(f"{output}: the root log. Take it with `keyledger audit verify --root-log`.")


@audit.command("check")
@click.option("--organisation", "organisation_id", type=click.UUID, help="Only this one's log.")
@click.option(
    "--known",
    "files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="A checkpoint or bundle that was kept elsewhere; several times.",
)
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Whom to believe of --known; the ledger's own keys if left out.",
)
@options.as_json
@click.pass_context
def check(
    ctx: click.Context, organisation_id: UUID | None, files: tuple[Path, ...], policy_file: Path | None, json: bool
) -> None:
    """Check the database, leaf by leaf: which events were edited, deleted, moved or slipped in unseen."""
    found, documents_ = set[Verdict](), []
    with open_ledger() as session:
        state = _log(session)
        known = _known(session, state, files, policy_file, organisation_id) if files else []
        memory_file = session.services.settings.signer_memory_file
        memory = SignerMemory(memory_file) if memory_file.exists() else None
        if memory is None:
            tell("The signer's memory is not on this machine: whether the log was rolled back cannot be told from it.")
        for origin, report in check_database(session.services.log, state, memory, known, organisation_id):
            found.add(report.verdict)
            if json:
                documents_.append({"log": origin, **auditing.document(report)})
                continue
            if report.findings or organisation_id is not None:
                click.echo(f"{origin}: {report.verdict.name.lower()}, {report.leaves} leaves")
            for finding in report.findings:
                click.echo(auditing.printable(f"  {finding.verdict.name.lower():<10} {finding.text}"))
    verdict = worst(found)
    if json:
        print_json({"verdict": verdict.name.lower(), "logs": documents_})
    else:
        click.echo(verdict.name.lower())
    ctx.exit(int(verdict))


def _known(
    session: Session, state: SealedLog, files: tuple[Path, ...], policy_file: Path | None, organisation_id: UUID | None
) -> list[Known]:
    """What these files hold, if somebody signed it whom the policy names, or this ledger."""
    try:
        if policy_file is not None:
            believed = parse_policy(policy_file.read_bytes())
        else:
            trees = list_trees(session.services.store) if organisation_id is None else [organisation_id, ROOT]
            own = (verifier_keys(session.services.keyring, state, tree) for tree in trees)
            believed = Policy(tuple(key for keys in own for key in keys), {}, {}, NONE, {})
        known = list[Known]()
        for path in files:
            with path.open("rb") as file:
                known += known_from(auditing.bounded_lines(file), believed, str(path))
    except ValueError as error:
        raise click.UsageError(f"--known or --policy: {error}") from None
    return known


def _log(session: Session) -> SealedLog:
    state = sealed_log(session.services.log)
    if state is None:
        raise Unavailable("the provable log was not opened yet: start `keyledger serve`")
    return state
