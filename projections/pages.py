"""Pages by key: a cursor says after which row the next page begins, so page a thousand costs what the first one does.

To its holder a cursor is opaque. It is good for the filters it was given with: for others it would skip rows silently.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec
from psycopg.rows import dict_row

from ledger.errors import InvalidValue
from ledger.store.datastore import LedgerDatastore, unavailable_as_such

LIMIT_DEFAULT = 50
LIMIT_MAX = 200  # a screen or two; whoever wants all rows walks the pages or takes an export
CURSOR_CHARS_MAX = 600  # the longest of ours holds an email address; a longer one is not worth decoding

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and the cursor of the next page; None on the last."""

    rows: Sequence[dict[str, Any]]
    cursor: str | None


class _Cursor(msgspec.Struct, Generic[Key], forbid_unknown_fields=True):
    k: Key
    f: str


def checked_limit(limit: int) -> int:
    """The limit, or `InvalidValue`."""
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidValue("limit", f"must lie between 1 and {LIMIT_MAX}", "out_of_range")
    return limit


def encode_cursor(key: tuple[Any, ...], filters: object) -> str:
    """A cursor for the rows after `key` under these filters."""
    return base64.urlsafe_b64encode(msgspec.json.encode(_Cursor(key, _digest(filters)))).decode().rstrip("=")


def decode_cursor(cursor: str, key_type: type[Key], filters: object) -> Key:
    """The key again. Raises `InvalidValue` for a text that is no cursor, or the cursor of another list."""
    try:
        if len(cursor) > CURSOR_CHARS_MAX or not cursor.isascii():
            raise ValueError
        padded = cursor + "=" * (-len(cursor) % 4)
        found = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=_Cursor[key_type])  # type: ignore[valid-type]
    except (ValueError, binascii.Error, msgspec.MsgspecError):
        raise InvalidValue("cursor", "is not a cursor of this service", "invalid_cursor") from None
    if found.f != _digest(filters):
        raise InvalidValue("cursor", "belongs to a list with other filters: begin again", "invalid_cursor")
    return found.k


def rows_of_page(store: LedgerDatastore, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a list's query, planned for these parameters.

    Prepared, it would after five uses be planned once for any parameters, and for a rare filter that plan walks the
    whole organisation.
    """
    with unavailable_as_such():
        store.pool.open()
        with store.pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, parameters, prepare=False).fetchall()


def _digest(filters: object) -> str:
    return hashlib.sha256(msgspec.json.encode(filters, enc_hook=str)).hexdigest()[:16]
