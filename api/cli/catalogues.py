"""`keyledger catalogue`: what each organisation's credentials can be granted."""

from pathlib import Path
from typing import Any
from uuid import UUID

import click
import msgspec

from api import documents
from api.cli import options
from api.cli.output import print_facts, print_json, print_table
from api.cli.session import Session, open_ledger
from api.granting import previewed
from ledger.catalogue import FIRST_VERSION, PRESETS, Catalogue
from ledger.commands import Command, RetirePermissions, SetCatalogue
from ledger.errors import InvalidValue, StaleVersion
from ledger.permissions import Api, Group, apis_of, groups_of
from ledger.service import ORGANISATION
from ledger.values import AccessLevel, Mode, scopes
from projections.readings import Shown

FEW = 5  # scopes in a cell; more would hide the other columns
FILE_BYTES_MAX = 4_000_000  # several times the largest catalogue there can be

_ORGANISATION = click.argument("organisation_id", type=click.UUID, metavar="ORGANISATION")


@click.group()
def catalogue() -> None:
    """Show and change what an organisation's credentials can be granted."""


@catalogue.command()
@_ORGANISATION
@click.option("--version", type=click.IntRange(min=1), help="As it was at this version.")
@options.as_json
def show(organisation_id: UUID, version: int | None, json: bool) -> None:
    """Show an organisation's catalogue. What --json prints can be edited and given to `set`."""
    with open_ledger() as session:
        found = _current(session, organisation_id)
        if version is not None:
            found = session.services.catalogues.version(organisation_id, version)
    if json:
        print_json(documents.catalogue(organisation_id, found))
    else:
        _print(found)


@catalogue.command("set")
@_ORGANISATION
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@options.reason
@options.expected_version
@options.as_json
def set_(organisation_id: UUID, file: Path, reason: str, expected_version: int | None, json: bool) -> None:
    """Set an organisation's catalogue, whole, from a JSON file or from standard input for -.

    The file has what `show --json` prints; of that, groups and apis are read. A scope that is left out is retired.
    """
    written = _read(file)
    groups = groups_of(written["groups"])
    apis = apis_of(written["apis"], groups)
    with open_ledger() as session:
        command = SetCatalogue(
            context=session.context(reason),
            expected_version=_changes(session, organisation_id, expected_version),
            organisation_id=organisation_id,
            groups=groups,
            apis=apis,
        )
        _carry_out(session, command, json)


@catalogue.command()
@_ORGANISATION
@click.argument("scope", nargs=-1, required=True)
@options.reason
@options.expected_version
@options.as_json
def retire(
    organisation_id: UUID, scope: tuple[str, ...], reason: str, expected_version: int | None, json: bool
) -> None:
    """Take scopes out of an organisation's catalogue. They grant nothing from now on."""
    with open_ledger() as session:
        command = RetirePermissions(
            context=session.context(reason),
            expected_version=_changes(session, organisation_id, expected_version),
            organisation_id=organisation_id,
            scopes=scopes(scope),
        )
        _carry_out(session, command, json)


@catalogue.command()
@_ORGANISATION
@options.as_json
def history(organisation_id: UUID, json: bool) -> None:
    """Tell how each version of a catalogue came about, newest first."""
    with open_ledger() as session:
        session.services.ledger.load(ORGANISATION, organisation_id)
        session.shows(Shown.HISTORY, of=organisation_id)
        told = documents.catalogue_history(session.services.catalogues.history(organisation_id))
    if json:
        print_json({"data": told})
    else:
        print_table(
            ("version", "when", "by", "why", "added", "removed"),
            [(t["version"], t["at"], t["actor"], t["reason"], _few(t["added"]), _few(t["removed"])) for t in told],
        )


@catalogue.command()
@_ORGANISATION
@click.option("--mode", type=options.OneOf(Mode), required=True)
@click.option("--full", is_flag=True, help="Every scope there is at this moment.")
@click.option("--preset", type=click.Choice(list(PRESETS)))
@click.option("--scope", "scopes", multiple=True, help="entity:action; may be given repeatedly.")
@click.option("--application", "application_id", type=click.UUID, help="Whose APIs are the ceiling.")
@options.as_json
def preview(
    organisation_id: UUID,
    mode: str,
    full: bool,
    preset: str | None,
    scopes: tuple[str, ...],
    application_id: UUID | None,
    json: bool,
) -> None:
    """Show what a new credential would be granted, and what that is called. Records nothing."""
    with open_ledger() as session:
        session.services.ledger.load(ORGANISATION, organisation_id)
        told = previewed(
            session.services,
            organisation_id,
            mode=mode,
            access_level=AccessLevel.FULL if full else AccessLevel.FINE_GRAINED,
            preset=preset,
            scopes=scopes or None,
            application_id=application_id,
        )
    if json:
        print_json(told)
    else:
        print_facts([(name.replace("_", " "), value) for name, value in told.items()])


def _current(session: Session, organisation_id: UUID) -> Catalogue:
    """The catalogue of an organisation that there is."""
    session.services.ledger.load(ORGANISATION, organisation_id)
    return session.services.catalogues.current(organisation_id)


def _changes(session: Session, organisation_id: UUID, expected_version: int | None) -> int | None:
    """A version of the catalogue as its commands count: by the changes so far, of which the first had none."""
    if expected_version is None:
        return None
    current = session.services.catalogues.current(organisation_id).version
    if expected_version != current:
        raise StaleVersion(expected_version, current)
    return expected_version - FIRST_VERSION


class _Written(msgspec.Struct):
    """What is read of a file."""

    groups: list[Group]
    apis: list[Api]


def _read(file: Path) -> dict[str, Any]:
    with click.open_file(str(file), "rb") as opened:
        content = opened.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise InvalidValue("file", f"is longer than {FILE_BYTES_MAX} bytes", "invalid_length")
    try:
        written = msgspec.json.decode(content, type=_Written)
    except msgspec.MsgspecError as error:
        raise InvalidValue("file", f"is not a catalogue: {error}") from None
    found: dict[str, Any] = msgspec.to_builtins(written)
    return found


def _carry_out(session: Session, command: Command, json: bool) -> None:
    state = session.services.ledger.handle(command).state
    if json:
        print_json(documents.catalogue(state.organisation_id, state.catalogue))
    else:
        click.echo(f"The catalogue is at version {state.catalogue.version}.")


def _few(some: list[str]) -> str:
    """Some scopes, in a table for people; `--json` has them all."""
    return ", ".join(some) if len(some) <= FEW else f"{', '.join(some[:FEW])} and {len(some) - FEW} more"


def _print(found: Catalogue) -> None:
    click.echo(f"Version {found.version}")
    print_table(
        ("scope", "title", "group", "modes"),
        [
            (f"{entity.name}:{permission.action}", permission.title, group.title, permission.modes)
            for group in found.groups
            for entity in group.entities
            for permission in entity.permissions
        ],
    )
    if found.apis:
        print_table(("api", "title", "scopes"), [(api.name, api.title, api.scopes) for api in found.apis])
    for mode, retired in found.retired.items():
        if retired:
            click.echo(f"Retired for {mode} credentials: {', '.join(retired)}")
