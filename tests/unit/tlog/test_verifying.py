"""The verifier: what is right is ok, and whatever is done to a bundle has the verdict that names it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.auditing import bounded_lines
from ledger.tlog import bundle, checkpoints, notes
from ledger.tlog.bundle import (
    ERASED,
    REQUEST,
    UNREADABLE,
    ErasureLine,
    Filter,
    InvalidBundle,
    Later,
    LeafLine,
    generations,
)
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.entered import Entered
from ledger.tlog.examining import Chunk, Stretch
from ledger.tlog.merkle import leaf_hash
from ledger.tlog.notes import NOTE_BYTES_MAX
from ledger.tlog.policy import Policy
from ledger.tlog.report import FINDINGS_MAX, Known, Report, Verdict, worst
from ledger.tlog.root_log import verify_root_log
from ledger.tlog.verifying import Spread, known_from, one_by_one, verify
from tests.unit.tlog.bundles import (
    BASE,
    LABEL,
    MANIFEST,
    ORIGIN,
    OTHER_SEED,
    SEED,
    RootLog,
    Sealed,
    a_bundle,
    a_log,
    entry,
    head_of,
    leaf,
    leaf_of,
    log_key,
    policy,
    request,
    seal,
    written,
)
from tests.unit.tlog.trees import mth, path, subproof

LEAVES = a_log(7)
SEAL = seal(line.hash for line in LEAVES)
WHOLE = replace(MANIFEST, size=7)


def verdicts(report: Report) -> dict[Verdict, list[int | None]]:
    """What was found, and at which leaves."""
    found: dict[Verdict, list[int | None]] = {}
    for finding in report.findings:
        found.setdefault(finding.verdict, []).append(finding.index)
    return found


def test_a_bundle_in_which_all_is_right_is_ok() -> None:
    report = verify(a_bundle(), policy())
    assert (report.verdict, report.findings) == (Verdict.OK, [])
    assert (report.leaves, report.payloads, report.told) == (7, 7, 0)
    assert report.checkpoint is not None
    assert report.checkpoint.origin == ORIGIN


@pytest.mark.parametrize(
    ("asked", "events"),
    [
        (Filter(begin="2026-03-03T12:00:00.000000Z"), 6),
        (Filter(end="2026-03-03T12:00:00.000000Z"), 2),
        (Filter(aggregates=("00000000-0000-0000-0000-000000000001",)), 3),
        (Filter(topics=("credential.created",)), 7),
        (Filter(topics=("credential",)), 7),
        (Filter(topics=("credential.revoked", "account")), 1),
    ],
)
def test_a_filtered_bundle_has_every_leaf_the_events_that_were_asked_for_and_who_asked(
    asked: Filter, events: int
) -> None:
    report = verify(a_bundle(7, asked), policy())
    assert report.verdict is Verdict.OK
    assert (report.leaves, report.payloads) == (7, events)


def changed(index: int, **changes: Any) -> list[LeafLine]:
    return [line._replace(**changes) if line.leaf_index == index else line for line in LEAVES]


def with_state(index: int, state: bytes) -> list[LeafLine]:
    payload = LEAVES[index].payload
    assert payload is not None
    return changed(index, payload=payload._replace(state=state))


def recomputed(index: int) -> list[LeafLine]:
    """One leaf made anew for other bytes, its digest, its entry and its hash with it."""
    return [leaf(index, "another name") if line.leaf_index == index else line for line in LEAVES]


def of(lines: list[LeafLine]) -> list[bytes]:
    return written(WHOLE, lines, SEAL)


def garbled(line: bytes) -> list[bytes]:
    """A bundle in which this stands for leaf 3."""
    return [line if b'"index":3,"hash"' in each else each for each in a_bundle()]


def with_heads(index: int, **changes: Any) -> list[bytes]:
    heads = [head._replace(**changes) if at == index else head for at, head in enumerate(SEAL.heads)]
    return written(WHOLE, LEAVES, SEAL._replace(heads=heads))


def sealed_by(**changes: Any) -> list[bytes]:
    return written(WHOLE, LEAVES, SEAL._replace(seal=replace(SEAL.seal, **changes)))


TAMPERED: dict[str, tuple[Callable[[], list[bytes]], Verdict, list[int | None]]] = {
    "an event edited": (lambda: of(with_state(3, b'{"name":"x"}')), Verdict.TAMPERED, [3]),
    "an event that is no JSON": (lambda: of(with_state(3, b"x\n")), Verdict.TAMPERED, [3]),
    "an event that is no text": (lambda: of(with_state(3, b"\xff")), Verdict.TAMPERED, [3]),
    "an event left out": (lambda: of(changed(3, payload=None)), Verdict.MISSING, [3]),
    "two events swapped": (
        lambda: of([*LEAVES[:2], LEAVES[2]._replace(payload=LEAVES[3].payload), LEAVES[3], *LEAVES[4:]]),
        Verdict.TAMPERED,
        [2],
    ),
    "an entry edited": (
        lambda: of(changed(2, entry=LEAVES[2].entry.replace(b"created", b"revoked"))),
        Verdict.TAMPERED,
        [2],
    ),
    "an entry that is no leaf": (
        lambda: of(changed(2, entry=b"{}", hash=leaf_hash(b"{}"))),
        Verdict.TAMPERED,
        [2, None],
    ),
    "an entry and its hash made anew": (lambda: of(recomputed(2)), Verdict.TAMPERED, [None]),
    "hashes edited": (lambda: of(changed(2, hash=bytes(32))), Verdict.TAMPERED, [2, None]),
    "a leaf left out": (lambda: of([*LEAVES[:3], *LEAVES[4:]]), Verdict.MISSING, [3]),
    "leaves left out and the rest numbered anew": (
        lambda: of([line._replace(leaf_index=index) for index, line in enumerate([*LEAVES[:3], *LEAVES[4:]])]),
        Verdict.TRUNCATED,
        [None],
    ),
    "a leaf inserted": (
        lambda: of([line._replace(leaf_index=index) for index, line in enumerate([*LEAVES[:3], leaf(9), *LEAVES[3:]])]),
        Verdict.TAMPERED,
        [None],
    ),
    "leaves in another order": (
        lambda: of([*LEAVES[:2], LEAVES[3], LEAVES[2], *LEAVES[4:]]),
        Verdict.TAMPERED,
        [2],
    ),
    "a leaf twice": (lambda: of([*LEAVES[:3], LEAVES[2], *LEAVES[3:]]), Verdict.TAMPERED, [2]),
    "the last leaves left out": (lambda: of(LEAVES[:5]), Verdict.TRUNCATED, [None]),
    "the end of the file lost": (lambda: a_bundle()[:-1], Verdict.TRUNCATED, [None]),
    "the end of the file lost within a line": (
        lambda: [*a_bundle()[:4], a_bundle()[4][:-9]],
        Verdict.TRUNCATED,
        [None],
    ),
    "the seal cut off": (lambda: [*a_bundle()[:-1], a_bundle()[-1][:-1]], Verdict.TRUNCATED, [None]),
    "another's events": (
        lambda: written(replace(WHOLE, origin=ORIGIN[:-1] + "2"), LEAVES, SEAL),
        Verdict.TAMPERED,
        [0, 1, 2, 3, 4, 5, 6, None],
    ),
    "another label": (lambda: written(replace(WHOLE, label="00" * 16), LEAVES, SEAL), Verdict.TAMPERED, [None]),
    "another size": (lambda: written(replace(WHOLE, size=8), LEAVES, SEAL), Verdict.TAMPERED, [None]),
    "another salt of a head": (lambda: with_heads(1, salt=bytes(15) + b"x"), Verdict.TAMPERED, [None]),
    "another place in the root log": (lambda: with_heads(1, head_index=9), Verdict.TAMPERED, [None, None]),
    "another hash between heads": (
        lambda: with_heads(1, between=(bytes(32), bytes(32))),
        Verdict.TAMPERED,
        [None, None],
    ),
    "a head left out": (
        lambda: written(WHOLE, LEAVES, SEAL._replace(heads=[*SEAL.heads[:1], *SEAL.heads[2:]])),
        Verdict.TAMPERED,
        [None],
    ),
    "no heads": (lambda: written(WHOLE, LEAVES, SEAL._replace(heads=[])), Verdict.TAMPERED, [None]),
    "another hash after the heads": (lambda: sealed_by(after=(bytes(32),)), Verdict.TAMPERED, [None]),
    "a checkpoint where the root log's should be": (
        lambda: sealed_by(root_checkpoint=SEAL.seal.checkpoint),
        Verdict.TAMPERED,
        [None],
    ),
    "a checkpoint of another root": (
        lambda: sealed_by(checkpoint=seal([bytes(32)] * 7).seal.checkpoint),
        Verdict.TAMPERED,
        [None, None],
    ),
    "a number in the signed text": (
        lambda: sealed_by(checkpoint=SEAL.seal.checkpoint.replace("\n7\n", "\n6\n")),
        Verdict.UNTRUSTED,
        [None],
    ),
    "a key that the policy does not name": (
        lambda: written(WHOLE, LEAVES, seal((line.hash for line in LEAVES), OTHER_SEED)),
        Verdict.UNTRUSTED,
        [None, None],
    ),
    "personal data that cannot be read": (
        lambda: of(changed(3, payload=LEAVES[3].payload and LEAVES[3].payload._replace(personal=UNREADABLE))),
        Verdict.TAMPERED,
        [3],
    ),
    "something after the end": (lambda: [*a_bundle(), b"\n"], Verdict.MALFORMED, [None]),
    "another reason": (
        lambda: [a_bundle()[0].replace(b"yearly", b"weekly"), *a_bundle()[1:]],
        Verdict.TAMPERED,
        [0],
    ),
    "no bundle": (lambda: [b"{}\n"], Verdict.MALFORMED, [None]),
    "nothing": (list, Verdict.MALFORMED, [None]),
    "a manifest with a key twice": (
        lambda: [a_bundle()[0].replace(b'"size":7', b'"size":8,"size":7'), *a_bundle()[1:]],
        Verdict.MALFORMED,
        [None],
    ),
    "a line of something else": (lambda: garbled(b'{"type":"note"}\n'), Verdict.MALFORMED, [3, None]),
    "a leaf of something else": (lambda: garbled(b'{"type":"leaf","index":3}\n'), Verdict.MALFORMED, [3, None]),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_done_to_a_bundle_has_its_verdict_and_its_place(what: str) -> None:
    make, verdict, places = TAMPERED[what]
    report = verify(make(), policy())
    assert report.verdict is verdict, report.findings
    assert verdicts(report)[verdict] == places


@given(st.data())
def test_no_changed_byte_is_ok(data: st.DataObject) -> None:
    file = bytearray(b"".join(a_bundle(4)))
    place = data.draw(st.integers(0, len(file) - 1))
    file[place] ^= data.draw(st.integers(1, 255))
    assert verify(bounded_lines(BytesIO(bytes(file))), policy()).verdict is not Verdict.OK


@given(st.integers(0, len(b"".join(a_bundle(4))) - 1))
def test_no_beginning_of_a_bundle_is_ok(length: int) -> None:
    file = b"".join(a_bundle(4))[:length]
    assert verify(bounded_lines(BytesIO(file)), policy()).verdict in (Verdict.TRUNCATED, Verdict.MALFORMED)


@given(st.lists(st.binary(max_size=80).map(lambda line: line + b"\n"), max_size=5), st.booleans())
def test_no_garbage_is_more_than_malformed(lines: list[bytes], headed: bool) -> None:
    report = verify([*(a_bundle()[:2] if headed else ()), *lines], policy())
    assert report.verdict in (Verdict.MALFORMED, Verdict.TRUNCATED)


# --- by whom the leaves are looked at --------------------------------------------------------------------------------

Look = Callable[[Chunk], Stretch | None]


def leaf_by_leaf(look: Look, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, Stretch | None]]:
    """As many processes would, if each looked at one leaf."""
    for chunk in chunks:
        for begin, line in enumerate(chunk.lines, chunk.begin):
            yield (one := Chunk(begin, [line])), look(one)


def in_their_place(_look: Look, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, Stretch | None]]:
    """As if there were something to say of every leaf."""
    return ((chunk, None) for chunk in chunks)


@pytest.mark.parametrize("spread", [leaf_by_leaf, in_their_place])
@pytest.mark.parametrize("what", TAMPERED)
def test_what_is_found_does_not_depend_on_who_looks_at_the_leaves(what: str, spread: Spread) -> None:
    file = TAMPERED[what][0]()
    for kept in ([], known_from(a_bundle(4), policy(), "kept.ndjson")):
        assert verify(file, policy(), kept, spread) == verify(file, policy(), kept)


@given(st.data())
def test_nor_where_lines_were_lost_doubled_moved_and_changed(data: st.DataObject) -> None:
    file = a_bundle(data.draw(st.integers(1, 9)))
    for _ in range(data.draw(st.integers(0, 3))):
        taken = file.pop(data.draw(st.integers(0, len(file) - 1)))
        place = data.draw(st.integers(0, len(taken) - 2))
        edited = taken[:place] + bytes([data.draw(st.integers(11, 255))]) + taken[place + 1 :]
        for line in data.draw(st.lists(st.sampled_from([taken, edited]), max_size=2)):
            file.insert(data.draw(st.integers(0, len(file))), line)
        if not file:
            return
    kept = known_from(a_bundle(4), policy(), "kept.ndjson")
    found = [verify(file, policy(), kept, spread) for spread in (one_by_one, leaf_by_leaf, in_their_place)]
    assert found[0] == found[1] == found[2]


def test_lines_that_are_no_leaves_are_counted_from_the_leaf_before_them() -> None:
    file = a_bundle(6)
    first = next(at for at, line in enumerate(file) if line.startswith(b'{"type":"leaf"'))
    del file[first]  # so that with one that is garbled, leaves stand in their places again
    for at in (3, 5):
        file.insert(first + at, b"garbled\n")
    found = [verify(file, policy(), (), spread) for spread in (one_by_one, leaf_by_leaf, in_their_place)]
    assert found[0] == found[1] == found[2]


# --- erased ----------------------------------------------------------------------------------------------------------


def erased(index: int) -> list[LeafLine]:
    payload = LEAVES[index].payload
    assert payload is not None
    return changed(index, payload=payload._replace(personal=ERASED))


def erasure(index: int, topic: str = "credential.erased", of: int = 3) -> LeafLine:
    """The leaf that says that the credential of leaf 3 was erased."""
    at = "2026-03-20T00:00:00.000000Z"
    state = b'{"context":{"at":"%b"}}' % at.encode()
    return leaf_of(index, str(UUID(int=of % 3)), topic, at, "9", state)


def continued(*more: LeafLine) -> tuple[Checkpoint, list[bytes]]:
    """The log with more leaves after those of the bundle, and its entries."""
    every = [*LEAVES, *more]
    return head_of(line.hash for line in every), [line.entry for line in every]


def later(head: Checkpoint, entries: list[bytes], seed: bytes = SEED) -> bytes:
    """The line of a later checkpoint."""
    note = notes.sign(checkpoints.encode(head), [log_key(head.origin, seed)]).decode()
    return bundle.encode_later(Later(note, tuple(subproof(len(LEAVES), entries))))


def shown(line: LeafLine, entries: list[bytes]) -> bytes:
    """The line of an erasure."""
    index = line.leaf_index
    return bundle.encode_erasure_line(ErasureLine(index, line.entry, tuple(path(index, entries))))


def evidence(line: LeafLine) -> list[bytes]:
    """What proves that this is leaf 8."""
    head, entries = continued(leaf(7), line)
    return [later(head, entries), shown(line, entries)]


def test_data_that_was_erased_within_the_bundle_is_told_and_no_alarm() -> None:
    lines = [*erased(3), erasure(7)]
    report = verify(written(replace(MANIFEST, size=8), lines, seal(line.hash for line in lines)), policy())
    assert report.verdict is Verdict.ERASED
    assert verdicts(report) == {Verdict.ERASED: [3]}


def test_data_that_was_erased_since_is_proved_by_a_later_checkpoint() -> None:
    assert verify(written(WHOLE, erased(3), SEAL, evidence(erasure(8))), policy()).verdict is Verdict.ERASED


NOT_ERASED: dict[str, Callable[[], list[bytes]]] = {
    "nothing": list,
    "an erasure of another": lambda: evidence(erasure(8, of=1)),
    "another event of the same": lambda: evidence(erasure(8, "credential.revoked")),
    "no checkpoint": lambda: [shown(erasure(8), continued(leaf(7), erasure(8))[1])],
    "no erasure": lambda: [later(*continued(leaf(7), erasure(8)))],
    "a proof of another leaf": lambda: [
        later(*continued(leaf(7), erasure(8))),
        shown(erasure(8)._replace(leaf_index=7), continued(leaf(7), erasure(8))[1]),
    ],
    "a checkpoint that does not continue the bundle's": lambda: [
        later(head_of([line.hash for line in [*recomputed(2), erasure(7)]]), continued(erasure(7))[1]),
        shown(erasure(7), [line.entry for line in [*recomputed(2), erasure(7)]]),
    ],
}


@pytest.mark.parametrize("what", NOT_ERASED)
def test_data_that_is_said_to_be_erased_without_the_erasure_was_kept_back(what: str) -> None:
    report = verify(written(WHOLE, erased(3), SEAL, NOT_ERASED[what]()), policy())
    assert report.verdict is Verdict.TAMPERED


def test_a_later_checkpoint_by_another_key_proves_no_erasure() -> None:
    head, entries = continued(leaf(7), erasure(8))
    file = written(WHOLE, erased(3), SEAL, [later(head, entries, OTHER_SEED), shown(erasure(8), entries)])
    assert {Verdict.TAMPERED, Verdict.UNTRUSTED} <= set(verdicts(verify(file, policy())))


def test_personal_data_in_clear_is_the_operators_word() -> None:
    told = LEAVES[3].payload and LEAVES[3].payload._replace(personal={"login": 'a"},"state":{'})
    report = verify(of(changed(3, payload=told)), policy())
    assert (report.verdict, report.told) == (Verdict.OK, 1)


@pytest.mark.parametrize(("cosigned", "verdict"), [(True, Verdict.OK), (False, Verdict.UNWITNESSED)])
def test_a_policy_that_asks_for_a_witness_gets_one_or_says_so(cosigned: bool, verdict: Verdict) -> None:
    report = verify(a_bundle(cosigned=cosigned), policy(witnessed=True))
    assert report.verdict is verdict
    assert report.cosigned == ({"witness.example.org": 1_775_000_000} if cosigned else {})


# --- what is known from before ---------------------------------------------------------------------------------------


def known(policy: Policy, file: list[bytes]) -> list[Known]:
    return known_from(file, policy, "kept.ndjson")


def test_a_bundle_continues_the_one_before_it() -> None:
    assert verify(a_bundle(7), policy(), known(policy(), a_bundle(4))).verdict is Verdict.OK


def test_a_log_that_was_longer_is_truncated() -> None:
    assert verify(a_bundle(4), policy(), known(policy(), a_bundle(7))).verdict is Verdict.TRUNCATED


def test_two_histories_under_one_name_are_a_fork() -> None:
    lines = recomputed(2)
    other = written(WHOLE, lines, seal(line.hash for line in lines))
    assert verify(other, policy()).verdict is Verdict.OK  # by itself, nobody could tell
    assert verify(other, policy(), known(policy(), a_bundle(4))).verdict is Verdict.FORK
    assert verify(other, policy(), known(policy(), a_bundle(7))).verdict is Verdict.FORK


def test_a_checkpoint_alone_is_enough_to_know() -> None:
    note = seal(line.hash for line in LEAVES[:4]).seal.checkpoint
    kept = known(policy(), [line + b"\n" for line in note.encode().splitlines()])
    assert kept[0].checkpoint.size == 4
    assert verify(a_bundle(7), policy(), kept).verdict is Verdict.OK
    lines = recomputed(2)
    other = written(WHOLE, lines, seal(line.hash for line in lines))
    assert verify(other, policy(), kept).verdict is Verdict.FORK


def test_another_label_for_the_same_log_is_a_fork() -> None:
    (one, *_) = known(policy(), a_bundle(4))
    assert one.label == LABEL
    report = verify(a_bundle(7), policy(), [replace(one, label="00" * 16)])
    assert report.verdict is Verdict.FORK


def test_another_root_log_of_the_same_size_is_a_fork() -> None:
    root = Known(Checkpoint("keys.example.com/root", 15, bytes(32)), None, "root.note")
    assert verify(a_bundle(7), policy(), [root]).verdict is Verdict.FORK


def test_what_is_known_must_be_signed_as_well() -> None:
    with pytest.raises(ValueError, match="signed"):
        known(policy(OTHER_SEED), a_bundle(4))
    with pytest.raises(ValueError, match="neither"):
        known(policy(), [b"x\n" * NOTE_BYTES_MAX])


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_findings_beyond_the_bound_are_counted() -> None:
    report = Report()
    for index in range(FINDINGS_MAX + 5):
        report.add(Verdict.MISSING, "gone", index)
    assert len(report.findings) == FINDINGS_MAX
    assert report.found[Verdict.MISSING] == FINDINGS_MAX + 5


def test_a_line_without_end_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.auditing.LINE_BYTES_MAX", 100)
    pieces = list(bounded_lines(BytesIO(b"x" * 250)))
    assert list(map(len, pieces)) == [100, 100, 50]


@pytest.mark.parametrize(
    "asked",
    [{"begin": "2026-03-01"}, {"begin": 1}, {"aggregates": ("x",)}, {"aggregates": (1,)}, {"topics": ("a b",)}],
)
def test_a_filter_is_written_in_one_way(asked: dict[str, object]) -> None:
    with pytest.raises(InvalidBundle):
        Filter(**asked)  # type: ignore[arg-type]


def test_a_checkpoint_is_what_the_log_signed() -> None:
    text = SEAL.seal.checkpoint.partition("\n\n")[0] + "\n"
    assert checkpoints.parse(text).size == 7
    assert bundle.base_of(ORIGIN) == "keys.example.com"
    assert bundle.base_of("elsewhere") is None


# --- who asked -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"reason": "weekly audit"},
        {"requested_by": "operator:bob"},
        {"requested_at": "2026-03-02T00:00:00.000000Z"},
        {"personal": True},
    ],
)
def test_a_manifest_says_who_asked_for_what_and_why_as_the_log_does(change: dict[str, Any]) -> None:
    report = verify(written(replace(WHOLE, **change), LEAVES, SEAL), policy())
    assert verdicts(report) == {Verdict.TAMPERED: [0]}
    assert report.findings[0].text.endswith(f": {next(iter(change))}")


def test_a_filter_that_is_narrower_than_what_was_asked_for_is_told() -> None:
    asked = Filter(topics=("account",))
    lines = [LEAVES[0], *(line._replace(payload=None) for line in LEAVES[1:])]
    assert verdicts(verify(written(replace(WHOLE, filter=asked), lines, SEAL), policy())) == {Verdict.TAMPERED: [0]}


def test_the_request_is_there_whatever_is_asked_for() -> None:
    asked = Filter(topics=("account",))
    lines = [line._replace(payload=None) for line in a_log(7, asked)]
    report = verify(written(replace(WHOLE, filter=asked), lines, seal(line.hash for line in lines)), policy())
    assert verdicts(report) == {Verdict.MISSING: [0]}


def test_a_bundle_that_nobody_asked_for_is_told() -> None:
    lines = [leaf(index) for index in range(7)]
    report = verify(written(WHOLE, lines, seal(line.hash for line in lines)), policy())
    assert verdicts(report) == {Verdict.MISSING: [None]}
    assert "who asked" in report.findings[0].text


def test_a_request_that_cannot_be_read_proves_nothing() -> None:
    state = b'{"context":{"at":"%b"}}' % MANIFEST.requested_at.encode()
    odd = leaf_of(0, MANIFEST.export, REQUEST, MANIFEST.requested_at, "1", state)
    lines = [odd, *LEAVES[1:]]
    report = verify(written(WHOLE, lines, seal(line.hash for line in lines)), policy())
    assert verdicts(report) == {Verdict.TAMPERED: [0]}


# --- when ------------------------------------------------------------------------------------------------------------


def at_times(*times: str) -> Report:
    lines = [request(0), *(leaf(index, at=f"2026-03-02T{at}:00.000000Z") for index, at in enumerate(times, start=1))]
    return verify(written(replace(MANIFEST, size=len(lines)), lines, seal(line.hash for line in lines)), policy())


def test_an_event_that_says_it_happened_long_before_the_one_recorded_before_it_is_told() -> None:
    report = at_times("12:00", "11:54", "12:01")
    assert verdicts(report) == {Verdict.BACKDATED: [2]}
    assert report.verdict is Verdict.BACKDATED


def test_clocks_differ_by_minutes() -> None:
    assert at_times("12:00", "11:55", "12:04", "12:00").verdict is Verdict.OK


def test_times_that_go_back_little_by_little_are_told() -> None:
    assert verdicts(at_times("12:00", "11:57", "11:54", "11:52")) == {Verdict.BACKDATED: [3, 4]}


def test_what_contradicts_its_order_is_no_worse_than_what_is_not_proved() -> None:
    assert worst([Verdict.BACKDATED, Verdict.UNWITNESSED, Verdict.ERASED]) is Verdict.BACKDATED
    assert worst([Verdict.BACKDATED, Verdict.MALFORMED]) is Verdict.MALFORMED
    assert worst([]) is Verdict.OK


# --- the root log ----------------------------------------------------------------------------------------------------


def head_at(size: int, origin: str = ORIGIN) -> Checkpoint:
    return head_of((line.hash for line in LEAVES[:size]), origin)


def with_root(root: RootLog) -> list[bytes]:
    return written(WHOLE, LEAVES, seal((line.hash for line in LEAVES), root=root))


OTHER_HEAD = Checkpoint(ORIGIN, 3, bytes(32))


@pytest.mark.parametrize("own", [(OTHER_HEAD, head_at(5), head_at(7)), (head_at(5), OTHER_HEAD, head_at(7))])
def test_a_second_head_under_the_label_is_a_fork(own: tuple[Checkpoint, ...]) -> None:
    report = verify(with_root(RootLog(*own)), policy())
    assert report.verdict is Verdict.FORK
    assert "of the root log" in report.findings[0].text


def test_a_head_of_another_log_under_the_label_is_a_fork() -> None:
    other = head_at(3, f"{BASE}/organisations/0197a000-0000-7000-8000-000000000002")
    assert verify(with_root(RootLog(other, head_at(7))), policy()).verdict is Verdict.FORK


def test_heads_of_before_a_declared_restore_are_of_the_same_log() -> None:
    now = f"{BASE}/generation-2/organisations/{ORIGIN[-36:]}"
    assert generations(now) == (ORIGIN, 2)
    assert generations(ORIGIN) == (ORIGIN, 1)
    entered = Entered(LABEL, now)
    for line in RootLog(head_at(3), head_at(3, now), head_at(7, now)).opened():
        entered.add(line)
    assert list(entered.strange()) == []
    before = Entered(LABEL, ORIGIN)
    before.add(RootLog(head_at(3, now)).opened()[0])
    assert len(list(before.strange())) == 1  # a later generation, under the label of an earlier


def test_the_bundles_own_head_is_the_last_under_the_label() -> None:
    report = verify(with_root(RootLog(head_at(3), head_at(7), head_at(5))), policy())
    assert Verdict.TAMPERED in verdicts(report)


def test_heads_that_the_root_log_does_not_hold_prove_nothing() -> None:
    root = RootLog(OTHER_HEAD, head_at(7))
    honest = seal(line.hash for line in LEAVES)
    file = written(WHOLE, LEAVES, Sealed(root.opened(), honest.seal))
    assert verify(file, policy()).verdict is Verdict.TAMPERED  # and no fork, which nobody signed


def test_a_label_that_is_not_the_policys_is_a_fork() -> None:
    assert verify(a_bundle(), policy()).label_pinned
    report = verify(a_bundle(), policy(label="00" * 16))
    assert report.verdict is Verdict.FORK
    assert not report.label_pinned
    assert verify(a_bundle(), replace(policy(), labels={})).verdict is Verdict.OK


def looked_through(root: RootLog, entries: list[bytes], kept: list[Known] | None = None) -> Report:
    """What there is to say of a bundle beside these entries of the root log."""
    report = verify(with_root(root), policy())
    verify_root_log(report, [one + b"\n" for one in entries], kept or [])
    return report


def test_the_whole_root_log_tells_that_nothing_was_kept_back() -> None:
    root = RootLog(head_at(3), head_at(7))
    report = looked_through(root, root.entries)
    assert (report.verdict, report.later) == (Verdict.OK, 0)


def test_a_head_that_was_kept_back_is_a_fork() -> None:
    root = RootLog(head_at(2), OTHER_HEAD, head_at(7))
    del root.own[1]
    assert verify(with_root(root), policy()).verdict is Verdict.OK  # by itself, nobody could tell
    report = looked_through(root, root.entries)
    assert report.verdict is Verdict.FORK
    assert "kept back" in report.findings[0].text


def test_later_heads_are_for_later_bundles() -> None:
    root = RootLog(head_at(2), head_at(7))
    root.entries.append(entry(Checkpoint(ORIGIN, 9, bytes(32))))
    report = looked_through(root, root.entries)
    assert (report.verdict, report.later) == (Verdict.OK, 1)


def test_entries_of_another_root_log_are_told() -> None:
    root = RootLog(head_at(2), head_at(7))
    changed = [*root.entries[:-1], entry(Checkpoint(ORIGIN, 9, bytes(32)))]
    assert looked_through(root, changed).verdict is Verdict.TAMPERED
    assert looked_through(root, root.entries[:-1]).verdict is Verdict.TRUNCATED
    assert looked_through(root, [*root.entries, b"no head"]).verdict is Verdict.OK


def test_root_logs_of_different_sizes_are_compared() -> None:
    root = RootLog(head_at(2), head_at(7))
    before = Known(Checkpoint(f"{BASE}/root", 2, mth(root.entries[:2])), None, "kept.note")
    assert looked_through(root, root.entries, [before]).verdict is Verdict.OK
    other = replace(before, checkpoint=replace(before.checkpoint, root=bytes(32)))
    report = looked_through(root, root.entries, [other])
    assert report.verdict is Verdict.FORK
    assert "kept.note" in report.findings[0].text


# --- files that are none ---------------------------------------------------------------------------------------------


def test_a_text_that_is_none_makes_a_manifest_malformed() -> None:
    file = [a_bundle()[0].replace(b"yearly", rb"\ud800"), *a_bundle()[1:]]
    assert verify(file, policy()).verdict is Verdict.MALFORMED


def test_a_malformed_leaf_is_named_and_those_after_it_are_looked_at() -> None:
    file = [line.replace(b'"salt":"', b'"salt":"x') if b'"index":2,' in line else line for line in a_bundle()]
    file[-3] = file[-3].replace(b"key 5", b"key 9")
    found = verdicts(verify(file, policy()))
    assert found[Verdict.MALFORMED] == [2, None]
    assert found[Verdict.TAMPERED] == [5]
    assert Verdict.MISSING not in found


def test_a_malformed_leaf_that_the_ledger_wrote_was_tampered_with() -> None:
    lines = changed(2, payload=LEAVES[2].payload and LEAVES[2].payload._replace(salt=b"short"))
    assert verdicts(verify(of(lines), policy())) == {Verdict.MALFORMED: [2], Verdict.TAMPERED: [None]}
