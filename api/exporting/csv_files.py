"""Tables as CSV: RFC 4180, in UTF-8, a header line first, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from api.exporting.tables import Column, Row

MEDIA_TYPE = "text/csv; charset=utf-8; header=present"
CHUNK_ROWS = 250  # some tens of kilobytes, which is what a socket takes at once


def write_csv(columns: Sequence[Column[Any]], rows: Iterable[Row]) -> Iterator[bytes]:
    """The file, in pieces. Times are RFC 3339 in UTC, truth is `true` or `false`, several texts stand in one cell with
    spaces between, and what is not there is empty.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([column.name for column in columns])
    left = iter(rows)
    while chunk := list(islice(left, CHUNK_ROWS)):
        writer.writerows([map(_cell, row) for row in chunk])
        yield _taken(text)
    if rest := _taken(text):
        yield rest


# What a spreadsheet takes for the beginning of a formula (OWASP, CSV Injection); the last four are the wide =, +, -, @.
_BEGINS_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def harmless(text: str) -> str:
    """A text that no spreadsheet runs: what would be a formula has an apostrophe before it, for others choose what a
    credential is called.
    """
    return f"'{text}" if text.startswith(_BEGINS_FORMULA) else text


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case tuple() | list():
            return harmless(" ".join(value))
        case str():
            return harmless(value)
    return str(value)


def _taken(text: io.StringIO) -> bytes:
    written = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return written
