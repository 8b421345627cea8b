"""Numbers, bytes and names as the formats spell them: each value in exactly one way.

What can be spelt in two ways could be changed in transit without anyone noticing, so every other spelling is refused.
All of these raise ValueError, which the formats turn into errors of their own.
"""

import base64
import json
import re
from typing import Any

SIZE_MAX = 2**63 - 1  # indexes and sizes are signed 64-bit integers in the tools that others wrote
_DIGITS_MAX = len(str(SIZE_MAX))
NESTED_MAX = 100  # objects and lists in each other; what the log writes has a handful


def parse_decimal(text: str) -> int:
    """A number from 0 to SIZE_MAX in ASCII digits, without leading zeroes."""
    # The length first: `int` refuses more than 4,300 digits, and takes long over fewer.
    if not (len(text) <= _DIGITS_MAX and text.isascii() and text.isdigit()) or (text[0] == "0" and text != "0"):
        raise ValueError(f"{text[:40]!r} is not a decimal number as it should be written")
    number = int(text)
    if number > SIZE_MAX:
        raise ValueError(f"{number} is more than {SIZE_MAX}")
    return number


def encode_base64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 section 4)."""
    return base64.b64encode(data).decode()


def parse_base64(text: str) -> bytes:
    """Bytes from standard base64; padding is there, and the bits that it leaves over are zero."""
    data = base64.b64decode(text, validate=True)  # binascii.Error is a ValueError
    if encode_base64(data) != text:
        raise ValueError(f"{text[:40]!r} is not base64 as it should be written")
    return data


def parse_hash(text: str) -> bytes:
    """A SHA-256 hash from base64."""
    data = parse_base64(text)
    if len(data) != 32:
        raise ValueError(f"{text[:60]!r} is not the hash of 32 bytes that it should be")
    return data


def parse_json(text: bytes) -> Any:
    """The value of a text in JSON that every reader reads alike: UTF-8, no object has a key twice, and it has no more
    levels than `NESTED_MAX`.

    Nothing stands before it, and after it at most what ends a line.
    """
    whole = text.decode()
    # Looked at beforehand: how deep the decoder itself can go depends on who called it, and so would the verdict.
    if text.count(b"{") + text.count(b"[") > NESTED_MAX and _nested(whole) > NESTED_MAX:
        raise ValueError("it is nested too deeply")
    value, end = _decode(whole)
    if end < len(whole) - whole.endswith("\n"):
        raise ValueError("more stands behind it")
    return value


def _nested(text: str) -> int:
    """How many objects and lists lie in each other, where a text is JSON."""
    depth = deepest = 0
    for bracket in _BESIDE_BRACKETS.sub("", text):
        depth += 1 if bracket in "{[" else -1
        deepest = max(deepest, depth)
    return deepest


_BESIDE_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[^][{}"]++')


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a key stands there twice")
    return read


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


_decode = json.JSONDecoder(object_pairs_hook=_unambiguous, parse_constant=_no_number).raw_decode


_LINE = re.compile("[^\x00-\x1f\ud800-\udfff]+")


def is_line(text: str) -> bool:
    """Whether a text can stand as a line of a note: not empty, valid Unicode, no ASCII control characters."""
    return _LINE.fullmatch(text) is not None
