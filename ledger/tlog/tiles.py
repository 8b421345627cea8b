"""Tiles: how a tree is stored and served, as in C2SP tlog-tiles (https://c2sp.org/tlog-tiles).

A tile holds up to 256 hashes of one level in a row. The levels of tiles are eight levels of the tree apart; what lies
between is computed. A tile that is full never changes, and each level has at most one that is not, at its right edge.
An entry bundle holds the entries whose hashes a tile of level 0 holds.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from ledger.tlog.merkle import HASH_BYTES, Hashes

HEIGHT = 8
WIDTH = 2**HEIGHT
LEVEL_MAX = 63
ENTRY_BYTES_MAX = 2**16 - 1  # a bundle gives the length of an entry in two bytes

Level = int | Literal["entries"]
Fetch = Callable[[int, int, int], bytes]
"""Gives the bytes of the tile at (level, index) when it was as wide as the third argument says."""


class InvalidTile(ValueError):
    """A tile, an entry bundle or a path of one is not as it must be."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Which tile, or entry bundle, and how wide it is."""

    level: Level
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it is served, below the log's prefix."""
        return tile_path(self.level, self.index, self.width)

    @property
    def leaves(self) -> int:
        """How many leaves a log has at the least that has this tile."""
        level = 0 if self.level == "entries" else self.level
        of_this_level: int = self.index * WIDTH + self.width
        return of_this_level << HEIGHT * level


def tile_path(level: Level, index: int, width: int | None = None) -> str:
    """Where a tile is served, below the log's prefix: `tile/0/x001/067`, `tile/0/x001/067.p/5`, `tile/entries/000`."""
    groups = f"{index:03d}"
    groups = groups.zfill(-(-len(groups) // 3) * 3)
    *leading, last = re.findall("...", groups)
    path = "/".join(("tile", str(level), *(f"x{group}" for group in leading), last))
    return path if width in (None, WIDTH) else f"{path}.p/{width}"


# An index has 19 digits at most, as sizes are below 2**63.
_PATH = re.compile(
    r"tile/(?P<level>entries|[0-9]{1,2})/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[0-9]{1,3}))?"
)


def parse_tile_path(path: str) -> Tile:
    """The tile that a path names; raises InvalidTile for every other spelling of it."""
    match = _PATH.fullmatch(path)
    if match is None:
        raise InvalidTile("this is not the path of a tile")
    level: Level = "entries" if match["level"] == "entries" else int(match["level"])
    width = int(match["width"]) if match["width"] else WIDTH
    tile = Tile(level, int(match["index"].replace("x", "").replace("/", "")), width)
    in_bounds = (level == "entries" or level <= LEVEL_MAX) and 1 <= width <= WIDTH
    if not in_bounds or tile.path != path:
        raise InvalidTile("this is not the path of a tile")
    return tile


def encode_bundle(entries: Iterable[bytes]) -> bytes:
    """An entry bundle. Raises InvalidTile where an entry is too long for one."""
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > ENTRY_BYTES_MAX:
            raise InvalidTile(f"an entry of {len(entry)} bytes is too long: {ENTRY_BYTES_MAX} are possible")
        parts += (len(entry).to_bytes(2), entry)
    return b"".join(parts)


def decode_bundle(bundle: bytes, width: int = WIDTH) -> list[bytes]:
    """The entries of a bundle that holds `width` of them; raises InvalidTile if it holds more, fewer or half of one."""
    entries: list[bytes] = []
    start = 0
    while start < len(bundle) and len(entries) < width:
        end = start + 2 + int.from_bytes(bundle[start : start + 2])
        entries.append(bundle[start + 2 : end])
        start = end
    if start != len(bundle) or len(entries) != width:
        raise InvalidTile(f"the bundle does not hold exactly {width} entries")
    return entries


def edge_tiles(size: int) -> list[tuple[int, int, int]]:
    """The (level, index, width) of the tiles that are not full, at most one a level: what `append` has to be given."""
    tiles = []
    level = 0
    while entries := size >> HEIGHT * level:
        last, width = divmod(entries, WIDTH)
        if width:
            tiles.append((level, last, width))
        level += 1
    return tiles


def tiles_changed(old_size: int, new_size: int) -> list[tuple[int, int, int]]:
    """The (level, index, width) of the tiles that a log has to write when it grows, lowest level first."""
    tiles: list[tuple[int, int, int]] = []
    level = 0
    while (entries := new_size >> HEIGHT * level) > (before := old_size >> HEIGHT * level):
        last, width = divmod(entries, WIDTH)
        tiles += [(level, index, WIDTH) for index in range(before // WIDTH, last)]
        if width:
            tiles.append((level, last, width))
        level += 1
    return tiles


def append(size: int, edge: Mapping[int, bytes], leaf_hashes: Sequence[bytes]) -> list[tuple[int, int, bytes]]:
    """Add leaves to a log of `size`: the (level, index, bytes) of every tile to write, those of `tiles_changed`.

    `edge` has the bytes of `edge_tiles(size)` by level; InvalidTile is raised where one is missing or of another width.
    A tile that was partial is written anew under the same index, wider.
    """
    written: list[tuple[int, int, bytes]] = []
    level, hashes = 0, b"".join(leaf_hashes)
    while hashes:
        first, width = divmod(size >> HEIGHT * level, WIDTH)
        row = _checked(edge.get(level, b""), level, first, width) + hashes
        tiles = [row[at : at + WIDTH * HASH_BYTES] for at in range(0, len(row), WIDTH * HASH_BYTES)]
        written += ((level, first + place, tile) for place, tile in enumerate(tiles))
        hashes = b"".join(_root(tile) for tile in tiles if len(tile) == WIDTH * HASH_BYTES)
        level += 1
    return written


def reader_of_tiles(size: int, fetch: Fetch) -> Hashes:
    """Reads the tree of `size` leaves from its tiles, each of which is fetched once.

    The reader raises InvalidTile where a tile has the wrong length. It keeps what it fetched, so it serves for a proof
    or a few, not for walking a log.
    """
    fetched: dict[tuple[int, int], bytes] = {}

    def read(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        tile_index, place = divmod(index << height, WIDTH)
        tile = fetched.get((tile_level, tile_index))
        if tile is None:
            width = min(WIDTH, (size >> HEIGHT * tile_level) - tile_index * WIDTH)
            if width < place + (1 << height):
                raise ValueError(f"a tree of {size} leaves has no complete subtree {index} at level {level}")
            tile = _checked(fetch(tile_level, tile_index, width), tile_level, tile_index, width)
            fetched[tile_level, tile_index] = tile
        return _root(tile[place * HASH_BYTES : (place + (1 << height)) * HASH_BYTES])

    return read


def tiles_read(walk: Callable[[Hashes], object]) -> list[tuple[int, int]]:
    """The (level, index) of the tiles from which `walk` reads, to fetch them at once.

    What it reads must not depend on what it read: it is found by walking through a tree of zeroes.
    """
    wanted: dict[tuple[int, int], None] = {}

    def read(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        wanted[tile_level, (index << height) // WIDTH] = None
        return bytes(HASH_BYTES)

    walk(read)
    return list(wanted)


def _root(row: bytes) -> bytes:
    """The root of a complete subtree whose leaves are the hashes of a row: a power of two of them."""
    while len(row) > HASH_BYTES:
        pairs = (row[at : at + 2 * HASH_BYTES] for at in range(0, len(row), 2 * HASH_BYTES))
        row = b"".join([sha256(b"\x01" + pair).digest() for pair in pairs])
    return row


def _checked(tile: bytes, level: int, index: int, width: int) -> bytes:
    if len(tile) != width * HASH_BYTES:
        raise InvalidTile(f"tile {index} of level {level} should have {width} hashes, not {len(tile) / HASH_BYTES:g}")
    return tile
