"""Signed notes: the specifications' own examples, who is believed, and every flipped bit."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog.notes import (
    SIGNATURES_MAX,
    Algorithm,
    InvalidKey,
    InvalidNote,
    SignerKey,
    VerifierKey,
    open_note,
    sign,
)
from tests.unit.tlog.trees import flipped

TEXT = "ledger.example/7\n3\nAAAA\n"
LOG = SignerKey("ledger.example/7", Algorithm.ED25519, b"\x01" * 32)
WITNESS = SignerKey("witness.example/w1", Algorithm.COSIGNATURE, b"\x02" * 32)
STRANGER = SignerKey("ledger.example/7", Algorithm.ED25519, b"\x03" * 32)
NOTE = sign(TEXT, [LOG, WITNESS], time=1_679_315_147)
BOTH = (LOG.verifier, WITNESS.verifier)

# The keys and the note of the documentation of Go's golang.org/x/mod/sumdb/note.
GO_SIGNER = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_VERIFIER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_SIGNATURE = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
GO_NOTE = f"{GO_TEXT}\n— PeterNeumann {GO_SIGNATURE}\n".encode()


def test_the_note_of_go_is_made_and_opened() -> None:
    signer = SignerKey.parse(GO_SIGNER)
    assert signer.verifier.encode() == GO_VERIFIER
    assert sign(GO_TEXT, [signer]) == GO_NOTE
    assert open_note(GO_NOTE, [VerifierKey.parse(GO_VERIFIER)]).text == GO_TEXT


def test_a_note_says_who_signed_it_and_when() -> None:
    opened = open_note(NOTE, BOTH)
    assert opened.text == TEXT
    assert [(signature.key, signature.time) for signature in opened.signatures] == [
        (LOG.verifier, None),
        (WITNESS.verifier, 1_679_315_147),
    ]
    assert opened.encode() == NOTE


def test_a_cosignature_is_over_the_message_of_the_specification() -> None:
    signature = WITNESS.sign(TEXT, 1_679_315_147)
    assert signature.signature[:8] == (1_679_315_147).to_bytes(8)
    plain = SignerKey("x", Algorithm.ED25519, WITNESS.seed)
    assert signature.signature[8:] == plain.sign(f"cosignature/v1\ntime 1679315147\n{TEXT}").signature


def test_a_line_of_a_witness_is_added_to_the_note_of_a_log() -> None:
    assert sign(TEXT, [LOG]) + WITNESS.sign(TEXT, 1_679_315_147).line.encode() == NOTE


def test_signatures_of_keys_that_are_not_asked_for_are_passed_over() -> None:
    assert open_note(NOTE, [LOG.verifier]).encode() == sign(TEXT, [LOG])
    foreign = "— other.example/1 " + base64.b64encode(b"id__" + bytes(2420)).decode() + "\n"
    assert open_note(NOTE + foreign.encode(), BOTH).encode() == NOTE


def test_a_text_with_empty_lines_ends_at_the_last_of_them() -> None:
    text = "one\n\n\ntwo\n\n"
    assert open_note(sign(text, [LOG]), [LOG.verifier]).text == text


def test_a_note_that_nobody_trusted_signed_is_refused() -> None:
    # The stranger has the name of the log, and another key, hence another id.
    with pytest.raises(InvalidNote, match="nobody"):
        open_note(sign(TEXT, [STRANGER]), [LOG.verifier])
    with pytest.raises(InvalidNote, match="nobody"):
        open_note(NOTE, [])


def test_a_wrong_signature_of_a_known_key_is_refused_even_beside_right_ones() -> None:
    wrong = WITNESS.sign("another text\n", 5).line.encode()
    with pytest.raises(InvalidNote, match=r"witness\.example"):
        open_note(NOTE + wrong, BOTH)


def test_the_two_kinds_of_key_are_not_taken_for_each_other() -> None:
    both_ways = SignerKey(LOG.name, Algorithm.COSIGNATURE, LOG.seed)
    assert both_ways.verifier.id != LOG.verifier.id
    with pytest.raises(InvalidNote):
        open_note(sign(TEXT, [LOG]), [both_ways.verifier])
    with pytest.raises(ValueError, match="time"):
        LOG.sign(TEXT, 5)
    with pytest.raises(ValueError, match="time"):
        WITNESS.sign(TEXT)


@pytest.mark.parametrize("time", [-1, 2**63])
def test_the_time_of_a_cosignature_is_in_bounds(time: int) -> None:
    with pytest.raises(ValueError, match="time"):
        WITNESS.sign(TEXT, time)


def test_every_flipped_bit_of_a_note_is_noticed() -> None:
    for bit in range(len(NOTE) * 8):
        try:
            opened = open_note(flipped(NOTE, bit), BOTH)
        except InvalidNote:
            continue
        # A line whose key is no longer known is passed over: then its signature is missing, and the rest holds.
        assert opened.text == TEXT
        assert len(opened.signatures) == 1
        assert NOTE.index(b"\n\n") < bit // 8


def test_every_flipped_bit_of_a_note_with_one_signature_is_refused() -> None:
    for signer, time in ((LOG, None), (WITNESS, 5)):
        note = sign(TEXT, [signer], time)
        for bit in range(len(note) * 8):
            with pytest.raises(InvalidNote):
                open_note(flipped(note, bit), BOTH)


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"\n",
        b"\n\n",
        b"text\n",
        b"text\n\n",
        b"text\n\n\n",
        NOTE[:-1],
        NOTE + b"\n",
        NOTE.replace(b"\n\n", b"\n"),
        NOTE.replace("— ".encode(), b"- "),
        NOTE.replace(b"ledger.example/7 ", b"ledger.example/7  "),
        NOTE.replace(b"ledger.example", b"ledger\t.example"),
        NOTE.replace(b"\n", b"\r\n"),
        b"\xff" + NOTE,
        b"\x00" + NOTE,
        NOTE + "— name\n".encode(),
        NOTE + "— name AAAA\n".encode(),
        NOTE + "— name AAAAAAB=\n".encode(),
        NOTE + b"x" * 1_000_000,
        NOTE + NOTE.splitlines(keepends=True)[-1] * SIGNATURES_MAX,
    ],
    ids=lambda note: repr(note[-40:]),
)
def test_what_is_not_quite_a_note_is_refused(note: bytes) -> None:
    with pytest.raises(InvalidNote):
        open_note(note, BOTH)


@given(st.binary(max_size=200) | st.text(max_size=100).map(lambda text: TEXT.encode() + b"\n" + text.encode()))
def test_whatever_is_no_note_is_refused_as_one(data: bytes) -> None:
    with pytest.raises(InvalidNote):
        open_note(data, BOTH)


@pytest.mark.parametrize("text", ["", "no newline", "a\ttab\n", "\udc80\n"])
def test_a_text_that_no_note_can_have_is_not_signed(text: str) -> None:
    with pytest.raises(ValueError, match="text of a note"):
        sign(text, [LOG])


def test_keys_are_read_as_they_were_written() -> None:
    for key in (LOG, WITNESS):
        assert SignerKey.parse(key.encode()) == key
        assert VerifierKey.parse(key.verifier.encode()) == key.verifier
    assert LOG.seed.hex() not in repr(LOG)
    assert repr(LOG.seed) not in repr(LOG)


@pytest.mark.parametrize("key", [LOG.verifier.encode(), LOG.encode()])
def test_every_flipped_bit_of_a_key_is_noticed(key: str) -> None:
    kind = SignerKey if key.startswith("PRIVATE") else VerifierKey
    for bit in range(len(key) * 8):
        changed = flipped(key.encode(), bit).decode(errors="surrogateescape")
        with pytest.raises(InvalidKey):
            kind.parse(changed)


@given(st.text(max_size=80) | st.text("+AQBpc20=", max_size=80).map("name+01234567+".__add__))
def test_whatever_is_no_key_is_refused_as_one(text: str) -> None:
    with pytest.raises(InvalidKey):
        VerifierKey.parse(text)
    with pytest.raises(InvalidKey):
        SignerKey.parse(f"PRIVATE+KEY+{text}")


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\u2003b", "a\nb", "\udc80"])
def test_a_name_that_no_signature_line_could_hold_is_refused(name: str) -> None:
    with pytest.raises(InvalidKey):
        VerifierKey(name, Algorithm.ED25519, bytes(32))
    with pytest.raises(InvalidKey):
        SignerKey(name, Algorithm.ED25519, bytes(32))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_has_32_bytes(length: int) -> None:
    with pytest.raises(InvalidKey):
        VerifierKey("a", Algorithm.ED25519, bytes(length))
    with pytest.raises(InvalidKey):
        SignerKey("a", Algorithm.ED25519, bytes(length))
