"""Checkpoints: the specification's example, and one spelling for each."""

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog.checkpoints import Checkpoint, InvalidCheckpoint, encode, parse
from tests.unit.tlog.trees import flipped

# The example of C2SP tlog-checkpoint.
ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
TEXT = f"example.com/behind-the-sofa\n20852163\n{ROOT}\n"
CHECKPOINT = Checkpoint("example.com/behind-the-sofa", 20852163, b64decode(ROOT))

lines = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=20)


def test_the_example_of_the_specification_is_written_and_read() -> None:
    assert encode(CHECKPOINT) == TEXT
    assert parse(TEXT) == CHECKPOINT


@given(lines, st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32), st.lists(lines, max_size=3))
def test_every_checkpoint_is_read_as_it_was_written(origin: str, size: int, root: bytes, extensions: list[str]) -> None:
    checkpoint = Checkpoint(origin, size, root, tuple(extensions))
    assert parse(encode(checkpoint)) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n\n",
        TEXT[:-1],
        TEXT + "\n",
        TEXT + "\nextension\n",
        TEXT.replace("20852163", "020852163"),
        TEXT.replace("20852163", "+20852163"),
        TEXT.replace("20852163", " 20852163"),
        TEXT.replace("20852163", "2085_2163"),
        TEXT.replace("20852163", "-1"),
        TEXT.replace("20852163", "9" * 19),
        TEXT.replace("20852163", "9" * 5000),
        TEXT.replace("20852163", "\N{SUPERSCRIPT TWO}"),
        TEXT.replace("q2I=", "q2I"),
        TEXT.replace("q2I=", "q2J="),  # the same bytes, but for bits that padding leaves over
        TEXT.replace("q2I=", "q2I=="),
        TEXT.replace(ROOT, "AAAA"),
        TEXT.replace("example", "exam\tple"),
    ],
)
def test_what_is_not_quite_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(InvalidCheckpoint):
        parse(text)


@given(st.text(max_size=100) | st.text("0123456789A=\n", max_size=60).map("origin\n".__add__))
def test_whatever_is_no_checkpoint_is_refused_as_one(text: str) -> None:
    with pytest.raises(InvalidCheckpoint):
        parse(text)


def test_every_flipped_bit_of_a_checkpoint_makes_it_another_or_none() -> None:
    for bit in range(len(TEXT) * 8):
        try:
            assert parse(flipped(TEXT.encode(), bit).decode(errors="surrogateescape")) != CHECKPOINT
        except InvalidCheckpoint:
            continue


@pytest.mark.parametrize(
    ("origin", "size", "root", "extensions"),
    [
        ("", 1, bytes(32), ()),
        ("a\nb", 1, bytes(32), ()),
        ("a", -1, bytes(32), ()),
        ("a", 2**63, bytes(32), ()),
        ("a", 1, bytes(31), ()),
        ("a", 1, bytes(32), ("",)),
        ("a", 1, bytes(32), ("one\ntwo",)),
        ("\udc80", 1, bytes(32), ()),
    ],
)
def test_a_checkpoint_that_no_text_could_hold_cannot_be_built(
    origin: str, size: int, root: bytes, extensions: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidCheckpoint):
        Checkpoint(origin, size, root, extensions)
