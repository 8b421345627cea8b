"""Checkpoints: the text of a note by which a log states its size and root, as in C2SP tlog-checkpoint."""

from dataclasses import dataclass

from ledger.tlog.canonical import SIZE_MAX, encode_base64, is_line, parse_decimal, parse_hash
from ledger.tlog.merkle import HASH_BYTES


class InvalidCheckpoint(ValueError):
    """A text is not a checkpoint."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log states: at this size its root is this. Raises InvalidCheckpoint for values that no text can hold."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(is_line(line) for line in (self.origin, *self.extensions)):
            raise InvalidCheckpoint("the lines of a checkpoint are not empty, and have no control characters")
        if not 0 <= self.size <= SIZE_MAX:
            raise InvalidCheckpoint(f"the size of a tree lies between 0 and {SIZE_MAX}")
        if len(self.root) != HASH_BYTES:
            raise InvalidCheckpoint(f"the root of a tree has {HASH_BYTES} bytes")


def encode(checkpoint: Checkpoint) -> str:
    """The text to be signed."""
    lines = (checkpoint.origin, str(checkpoint.size), encode_base64(checkpoint.root), *checkpoint.extensions)
    return "".join(f"{line}\n" for line in lines)


def parse(text: str) -> Checkpoint:
    """The checkpoint of a text that was verified; raises InvalidCheckpoint."""
    *lines, end = text.split("\n")
    if end or len(lines) < 3:
        raise InvalidCheckpoint("a checkpoint has at least three lines")
    origin, size, root, *extensions = lines
    try:
        return Checkpoint(origin, parse_decimal(size), parse_hash(root), tuple(extensions))
    except ValueError as error:
        raise InvalidCheckpoint(f"this is not a checkpoint: {error}") from None
