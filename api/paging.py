"""Cursors of lists that are in the order of their ids."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from ledger.errors import InvalidValue


def encode_cursor(rows: Sequence[Mapping[str, Any]], limit: int, key: str) -> str | None:
    """Where the next page begins, from rows that were asked for with one more than the page holds."""
    if len(rows) <= limit:
        return None
    last: UUID = rows[limit - 1][key]
    return base64.urlsafe_b64encode(last.bytes).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> UUID | None:
    """The id after which the page begins; `InvalidValue` for what no page ever gave."""
    if cursor is None:
        return None
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        raise InvalidValue("cursor", "is not one that a page of this list gave") from None
