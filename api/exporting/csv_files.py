"""Tables as CSV: RFC 4180, in UTF-8, a header line first, safe to open in a spreadsheet."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from api.exporting.tables import Column, Thing, Type, batches, cells, weightless

MEDIA_TYPE = "text/csv; charset=utf-8; header=present"
CHUNK_ROWS = 250  # some tens of kilobytes, which is what a socket takes at once


def write_csv(
    columns: Sequence[Column[Thing]], things: Iterable[Thing], bytes_of: Callable[[Thing], int] = weightless
) -> Iterator[bytes]:
    """The file, in pieces: a row for each thing, and of large ones fewer to a piece. Times are RFC 3339 in UTC, truth
    is `true` or `false`, several texts stand in one cell with spaces between, and what is not there is empty.
    """
    yield _lines([_quoted([column.name]) for column in columns])
    for chunk in batches(things, CHUNK_ROWS, bytes_of):
        of_columns = zip(columns, cells(columns, chunk), strict=True)
        yield _lines([_quoted(_texts(column.type, of_one)) for column, of_one in of_columns])


def _lines(columns: Iterable[Sequence[str]]) -> bytes:
    return "".join([f"{','.join(row)}\r\n" for row in zip(*columns, strict=True)]).encode()


def _texts(of: Type, column: Sequence[Any]) -> Sequence[str]:
    """A column's cells as texts, which are empty where there is nothing."""
    write = _WRITE[of]
    return ["" if cell is None else write(cell) for cell in column]


def _quoted(column: Sequence[str]) -> Sequence[str]:
    """A column's texts, those in quotes that have to be. In most columns none has, which one look at all of them tells;
    the `csv` module looks at every character.
    """
    if not _MUST_QUOTE.search("".join(column)):
        return column
    return ['"{}"'.format(text.replace('"', '""')) if _MUST_QUOTE.search(text) else text for text in column]


_MUST_QUOTE = re.compile('[,"\r\n]')

# What a spreadsheet takes for the beginning of a formula (OWASP, CSV Injection); the last four are the wide =, +, -, @.
_BEGINS_FORMULA = frozenset("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def harmless(text: str) -> str:
    """A text that no spreadsheet runs: what would be a formula has an apostrophe before it, for others choose what a
    credential is called.
    """
    return f"'{text}" if text[:1] in _BEGINS_FORMULA else text


def _time(at: datetime) -> str:
    return orjson.dumps(at.astimezone(UTC), option=orjson.OPT_UTC_Z)[1:-1].decode()  # a third of what `isoformat` takes


_WRITE: dict[Type, Callable[[Any], str]] = {
    Type.TEXT: harmless,
    Type.TEXTS: lambda texts: harmless(" ".join(texts)),
    Type.INTEGER: str,
    Type.BOOLEAN: lambda truth: "true" if truth else "false",
    Type.TIME: _time,
}
