"""Trees by the recursive definitions of RFC 6962 section 2.1, word for word, and logs kept in tiles in memory."""

from collections.abc import Callable, Sequence
from hashlib import sha256

from ledger.tlog import tiles
from ledger.tlog.merkle import Hashes, leaf_hash


def flipped(data: bytes, bit: int) -> bytes:
    """The same bytes but for one bit."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def split(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(entries: Sequence[bytes]) -> bytes:
    """MTH(D[n])."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = split(len(entries))
    return sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def path(m: int, entries: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n])."""
    if len(entries) == 1:
        return []
    k = split(len(entries))
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def subproof(m: int, entries: Sequence[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF(m, D[n], b); PROOF(m, D[n]) is that with b true."""
    if m == len(entries):
        return [] if whole else [mth(entries)]
    k = split(len(entries))
    if m <= k:
        return [*subproof(m, entries[:k], whole), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], False), mth(entries[:k])]


def reader(entries: Sequence[bytes]) -> Hashes:
    """Reads complete subtrees by computing them."""
    return lambda level, index: mth(entries[index << level : (index + 1) << level])


class Log:
    """A log that keeps its tiles, as a sealer does."""

    def __init__(self) -> None:
        self.size = 0
        self.entries: list[bytes] = []
        self.tiles: dict[tuple[int, int], bytes] = {}

    def append(self, entries: Sequence[bytes]) -> None:
        edge = {level: self.tiles[level, index] for level, index, _width in tiles.edge_tiles(self.size)}
        for level, index, tile in tiles.append(self.size, edge, [leaf_hash(entry) for entry in entries]):
            self.tiles[level, index] = tile
        self.entries += entries
        self.size += len(entries)

    def fetch(self, level: int, index: int, width: int) -> bytes:
        """The tile as it was when it was so wide; a full one serves for every narrower."""
        return self.tiles[level, index][: width * 32]

    def reader(self, size: int | None = None, fetch: Callable[[int, int, int], bytes] | None = None) -> Hashes:
        return tiles.reader_of_tiles(self.size if size is None else size, fetch or self.fetch)

    def files(self) -> dict[str, bytes]:
        """Every tile and entry bundle of the newest tree, by its path."""
        paths = {}
        for (level, index), tile in self.tiles.items():
            paths[tiles.tile_path(level, index, len(tile) // 32)] = tile
        for index in range(0, self.size, tiles.WIDTH):
            entries = self.entries[index : index + tiles.WIDTH]
            paths[tiles.tile_path("entries", index // tiles.WIDTH, len(entries))] = tiles.encode_bundle(entries)
        return paths
