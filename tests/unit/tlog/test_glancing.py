"""A glance at leaves sees what a close look sees, or leaves it to that."""

import json
from dataclasses import replace
from hashlib import sha256
from typing import TypeVar
from uuid import UUID

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from ledger.tlog import leaves
from ledger.tlog.bundle import ERASURES, Filter, LeafLine, Payload, encode_leaf_line
from ledger.tlog.examining import Chunk
from ledger.tlog.glancing import examine, glance
from ledger.tlog.merkle import leaf_hash
from tests.unit.tlog.bundles import MANIFEST, ORGANISATION, a_log, leaf, leaf_of, request

AT = "2026-03-02T12:00:00.000000Z"
BEGIN = 3
PERSONAL = json.dumps({"context": {"at": AT}, "contact_email": "sealed:v1:AAAA"}).encode()


def chunk(*lines: LeafLine) -> Chunk:
    return Chunk(lines[0].leaf_index, [encode_leaf_line(line) for line in lines])


def without_event(line: LeafLine) -> LeafLine:
    return line._replace(payload=None)


@pytest.mark.parametrize(
    "lines",
    [
        a_log(7)[1:],
        [leaf(3, topic=min(ERASURES)), leaf(4)],
        [leaf(3, at="2026-03-02T12:04:00.000000Z"), leaf(4, at=AT), leaf(5, at="2026-03-02T12:02:00.000000Z")],
    ],
    ids=["as the log writes them", "an erasure", "clocks that differ"],
)
def test_a_glance_suffices_for_leaves_that_are_as_the_log_writes_them(lines: list[LeafLine]) -> None:
    seen = glance(MANIFEST, chunk(*lines))
    assert seen is not None
    assert seen == examine(MANIFEST, chunk(*lines))


def test_a_glance_suffices_for_leaves_beside_the_filter() -> None:
    manifest = replace(MANIFEST, filter=Filter(topics=("account",)))
    lines = chunk(*map(without_event, a_log(7)[1:]))
    seen = glance(manifest, lines)
    assert seen is not None
    assert seen.payloads == 0
    assert seen == examine(manifest, lines)


@pytest.mark.parametrize(
    "line",
    [
        leaf(BEGIN, at="2026-02-30T12:00:00.000000Z"),
        request(BEGIN),
        without_event(leaf(BEGIN)),
        leaf(BEGIN)._replace(hash=bytes(32)),
        leaf(BEGIN + 1)._replace(leaf_index=BEGIN + 1),
        leaf_of(BEGIN, str(UUID(int=1)), "credential.created", AT, "1", b'{"context":{"at":"2026-03-02T12:00:01Z"}}'),
        leaf_of(BEGIN, str(UUID(int=1)), "credential.created", AT, "1", b"[]"),
        leaf(BEGIN)._replace(payload=Payload(bytes(16), b"{}")),
        leaf(BEGIN)._replace(payload=Payload(bytes(16), b"{}", "erased")),
    ],
    ids=["no such day", "request", "no event", "hash", "order", "time", "no object", "digest", "erased"],
)
def test_a_glance_leaves_alone_what_takes_a_closer_look(line: LeafLine) -> None:
    assert glance(MANIFEST, Chunk(BEGIN, [encode_leaf_line(line)])) is None


def on(at: str) -> LeafLine:
    return leaf(BEGIN, at=at)


@pytest.mark.parametrize(
    "line",
    [
        encode_leaf_line(without_event(on("2026-04-01T12:00:00.000000Z"))),
        encode_leaf_line(without_event(on("2026-02-30T12:00:00.000000Z"))),
        encode_leaf_line(without_event(on(AT))).replace(b"}}", b"} }"),
    ],
    ids=["it was asked for", "no such day", "another spelling"],
)
def test_a_glance_leaves_alone_what_is_odd_beside_the_filter(line: bytes) -> None:
    manifest = replace(MANIFEST, filter=Filter(begin="2026-04-01T00:00:00.000000Z"))
    assert glance(manifest, chunk(without_event(on(AT)))) is not None
    assert glance(manifest, Chunk(BEGIN, [line])) is None


def test_a_glance_leaves_alone_what_is_said_to_have_happened_long_before_what_stands_before_it() -> None:
    lines = chunk(on("2026-03-02T12:05:00.000001Z"), leaf(BEGIN + 1, at=AT))
    assert glance(MANIFEST, lines) is None
    assert glance(MANIFEST, chunk(on("2026-03-02T12:05:00.000000Z"), leaf(BEGIN + 1, at=AT))) is not None


def test_a_glance_leaves_alone_personal_fields_that_were_asked_for_in_clear() -> None:
    line = chunk(leaf_of(BEGIN, str(UUID(int=1)), "credential.created", AT, "1", PERSONAL))
    assert glance(MANIFEST, line) is not None
    assert glance(replace(MANIFEST, personal=True), line) is None


def test_a_glance_goes_no_deeper_into_an_event_than_a_close_look() -> None:
    for levels in (*range(90, 110), *range(850, 1000)):  # about our own bound, and about that of Python
        nested = b'{"context":{"at":"%b"},"a":%b%b}' % (AT.encode(), b"[" * levels, b"]" * levels)
        lines = chunk(leaf_of(BEGIN, str(UUID(int=1)), "credential.created", AT, "1", nested))
        assert glance(MANIFEST, lines) == examine(MANIFEST, lines)


# --- whatever the lines ----------------------------------------------------------------------------------------------

_Value = TypeVar("_Value")
STATES = [
    b'{"context":{"at":"%b"}}' % AT.encode(),
    PERSONAL,
    b'{"context":{"at":"2026-03-02T12:00:00Z"}}',
    b'{ "context" : {"at":"%b"}\t}' % AT.encode(),
    b'{"context":{"at":"%b"},"a":1,"a":2}' % AT.encode(),
    b'{"context":{"at":"%b"},"a":NaN}' % AT.encode(),
    b'{"context":{"at":"%b"},"a":"\xff"}' % AT.encode(),
    b'{"context":{"at":"%b"}} {}' % AT.encode(),
    b'{"context":{"at":"%b"}}\r' % AT.encode(),
    b'{"context":"at"}',
    b"{}",
    b"[1]",
    b"null",
    b'{"a":' * 100_000,
]


def mostly(usual: _Value, *others: _Value) -> st.SearchStrategy[_Value]:
    """So that now and then everything is right."""
    return st.sampled_from([usual] * 8 * len(others) + list(others))


@st.composite
def written(draw: st.DrawFn, index: int) -> bytes:
    """A line whose hashes are right, whatever stands in it; but for some of its letters, now and then."""
    state, salt = draw(mostly(*STATES)), sha256(b"%d" % index).digest()[:16]
    entry = leaves.entry_of(
        draw(mostly(str(UUID(int=1)), MANIFEST.export, "A" * 36)),
        draw(mostly(AT, "2026-02-30T12:00:00.000000Z", "2026-03-02T12:00:00Z", "2026-03-02T11:50:00.000000Z")),
        leaves.state_digest(salt, state),
        draw(mostly(ORGANISATION, str(UUID(int=9)))),
        topic=draw(mostly("credential.created", min(ERASURES), "credential", "a.b@0", "export.requested")),
        version=draw(mostly("1", "01")),
    )
    whole = Payload(salt, state)
    payload = draw(mostly(whole, None, whole._replace(personal="erased"), whole._replace(personal={"a": "b"})))
    line = encode_leaf_line(LeafLine(draw(mostly(index, 0)), leaf_hash(entry), entry, payload))
    if draw(mostly(True, False)):
        return line
    begin = draw(st.integers(0, len(line) - 2))
    return line[:begin] + draw(st.sampled_from([b"", b" ", b"0", b"A", b'"', b"}"])) + line[begin + 1 :]


@settings(max_examples=400)  # as it takes some luck that only one thing is odd
@given(
    st.tuples(*map(written, range(BEGIN, BEGIN + 2))),
    mostly(Filter(), Filter(topics=("account",))),
    mostly(False, True),
)
def test_a_glance_is_never_mistaken(lines: tuple[bytes, ...], asked: Filter, personal: bool) -> None:
    manifest = replace(MANIFEST, filter=asked, personal=personal)
    seen = glance(manifest, Chunk(BEGIN, lines))
    event("taken" if seen else "left alone")
    assert seen in (None, examine(manifest, Chunk(BEGIN, lines)))
