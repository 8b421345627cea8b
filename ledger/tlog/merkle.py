"""Merkle trees as in RFC 6962 section 2.1, with SHA-256: roots, inclusion proofs and consistency proofs.

A tree is read through its complete subtrees. The one at (level, index) covers the 2**level leaves that begin at
index * 2**level, so (0, n) is the hash of leaf n. Complete subtrees never change while a log grows, which is why they
are what a log stores (ledger/tlog/tiles.py).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
ROW_HASHES = 64  # measured: fewer are added faster one by one

Hashes = Callable[[int, int], bytes]
"""Reads the hash of the complete subtree at (level, index)."""


class InvalidProof(ValueError):
    """A proof does not show what it claims to."""


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf that holds this entry."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of the node above two."""
    return sha256(b"\x01" + left + right).digest()


def root(size: int, read: Hashes) -> bytes:
    """The root of the tree of the first `size` leaves."""
    return _range_hash(0, size, read) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, read: Hashes) -> list[bytes]:
    """What proves that leaf `index` is in the tree of `size` leaves: its sibling first, the root's child last.

    Raises ValueError where the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    proof, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(_range_hash(middle, end, read))
            end = middle
        else:
            proof.append(_range_hash(start, middle, read))
            start = middle
    return proof[::-1]


def consistency_proof(old: int, new: int, read: Hashes) -> list[bytes]:
    """What proves that the tree of `new` leaves begins with the tree of `old` leaves.

    It is empty where there is nothing to prove: the two are of one size, or the older tree is empty. Raises ValueError
    where the older tree is the larger.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves does not begin with one of {old}")
    if old == 0:
        return []
    proof, start, end = [], 0, new
    while old < end:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(_range_hash(middle, end, read))
            end = middle
        else:
            proof.append(_range_hash(start, middle, read))
            start = middle
    if start:  # else what is left is the older tree itself, whose root the verifier has
        proof.append(_range_hash(start, end, read))
    return proof[::-1]


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Raise InvalidProof unless the tree with this size and root has this leaf hash at `index` (RFC 9162, 2.1.3.2)."""
    _check_hashes(root)
    top = leaf
    for _, node in climb(index, size, leaf, proof):
        top = node
    if top != root:
        raise InvalidProof(f"leaf {index} is not in the tree with this root")


def climb(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> Iterator[tuple[bool, bytes]]:
    """The way from a leaf to the root: with each hash of the proof whether it stands on the left, and the node above.

    The last node is the root of the tree in which the leaf is. Raises InvalidProof for a proof of another length.
    """
    _check_hashes(leaf, *proof)
    if not 0 <= index < size:
        raise InvalidProof(f"a tree of {size} leaves has no leaf {index}")
    # The leaf's place and the last one's, halved with every step up: where the two meet, or the place is odd, the
    # sibling stands on the left.
    place, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise InvalidProof("the inclusion proof is too long")
        on_left = bool(place & 1) or place == last
        if on_left:
            node = node_hash(sibling, node)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
        yield on_left, node
    if last:
        raise InvalidProof("the inclusion proof is too short")


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Raise InvalidProof unless the newer tree begins with the older one (RFC 9162, 2.1.4.2)."""
    _check_hashes(old_root, new_root, *proof)
    if not 0 <= old <= new:
        raise InvalidProof(f"a tree of {new} leaves does not begin with one of {old}")
    if (old == 0 and old_root != EMPTY_ROOT) or (new == 0 and new_root != EMPTY_ROOT):
        raise InvalidProof("this is not the root of the empty tree")
    if old in (0, new):
        if proof:
            raise InvalidProof("the consistency proof should be empty")
        if old == new and old_root != new_root:
            raise InvalidProof(f"there are two roots for one size, {old}")
        return
    # A complete older tree is itself the first node of the proof, and is left out of it.
    complete = old & (old - 1) == 0
    if not complete and not proof:
        raise InvalidProof("the consistency proof is too short")
    first, *rest = (old_root, *proof) if complete else proof
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    older = newer = first
    for sibling in rest:
        if last == 0:
            raise InvalidProof("the consistency proof is too long")
        if place & 1 or place == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        place, last = place >> 1, last >> 1
    if last:
        raise InvalidProof("the consistency proof is too short")
    if older != old_root or newer != new_root:
        raise InvalidProof(f"the tree of {new} leaves does not begin with the one of {old}")


class Frontier:
    """A tree that only grows, kept as the roots of the complete subtrees along its right edge.

    It gives the root of a stream of leaves in O(log n) memory, one hash for each leaf.
    """

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        """Start empty, or from the size and the hashes (left to right) of one that was kept."""
        self.size = size
        self.hashes = list(hashes)
        if size < 0 or len(self.hashes) != size.bit_count():
            raise ValueError(f"the right edge of {size} leaves does not have {len(self.hashes)} hashes")

    @classmethod
    def of(cls, size: int, read: Hashes) -> "Frontier":
        """The frontier of a tree that is stored."""
        return cls(size, [read(level, index) for level, index in complete_subtrees(0, size)])

    def append(self, leaf_hash: bytes) -> None:
        """Add one leaf."""
        node, size = leaf_hash, self.size
        while size & 1:
            node = node_hash(self.hashes.pop(), node)
            size >>= 1
        self.hashes.append(node)
        self.size += 1

    def append_subtree(self, level: int, node: bytes) -> None:
        """Add 2**level leaves by the hash above them. Raises ValueError where no complete subtree of so many begins."""
        if self.size & ((1 << level) - 1):
            raise ValueError(f"after {self.size} leaves no complete subtree of level {level} begins")
        size = self.size >> level
        while size & 1:
            node = node_hash(self.hashes.pop(), node)
            size >>= 1
        self.hashes.append(node)
        self.size += 1 << level

    def extend(self, leaf_hashes: Sequence[bytes]) -> None:
        """Add some leaves; of many, a row of nodes at a time, which takes less than adding each."""
        if len(leaf_hashes) < ROW_HASHES:
            for each in leaf_hashes:
                self.append(each)
            return
        row, edge, left = list(leaf_hashes), list[bytes](), self.size
        while row:
            if left & 1:
                row.insert(0, self.hashes.pop())
            if len(row) & 1:
                edge.append(row.pop())
            row = [sha256(b"\x01" + first + second).digest() for first, second in zip(row[::2], row[1::2], strict=True)]
            left >>= 1
        self.hashes += reversed(edge)
        self.size += len(leaf_hashes)

    def root(self) -> bytes:
        """The root of what was added up to now."""
        return _join(self.hashes) if self.hashes else EMPTY_ROOT


def _split(size: int) -> int:
    """How many leaves are left of the root: the largest power of two below the size."""
    return 1 << ((size - 1).bit_length() - 1)


def complete_subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The (level, index) of the fewest complete subtrees that cover leaves `start` to `end`, exclusive, in order."""
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        yield level, start >> level
        start += 1 << level


def _range_hash(start: int, end: int, read: Hashes) -> bytes:
    return _join([read(level, index) for level, index in complete_subtrees(start, end)])


def _join(hashes: Sequence[bytes]) -> bytes:
    """The hash above complete subtrees of falling size."""
    *others, node = hashes
    for left in reversed(others):
        node = node_hash(left, node)
    return node


def _check_hashes(*hashes: bytes) -> None:
    if any(len(each) != HASH_BYTES for each in hashes):
        raise InvalidProof("a hash has 32 bytes")
