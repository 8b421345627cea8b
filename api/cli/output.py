"""What is printed: tables for people, JSON for programs. Answers go to standard output, all else to standard error."""

import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import IO, Any

import click
import orjson
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from api.telling import moment

PIPED_WIDTH = 1_000  # what is piped is cut by whoever reads it, not by us


def print_json(document: Any) -> None:
    """One JSON document; moments as RFC 3339 in Z."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z
    click.echo(orjson.dumps(document, option=options).decode())


def print_json_list(documents: Iterable[Any]) -> None:
    """The document of a list, written as it is read: however long it is, one of its members is in memory."""
    click.echo('{"data":[', nl=False)
    separator = "\n"
    for document in documents:
        click.echo(separator + orjson.dumps(document, option=orjson.OPT_UTC_Z).decode(), nl=False)
        separator = ",\n"
    click.echo("\n]}")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table. The first column identifies the row and is never cut."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(cell, row))
    console(sys.stdout).print(table)


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """One thing's facts, a line each."""
    lines = list(facts)
    width = max(len(name) for name, _ in lines) + 2
    out = console(sys.stdout)
    for name, value in lines:
        out.print(Text(name.ljust(width), style="bold") + cell(value), soft_wrap=True)


def tell(text: str) -> None:
    """A remark for people, on standard error."""
    click.echo(text, err=True)


def print_secret(secret: str, what: str) -> None:
    """A secret, alone on standard output, this once."""
    tell(f"This is the {what}. It is shown this once and cannot be shown again: keep it safe now.")
    click.echo(secret)


def progress_bar() -> Progress:
    """A progress bar on standard error, where somebody watches."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(sys.stderr),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def task(progress: Progress, description: str) -> Callable[[int, int], None]:
    """A line of a progress bar; the function moves it to how much is done of how much there is."""
    line = progress.add_task(description, total=None)

    def show(done: int, total: int) -> None:
        progress.update(line, completed=done, total=total)

    return show


def console(stream: IO[str]) -> Console:
    """A console on a stream."""
    return Console(file=stream, highlight=False, width=None if stream.isatty() else PIPED_WIDTH)


def cell(value: object) -> Text:
    """A value as people read it. A `Text`, for a name may hold what would be markup in a plain string."""
    match value:
        case None | "" | () | []:
            return Text("-")
        case bool():
            return Text("yes" if value else "no")
        case datetime():
            return Text(moment(value))
        case Text():
            return value
        case list() | tuple():
            separator = "; " if isinstance(value[0], dict) else ", "
            return Text(separator.join(cell(item).plain for item in value))
        case dict():
            return Text(", ".join(f"{key}={cell(item).plain}" for key, item in value.items()) or "-")
    return Text(str(value))
