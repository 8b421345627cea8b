"""The lines of heads in a bundle: one spelling of each, however it is read."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.tlog.bundle import HeadLine, InvalidBundle, encode_head_line, parse_head_line
from ledger.tlog.canonical import SIZE_MAX

NUMBERS = st.integers(0, SIZE_MAX)
HASHES = st.binary(min_size=32, max_size=32)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
HEADS = st.builds(
    HeadLine, NUMBERS, TEXTS, NUMBERS, HASHES, st.binary(min_size=16, max_size=16), st.lists(HASHES).map(tuple)
)
HEAD = HeadLine(7, "keys.example.com/organisations/a", 12, bytes(range(32)), bytes(16), (bytes(32), b"\xff" * 32))
LINE = encode_head_line(HEAD)


@given(HEADS)
def test_a_line_is_the_plain_json_of_its_head_and_gives_it_again(head: HeadLine) -> None:
    fields = {
        "type": "head",
        "index": head.head_index,
        "origin": head.origin,
        "size": head.size,
        "root": base64.b64encode(head.root).decode(),
        "salt": head.salt.hex(),
        "between": [base64.b64encode(each).decode() for each in head.between],
    }
    line = encode_head_line(head)
    assert line == json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    assert parse_head_line(line) == head


@given(HEADS, st.data())
def test_what_is_read_is_spelt_just_so(head: HeadLine, data: st.DataObject) -> None:
    line = encode_head_line(head)
    begin = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(begin, min(begin + 2, len(line))))
    changed = line[:begin] + data.draw(st.binary(max_size=2)) + line[end:]
    try:
        read = parse_head_line(changed)
    except InvalidBundle:
        return
    assert encode_head_line(read) == changed


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        (b'"index":7', b'"index":07'),
        (b'"index":7', b'"index":-7'),
        (b'"index":7', b'"index":7.0'),
        (b'"size":12', b'"size":9223372036854775808'),
        (b'"size":12', b'"size": 12'),
        (b'"size":12', b'"size":12,"size":12'),
        (b"keys.example", b"\\u006beys.example"),
        (b"keys.example", b"\\/keys.example"),
        (b"keys.example", b"\xffkeys.example"),
        (b"keys.example", b"\xed\xa0\x80keys.example"),
        (b"keys.example", b"\tkeys.example"),
        (b'Hh8="', b'Hh9="'),  # bits beyond the hash
        (b'Hh8="', b'Hh8"'),
        (b'Hh8="', b'Hh8=="'),
        (b'Hh8="', b'Hh-="'),
        (b'"salt":"00', b'"salt":"0'),
        (b'"salt":"00', b'"salt":"AA'),
        (b'"between":["', b'"between":[,"'),
        (b'","', b'", "'),
        (b"]}\n", b"]}"),
        (b"]}\n", b"]}\r\n"),
        (b"]}\n", b"]}\n\n"),
    ],
)
def test_another_spelling_is_refused(written: bytes, instead: bytes) -> None:
    assert written in LINE
    with pytest.raises(InvalidBundle):
        parse_head_line(LINE.replace(written, instead, 1))
