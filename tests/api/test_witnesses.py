"""Nothing that a witness says is believed but a cosignature of its own key over what it was shown."""

import base64
import threading
from collections.abc import Iterator

import pytest

from api import witnesses
from api.witnesses import ANSWER_BYTES_MAX, SIZE_TYPE, Asked, Outcome, cosign
from ledger.tlog import checkpoints, merkle, notes
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.notes import Algorithm, SignerKey
from tests.receiving import Receiver, receiving
from tests.unit.tlog.trees import mth, reader
from tests.waiting import SECONDS_MAX

LOG = SignerKey("ledger.example/root", Algorithm.ED25519, b"\x01" * 32)
WITNESS = SignerKey("w.example/w", Algorithm.COSIGNATURE, b"\x02" * 32)
SAME_NAME = SignerKey("w.example/w", Algorithm.COSIGNATURE, b"\x03" * 32)
ENTRIES = [b"entry %d" % number for number in range(8)]
TEXT = checkpoints.encode(Checkpoint(LOG.name, 8, mth(ENTRIES)))
OTHER = checkpoints.encode(Checkpoint(LOG.name, 8, bytes(32)))
NOTE = notes.sign(TEXT, [LOG])
GOOD = WITNESS.sign(TEXT, 5).line


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def ask(receiver: Receiver, known: int = 3) -> Asked:
    return cosign(
        receiver.url,
        WITNESS.verifier,
        NOTE,
        8,
        known,
        lambda old, new: merkle.consistency_proof(old, new, reader(ENTRIES)),
    )


def test_a_request_has_the_old_size_the_proof_an_empty_line_and_the_checkpoint(receiver: Receiver) -> None:
    receiver.answer(200, body=GOOD.encode())
    asked = ask(receiver)
    assert (asked.outcome, asked.size) == (Outcome.COSIGNED, 8)
    assert asked.cosignature is not None
    assert (asked.cosignature.line, asked.cosignature.time) == (GOOD, 5)
    (sent,) = receiver.received
    assert sent.path == "/hook/add-checkpoint"
    head, _, note = sent.body.partition(b"\n\n")
    old, *proof = head.decode().split("\n")
    assert (old, note) == ("old 3", NOTE)
    hashes = [base64.b64decode(line) for line in proof]
    merkle.verify_consistency(3, 8, hashes, mth(ENTRIES[:3]), mth(ENTRIES))


def test_a_cosignature_is_found_among_those_of_other_keys(receiver: Receiver) -> None:
    receiver.answer(200, body=(SAME_NAME.sign(OTHER, 5).line + GOOD).encode())
    assert ask(receiver).outcome is Outcome.COSIGNED


LIES = {
    "of nobody": b"",
    "no lines": b"thank you",
    "not text": b"\xff\xfe\n",
    "of another key": SAME_NAME.sign(TEXT, 5).line.encode(),
    "over another tree": WITNESS.sign(OTHER, 5).line.encode(),
    "cut off": GOOD.encode()[:-1],
    "without a time": LOG.sign(TEXT).line.encode(),
    "another note after an empty line": b"\n" + OTHER.encode() + b"\n" + WITNESS.sign(OTHER, 5).line.encode(),
    "a note that begins with ours": f"\n{WITNESS.sign(NOTE.decode() + GOOD, 5).line}".encode(),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_is_no_cosignature_of_its_key_over_the_checkpoint_is_not_taken(receiver: Receiver, lie: str) -> None:
    receiver.answer(200, body=LIES[lie])
    asked = ask(receiver)
    assert (asked.outcome, asked.cosignature) == (Outcome.INVALID, None)


@pytest.mark.parametrize(
    ("body", "kind", "outcome"),
    [
        (b"9\n", SIZE_TYPE, Outcome.AHEAD),
        (b"9223372036854775807\n", SIZE_TYPE, Outcome.AHEAD),
        (b"3\n", SIZE_TYPE, Outcome.INVALID),  # it was just shown what follows 3
        (b"9223372036854775808\n", SIZE_TYPE, Outcome.INVALID),
        (b"-1\n", SIZE_TYPE, Outcome.INVALID),
        (b"\xff\n", SIZE_TYPE, Outcome.INVALID),
        (b"", SIZE_TYPE, Outcome.INVALID),
        (b"5\n", "text/plain", Outcome.INVALID),
    ],
)
def test_a_conflict_is_believed_where_it_is_one(receiver: Receiver, body: bytes, kind: str, outcome: Outcome) -> None:
    receiver.answer(409, headers={"Content-Type": kind}, body=body)
    assert ask(receiver).outcome is outcome
    assert len(receiver.received) == 1


def test_a_witness_that_tells_another_size_is_asked_once_more_and_not_for_ever(receiver: Receiver) -> None:
    sized = {"Content-Type": f"{SIZE_TYPE}; charset=utf-8"}
    receiver.answer(409, headers=sized, body=b"5\n")
    receiver.answer(200, body=GOOD.encode())
    assert ask(receiver).outcome is Outcome.COSIGNED
    assert receiver.received[1].body.startswith(b"old 5\n")

    receiver.answer(409, headers=sized, body=b"5\n")
    receiver.answer(409, headers=sized, body=b"6\n")
    asked = ask(receiver)
    assert (asked.outcome, asked.size) == (Outcome.UNAVAILABLE, 6)
    assert len(receiver.received) == 4


def test_another_tree_of_the_same_size_is_a_fork(receiver: Receiver) -> None:
    receiver.answer(409, headers={"Content-Type": SIZE_TYPE}, body=b"8\n")
    assert ask(receiver, known=8).outcome is Outcome.FORKED
    receiver.answer(422)
    assert ask(receiver).outcome is Outcome.FORKED


@pytest.mark.parametrize("status", [204, 307, 400, 429, 500, 503])
def test_every_other_answer_is_a_reason_to_try_later(receiver: Receiver, status: int) -> None:
    receiver.answer(status, headers={"Location": receiver.url}, body=GOOD.encode() if status != 204 else b"")
    assert ask(receiver).outcome is Outcome.UNAVAILABLE
    assert len(receiver.received) == 1


def _wait(for_what: threading.Event) -> None:
    for_what.wait(SECONDS_MAX)


def test_an_answer_is_bounded_in_size_and_in_time(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver.answer(200, body=GOOD.encode() + b"x" * ANSWER_BYTES_MAX)
    assert ask(receiver).outcome is Outcome.UNAVAILABLE

    monkeypatch.setattr(witnesses, "ATTEMPT_SECONDS", 0.2)
    late = threading.Event()
    receiver.before_answering = lambda: _wait(late)
    receiver.answer(200, body=GOOD.encode())
    asked = ask(receiver)
    late.set()
    assert asked.outcome is Outcome.UNAVAILABLE
