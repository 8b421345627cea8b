"""How a command ends: stable exit codes, and one clear line on standard error for whatever went wrong."""

import os
import traceback
from enum import IntEnum
from typing import Any

import click
import psycopg

from ledger.errors import (
    CommandInFlight,
    Forbidden,
    IdempotencyAnswerExpired,
    IdempotencyKeyReused,
    InvalidValue,
    NotAllowedNow,
    NotFound,
    StaleVersion,
    StoreUnavailable,
    Unavailable,
)
from ledger.settings import SettingsError
from ledger.store.embedded import EmbeddedPostgresError
from ledger.store.keys import WrongMasterKey
from ledger.store.migrate import MigrationError


class Exit(IntEnum):
    """What a program can learn from the exit code. Documented in docs/command-line.md; never renumbered."""

    OK = 0
    NOT_ALL_WELL = 1  # the command did its work, and its answer is no: a refused secret, bad rows, a failed check
    USAGE = 2  # click's own
    INVALID_VALUE = 3
    NOT_FOUND = 4
    NOT_ALLOWED_NOW = 5
    STALE_VERSION = 6
    UNAVAILABLE = 7
    CONFIGURATION = 8
    FAULT = 9  # a fault in Keyledger itself
    INTERRUPTED = 130  # 128 + SIGINT, as shells have it


_CODES: tuple[tuple[tuple[type[BaseException], ...], Exit], ...] = (
    ((InvalidValue,), Exit.INVALID_VALUE),
    ((NotFound,), Exit.NOT_FOUND),
    (
        (NotAllowedNow, Forbidden, CommandInFlight, IdempotencyKeyReused, IdempotencyAnswerExpired),
        Exit.NOT_ALLOWED_NOW,
    ),
    ((StaleVersion,), Exit.STALE_VERSION),
    ((Unavailable, psycopg.OperationalError), Exit.UNAVAILABLE),
    ((SettingsError, WrongMasterKey, MigrationError, EmbeddedPostgresError), Exit.CONFIGURATION),
    ((KeyboardInterrupt,), Exit.INTERRUPTED),
)

# libpq quotes parts of the URL in its messages, and where that was mistyped a part may be the password. So they are
# recognised, never repeated.
_CONNECTION_TROUBLES: tuple[tuple[str, str], ...] = (
    ("password authentication failed", "the server refuses this user or password"),
    ("no password supplied", "the server wants a password"),
    ("no pg_hba.conf entry", "the server's pg_hba.conf does not let this user in from here"),
    ("peer authentication failed", "the server lets only its own system user in over this socket"),
    ("could not translate host name", "the host's name is not known"),
    ("role", "the role does not exist or may not log in"),
    ("database", "the database does not exist or may not be used"),
    ("SSL", "the server and the URL do not agree on TLS"),
    ("certificate", "the server's certificate is not trusted"),
    ("timeout", "the server does not answer in time"),
    ("Connection refused", "nothing listens there"),
    ("No such file", "nothing listens on that socket"),
    ("too many clients", "the server has no connection left"),
    ("starting up", "the server is still starting"),
    ("shutting down", "the server is shutting down"),
)


def exit_code(error: BaseException) -> Exit:
    """The exit code for what was raised."""
    for types, code in _CODES:
        if isinstance(error, types):
            return code
    return Exit.FAULT


def one_line(error: BaseException) -> str:
    """What to tell people about what was raised, in one line and without secrets."""
    if isinstance(error, StoreUnavailable) and (trouble := connection_trouble(error.__cause__)):
        return f"PostgreSQL cannot be reached: {trouble}"
    if isinstance(error, psycopg.OperationalError):
        return "PostgreSQL cannot be reached: " + (connection_trouble(error) or "check KEYLEDGER_DATABASE_URL")
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if exit_code(error) is Exit.FAULT:
        return f"a fault in Keyledger ({type(error).__name__}): KEYLEDGER_LOG_LEVEL=DEBUG shows where"
    return "; ".join(str(error).splitlines())


def connection_trouble(error: BaseException | None) -> str:
    """Why a connection failed, in words of ours, or nothing."""
    if not isinstance(error, psycopg.OperationalError):
        return ""
    text = str(error)
    return next((ours for theirs, ours in _CONNECTION_TROUBLES if theirs in text), "")


def wants_traceback() -> bool:
    """Whether whoever runs this asked to see where things go wrong."""
    return os.environ.get("KEYLEDGER_LOG_LEVEL", "").strip() == "DEBUG"


class OneLineErrors(click.Group):
    """A group whose commands end in one line and a documented exit code, whatever they raise."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; see the class."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError):
            raise  # click knows what to do with its own, and with a reader that went away
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the outermost place there is
            if wants_traceback():
                traceback.print_exc()
            click.echo(f"error: {one_line(error)}", err=True)
            ctx.exit(exit_code(error))
