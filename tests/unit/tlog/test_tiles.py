"""Tiles: their paths, entry bundles, what is written as a log grows, and the tree read back from them."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog.merkle import Frontier, Hashes, consistency_proof, inclusion_proof, leaf_hash, root
from ledger.tlog.tiles import (
    ENTRY_BYTES_MAX,
    InvalidTile,
    Tile,
    append,
    decode_bundle,
    edge_tiles,
    encode_bundle,
    parse_tile_path,
    reader_of_tiles,
    tile_path,
    tiles_changed,
    tiles_read,
)
from tests.unit.tlog.trees import Log, flipped, mth, path, subproof

PATHS = [
    (Tile(0, 0), "tile/0/000"),
    (Tile(0, 67), "tile/0/067"),
    (Tile(1, 1234067), "tile/1/x001/x234/067"),
    (Tile(0, 1000), "tile/0/x001/000"),
    (Tile(63, 999, 1), "tile/63/999.p/1"),
    (Tile("entries", 1067, 255), "tile/entries/x001/067.p/255"),
]


@pytest.mark.parametrize(("tile", "text"), PATHS)
def test_paths_are_those_of_the_specification(tile: Tile, text: str) -> None:
    assert tile.path == tile_path(tile.level, tile.index, tile.width) == text
    assert parse_tile_path(text) == tile


@given(st.integers(0, 63) | st.just("entries"), st.integers(0, 2**63), st.integers(1, 256))
def test_every_path_is_parsed_to_what_it_was_made_of(level: int, index: int, width: int) -> None:
    assert parse_tile_path(tile_path(level, index, width)) == Tile(level, index, width)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tile/0",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/05",
        "tile/0/000.p/",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "/tile/0/000",
        "tile/0/../000",
        "tile/0/" + "x999/" * 10 + "000",
    ],
)
def test_other_spellings_of_a_path_are_refused(text: str) -> None:
    with pytest.raises(InvalidTile):
        parse_tile_path(text)


@given(st.text(max_size=30) | st.text("tile/0123x.pens", max_size=30).map("tile/".__add__))
def test_whatever_is_asked_for_is_a_path_in_its_only_spelling_or_refused(text: str) -> None:
    with suppress(InvalidTile):
        assert parse_tile_path(text).path == text


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_a_bundle_gives_back_its_entries(entries: list[bytes]) -> None:
    bundle = encode_bundle(entries)
    assert decode_bundle(bundle, len(entries)) == entries
    for wrong in (bundle[:-1], bundle + b"\x00", bundle + b"\x00\x00"):
        with pytest.raises(InvalidTile):
            decode_bundle(wrong, len(entries))


@given(st.binary(max_size=300), st.integers(1, 256))
def test_whatever_is_no_bundle_is_refused_as_one(data: bytes, width: int) -> None:
    with suppress(InvalidTile):
        assert encode_bundle(decode_bundle(data, width)) == data


def test_an_entry_has_65535_bytes_at_most() -> None:
    longest = bytes(ENTRY_BYTES_MAX)
    assert decode_bundle(encode_bundle([longest]), 1) == [longest]
    with pytest.raises(InvalidTile):
        encode_bundle([longest + b"\x00"])


@given(st.data())
def test_every_flipped_bit_of_a_bundle_changes_the_root_or_is_refused(data: st.DataObject) -> None:
    entries = data.draw(st.lists(st.binary(max_size=20), min_size=1, max_size=12))
    bundle = encode_bundle(entries)
    changed = flipped(bundle, data.draw(st.integers(0, len(bundle) * 8 - 1)))
    with suppress(InvalidTile):
        assert mth(decode_bundle(changed, len(entries))) != mth(entries)


# Sizes around what fills a tile of level 0 (256) and of level 1 (65,536), and rounds that cross several.
GROWTHS = [[1], [255, 1, 1], [256], [257], [1000] * 5, [100, 156, 300, 1], [1] * 20, [65_535, 1, 1], [65_536, 700]]


@pytest.mark.parametrize("growth", GROWTHS, ids=str)
def test_what_is_written_is_what_changed_and_gives_the_tree_back(growth: list[int]) -> None:
    log, frontier = Log(), Frontier()
    for count in growth:
        before, old = dict(log.tiles), log.size
        entries = [b"entry %d" % number for number in range(old, old + count)]
        log.append(entries)
        for entry in entries:
            frontier.append(leaf_hash(entry))
        written = {place for place, tile in log.tiles.items() if before.get(place) != tile}
        changed = tiles_changed(old, log.size)
        assert written == {(level, index) for level, index, _width in changed}
        assert all(len(log.tiles[level, index]) == width * 32 for level, index, width in changed)
        assert root(log.size, log.reader()) == frontier.root()
        assert root(old, log.reader(old)) == root(old, log.reader())  # older trees stay readable


def test_the_example_of_the_specification_has_its_tiles() -> None:
    changed = tiles_changed(0, 70_000)
    assert [sum(1 for level, _index, width in changed if (level, width) == (of, 256)) for of in (0, 1, 2)] == [
        273,
        1,
        0,
    ]
    assert [(level, width) for level, _index, width in changed if width < 256] == [(0, 112), (1, 17), (2, 1)]
    assert edge_tiles(70_000) == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
    assert tiles_changed(255, 256) == [(0, 0, 256), (1, 0, 1)]
    assert edge_tiles(256) == [(1, 0, 1)]
    assert tiles_changed(300, 300) == edge_tiles(0) == []


LOG = Log()
LOG.append([b"entry %d" % number for number in range(600)])


@given(st.integers(1, 600), st.data())
def test_proofs_from_tiles_are_those_of_the_definitions(size: int, data: st.DataObject) -> None:
    entries = LOG.entries[:size]
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    assert root(size, LOG.reader(size)) == mth(entries)
    assert inclusion_proof(index, size, LOG.reader(size)) == path(index, entries)
    assert consistency_proof(old, size, LOG.reader(size)) == subproof(old, entries)


def test_a_tile_is_fetched_once_and_as_wide_as_the_tree_has_it() -> None:
    asked: list[tuple[int, int, int]] = []

    def fetch(level: int, index: int, width: int) -> bytes:
        asked.append((level, index, width))
        return LOG.fetch(level, index, width)

    read = LOG.reader(599, fetch)
    inclusion_proof(3, 599, read)
    inclusion_proof(4, 599, read)
    assert sorted(asked) == [(0, 0, 256), (0, 2, 87), (1, 0, 2)]


@given(st.data())
def test_the_tiles_that_a_proof_reads_are_known_before(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 600))
    walks: list[Callable[[Hashes], object]] = [
        partial(inclusion_proof, data.draw(st.integers(0, size - 1)), size),
        partial(consistency_proof, data.draw(st.integers(0, size)), size),
        partial(Frontier.of, size),
    ]
    walk = data.draw(st.sampled_from(walks))
    asked = []

    def fetch(level: int, index: int, width: int) -> bytes:
        asked.append((level, index))
        return LOG.fetch(level, index, width)

    walk(LOG.reader(size, fetch))
    assert tiles_read(walk) == asked


@given(st.data())
def test_every_flipped_bit_of_a_tile_changes_the_root(data: st.DataObject) -> None:
    level, index, width = data.draw(st.sampled_from([(0, 2, 88), (1, 0, 2)]))
    bit = data.draw(st.integers(0, width * 256 - 1))

    def fetch(*asked: int) -> bytes:
        tile = LOG.fetch(*asked)
        return flipped(tile, bit) if asked == (level, index, width) else tile

    assert root(600, LOG.reader(600, fetch)) != root(600, LOG.reader())


@pytest.mark.parametrize("wrong", [b"", bytes(31), bytes(64)])
def test_a_tile_of_another_length_is_refused(wrong: bytes) -> None:
    read = reader_of_tiles(1, lambda _level, _index, _width: wrong)
    with pytest.raises(InvalidTile):
        read(0, 0)


def test_nothing_is_read_from_beyond_the_tree() -> None:
    for level, index in [(0, 600), (8, 2), (9, 1), (10, 0), (16, 0)]:
        with pytest.raises(ValueError, match="no complete subtree"):
            LOG.reader()(level, index)


@pytest.mark.parametrize("edge", [{}, {0: bytes(32)}, {0: bytes(32 * 3)}])
def test_leaves_are_added_to_the_right_edge_as_it_was_alone(edge: dict[int, bytes]) -> None:
    with pytest.raises(InvalidTile):
        append(2, edge, [bytes(32)])
