"""Bundles that an operator crafts to make the verifier fail, or to show readers what it did not verify."""

import json
import tracemalloc
from collections.abc import Iterator, Mapping
from dataclasses import replace
from uuid import UUID

import pytest

from ledger import auditing
from ledger.tlog import bundle, checkpoints, notes
from ledger.tlog.bundle import ERASED, ErasureLine, HeadLine, Later, LeafLine, Manifest, Seal
from ledger.tlog.canonical import NESTED_MAX
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.entered import Entered
from ledger.tlog.notes import NOTE_BYTES_MAX
from ledger.tlog.policy import Policy
from ledger.tlog.report import Known, Report, Verdict
from ledger.tlog.root_log import verify_root_log
from ledger.tlog.verifying import known_from, tell_uncompared, verify
from tests.unit.tlog.bundles import (
    BASE,
    LABEL,
    MANIFEST,
    ORIGIN,
    ROOT_ORIGIN,
    WITNESS,
    RootLog,
    Sealed,
    a_bundle,
    a_log,
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

AT = "2026-03-02T12:00:00.000000Z"
CREDENTIAL = str(UUID(int=1))


def sealed_with(
    state: bytes, manifest: Manifest = MANIFEST, *, at: str = AT, personal: Mapping[str, str] | None = None
) -> list[bytes]:
    """A bundle whose leaf 1 was sealed and signed for these stored bytes."""
    odd = leaf_of(1, CREDENTIAL, "credential.created", at, "1", state)
    assert odd.payload is not None
    odd = odd._replace(payload=odd.payload._replace(personal=personal))
    return sealed_of(replace(manifest, size=3), [request(0, None, manifest), odd, leaf(2)])


def sealed_of(manifest: Manifest, lines: list[LeafLine]) -> list[bytes]:
    return written(manifest, lines, seal(line.hash for line in lines))


def state(**fields: object) -> bytes:
    return json.dumps({"context": {"at": AT}, **fields}).encode()


def found(report: Report) -> list[tuple[Verdict, int | None]]:
    return [(finding.verdict, finding.index) for finding in report.findings]


# --- lines that cost more than they weigh ----------------------------------------------------------------------------


@pytest.mark.parametrize("text", [b"a" * 2**20, rb"\n" * 2**19])
def test_a_long_text_takes_no_more_memory_than_a_few_copies_of_it(text: bytes) -> None:
    line = b'{"type":"leaf","index":0,"hash":"%b","entry":"%b"}\n' % (b"0" * 64, text)
    tracemalloc.start()
    try:
        bundle.parse_leaf_line(line)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(line)


# --- times that no clock shows ---------------------------------------------------------------------------------------

BEFORE_ALL_TIME = "0001-01-01T00:00:00+14:00"


def test_a_filter_of_before_all_time_is_malformed() -> None:
    file = a_bundle()
    file[0] = file[0].replace(b'"from":""', b'"from":"%b"' % BEFORE_ALL_TIME.encode())
    assert verify(file, policy()).verdict is Verdict.MALFORMED


def test_a_request_of_before_all_time_is_not_what_the_manifest_says() -> None:
    asked = request(0, manifest=replace(MANIFEST, requested_at=BEFORE_ALL_TIME)).payload
    assert asked is not None
    first = leaf_of(0, MANIFEST.export, bundle.REQUEST, MANIFEST.requested_at, "1", asked.state)
    report = verify(sealed_of(replace(MANIFEST, size=2), [first, leaf(1)]), policy())
    assert report.verdict is Verdict.TAMPERED
    assert {index for _, index in found(report)} == {0}


def test_a_cosignature_of_after_all_time_is_told_as_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    lines = a_log(3)
    now = head_of(line.hash for line in lines)
    root = RootLog(now)
    note = notes.sign(checkpoints.encode(root.checkpoint), [log_key(ROOT_ORIGIN), WITNESS], time=2**62).decode()
    signed = notes.sign(checkpoints.encode(now), [log_key(ORIGIN)]).decode()
    after = root.hashes(root.own[-1][0] + 1, len(root.entries))
    file = written(replace(MANIFEST, size=3), lines, Sealed(root.opened(), Seal(signed, after, note)))
    auditing.tell(verify(file, policy(witnessed=True)), as_json=False)
    assert f"at {2**62} seconds since 1970" in capsys.readouterr().out


# --- what other readers of JSON would see ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(state(n=1) + b',"entry":{"topic":"account.renamed"},"state":' + state(n=2), id="two objects"),
        pytest.param(state(n=1)[:-1] + b',"n":2}', id="a key twice"),
        pytest.param(state(n=1)[:-1] + b',"m":NaN}', id="what only Python reads"),
        pytest.param(state(n=1).decode().encode("utf-16-le"), id="another encoding"),
        pytest.param(b'{"context":{"at":"' + AT.encode() + b'"}', id="no end"),
        pytest.param(b'["context"]', id="no object"),
    ],
)
def test_an_event_that_is_not_one_object_to_every_reader_is_told_though_it_was_sealed(stored: bytes) -> None:
    assert found(verify(sealed_with(stored), policy())) == [(Verdict.TAMPERED, 1)]


def as_texts(line: LeafLine) -> bytes:
    """The line of a leaf in another spelling: what is JSON there stands in it as a text."""
    assert line.payload is not None
    written_so = bundle.encode_leaf_line(line)
    return written_so.replace(line.entry, json.dumps(line.entry.decode()).encode())


def test_a_leaf_is_written_in_one_way() -> None:
    line = leaf(1)
    assert bundle.parse_leaf_line(bundle.encode_leaf_line(line)) == line
    assert line.payload is not None
    quoted = json.dumps(line.payload.state.decode(), ensure_ascii=False).encode()
    for other in (as_texts(line), bundle.encode_leaf_line(line).replace(line.payload.state, quoted)):
        with pytest.raises(bundle.InvalidBundle):
            bundle.parse_leaf_line(other)


def test_personal_fields_that_are_no_text_make_a_leaf_malformed() -> None:
    line = leaf(1)
    assert line.payload is not None
    told = bundle.encode_leaf_line(line._replace(payload=line.payload._replace(personal={"email": "x"})))
    with pytest.raises(bundle.InvalidBundle):
        bundle.parse_leaf_line(told.replace(b'"email":"x"', rb'"email":"\ud800"'))


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def called_deeply(file: list[bytes], calls: int) -> Report:
    return called_deeply(file, calls - 1) if calls else verify(file, policy())


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [(NESTED_MAX - 1, Verdict.OK), (NESTED_MAX, Verdict.TAMPERED), (800, Verdict.TAMPERED), (10**6, Verdict.TAMPERED)],
)
def test_what_is_nested_too_deeply_is_so_for_whoever_calls_the_verifier(levels: int, verdict: Verdict) -> None:
    file = sealed_with(state(brackets='["{')[:-1] + b',"a":%b}' % nested(levels))
    assert {called_deeply(file, calls).verdict for calls in (0, 100, 200)} == {verdict}


def test_personal_fields_that_are_nested_too_deeply_make_a_leaf_malformed() -> None:
    file = sealed_with(state(), replace(MANIFEST, personal=True), personal={"a": "HERE"})
    for levels in (NESTED_MAX, *range(850, 1000), 10**6):  # about our own bound, about that of Python, and beyond
        crafted = [line.replace(b'"HERE"', nested(levels)) for line in file]
        assert (Verdict.MALFORMED, 1) in found(verify(crafted, policy()))


# --- personal data that was asked for and is kept back ---------------------------------------------------------------

PERSONAL = replace(MANIFEST, personal=True)
WITH_PERSONAL = (
    state(contact_email="sealed:v1:AAAA"),
    state(name="x", emails=["sealed:v1:AAAA"]),
)


@pytest.mark.parametrize("stored", WITH_PERSONAL)
def test_personal_data_that_was_asked_for_is_there_or_missed(stored: bytes) -> None:
    assert found(verify(sealed_with(stored, PERSONAL), policy())) == [(Verdict.MISSING, 1)]
    assert verify(sealed_with(stored, PERSONAL, personal={"contact_email": "a@b"}), policy()).verdict is Verdict.OK
    assert verify(sealed_with(stored), policy()).verdict is Verdict.OK  # nobody asked for it


def test_an_event_without_personal_data_has_none_to_show() -> None:
    told = state(reason='they wrote "sealed:v1:" to us')
    assert verify(sealed_with(told, PERSONAL), policy()).verdict is Verdict.OK


# --- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", ["2020-01-01T00:00:00Z", BEFORE_ALL_TIME, "yesterday", None, 3])
def test_a_leaf_that_tells_another_time_than_its_event_is_told(at: object) -> None:
    stored = json.dumps({"context": {"at": at}}).encode()
    assert found(verify(sealed_with(stored), policy())) == [(Verdict.TAMPERED, 1)]


def test_an_event_of_a_whole_second_has_the_time_of_its_leaf() -> None:
    stored = json.dumps({"context": {"at": AT.replace(".000000Z", "Z")}}).encode()
    assert verify(sealed_with(stored), policy()).verdict is Verdict.OK


def test_every_event_that_says_it_happened_long_before_is_told() -> None:
    days = ("2026-03-10", "2025-01-01", "2025-01-02", "2025-06-01", "2026-03-11")
    lines = [request(0), *(leaf(index, at=f"{day}T00:00:00.000000Z") for index, day in enumerate(days, start=1))]
    report = verify(sealed_of(replace(MANIFEST, size=len(lines)), lines), policy())
    assert found(report) == [(Verdict.BACKDATED, index) for index in (2, 3, 4)]


# --- an erasure that only one auditor was ever shown -----------------------------------------------------------------

ERASURE = leaf(4, topic="credential.erased")._replace(leaf_index=3)


def with_forged_erasure(*, witnessed: bool = False, further: int = 0) -> list[bytes]:
    """A bundle of three leaves whose erased data a later checkpoint explains, which the log signed and then dropped.

    That one may have `further` leaves beside the erasure.
    """
    lines = [request(0, None, PERSONAL), leaf(1), leaf(2)]
    assert lines[1].payload is not None
    lines[1] = lines[1]._replace(payload=lines[1].payload._replace(personal=ERASED))
    entries = [*(line.entry for line in lines), ERASURE.entry, *(leaf(5).entry for _ in range(further))]
    signers = [log_key(ORIGIN), *([WITNESS] if witnessed else [])]
    later = notes.sign(
        checkpoints.encode(Checkpoint(ORIGIN, len(entries), mth(entries))), signers, time=1_775_000_000
    ).decode()
    evidence = [
        bundle.encode_later(Later(later, tuple(subproof(3, entries)))),
        bundle.encode_erasure_line(ErasureLine(3, ERASURE.entry, tuple(path(3, entries)))),
    ]
    return written(replace(PERSONAL, size=3), lines, seal((line.hash for line in lines), cosigned=witnessed), evidence)


def grown(*more: LeafLine) -> list[bytes]:
    """What the log holds in truth."""
    lines = [request(0, None, PERSONAL), leaf(1), leaf(2), *more]
    return sealed_of(replace(PERSONAL, size=len(lines)), lines)


def test_the_later_checkpoint_of_a_kept_bundle_is_known_as_its_last_is() -> None:
    forged = with_forged_erasure()
    assert verify(forged, policy()).verdict is Verdict.ERASED  # by itself, nobody could tell
    of_any = known_from(forged, policy(), "kept.ndjson")
    kept = [one for one in of_any if one.checkpoint.origin == ORIGIN]  # each log here has another root log beside it
    assert verify(forged, policy(), kept).verdict is Verdict.ERASED
    assert verify(grown(leaf(3), leaf(4)), policy(), kept).verdict is Verdict.FORK
    assert verify(grown(ERASURE, leaf(4)), policy(), kept).verdict is Verdict.OK
    assert verify(grown(), policy(), kept).verdict is Verdict.TRUNCATED
    other = Known(Checkpoint(ORIGIN, 4, bytes(32)), None, "other.note")
    assert verify(forged, policy(), [other]).verdict is Verdict.FORK


def test_what_lies_between_a_bundles_end_and_its_later_checkpoint_is_of_no_help() -> None:
    forged, between = with_forged_erasure(further=1), Known(Checkpoint(ORIGIN, 4, bytes(32)), None, "kept.note")
    report = verify(forged, policy(), [between])
    assert set(report.found) == {Verdict.ERASED}
    tell_uncompared(report, [between])
    assert set(report.found) == {Verdict.ERASED, Verdict.UNTRUSTED}


@pytest.mark.parametrize(
    ("believed", "witnessed", "told"),
    [
        (policy(), False, "the policy asks for no witness"),
        (policy(witnessed=True), False, "no witness vouches for it"),
        (policy(witnessed=True), True, "witnessed"),
    ],
)
def test_a_report_says_whether_a_later_checkpoint_is_witnessed(
    believed: Policy, witnessed: bool, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    auditing.tell(verify(with_forged_erasure(witnessed=witnessed), believed), as_json=False)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("later "))
    assert line.startswith("later      4 leaves, root ")
    assert line.endswith(told)


# --- what is given to be compared ------------------------------------------------------------------------------------

ROOT_LOG = RootLog(*(head_of(line.hash for line in a_log(size)) for size in (2, 7)))
IN_ROOT_LOG = seal((line.hash for line in a_log(7)), root=ROOT_LOG)


def root_at(size: int) -> Known:
    """What the root log stated at this size; something else, where it never was of it."""
    root = mth(ROOT_LOG.entries[:size]) if size <= len(ROOT_LOG.entries) else bytes(32)
    return Known(Checkpoint(ROOT_ORIGIN, size, root), None, "root.note")


def compared(known: list[Known], *, root_log: bool = False) -> Report:
    """The report of a whole verification, in which only the last word on what is known is bad, if any."""
    report = verify(written(replace(MANIFEST, size=7), a_log(7), IN_ROOT_LOG), policy(), known)
    if root_log:
        verify_root_log(report, [entry + b"\n" for entry in ROOT_LOG.entries], known)
    tell_uncompared(report, known)
    return report


@pytest.mark.parametrize("origin", [f"{BASE}/generation-2/root", f"{ORIGIN[:-1]}2"])
def test_what_is_known_of_another_log_is_told_to_be_no_help(origin: str) -> None:
    report = compared([Known(Checkpoint(origin, 3, bytes(32)), None, "kept.ndjson")])
    assert report.verdict is Verdict.UNTRUSTED
    assert origin in report.findings[0].text


def test_a_root_log_of_another_size_is_told_to_be_no_help_without_its_entries() -> None:
    assert compared([root_at(len(ROOT_LOG.entries))]).verdict is Verdict.OK
    for size in (1, len(ROOT_LOG.entries) + 1):
        report = compared([root_at(size)])
        assert report.verdict is Verdict.UNTRUSTED
        assert "--root-log" in report.findings[0].text


def test_with_its_entries_a_root_log_of_any_size_is_compared() -> None:
    assert compared([root_at(1)], root_log=True).verdict is Verdict.OK
    report = compared([root_at(len(ROOT_LOG.entries) + 1)], root_log=True)
    assert report.verdict is Verdict.TRUNCATED
    assert "root.note" in report.findings[0].text


def test_a_source_of_which_something_was_compared_is_of_help() -> None:
    own = Known(head_of(line.hash for line in a_log(3)), None, "root.note")
    assert compared([own, root_at(1)]).verdict is Verdict.OK


def test_nothing_is_said_of_what_is_known_where_there_is_nothing_to_compare_it_with() -> None:
    report = verify(a_bundle()[:-1], policy(), [root_at(1)])
    tell_uncompared(report, [root_at(1)])
    assert report.verdict is Verdict.TRUNCATED


# --- what a policy does not ask for ----------------------------------------------------------------------------------


def test_a_policy_that_asks_for_little_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    auditing.tell(verify(a_bundle(), replace(policy(), labels={})), as_json=False)
    out = capsys.readouterr().out
    assert "\nwitnesses  the policy asks for none\n" in out
    assert f"label      {LABEL}, which the policy does not pin\n" in out
    auditing.tell(verify(a_bundle(cosigned=True), policy(witnessed=True)), as_json=False)
    out = capsys.readouterr().out
    assert "witnesses " not in out
    assert f"label      {LABEL}, as the policy has it\n" in out


# --- memory ----------------------------------------------------------------------------------------------------------


def test_what_is_strange_in_a_root_log_takes_no_more_memory_than_what_is_not() -> None:
    entered, many = Entered(LABEL, ORIGIN), 3_000
    tracemalloc.start()
    try:
        for index in range(many):
            entered.add(HeadLine(index, f"{ORIGIN}{'x' * 10_000}", many - index, bytes(32), bytes(16), ()))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 200 * many
    assert sum(1 for _ in entered.strange()) == many + many - 1


def test_no_more_is_read_of_what_is_no_note_than_a_note_has() -> None:
    read = 0

    def pieces() -> Iterator[bytes]:
        nonlocal read
        for _ in range(1_000):
            read += 1
            yield b"x" * 2**16

    with pytest.raises(ValueError, match="neither"):
        known_from(pieces(), policy(), "x")
    assert read * 2**16 < NOTE_BYTES_MAX + 2**17
