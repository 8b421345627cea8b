"""Leaves: canonical JSON in one spelling, and digests that tell nothing."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.events import EVENTS
from ledger.store.codec import topic_of
from ledger.tlog.leaves import SALT_BYTES, InvalidLeaf, Leaf, encode, parse, state_digest, timestamp
from tests.unit.tlog.trees import flipped

LEAF = Leaf(
    aggregate="0197a000-0000-7000-8000-000000000003",
    at="2026-03-01T09:30:15.123456Z",
    digest="ab" * 32,
    organisation="0197a000-0000-7000-8000-000000000001",
    topic="credential.created@2",
    version="12",
)
ENTRY = encode(LEAF)

leaves = st.builds(
    Leaf,
    aggregate=st.uuids().map(str),
    at=st.datetimes(timezones=st.just(UTC)).map(timestamp),
    digest=st.binary(min_size=32, max_size=32).map(bytes.hex),
    organisation=st.uuids().map(str),
    topic=st.sampled_from([topic_of(event) for event in EVENTS]),
    version=st.integers(1, 2**63 - 1).map(str),
)


@given(leaves)
def test_an_entry_is_canonical_json_and_reads_back(leaf: Leaf) -> None:
    entry = encode(leaf)
    # Of ASCII keys and texts that need no escapes, this is what RFC 8785 asks for.
    canonical = json.dumps({**leaf._asdict(), "type": "keyledger.leaf/1"}, sort_keys=True, separators=(",", ":"))
    assert entry == canonical.encode("ascii")
    assert parse(entry) == leaf


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"{}",
        b"null",
        ENTRY + b"\n",
        b" " + ENTRY,
        ENTRY.replace(b":", b": "),
        ENTRY.replace(b"leaf/1", b"leaf/2"),
        ENTRY.replace(b"0197a", b"0197A"),
        ENTRY.replace(b"abab", b"ABAB"),
        ENTRY.replace(b".123456Z", b"Z"),
        ENTRY.replace(b"Z", b"+00:00"),
        ENTRY.replace(b"2026-03-01", b"2026-02-29"),
        ENTRY.replace(b"T09", b"T24"),
        ENTRY.replace(b'"12"', b"12"),
        ENTRY.replace(b'"12"', b'"012"'),
        ENTRY.replace(b'"12"', b'"0"'),
        ENTRY.replace(b"credential.created", b"credential\\u002ecreated"),
        ENTRY.replace(b"}", b',"zone":"x"}'),
        json.dumps(dict(reversed(json.loads(ENTRY).items())), separators=(",", ":")).encode(),
    ],
)
def test_everything_but_the_canonical_spelling_is_refused(entry: bytes) -> None:
    with pytest.raises(InvalidLeaf):
        parse(entry)


@given(st.binary(max_size=400))
def test_whatever_is_no_leaf_is_refused_as_one(entry: bytes) -> None:
    with pytest.raises(InvalidLeaf):
        parse(entry)


def test_every_flipped_bit_of_an_entry_makes_it_another_leaf_or_none() -> None:
    for bit in range(len(ENTRY) * 8):
        with suppress(InvalidLeaf):
            assert parse(flipped(ENTRY, bit)) != LEAF


@pytest.mark.parametrize("field", Leaf._fields)
def test_a_field_with_what_json_would_escape_does_not_get_through(field: str) -> None:
    with pytest.raises(InvalidLeaf):
        parse(encode(LEAF._replace(**{field: '","type":"'})))


def test_times_are_in_utc_with_microseconds() -> None:
    assert timestamp(datetime(2026, 3, 1, tzinfo=UTC)) == "2026-03-01T00:00:00.000000Z"
    east = timezone(timedelta(hours=2))
    assert timestamp(datetime(2026, 3, 1, 1, 30, 0, 5, tzinfo=east)) == "2026-02-28T23:30:00.000005Z"


def test_a_digest_is_over_the_salt_and_the_stored_bytes() -> None:
    salt = bytes(range(SALT_BYTES))
    assert state_digest(salt, b"stored") == sha256(salt + b"stored").hexdigest()


@pytest.mark.parametrize("length", [0, 15, 17])
def test_a_salt_has_16_bytes_so_that_where_it_ends_is_certain(length: int) -> None:
    with pytest.raises(ValueError, match="salt"):
        state_digest(bytes(length), b"stored")
