"""Logs in tiles between us and tlog-scales, by somebody else: each reads and verifies what the other writes."""

from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import PlainEd25519Signer, Vkey, VkeySet
from tlog_scales.tlog import Checkpoint as TheirCheckpoint
from tlog_scales.tlog import ConsistencyProof, InclusionProof
from tlog_scales.writer import TilesWriter

from ledger.tlog import checkpoints, notes, tiles
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.merkle import (
    Hashes,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from ledger.tlog.notes import Algorithm, SignerKey
from tests.unit.tlog.trees import Log

ORIGIN = "ledger.example/7"
LOG = SignerKey(ORIGIN, Algorithm.ED25519, b"\x01" * 32)
WITNESS = SignerKey("witness.example/w1", Algorithm.COSIGNATURE, b"\x02" * 32)
ENTRIES = [b"entry %d" % number for number in range(700)]
PLACES = [(0, 1), (0, 700), (255, 256), (256, 257), (300, 512), (699, 700)]
SIZES = [(1, 2), (3, 700), (256, 257), (511, 512), (700, 700)]


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that we wrote, in a directory."""
    directory, log = tmp_path_factory.mktemp("ours"), Log()
    log.append(ENTRIES[:300])
    log.append(ENTRIES[300:])
    for path, data in log.files().items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(data)
    text = checkpoints.encode(Checkpoint(ORIGIN, log.size, root(log.size, log.reader())))
    (directory / "checkpoint").write_bytes(notes.sign(text, [LOG, WITNESS], time=5))
    return directory


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log that they wrote, in three rounds."""
    directory = tmp_path_factory.mktemp("theirs") / "log"
    writer = TilesWriter.create(directory, ORIGIN)
    for start, end in [(0, 100), (100, 300), (300, 700)]:
        for entry in ENTRIES[start:end]:
            writer.add_leaf(entry)
        writer.commit([PlainEd25519Signer(ORIGIN, LOG.seed)])
    return directory


def test_they_read_and_verify_our_log(ours: Path) -> None:
    reader = TilesReader(LocalBackend(ours))
    checkpoint = reader.get_checkpoint()
    keys = [Vkey.from_string(key.verifier.encode()) for key in (LOG, WITNESS)]
    assert {key.name for key, _signature in VkeySet(*keys).verify(checkpoint.signatures, checkpoint)} == {
        LOG.name,
        WITNESS.name,
    }
    assert checkpoint.size == len(ENTRIES)
    assert reader.calculate_root_hash() == checkpoint.root_hash
    assert [reader.get_entry(index) for index in range(len(ENTRIES))] == ENTRIES


def test_they_accept_our_proofs_and_make_the_same(ours: Path) -> None:
    log = Log()
    log.append(ENTRIES)
    reader = TilesReader(LocalBackend(ours))
    reader.get_checkpoint()
    for index, size in PLACES:
        proof = inclusion_proof(index, size, log.reader())
        InclusionProof(index, size, proof).check(leaf_hash(ENTRIES[index]), root(size, log.reader()))
        assert reader.get_inclusion_proof(index, size).node_hashes == proof
    for old, new in SIZES:
        proof = consistency_proof(old, new, log.reader())
        ConsistencyProof(old, new, proof).check(root(old, log.reader()), root(new, log.reader()))
        assert reader.get_consistency_proof(old, new).node_hashes == proof


def test_they_refuse_what_another_key_signed(ours: Path) -> None:
    other = SignerKey(ORIGIN, Algorithm.ED25519, b"\x09" * 32).verifier
    checkpoint = TheirCheckpoint.from_text((ours / "checkpoint").read_text())
    key = Vkey(other.name, int.from_bytes(LOG.verifier.id), 1, other.public_key)
    with pytest.raises(InvalidSignature):
        checkpoint.verify(key)


def reader_of(directory: Path, size: int) -> Hashes:
    def fetch(level: int, index: int, width: int) -> bytes:
        return (directory / tiles.tile_path(level, index, width)).read_bytes()

    return tiles.reader_of_tiles(size, fetch)


def test_we_read_and_verify_their_log(theirs: Path) -> None:
    opened = notes.open_note((theirs / "checkpoint").read_bytes(), [LOG.verifier])
    checkpoint = checkpoints.parse(opened.text)
    assert (checkpoint.origin, checkpoint.size) == (ORIGIN, len(ENTRIES))
    assert root(checkpoint.size, reader_of(theirs, checkpoint.size)) == checkpoint.root
    read: list[bytes] = []
    for index, width in [(0, 256), (1, 256), (2, 188)]:
        read += tiles.decode_bundle((theirs / tiles.tile_path("entries", index, width)).read_bytes(), width)
    assert read == ENTRIES


def test_we_accept_their_proofs(theirs: Path) -> None:
    reader = TilesReader(LocalBackend(theirs))
    top = reader.get_checkpoint().root_hash
    for index in (0, 255, 256, 699):
        hashes = reader.get_inclusion_proof(index, len(ENTRIES)).node_hashes
        verify_inclusion(index, len(ENTRIES), leaf_hash(ENTRIES[index]), hashes, top)
    for old in (1, 256, 511, 700):
        hashes = reader.get_consistency_proof(old, len(ENTRIES)).node_hashes
        verify_consistency(old, len(ENTRIES), hashes, root(old, reader_of(theirs, len(ENTRIES))), top)
