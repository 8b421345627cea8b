"""The command line: the same two doors as the API, commands through `Ledger.handle` and queries of the projections.

Exit codes and formats are a contract; docs/command-line.md states it.
"""

import logging

import click

from api.cli.accounts import account
from api.cli.activity import activity
from api.cli.applications import application
from api.cli.auditing import audit
from api.cli.catalogues import catalogue
from api.cli.comparing import diff
from api.cli.credentials import credential
from api.cli.demo import demo
from api.cli.doctor import doctor
from api.cli.exits import OneLineErrors, wants_traceback
from api.cli.history import history, replay
from api.cli.importing import import_
from api.cli.leaked import revoke_leaked
from api.cli.log import log
from api.cli.operators import operator
from api.cli.organisations import organisation
from api.cli.readings import readings
from api.cli.reporting import report
from api.cli.retention import retention
from api.cli.revoking import revoke_all
from api.cli.running import migrate, project, rebuild, serve
from api.cli.signing_keys import signing_key
from api.cli.verifying import verify
from api.cli.webhooks import webhook

__all__ = ["main"]

# These run for long and configure their logs themselves.
_SERVICES = ("serve", "project")


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="keyledger", prog_name="keyledger")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Keyledger: an event-sourced ledger of API credentials.

    Settings are read from KEYLEDGER_ variables of the environment. Exit codes: 0 done, 1 done but not all is well,
    2 usage, 3 invalid value, 4 not found, 5 not allowed now, 6 stale version, 7 unavailable, 8 configuration, 9 a fault
    in Keyledger.
    """
    if ctx.invoked_subcommand not in _SERVICES:
        # One line says what went wrong; what libraries would add to it is for those who ask.
        logging.basicConfig(level=logging.DEBUG if wants_traceback() else logging.CRITICAL)


for _command in (
    serve,
    project,
    migrate,
    rebuild,
    doctor,
    demo,
    organisation,
    catalogue,
    operator,
    account,
    application,
    credential,
    webhook,
    signing_key,
    log,
    report,
    retention,
    history,
    replay,
    diff,
    activity,
    readings,
    verify,
    audit,
    import_,
):
    main.add_command(_command)
account.add_command(history)
application.add_command(history)
webhook.add_command(history)
credential.add_command(revoke_leaked)
credential.add_command(revoke_all)
