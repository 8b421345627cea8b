"""Leaves: what an organisation's log says of one event, as canonical JSON (RFC 8785).

A leaf names the event and has a salted digest of its stored bytes, so that without the salt and the bytes it does not
tell what was changed. The alphabets of its fields hold nothing that JSON would escape, so its canonical JSON is one
template, and an entry is canonical exactly where it matches the template.
"""

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

TYPE = "keyledger.leaf/1"
SALT_BYTES = 16  # 128 bits: nobody finds out by trying which bytes a digest is of

_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z"
PATTERN = (
    rf'\{{"aggregate":"({_UUID})",'
    rf'"at":"({_TIME})",'
    r'"digest":"([0-9a-f]{64})",'
    rf'"organisation":"({_UUID})",'
    r'"topic":"([a-z0-9_]{1,100}\.[a-z0-9_]{1,100}(?:@[1-9][0-9]{0,8})?)",'
    rf'"type":"{re.escape(TYPE)}",'
    r'"version":"([1-9][0-9]{0,18})"\}'
)
"""Of an entry that is canonical, with the fields of `Leaf` as groups. Which days there are, `check_day` knows."""
_LEAF = re.compile(PATTERN)


class InvalidLeaf(ValueError):
    """An entry is not a leaf in its canonical spelling."""


class Leaf(NamedTuple):
    """One event of an organisation's log: which aggregate's, which version of it, of which topic, when it happened.

    A named tuple, in the order of the fields in the entry, for a verifier makes millions of them.

    Ids are UUIDs in lower case, `at` is the event's own time as `timestamp` writes it, `version` is in decimal, and
    `digest` is the `state_digest` of the stored bytes.
    """

    aggregate: str
    at: str
    digest: str
    organisation: str
    topic: str
    version: str


def timestamp(at: datetime) -> str:
    """A time as leaves have it: RFC 3339 in UTC, always with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(text: str) -> str:
    """A time in ISO 8601, with its zone, as leaves have it; raises ValueError where it is none."""
    try:
        return timestamp(datetime.fromisoformat(text))
    except OverflowError:  # in UTC it lies before the first year, or after the last
        raise ValueError(f"{text} is beyond the calendar") from None


def state_digest(salt: bytes, stored: bytes) -> str:
    """SHA-256 in hex over the salt, 16 random bytes kept with the event, and the event's bytes as they are stored."""
    if len(salt) != SALT_BYTES:  # of salts of any length, one could take bytes from what is stored
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    return sha256(salt + stored).hexdigest()


def encode(leaf: Leaf) -> bytes:
    """The entry of a leaf."""
    return entry_of(leaf.aggregate, leaf.at, leaf.digest, leaf.organisation, topic=leaf.topic, version=leaf.version)


def entry_of(aggregate: str, at: str, digest: str, organisation: str, *, topic: str, version: object) -> bytes:
    """The entry of the leaf with these fields, without making one: who seals a log does little else.

    They are taken as they are: they come from UUIDs, times and topics, not from outside.
    """
    return (
        f'{{"aggregate":"{aggregate}","at":"{at}","digest":"{digest}",'
        f'"organisation":"{organisation}","topic":"{topic}","type":"{TYPE}","version":"{version}"}}'
    ).encode("ascii")


def parse(entry: bytes) -> Leaf:
    """The leaf of an entry; raises InvalidLeaf unless `encode` gives exactly this entry for it."""
    try:
        match = _LEAF.fullmatch(entry.decode("ascii"))
        if match is None:
            raise ValueError("it does not have the form of a leaf")
        leaf = Leaf(*match.groups())
        check_day(leaf.at[:10])
    except ValueError as error:
        raise InvalidLeaf(f"this is not a leaf: {error}") from None
    return leaf


@lru_cache(maxsize=1_000)
def check_day(day: str) -> None:
    """Raise ValueError for a day that no calendar has. Leaves of one day come together."""
    date.fromisoformat(day)
