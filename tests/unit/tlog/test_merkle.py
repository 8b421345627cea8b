"""Trees: the published vectors, all shapes up to 64 leaves against the RFC's own definitions, and flipped bits."""

import base64
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog.merkle import (
    EMPTY_ROOT,
    ROW_HASHES,
    Frontier,
    InvalidProof,
    complete_subtrees,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from tests.unit.tlog.trees import flipped, mth, path, reader, subproof

VECTORS = Path(__file__).parents[2] / "vectors" / "rfc6962"
SIZES = range(65)
ENTRIES = [b"entry %d" % number for number in range(64)]
READ = reader(ENTRIES)
ROOTS = [mth(ENTRIES[:size]) for size in SIZES]

# The leaves of transparency-dev/merkle's own tests, and the roots over the first n of them (the vectors' README).
STANDARD_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]


def vectors(kind: str) -> list[Any]:
    files = sorted((VECTORS / kind).rglob("*.json"))
    return [pytest.param(json.loads(file.read_text()), id=str(file.relative_to(VECTORS / kind))) for file in files]


def decoded(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def hashes(texts: list[str] | None) -> list[bytes]:
    return [decoded(text) for text in texts or []]


@pytest.mark.parametrize("vector", vectors("inclusion"))
def test_inclusion_is_verified_as_the_published_vectors_say(vector: dict[str, Any]) -> None:
    proof = hashes(vector["proof"])
    given = (vector["leafIdx"], vector["treeSize"], decoded(vector["leafHash"]), proof, decoded(vector["root"]))
    if vector["wantErr"]:
        with pytest.raises(InvalidProof):
            verify_inclusion(*given)
    else:
        verify_inclusion(*given)


@pytest.mark.parametrize("vector", vectors("consistency"))
def test_consistency_is_verified_as_the_published_vectors_say(vector: dict[str, Any]) -> None:
    proof = hashes(vector["proof"])
    given = (vector["size1"], vector["size2"], proof, decoded(vector["root1"]), decoded(vector["root2"]))
    if vector["wantErr"]:
        with pytest.raises(InvalidProof):
            verify_consistency(*given)
    else:
        verify_consistency(*given)


def test_all_the_published_vectors_are_there() -> None:
    assert len(list(VECTORS.rglob("*.json"))) == 96


def test_roots_are_those_that_the_vectors_name() -> None:
    leaves = [bytes.fromhex(leaf) for leaf in STANDARD_LEAVES]
    table = [line.split() for line in (VECTORS / "README.md").read_text().splitlines() if line.startswith("    ")]
    assert len(table) == 9
    for size, expected in table:
        assert root(int(size), reader(leaves)).hex() == expected


def test_roots_and_proofs_are_those_of_the_definitions() -> None:
    for size in SIZES:
        entries = ENTRIES[:size]
        assert root(size, READ) == ROOTS[size]
        for index in range(size):
            assert inclusion_proof(index, size, READ) == path(index, entries)
        for old in range(1, size + 1):
            assert consistency_proof(old, size, READ) == subproof(old, entries)
        assert consistency_proof(0, size, READ) == []


def test_every_proof_up_to_64_leaves_is_accepted() -> None:
    for size in SIZES:
        for index in range(size):
            verify_inclusion(index, size, leaf_hash(ENTRIES[index]), inclusion_proof(index, size, READ), ROOTS[size])
        for old in range(size + 1):
            verify_consistency(old, size, consistency_proof(old, size, READ), ROOTS[old], ROOTS[size])


@pytest.mark.parametrize("size", range(1, 34))
def test_a_proof_serves_for_one_leaf_one_index_and_one_size_alone(size: int) -> None:
    for index in range(size):
        proof, leaf = inclusion_proof(index, size, READ), leaf_hash(ENTRIES[index])
        for other in range(size + 2):
            if other != index:
                with pytest.raises(InvalidProof):
                    verify_inclusion(other, size, leaf, proof, ROOTS[size])
                with pytest.raises(InvalidProof):
                    verify_inclusion(index, size, leaf_hash(b"entry %d" % other), proof, ROOTS[size])
            if other != size:
                with pytest.raises(InvalidProof):
                    verify_inclusion(index, size, leaf, proof, ROOTS[other])


@pytest.mark.parametrize("size", range(1, 34))
def test_a_consistency_proof_serves_for_two_sizes_and_two_roots_alone(size: int) -> None:
    for old in range(1, size):
        proof = consistency_proof(old, size, READ)
        for other in range(size + 2):
            if other != old:
                with pytest.raises(InvalidProof):
                    verify_consistency(other, size, proof, ROOTS[old], ROOTS[size])
                with pytest.raises(InvalidProof):
                    verify_consistency(old, size, proof, ROOTS[other], ROOTS[size])
            if other != size:
                with pytest.raises(InvalidProof):
                    verify_consistency(old, size, proof, ROOTS[old], ROOTS[other])


@given(st.data())
def test_every_flipped_bit_of_a_proof_a_leaf_or_a_root_is_noticed(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 64))
    index = data.draw(st.integers(0, size - 1))
    values = [leaf_hash(ENTRIES[index]), ROOTS[size], *inclusion_proof(index, size, READ)]
    chosen = data.draw(st.integers(0, len(values) - 1))
    values[chosen] = flipped(values[chosen], data.draw(st.integers(0, 255)))
    leaf, top, *proof = values
    with pytest.raises(InvalidProof):
        verify_inclusion(index, size, leaf, proof, top)


@given(st.data())
def test_every_flipped_bit_of_a_consistency_proof_is_noticed(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 64))
    old = data.draw(st.integers(1, size - 1))
    values = [ROOTS[old], ROOTS[size], *consistency_proof(old, size, READ)]
    chosen = data.draw(st.integers(0, len(values) - 1))
    values[chosen] = flipped(values[chosen], data.draw(st.integers(0, 255)))
    older, newer, *proof = values
    with pytest.raises(InvalidProof):
        verify_consistency(old, size, proof, older, newer)


numbers = st.integers(-2, 70) | st.integers(-(2**70), 2**70)
byte_strings = st.binary(max_size=40) | st.binary(min_size=32, max_size=32)


@given(numbers, numbers, st.lists(byte_strings, max_size=70), byte_strings, byte_strings)
def test_whatever_is_handed_in_nothing_but_the_named_error_is_raised(
    first: int, second: int, proof: list[bytes], one: bytes, other: bytes
) -> None:
    with suppress(InvalidProof):
        verify_inclusion(first, second, one, proof, other)
    with suppress(InvalidProof):
        verify_consistency(first, second, proof, one, other)


def test_an_empty_tree_has_one_root_and_every_tree_begins_with_it() -> None:
    verify_consistency(0, 0, [], EMPTY_ROOT, EMPTY_ROOT)
    verify_consistency(0, 3, [], EMPTY_ROOT, ROOTS[3])
    for old, new, proof, older, newer in [
        (0, 0, [], EMPTY_ROOT, ROOTS[1]),
        (0, 3, [], ROOTS[1], ROOTS[3]),
        (0, 3, [ROOTS[1]], EMPTY_ROOT, ROOTS[3]),
        (3, 3, [], ROOTS[3], ROOTS[4]),
        (3, 5, [], ROOTS[3], ROOTS[5]),
    ]:
        with pytest.raises(InvalidProof):
            verify_consistency(old, new, proof, older, newer)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 3), (3, 3), (4, 3)])
def test_there_is_no_proof_for_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof(index, size, READ)


@pytest.mark.parametrize(("old", "new"), [(4, 3), (-1, 3)])
def test_no_tree_begins_with_a_larger_one(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="begin"):
        consistency_proof(old, new, READ)


def test_a_frontier_has_the_root_at_every_size_and_can_be_kept() -> None:
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT
    for size, entry in enumerate(ENTRIES, start=1):
        frontier.append(leaf_hash(entry))
        frontier = Frontier(frontier.size, frontier.hashes)
        assert (frontier.size, frontier.root()) == (size, ROOTS[size])
        assert frontier.hashes == Frontier.of(size, READ).hashes


def test_a_frontier_grows_by_many_leaves_as_by_one_after_the_other() -> None:
    hashes = [leaf_hash(b"entry %d" % number) for number in range(2 * ROW_HASHES + 70)]
    one_by_one = [Frontier()]
    for each in hashes:
        grown = Frontier(one_by_one[-1].size, one_by_one[-1].hashes)
        grown.append(each)
        one_by_one.append(grown)
    for begin in range(0, len(hashes), 3):
        for count in (0, 1, 2, 5, ROW_HASHES - 1, ROW_HASHES, ROW_HASHES + 1, len(hashes) - begin):
            end = min(len(hashes), begin + count)
            frontier = Frontier(begin, one_by_one[begin].hashes)
            frontier.extend(hashes[begin:end])
            assert (frontier.size, frontier.hashes) == (end, one_by_one[end].hashes)
    assert [one.root() for one in one_by_one[: len(ROOTS)]] == ROOTS


@pytest.mark.parametrize(("size", "count"), [(1, 0), (3, 1), (0, 1), (-1, 1)])
def test_a_frontier_has_a_hash_for_every_complete_subtree(size: int, count: int) -> None:
    with pytest.raises(ValueError, match="right edge"):
        Frontier(size, [EMPTY_ROOT] * count)


@pytest.mark.parametrize("start", range(20))
def test_the_fewest_complete_subtrees_cover_any_leaves_in_order(start: int) -> None:
    for end in range(start, 40):
        subtrees = list(complete_subtrees(start, end))
        covered = [leaf for level, index in subtrees for leaf in range(index << level, index + 1 << level)]
        assert covered == list(range(start, end))
        assert len(subtrees) <= 2 * max(1, (end - start).bit_length())


def test_a_frontier_grows_by_subtrees_as_by_their_leaves() -> None:
    for begin in range(len(ENTRIES)):
        for end in range(begin, len(ENTRIES)):
            frontier = Frontier.of(begin, READ)
            for level, index in complete_subtrees(begin, end):
                frontier.append_subtree(level, READ(level, index))
            assert (frontier.size, frontier.hashes) == (end, Frontier.of(end, READ).hashes)


def test_a_subtree_begins_where_one_of_its_size_does() -> None:
    with pytest.raises(ValueError, match="level 1"):
        Frontier.of(3, READ).append_subtree(1, bytes(32))
