"""`keyledger verify`: ask, from the command line, what a gateway would be told."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import click

from api.cli import options
from api.cli.exits import Exit
from api.cli.output import print_json
from api.cli.session import Session, open_ledger
from ledger.secret_format import claims_our_format, well_formed
from ledger.secrets import SECRET_CHARS_MAX
from ledger.values import Channel, Kind, Mode, parse_address
from ledger.verification import Code, Question, Verdict, decide, login_of
from projections.credential_status import find_for_verification


@click.command()
@click.option(
    "--secret-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Read the secret from a file, or from standard input for -; asked for where left out.",
)
@click.option("--public-id", help="The public id or login; needed for all but API keys.")
@click.option("--organisation", type=click.UUID, help="As a gateway of this organisation would be answered.")
@click.option("--client-ip", help="Where the secret was presented from.")
@click.option("--mode", type=options.OneOf(Mode))
@click.option("--channel", type=options.OneOf(Channel), help="Where the secret was presented.")
@click.option("--scope", "scopes", multiple=True, help="Must be granted; may be given repeatedly.")
@click.option("--api", metavar="NAME", help="The API that is called: the application must be connected to it.")
@options.as_json
@click.pass_context
def verify(
    ctx: click.Context,
    secret_file: Path | None,
    public_id: str | None,
    organisation: UUID | None,
    client_ip: str | None,
    mode: str | None,
    channel: str | None,
    scopes: tuple[str, ...],
    api: str | None,
    json: bool,
) -> None:
    """Say whether a secret is good, and for which scopes now: exit code 0 for VALID, 1 for any other code.

    Nothing is recorded.
    """
    public_id = public_id or None  # as the API has it
    secret = options.read_secret(secret_file) if secret_file else click.prompt("Secret", hide_input=True, err=True)
    malformed = _malformed(secret, public_id)
    with open_ledger() as session:
        verdict = _verdict(
            session,
            Question(
                secret=secret,
                digests=() if malformed else session.services.keyring.digests.candidates(secret),
                at=datetime.now(UTC),
                organisation_id=organisation,
                public_id=public_id,
                client_ip=parse_address(client_ip) if client_ip else None,
                mode=Mode(mode) if mode else None,
                channel=Channel(channel) if channel else None,
                scopes=scopes,
                api=api,
            ),
        )
    credential_id = verdict.candidate.credential_id if verdict.candidate else None
    if json:
        print_json(
            {
                "valid": verdict.valid,
                "code": verdict.code,
                "credential_id": credential_id,
                "scopes": list(verdict.scopes),
            }
        )
    else:
        click.echo(f"{verdict.code}" + (f"  credential {credential_id}" if credential_id else ""))
        if credential_id:
            click.echo(f"scopes: {', '.join(verdict.scopes) or 'none'}")
    ctx.exit(Exit.OK if verdict.valid else Exit.NOT_ALL_WELL)


def _malformed(secret: str, public_id: str | None) -> bool:
    """Whether it was never issued here, as the API has it: one of our secrets says its kind, and all but API keys go
    with a public identifier."""
    if not claims_our_format(secret):
        return len(secret) > SECRET_CHARS_MAX or not secret.isprintable()
    return not well_formed(secret) or (public_id is None and not secret.startswith(f"kl_{Kind.API_KEY}_"))


def _verdict(session: Session, question: Question) -> Verdict:
    if not question.digests:
        return Verdict(Code.MALFORMED)
    _, candidates = find_for_verification(session.services.store, (), question.digests, login_of(question))
    return decide(question, candidates)
