"""The arguments that commands share, and how they are read."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from api.client_keys import register_key
from api.moments import past_time
from ledger.events import StoredSecret
from ledger.values import PASSWORD_BYTES_MAX

KEY_BYTES_MAX = 65_536  # the largest RSA key takes a thousand, its certificates some more

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

Choice = TypeVar("Choice", bound=StrEnum)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class OneOf(click.Choice[Choice]):
    """One of an enum's members, by its value: what the API and the events call it."""

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:  # noqa: ARG002 - click's signature
        """The text that stands for a member."""
        return str(choice)


class Duration(click.ParamType[timedelta]):
    """A length of time: a whole number and its unit (`90s`, `15m`, `24h`, `7d`, `2w`), or `0`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The text as a length of time."""
        if isinstance(value, timedelta):
            return value
        if value == "0":
            return timedelta(0)
        # Six digits keep every unit within what a date can be; the ledger's own bound is far below.
        match = re.fullmatch(r"([0-9]{1,6})([smhdw])", value)
        if match is None:
            self.fail("say a number and its unit, like 90s, 15m, 24h or 7d, or 0", param, ctx)
        return timedelta(**{_UNITS[match[2]]: int(match[1])})


class Moment(click.ParamType[datetime]):
    """A moment as RFC 3339 writes it: `2026-05-31T12:00:00Z`. An offset is required, for a time without one is not a
    moment."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The text as a moment in UTC."""
        if isinstance(value, datetime):
            return value
        moment = parse_moment(value)
        if moment is None:
            self.fail("say a date and time with its zone, like 2026-05-31T12:00:00Z", param, ctx)
        return moment


class Day(click.ParamType[date]):
    """A day: `2023-06-05`."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> date:
        """The text as a day."""
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail("say a day, like 2023-06-05", param, ctx)


def parse_moment(text: str) -> datetime | None:
    """The moment in UTC, or None for a text that is not one, or that leaves open which."""
    try:
        moment = datetime.fromisoformat(text.strip())
        return None if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


class KeyValue(click.ParamType[tuple[str, str]]):
    """A label: `key=value`."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """The text as a pair."""
        if isinstance(value, tuple):
            return value
        key, equals, content = value.partition("=")
        if not equals or not key:
            self.fail("say key=value", param, ctx)
        return key, content


def reason(command: Decorated) -> Decorated:
    """`--reason`: why, kept in the history."""
    return click.option("--reason", default="", metavar="TEXT", help="Why you do this; kept in the history.")(command)


def as_json(command: Decorated) -> Decorated:
    """`--json`: for programs."""
    return click.option("--json", "json", is_flag=True, help="Print JSON, for programs.")(command)


def as_of(command: Decorated) -> Decorated:
    """`--as-of`: a list of the past."""
    return click.option("--as-of", type=Moment(), help="As they were at this time, read from their histories.")(command)


def moment_asked(as_of: datetime | None) -> datetime:
    """When a list is about: the time of `--as-of`, or now. `InvalidValue` for one that is still to come."""
    now = datetime.now(UTC)
    return now if as_of is None else past_time(as_of, "as_of", now)


def expected_version(command: Decorated) -> Decorated:
    """`--expected-version`: refuse if someone else was faster."""
    return click.option(
        "--expected-version",
        type=click.IntRange(min=1),
        help="Refuse (exit code 6) unless the history is at this version.",
    )(command)


def overlap(command: Decorated) -> Decorated:
    """`--overlap`: how long the secret before stays good."""
    return click.option(
        "--overlap",
        type=Duration(),
        default="0",
        show_default=True,
        help="How long the present secret stays good: 24h, 7d, or 0 for not at all.",
    )(command)


def chosen_secret(command: Decorated) -> Decorated:
    """`--secret-file` and `--ask-secret`: a password its user chose. Never an argument: those show in process lists."""
    command = click.option(
        "--ask-secret", is_flag=True, help="Ask for the password that the user of a channel login chose."
    )(command)
    return click.option(
        "--secret-file",
        type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
        help="Read that password from a file, or from standard input for -.",
    )(command)


def public_key(command: Decorated) -> Decorated:
    """`--public-key`: the public key of an OAuth client, which then has no secret."""
    return click.option(
        "--public-key",
        "public_key_file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A file with the JSON Web Key that an OAuth client signs in with, in place of a secret.",
    )(command)


def read_public_key(file: Path | None) -> StoredSecret | None:
    """What is kept of the key in a file, or None where there is none."""
    if file is None:
        return None
    try:
        jwk = json.loads(file.read_bytes()[:KEY_BYTES_MAX])
    except (OSError, ValueError):
        raise click.UsageError(f"{file} cannot be read as JSON") from None
    if not isinstance(jwk, dict):
        raise click.UsageError(f"{file} is not a JSON Web Key")
    return register_key(jwk)


def read_chosen_secret(secret_file: Path | None, ask_secret: bool) -> str | None:
    """The chosen password, or None where one is to be generated."""
    if secret_file is not None and ask_secret:
        raise click.UsageError("--secret-file and --ask-secret exclude each other")
    if ask_secret:
        prompted: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return prompted
    return None if secret_file is None else read_secret(secret_file)


def read_secret(file: Path) -> str:
    """The secret in a file, or on standard input for `-`, without the line's end."""
    with _text(file) as opened:
        # One character more than the longest, and the end of its line: so a longer one is seen to be.
        text = opened.read(PASSWORD_BYTES_MAX + 3)
        return text.removesuffix("\n").removesuffix("\r")


def read_lines(file: Path) -> list[str]:
    """The lines of a file, or of standard input for `-`."""
    with _text(file) as opened:
        return list(opened)


@contextmanager
def _text(file: Path) -> Iterator[IO[str]]:
    """A file to read as UTF-8 text; `-` is standard input."""
    try:
        with click.open_file(str(file), encoding="utf-8") as opened:
            yield opened
    except (OSError, UnicodeDecodeError):
        raise click.UsageError(f"{file} cannot be read as UTF-8 text") from None
