"""Heads: what the root log says of an organisation's log, as docs/provable-log.md specifies it."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog import checkpoints, heads
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.heads import Head, InvalidHead
from tests.unit.tlog.trees import flipped

CHECKPOINT = Checkpoint("ledger.example/organisations/7", 3, bytes(range(32)))
TEXT = checkpoints.encode(CHECKPOINT)
SALT = bytes(range(16))
HEAD = Head(label="0123456789abcdef" * 2, digest=heads.head_digest(SALT, TEXT))
ENTRY = heads.encode(HEAD)
DOCUMENT = (Path(__file__).parents[3] / "docs/provable-log.md").read_text()


def test_a_head_is_canonical_json_of_a_digest_a_label_and_its_type() -> None:
    assert json.loads(ENTRY) == {"digest": HEAD.digest, "label": HEAD.label, "type": "keyledger.head/1"}
    canonical = json.dumps(json.loads(ENTRY), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical.encode() == ENTRY  # RFC 8785, for texts without anything to escape
    assert HEAD.digest == hashlib.sha256(SALT + TEXT.encode()).hexdigest()


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32))
def test_every_head_is_read_as_it_was_written(label: bytes, digest: bytes) -> None:
    head = Head(label.hex(), digest.hex())
    assert heads.parse(heads.encode(head)) == head


@pytest.mark.parametrize(
    "other",
    [
        Checkpoint("ledger.example/organisations/8", 3, CHECKPOINT.root),
        Checkpoint(CHECKPOINT.origin, 4, CHECKPOINT.root),
        Checkpoint(CHECKPOINT.origin, 3, bytes(32)),
        Checkpoint(CHECKPOINT.origin, 3, CHECKPOINT.root, ("an extension",)),
    ],
)
def test_a_head_is_of_one_checkpoint_and_of_no_other(other: Checkpoint) -> None:
    assert heads.head_digest(SALT, checkpoints.encode(other)) != HEAD.digest


def test_a_head_is_not_that_of_the_signed_note() -> None:
    assert heads.head_digest(SALT, f"{TEXT}\n\N{EM DASH} ledger.example c2lnbmF0dXJl\n") != HEAD.digest


def test_every_bit_of_the_salt_and_of_the_checkpoint_counts() -> None:
    digests = {heads.head_digest(flipped(SALT, bit), TEXT) for bit in range(len(SALT) * 8)}
    assert (len(digests), HEAD.digest in digests) == (len(SALT) * 8, False)
    for bit in range(len(TEXT) * 8):
        changed = flipped(TEXT.encode(), bit)
        assert hashlib.sha256(SALT + changed).hexdigest() != HEAD.digest


@pytest.mark.parametrize("salt", [b"", SALT[:-1], SALT + TEXT[:1].encode()])
def test_a_salt_has_one_length_so_that_no_byte_of_the_text_passes_for_one_of_it(salt: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        heads.head_digest(salt, TEXT[1:])


def test_no_flipped_bit_leaves_the_head_what_it_was() -> None:
    for bit in range(len(ENTRY) * 8):
        try:
            changed = heads.parse(flipped(ENTRY, bit))
        except InvalidHead:
            continue
        assert changed != HEAD  # another digit of the label or the digest, which then is another head
        assert heads.encode(changed) == flipped(ENTRY, bit)


WRONG = {
    "a space": ENTRY.replace(b":", b": ", 1),
    "a newline after it": ENTRY + b"\n",
    "another order": b'{"label":"%s","digest":"%s","type":"keyledger.head/1"}'
    % (HEAD.label.encode(), HEAD.digest.encode()),
    "capitals": ENTRY.replace(HEAD.digest.encode(), HEAD.digest.upper().encode()),
    "an escape": ENTRY.replace(b"keyledger", b"\\u006beyledger"),
    "a short label": ENTRY.replace(HEAD.label.encode(), HEAD.label[2:].encode()),
    "a long label": ENTRY.replace(HEAD.label.encode(), HEAD.label.encode() + b"00"),
    "no label": ENTRY.replace(HEAD.label.encode(), b""),
    "a short digest": ENTRY.replace(HEAD.digest.encode(), HEAD.digest[:40].encode()),
    "one field more": ENTRY.replace(b"}", b',"x":""}'),
    "one field less": b'{"digest":"%s","type":"keyledger.head/1"}' % HEAD.digest.encode(),
    "a field twice": ENTRY.replace(b'"type"', b'"label":"%s","type"' % HEAD.label.encode()),
    "a number for a text": ENTRY.replace(b'"%s"' % HEAD.label.encode(), b"1" * 32),
    "another type": ENTRY.replace(b"head/1", b"head/2"),
    "a leaf's type": ENTRY.replace(b"keyledger.head/1", b"keyledger.leaf/1"),
    "digits of another script": ENTRY.replace(b"0123", "\N{ARABIC-INDIC DIGIT ZERO}123".encode()),
    "bytes that are no text": b"\xff" + ENTRY[1:],
    "nothing": b"",
}


@pytest.mark.parametrize("what", WRONG)
def test_every_other_spelling_is_refused(what: str) -> None:
    with pytest.raises(InvalidHead):
        heads.parse(WRONG[what])


def test_the_documented_head_is_the_one_that_its_text_and_salt_give() -> None:
    shown = re.search(r"<!-- head[^>]*-->\n```json\n(.+)\n```", DOCUMENT)
    text = re.search(r"<!-- head's checkpoint -->\n```text\n(.+?)```", DOCUMENT, re.DOTALL)
    salt = re.search(r"salt `([0-9a-f]{32})`", DOCUMENT)
    assert shown
    assert text
    assert salt
    assert heads.parse(shown[1].encode()).digest == heads.head_digest(bytes.fromhex(salt[1]), text[1])
