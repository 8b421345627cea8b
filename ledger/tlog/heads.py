"""Heads: what the root log says of an organisation's log, as canonical JSON (RFC 8785).

A head has the log's label, which is random and stays, and a salted digest of a checkpoint's text. So whoever holds the
checkpoint and the salt can show that it was entered, every head of one label can be asked for, and nobody learns from
it whose log that is or how large. docs/provable-log.md is its specification, as none is published.
"""

import re
from dataclasses import dataclass
from hashlib import sha256

from ledger.tlog.leaves import SALT_BYTES

TYPE = "keyledger.head/1"

LABEL = re.compile("[0-9a-f]{32}")

_HEAD = re.compile(
    rf'\{{"digest":"(?P<digest>[0-9a-f]{{64}})","label":"(?P<label>{LABEL.pattern})","type":"{re.escape(TYPE)}"\}}'
)


class InvalidHead(ValueError):
    """An entry is not a head in its canonical spelling."""


@dataclass(frozen=True, slots=True)
class Head:
    """One state of an organisation's log: `label` is 16 bytes in hex, `digest` the `head_digest` of its checkpoint."""

    label: str
    digest: str


def head_digest(salt: bytes, checkpoint: str) -> str:
    """SHA-256 in hex over the salt, 16 random bytes, and the text of an unsigned checkpoint."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a salt has {SALT_BYTES} bytes")
    return sha256(salt + checkpoint.encode()).hexdigest()


def encode(head: Head) -> bytes:
    """The entry of a head."""
    return f'{{"digest":"{head.digest}","label":"{head.label}","type":"{TYPE}"}}'.encode("ascii")


def parse(entry: bytes) -> Head:
    """The head of an entry; raises InvalidHead unless `encode` gives exactly this entry for it."""
    try:
        match = _HEAD.fullmatch(entry.decode("ascii"))
    except ValueError:
        match = None
    if match is None:
        raise InvalidHead("this is not a head")
    return Head(match["label"], match["digest"])
