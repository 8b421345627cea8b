"""Reading again what was sealed: PostgreSQL and Python make the same leaf of an event, or Python alone decides."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.wiring import Services
from ledger.store.log import Stored
from ledger.tlog import leaves
from ledger.tlog.leaves import SALT_BYTES
from ledger.tlog.merkle import Frontier, leaf_hash
from projections.sealed.integrating import entry_of, integrate
from projections.sealed.rereading import Growth, agreed_hashes
from projections.sealed.signing import NotAsSealed
from projections.sealed.trees import INSTALLATION
from tests import given as given_one
from tests import golden
from tests.projections.test_sealing import sealing

STORED = sorted(Path(golden.__file__).parent.glob("*.json"))

AT = "2026-03-02T09:30:15.123456Z"
ANOTHER = "2027-03-02T09:30:15.123456Z"
PLAIN = f'{{"context":{{"at":"{AT}","reason":"yearly"}},"name":"one"}}'.encode()

Agrees = Callable[[Stored, bytes, bytes], bool]


@pytest.fixture
def agrees(services: Services) -> Iterator[Agrees]:
    """Whether PostgreSQL finds that an event, with a salt, gives an entry."""
    with services.store.connect() as connection:

        def ask(event: Stored, salt: bytes, entry: bytes) -> bool:
            tree = UUID(event.organisation_id) if event.organisation_id else INSTALLATION
            with connection.transaction(force_rollback=True):
                connection.execute(
                    "INSERT INTO ledger_events (notification_id, originator_id, originator_version, organisation_id, "
                    "topic, state) VALUES (%s, %s, %s, %s, %s, %s)",
                    event,
                )
                connection.execute(
                    "INSERT INTO sealed_leaf (tree, leaf_index, aggregate_id, aggregate_version, position, salt, entry)"
                    " VALUES (%s, 0, %s, %s, %s, %s, %s)",
                    (tree, event.aggregate_id, event.aggregate_version, event.position, salt, entry),
                )
                agreed = agreed_hashes(connection, [Growth(tree, Frontier(), 1)])
            assert agreed in ({}, {tree: [leaf_hash(entry)]})
            return bool(agreed)

        yield ask


def event_of(state: bytes, topic: str = "credential.described", organisation_id: str | None = None) -> Stored:
    return Stored(2**40, str(uuid4()), 7, organisation_id, topic, state)


def made_here(event: Stored, salt: bytes) -> bytes | None:
    """The entry that Python makes of an event; None where it is no event to it."""
    with suppress(msgspec.MsgspecError, ValueError, RecursionError):
        return entry_of(event, salt)
    return None


def entry_by(event: Stored, salt: bytes, at: str) -> bytes:
    """What an owner of the database may have written as the event's entry, for one time that can be read there."""
    return (
        f'{{"aggregate":"{event.aggregate_id}","at":"{at}","digest":"{sha256(salt + event.state).hexdigest()}",'
        f'"organisation":"{event.organisation_id or INSTALLATION}","topic":"{event.topic}",'
        f'"type":"{leaves.TYPE}","version":"{event.aggregate_version}"}}'
    ).encode()


def spelt(first: str, second: str) -> bytes:
    """An event with more in its context, and beside it."""
    return f'{{"context":{{"at":"{AT}"{first}}}{second}}}'.encode()


def timed(at: str) -> bytes:
    """An event with another time."""
    return PLAIN.replace(AT.encode(), at.encode())


ODD = [
    # two times in one event, or two contexts, whichever way the names are spelt
    spelt(f',"at":"{ANOTHER}"', ""),
    spelt(f',"at" :"{ANOTHER}"', ""),
    spelt(f',"\\u0061t":"{ANOTHER}"', ""),
    spelt(f',"a\\u0074":"{ANOTHER}"', ""),
    spelt(',"at":5', ""),
    spelt("", f',"context":{{"at":"{ANOTHER}"}}'),
    spelt("", f',"\\u0063ontext":{{"at":"{ANOTHER}"}}'),
    spelt("", f',"\\u0063ontext":{{"\\u0061t":"{ANOTHER}"}}'),
    spelt("", f',"context"\n: {{"at":"{ANOTHER}"}}'),
    spelt("", ',"context":5'),
    spelt("", ',"context":{}'),
    f'{{"context":{{"at":"{ANOTHER}"}},"context":{{"at":"{AT}"}}}}'.encode(),
    # neither where they are looked for
    PLAIN.replace(b'"context"', b'"Context"'),
    PLAIN.replace(b'"at"', b'"aT"'),
    PLAIN.replace(b"{", b"[").replace(b"}", b"]"),
    b" " + PLAIN,
    # no JSON, or no text
    spelt("", "}"),
    spelt("", ",}"),
    spelt("", ",5"),
    PLAIN[:-1],
    PLAIN + b"5",
    PLAIN.replace(b"one", b"\x00"),
    PLAIN.replace(b"one", b"\xff"),
    # deeper than Python reads
    spelt("", ',"x":' + "[" * 2_000 + "]" * 2_000),
    spelt("", ',"x":' + '{"x":' * 2_000 + "5" + "}" * 2_000),
    # times in other spellings, or none
    timed("2026-03-02T09:30:15Z"),
    timed("2026-03-02T09:30:15.123456+00:00"),
    timed("2026-03-02T09:30:15.123456z"),
    timed("2026-03-02T09:30:15.123456Z0"),
    timed('2026-03-02T09:30","a":"123Z'),
    timed("\u0662" * 26 + "Z"),
    timed("\u0662" * 13 + "Z"),
    timed(""),
    b"",
]


texts = st.text(max_size=12) | st.sampled_from(["at", "context", '"at"', '"context"', "\\u0061t", "line\nline", "\x00"])
plain_states = st.builds(
    lambda at, reason, more: msgspec.json.encode({"context": {"at": at, "reason": reason}, **more}),
    st.datetimes().map(lambda at: at.isoformat(timespec="microseconds") + "Z"),
    texts,
    st.dictionaries(texts.filter(lambda key: key != "context"), texts | st.integers() | st.none(), max_size=3),
)
edited = st.builds(
    lambda state, at, out, put: state[: at % len(state)] + put + state[at % len(state) + out :],
    plain_states | st.sampled_from([state for state in ODD if state]),
    st.integers(0, 200),
    st.integers(0, 3),
    st.binary(max_size=3)
    | st.sampled_from([b'"', b"\\", b"{", b"}", b" ", b'"at":', b'"context":{', b"\\u", b"\xc3\xa9"]),
)


@example(state=PLAIN, salt=bytes(SALT_BYTES), topic="caf\u00e9.opened")
@example(state=PLAIN, salt=b"", topic="credential.described")
@given(
    state=plain_states | edited | st.binary(max_size=60),
    salt=st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES) | st.binary(max_size=20),
    topic=st.sampled_from(["credential.created", "credential.created@2", 'x","version":"1', "caf\u00e9.opened"]),
)
def test_where_postgresql_agrees_python_made_the_same(agrees: Agrees, state: bytes, salt: bytes, topic: str) -> None:
    assert_python_made_the_same(agrees, event_of(state, topic), salt)


@pytest.mark.parametrize("state", ODD)
def test_of_an_event_of_another_form_python_decides(agrees: Agrees, state: bytes) -> None:
    assert_python_made_the_same(agrees, event_of(state), bytes(SALT_BYTES))


def assert_python_made_the_same(agrees: Agrees, event: Stored, salt: bytes) -> None:
    """Whichever time an owner of the database reads in an event, and enters for it."""
    here = made_here(event, salt)
    state = event.state
    for at in {
        state[18:45].decode("latin-1"),
        state[18:45].decode("utf-8", "replace"),
        AT,
        ANOTHER,
        "\u0662" * 26 + "Z",
    }:
        entry = entry_by(event, salt, at)
        if agrees(event, salt, entry):
            assert entry == here


@given(
    state=plain_states,
    salt=st.binary(min_size=SALT_BYTES, max_size=SALT_BYTES),
    organisation_id=st.none() | st.uuids().map(str),
    data=st.data(),
)
def test_postgresql_agrees_on_events_of_the_plain_form_and_on_no_other_entry(
    agrees: Agrees, state: bytes, salt: bytes, organisation_id: str | None, data: st.DataObject
) -> None:
    event = event_of(state, organisation_id=organisation_id)
    entry = entry_of(event, salt)
    rest = state[19:]
    if not any(part in rest for part in (b'"at"', b'"context"', b"\\u")):
        assert agrees(event, salt, entry)
    place = data.draw(st.integers(0, len(entry) - 1))
    assert not agrees(event, salt, entry[:place] + bytes([entry[place] ^ 1]) + entry[place + 1 :])


@pytest.mark.parametrize("file", STORED, ids=lambda file: file.stem)
def test_postgresql_agrees_on_events_as_they_are_stored(agrees: Agrees, file: Path) -> None:
    event = event_of(file.read_bytes(), topic=file.stem.partition("~")[0])
    salt = os.urandom(SALT_BYTES)
    assert agrees(event, salt, entry_of(event, salt))


def test_leaves_that_are_missing_are_not_agreed_on(services: Services) -> None:
    with services.store.connect() as connection:
        assert agreed_hashes(connection, [Growth(uuid4(), Frontier(), 2)]) == {}


def test_a_connection_that_is_lost_is_no_disagreement(services: Services) -> None:
    with services.store.connect() as connection:
        connection.close()
        with pytest.raises(psycopg.OperationalError):
            agreed_hashes(connection, [Growth(uuid4(), Frontier(), 2)])


def test_what_postgresql_does_not_come_to_in_time_is_left_to_python(services: Services) -> None:
    tree = uuid4()
    with services.store.connect() as connection:
        connection.execute(
            "INSERT INTO sealed_leaf (tree, leaf_index, aggregate_id, aggregate_version, position, salt, entry) "
            "SELECT %s, n, gen_random_uuid(), 1, n, '', '' FROM generate_series(0, 1999) n",
            (tree,),
        )
        connection.execute("SET statement_timeout TO 1")  # a millisecond
        assert agreed_hashes(connection, [Growth(tree, Frontier(), 2_000)]) == {}


@pytest.mark.parametrize("depth", [5, 400, 600])
def test_how_deep_an_event_may_be_for_postgresql(agrees: Agrees, depth: int) -> None:
    event = event_of(spelt("", ',"x":' + "[" * depth + "]" * depth))
    assert agrees(event, bytes(SALT_BYTES), entry_of(event, bytes(SALT_BYTES))) == (depth < 500)


def test_an_event_that_is_too_deep_for_python_is_not_what_was_recorded(services: Services) -> None:
    organisation = given_one.an_organisation(services)
    with sealing(services) as by_hand:
        integrate(services.log, by_hand.integrating, by_hand.log.base)
        deep = spelt("", ',"x":' + "[" * 2_000 + "]" * 2_000)
        by_hand.tamper("UPDATE ledger_events SET state = %s WHERE organisation_id = %s", deep, organisation)
        with pytest.raises(NotAsSealed, match="is not what was recorded"):
            by_hand.seal()
