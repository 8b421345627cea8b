"""`keyledger demo`: a fresh installation filled for trying it out, for screenshots and for benchmarks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import click
from rich.progress import Progress

from api.cli import options
from api.cli.output import print_facts, print_json, print_table, progress_bar, task, tell
from api.cli.session import Session, open_ledger
from api.demo import stories, volume
from api.demo.stories import Told
from ledger.errors import NotAllowedNow
from ledger.issuing import issue_operator
from ledger.settings import PREFIX, Settings
from ledger.values import Role
from projections import ASYNCHRONOUS
from projections.organisation_status import list_organisations
from projections.rebuild import rebuild

VOLUME_NAME = "Longtail Cloud"
CREDENTIALS_MAX = 10_000_000  # two hours, and some 80 GB


@dataclass(frozen=True, slots=True)
class _Made:
    """An organisation of the demo."""

    id: UUID
    name: str
    credentials: int
    events: int


@click.command()
@click.option(
    "--credentials",
    type=click.IntRange(1, CREDENTIALS_MAX),
    metavar="N",
    help="One more organisation, with this many credentials.",
)
@click.option("--seed", default=1, show_default=True, help="Another number tells the year in another way.")
@click.option("--yes", is_flag=True, help="Do not ask first.")
@options.as_json
def demo(credentials: int | None, seed: int, yes: bool, json: bool) -> None:
    """Fill a fresh installation with five companies and a year of their credentials.

    Shows a secret of each to try, and a verifier's token: this once, as everywhere. An installation that holds an
    organisation already is refused. Nothing that is recorded can be taken back: use a data directory, or a schema, that
    you can throw away.
    """
    with open_ledger() as session:
        if list_organisations(session.services.store, None, None, 1):
            raise NotAllowedNow("this installation holds an organisation already, and the demo is for a fresh one")
        _refuse_other_limits(session.services.settings)
        if not yes:
            click.confirm("What is recorded cannot be taken back. Fill this installation?", abort=True, err=True)
        now = datetime.now(UTC)
        with progress_bar() as progress:
            told = stories.tell_all(session.services, now=now, seed=seed)
            made = [_Made(t.script.organisation_id, t.script.name, len(t.script.holdings), t.events) for t in told]
            if credentials is not None:
                made.append(_fill(session, credentials, now, seed, progress))
            # Reading the log at once is several times faster than following it.
            for view in ASYNCHRONOUS:
                rebuild(session.services.log, view.name, task(progress, f"Building {view.name}"))
        token = _verifier_token(session)
    if json:
        print_json({"organisations": _documents(made, told), "verifier_token": token})
    else:
        _print(made, told, token)


def _refuse_other_limits(settings: Settings) -> None:
    """The stories were written for the limits that an installation begins with."""
    for name in ("channel_keys_max", "channel_defaults_before", "default_channels"):
        if getattr(settings, name) != getattr(Settings(), name):
            raise NotAllowedNow(f"the demo needs {PREFIX}{name.upper()} as it is by default: leave it out")


def _fill(session: Session, count: int, now: datetime, seed: int, progress: Progress) -> _Made:
    organisation_id = volume.register(session.services, VOLUME_NAME, now=now, seed=seed)
    show = task(progress, f"Recording {VOLUME_NAME}")
    filled = volume.fill(session.services, organisation_id, count, now=now, seed=seed, progress=show)
    return _Made(organisation_id, VOLUME_NAME, filled.credentials, filled.events + 1)  # with its registration


def _verifier_token(session: Session) -> str:
    """The token of a gateway that may ask about every organisation's secrets."""
    context = session.context("to try the demo's secrets")
    digests = session.services.keyring.digests
    command, token = issue_operator(digests, context, name="demo gateway", roles=[Role.VERIFIER], production=True)
    session.services.ledger.handle(command)
    return token.plaintext


# --- what is printed -------------------------------------------------------------------------------------------------


def _documents(made: Sequence[_Made], told: Sequence[Told]) -> list[dict[str, object]]:
    examples = {one.script.organisation_id: one.example for one in told}
    documents = []
    for one in made:
        document: dict[str, object] = {
            "organisation_id": one.id,
            "name": one.name,
            "credentials": one.credentials,
            "events": one.events,
        }
        if example := examples.get(one.id):
            document["example"] = {
                "credential_id": example.id,
                "kind": example.kind,
                "public_id": example.public_id,
                "channel": example.channel,
                "secret": example.secret.plaintext,
            }
        documents.append(document)
    return documents


def _print(made: Sequence[_Made], told: Sequence[Told], token: str) -> None:
    print_table(
        ("organisation", "name", "credentials", "events"),
        [(one.id, one.name, f"{one.credentials:,}", f"{one.events:,}") for one in made],
    )
    tell("Secrets to try, one of each. They are shown this once.")
    print_table(
        ("secret", "public id or login", "channel", "organisation"),
        [(one.example.secret.plaintext, one.example.public_id, one.example.channel, one.script.name) for one in told],
    )
    tell("And a verifier's token to ask with, as a gateway does: POST /v1/verify.")
    print_facts([("token", token)])
