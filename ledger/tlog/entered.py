"""What the root log holds of one tree: a walk along its entries under the tree's label, up to the root log's own root.

A bundle opens every entry under its label, and gives the hashes of the complete subtrees between them. Together they
make the root log's root, so none of what is opened is made up, and nothing is learnt of what lies between. Whether
an entry under the label was kept back among that, only all entries of the root log tell.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ledger.tlog.bundle import HeadLine, generations
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.checkpoints import encode as encode_checkpoint
from ledger.tlog.heads import Head, head_digest
from ledger.tlog.heads import encode as encode_head
from ledger.tlog.merkle import HASH_BYTES, Frontier, InvalidProof, complete_subtrees, leaf_hash


class Stated(NamedTuple):
    """What an entry of the root log states of a tree: the root that it has at a size."""

    head_index: int
    size: int
    root: bytes


class Entered:
    """The entries under one label, as far as they were opened. It keeps 56 bytes of each at most."""

    def __init__(self, label: str, origin: str) -> None:
        self._label = label
        self._origin = origin
        self._root_log = Frontier()
        self._indexes, self._sizes, self._roots = array("q"), array("q"), bytearray()
        self._of_others = array("q")  # of those of another log, the index
        self.newest: Checkpoint | None = None

    def __len__(self) -> int:
        return len(self._indexes)

    def add(self, line: HeadLine) -> None:
        """The next entry under the label. Raises InvalidProof where it cannot stand there."""
        checkpoint = Checkpoint(line.origin, line.size, line.root)
        self._walk(line.head_index, line.between)
        entry = encode_head(Head(self._label, head_digest(line.salt, encode_checkpoint(checkpoint))))
        self._root_log.append(leaf_hash(entry))
        if line.origin != self._origin and not _is_earlier(line.origin, self._origin):
            self._of_others.append(line.head_index)
        self._indexes.append(line.head_index)
        self._sizes.append(line.size)
        self._roots += line.root
        self.newest = checkpoint

    def finish(self, root: Checkpoint, after: Sequence[bytes]) -> None:
        """Raise InvalidProof unless the entries and what lies between and after them make this root log."""
        self._walk(root.size, after)
        if self._root_log.root() != root.root:
            raise InvalidProof("the entries under the label are not those that the root log holds")

    def heads(self) -> Iterator[Stated]:
        """The entries in their order. To be read when all of them were opened."""
        for number, (index, size) in enumerate(zip(self._indexes, self._sizes, strict=True)):
            yield Stated(index, size, bytes(self._roots[number * HASH_BYTES : (number + 1) * HASH_BYTES]))

    def strange(self) -> Iterator[str]:
        """What no honest log enters under a label: what follows from the origins and the order of the entries."""
        for index in self._of_others:
            yield f"entry {index} of the root log, under this log's label, is of another log"
        for index, size, before in zip(self._indexes[1:], self._sizes[1:], self._sizes, strict=False):
            if size < before:
                yield f"entry {index} of the root log is of {size} leaves, after one of {before}"

    def opened(self, index: int) -> bool:
        """Whether the entry of the root log at this index was opened."""
        at = bisect_left(self._indexes, index)
        return at < len(self._indexes) and self._indexes[at] == index

    @property
    def last(self) -> int:
        """The index of the newest entry that was opened; -1 where none was."""
        return self._indexes[-1] if self._indexes else -1

    def _walk(self, end: int, hashes: Sequence[bytes]) -> None:
        """Go on to the entry `end` of the root log, by the hashes of what lies before it."""
        subtrees = list(complete_subtrees(self._root_log.size, end))
        if end < self._root_log.size or len(subtrees) != len(hashes):
            raise InvalidProof(
                f"entry {end} of the root log does not follow on entry {self.last} by {len(hashes)} hashes"
            )
        for (level, _), node in zip(subtrees, hashes, strict=True):
            self._root_log.append_subtree(level, node)


def _is_earlier(origin: str, now: str) -> bool:
    """Whether a log had this origin before it had the one that it has now."""
    entered, current = generations(origin), generations(now)
    return entered is not None and current is not None and entered[0] == current[0] and entered[1] <= current[1]
