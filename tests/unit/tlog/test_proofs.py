"""Proof files: the form of the specification, what they show, and every flipped bit."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog import checkpoints, notes, policy
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.merkle import InvalidProof, inclusion_proof, root
from ledger.tlog.notes import Algorithm, InvalidNote, SignerKey
from ledger.tlog.policy import Unwitnessed
from ledger.tlog.proofs import EXTRA_BYTES_MAX, Proof, encode, parse, verify
from tests.unit.tlog.trees import flipped, reader

ORIGIN = "ledger.example/7"
LOG = SignerKey(ORIGIN, Algorithm.ED25519, b"\x01" * 32)
WITNESS = SignerKey("witness.example", Algorithm.COSIGNATURE, b"\x02" * 32)
TRUSTED = f"log {LOG.verifier.encode()}\nwitness W {WITNESS.verifier.encode()}\n"
WITNESSED = policy.parse(f"{TRUSTED}quorum W\n".encode())
ALONE = policy.parse(f"{TRUSTED}quorum none\n".encode())

ENTRIES = [b"entry %d" % number for number in range(21)]
READ = reader(ENTRIES)
CHECKPOINT = Checkpoint(ORIGIN, len(ENTRIES), root(len(ENTRIES), READ))
NOTE = notes.sign(checkpoints.encode(CHECKPOINT), [LOG, WITNESS], time=5)
PROOF = Proof(7, tuple(inclusion_proof(7, len(ENTRIES), READ)), NOTE)
FILE = encode(PROOF)


def test_a_file_has_the_form_of_the_specification() -> None:
    hashes = b"".join(base64.b64encode(each) + b"\n" for each in PROOF.hashes)
    assert b"c2sp.org/tlog-proof@v1\nindex 7\n" + hashes + b"\n" + NOTE == FILE
    assert encode(replace(PROOF, extra=b"more")).startswith(b"c2sp.org/tlog-proof@v1\nextra bW9yZQ==\nindex 7\n")


@given(
    st.integers(0, 2**63 - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=63),
    st.binary(max_size=50),
    st.binary(max_size=50),
)
def test_every_proof_is_read_as_it_was_written(index: int, hashes: list[bytes], note: bytes, extra: bytes) -> None:
    proof = Proof(index, tuple(hashes), note, extra)
    assert parse(encode(proof)) == proof


def test_a_proof_shows_every_entry_of_a_tree_and_no_other() -> None:
    for index, entry in enumerate(ENTRIES):
        proof = parse(encode(Proof(index, tuple(inclusion_proof(index, len(ENTRIES), READ)), NOTE)))
        assert verify(proof, entry, WITNESSED) == CHECKPOINT
        with pytest.raises(InvalidProof):
            verify(proof, b"another entry", WITNESSED)


def test_without_its_witnesses_a_proof_is_unwitnessed_and_nothing_worse() -> None:
    alone = replace(PROOF, checkpoint=notes.sign(checkpoints.encode(CHECKPOINT), [LOG]))
    with pytest.raises(Unwitnessed):
        verify(alone, ENTRIES[7], WITNESSED)
    assert verify(alone, ENTRIES[7], ALONE) == CHECKPOINT
    with pytest.raises(InvalidProof):
        verify(alone, ENTRIES[8], WITNESSED)


def test_a_checkpoint_of_a_log_that_the_policy_does_not_name_is_refused() -> None:
    stranger = SignerKey(ORIGIN, Algorithm.ED25519, b"\x09" * 32)
    foreign = replace(PROOF, checkpoint=notes.sign(checkpoints.encode(CHECKPOINT), [stranger, WITNESS], time=5))
    with pytest.raises(InvalidNote):
        verify(foreign, ENTRIES[7], WITNESSED)


def test_every_flipped_bit_of_a_proof_is_noticed() -> None:
    for bit in range(len(FILE) * 8):
        with pytest.raises((InvalidProof, InvalidNote, Unwitnessed)):
            verify(parse(flipped(FILE, bit)), ENTRIES[7], WITNESSED)


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"c2sp.org/tlog-proof@v1\n\n" + NOTE,
        FILE.replace(b"@v1", b"@v2"),
        FILE.replace(b"index 7", b"index 07"),
        FILE.replace(b"index 7", b"index -7"),
        FILE.replace(b"index 7", b"index 7 "),
        FILE.replace(b"index 7", b"index  7"),
        FILE.replace(b"index 7", b"extra \nindex 7"),
        FILE.replace(b"index 7", b"extra ====\nindex 7"),
        FILE.replace(b"index 7", b"index 7\nextra AAAA"),
        FILE.replace(b"index 7", b"extra AAAA\nextra AAAA\nindex 7"),
        FILE.replace(b"index 7\n", b"index 7\nAAAA\n"),
        FILE.replace(b"index 7\n", b"index 7\n" + (base64.b64encode(bytes(32)) + b"\n") * 64),
        FILE.replace(b"\n", b"\r\n"),
        b"\n" + FILE,
        encode(replace(PROOF, extra=bytes(EXTRA_BYTES_MAX + 1))),
        FILE + bytes(4_000_000),
    ],
    ids=lambda file: repr(file[:50]),
)
def test_what_is_not_quite_a_proof_is_refused(file: bytes) -> None:
    with pytest.raises(InvalidProof):
        parse(file)


@given(st.binary(max_size=200) | st.binary(max_size=100).map(b"c2sp.org/tlog-proof@v1\nindex 7\n".__add__))
def test_whatever_is_no_proof_is_refused_as_one(file: bytes) -> None:
    with pytest.raises((InvalidProof, InvalidNote)):
        verify(parse(file), ENTRIES[7], ALONE)
