"""`keyledger credential revoke-leaked`: end every secret of ours that a text holds."""

import re
from collections.abc import Iterator
from pathlib import Path

import click

from api.cli import options
from api.cli.exits import Exit
from api.cli.output import print_json, print_table, tell
from api.cli.session import open_ledger
from api.possession import Ended, Outcome, end_presented
from ledger.secret_format import SECRET_PATTERN, well_formed
from ledger.secrets import HINT_CHARS

_SECRET = re.compile(SECRET_PATTERN)

_MEANINGS = {
    Outcome.REVOKED: "credential revoked",
    Outcome.SECRET_ENDED: "older secret ended, the credential goes on with its newer one",
    Outcome.OPERATOR_REMOVED: "operator removed",
    Outcome.LAST_ADMINISTRATOR: "the last administrator's token: nothing was done, rotate it now",
    Outcome.NOT_LIVE: "unknown, or ended already",
}


@click.command("revoke-leaked")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@options.reason
@options.as_json
@click.pass_context
def revoke_leaked(ctx: click.Context, file: Path, reason: str, json: bool) -> None:
    """End every generated secret that FILE holds, or standard input for -: a log, a paste, a commit.

    Revokes the credentials and removes the operators whose live secrets are found, as compromised. The older of two
    live secrets ends alone. Running it again does no harm.
    """
    ended: list[tuple[str, Ended]] = []
    with open_ledger() as session:
        for secret in _found(file):
            context = session.context(reason or "the secret leaked")
            ended.append((secret[-HINT_CHARS:], end_presented(session.services, context, secret)))
    if json:
        print_json({"data": [{"hint": hint, "outcome": one.outcome, "id": one.id} for hint, one in ended]})
    elif ended:
        print_table(
            ("secret", "what was done", "id"), ((f"…{hint}", _MEANINGS[one.outcome], one.id) for hint, one in ended)
        )
    else:
        tell("no secret of ours was found")
    if any(one.outcome is Outcome.LAST_ADMINISTRATOR for _, one in ended):
        ctx.exit(Exit.NOT_ALL_WELL)


def _found(file: Path) -> Iterator[str]:
    """The secrets in a text, each once. What is not UTF-8 cannot be part of one, and does not matter."""
    seen: set[str] = set()
    with click.open_file(str(file), encoding="utf-8", errors="replace") as lines:
        for line in lines:
            for secret in _SECRET.findall(line):
                if secret not in seen and well_formed(secret):
                    seen.add(secret)
                    yield secret
