"""The verifier: whether a bundle is what the log holds, whole and unchanged, and if not, what was done to it where.

It believes nothing in a bundle but what a checkpoint proves that a log of the policy signed, and reads it once, in
memory that does not grow with it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from itertools import chain
from typing import Any, NamedTuple

from ledger.tlog.bundle import (
    ERASURES,
    LINE_BYTES_MAX,
    ErasureLine,
    InvalidBundle,
    Later,
    Manifest,
    Seal,
    base_of,
    parse_erasure_line,
    parse_head_line,
    parse_later,
    parse_leaf_line,
    parse_manifest,
    parse_seal,
)
from ledger.tlog.checkpoints import Checkpoint, InvalidCheckpoint
from ledger.tlog.entered import Entered
from ledger.tlog.examining import CHUNK_LEAVES, Chunk, Examination, Stretch
from ledger.tlog.glancing import look_at
from ledger.tlog.leaves import InvalidLeaf
from ledger.tlog.leaves import parse as parse_leaf
from ledger.tlog.merkle import InvalidProof, leaf_hash, verify_consistency, verify_inclusion
from ledger.tlog.notes import NOTE_BYTES_MAX, Note
from ledger.tlog.policy import NONE, Policy
from ledger.tlog.report import Known, Report, Verdict

CHUNK_BYTES_MAX = 2**22  # of leaves looked at in one go: fewer than `CHUNK_LEAVES`, where they are large

Spread = Callable[[Callable[[Chunk], Stretch | None], Iterable[Chunk]], Iterable[tuple[Chunk, Stretch | None]]]
"""Calls a function with each chunk, in this process or in others; gives in their order each with what came of it."""


def one_by_one(
    look: Callable[[Chunk], Stretch | None], chunks: Iterable[Chunk]
) -> Iterator[tuple[Chunk, Stretch | None]]:
    """The `Spread` that has one process do everything."""
    return ((chunk, look(chunk)) for chunk in chunks)


def verify(lines: Iterable[bytes], policy: Policy, known: Sequence[Known] = (), spread: Spread = one_by_one) -> Report:
    """Verify the lines of a bundle, each with its newline and none longer than `bundle.LINE_BYTES_MAX`.

    `known` are checkpoints of this or other logs, which the policy's logs signed: what could not be compared of them,
    `tell_uncompared` tells in the end. `spread` may have several processes look at the leaves; what is found is the
    same.
    """
    report = Report(asks_for_witnesses=policy.quorum != NONE)
    try:
        _verify(report, iter(lines), policy, known, spread)
    except InvalidBundle as error:
        report.add(Verdict.MALFORMED, str(error))
    return report


def _verify(report: Report, lines: Iterator[bytes], policy: Policy, known: Sequence[Known], spread: Spread) -> None:
    first = next(lines, b"")
    digest = sha256(first)
    manifest = report.manifest = parse_manifest(first)
    of_this = [one for one in known if one.checkpoint.origin == manifest.origin]
    for one in of_this:
        if one.label not in (None, manifest.label):
            report.add(Verdict.FORK, f"in {one.source} this log has another label in the root log")
    entered, after = _open_heads(report, manifest, lines, digest)
    examination = Examination(report, manifest.tree, manifest.filter, of_this, entered.heads(), request=manifest)
    leaves = _Leaves(chain([after], lines), digest)
    for chunk, stretch in spread(partial(look_at, manifest), leaves):
        if stretch is None or not examination.stretch(chunk.begin, stretch):
            _look_in_place(examination, chunk)
    later, after = _open_erasures(examination, manifest, policy, chain([leaves.after], lines), digest)
    if not after.endswith(b"\n"):
        if len(after) >= LINE_BYTES_MAX:
            raise InvalidBundle(f"the line after leaf {examination.size - 1} is too long")
        report.add(Verdict.TRUNCATED, f"the file ends after leaf {examination.size - 1} of {manifest.size}, unsealed")
        return
    seal, covered, written = parse_seal(after)
    digest.update(covered)
    _verify_seal(report, policy, seal, examination, entered, later, known)
    if digest.hexdigest() != written or next(lines, b""):
        report.add(Verdict.MALFORMED, "the file is not as it was written: its own digest is of something else")
    elif report.found[Verdict.MALFORMED]:
        report.add(Verdict.TAMPERED, "the file is as it was written, so what is malformed in it came from the database")


def _open_heads(report: Report, manifest: Manifest, lines: Iterator[bytes], digest: Any) -> tuple[Entered, bytes]:
    """What the lines of heads open of the root log, and the line after them."""
    entered = report.entered = Entered(manifest.label, manifest.origin)
    for line in lines:
        if not line.startswith(b'{"type":"head",') or not line.endswith(b"\n"):
            return entered, line
        digest.update(line)
        try:
            entered.add(parse_head_line(line))
        except InvalidBundle as error:
            report.add(Verdict.MALFORMED, f"after entry {entered.last} of the root log: {error}")
        except (InvalidProof, InvalidCheckpoint) as error:
            report.add(Verdict.TAMPERED, f"after entry {entered.last} of the root log: {error}")
    return entered, b""


class _Leaves:
    """The lines of a bundle's leaves, digested as they are read, and the line `after` them."""

    def __init__(self, lines: Iterator[bytes], digest: Any) -> None:
        self._lines = lines
        self._digest = digest
        self.after = b""

    def __iter__(self) -> Iterator[Chunk]:
        begin, some, size = 0, list[bytes](), 0
        for line in self._lines:
            if line.startswith(_AFTER_LEAVES) or not line.endswith(b"\n"):
                self.after = line
                break
            some.append(line)
            size += len(line)
            if len(some) == CHUNK_LEAVES or size > CHUNK_BYTES_MAX:
                self._digest.update(b"".join(some))
                yield Chunk(begin, some)
                begin, some, size = begin + len(some), [], 0
        if some:
            self._digest.update(b"".join(some))
            yield Chunk(begin, some)


# Whatever else stands after the heads, in place of a leaf, is told as one that is garbled.
_LATER = b'{"type":"later",'
_AFTER_LEAVES = (_LATER, b'{"type":"erasure",', b'{"type":"seal",')


def _look_in_place(examination: Examination, chunk: Chunk) -> None:
    """Look at leaves of which there is something to say."""
    for line in chunk.lines:
        try:
            read = parse_leaf_line(line)
        except InvalidBundle as error:
            examination.garbled(error)
        else:
            examination.leaf(read)


class Continued(NamedTuple):
    """A later checkpoint with its note, and what proves that it continues that of the bundle."""

    checkpoint: Checkpoint
    note: Note
    consistency: tuple[bytes, ...]


def _open_erasures(
    examination: Examination, manifest: Manifest, policy: Policy, lines: Iterator[bytes], digest: Any
) -> tuple[Continued | None, bytes]:
    """The later checkpoint by which erasures are proved that came after the end of the bundle, and the line after."""
    report, later = examination.report, None
    for line in lines:
        if not line.startswith(_AFTER_LEAVES[:2]) or not line.endswith(b"\n"):
            return later, line
        digest.update(line)
        try:
            if later is None:
                later = _open_later(report, manifest, policy, parse_later(line))
            else:
                _open_erasure(examination, later.checkpoint, parse_erasure_line(line))
        except InvalidBundle as error:
            report.add(Verdict.MALFORMED, f"after leaf {examination.size - 1}: {error}")
    return later, b""


def _open_later(report: Report, manifest: Manifest, policy: Policy, later: Later) -> Continued | None:
    opened = _open(report, policy, later.checkpoint, "the later checkpoint")
    if opened is None:
        return None
    checkpoint, note = opened
    if checkpoint.origin != manifest.origin:
        report.add(Verdict.TAMPERED, f"the later checkpoint is of {checkpoint.origin}")
        return None
    return Continued(checkpoint, note, later.consistency)


def _open_erasure(examination: Examination, later: Checkpoint, line: ErasureLine) -> None:
    try:
        verify_inclusion(line.leaf_index, later.size, leaf_hash(line.entry), line.proof, later.root)
        leaf = parse_leaf(line.entry)
    except (InvalidProof, InvalidLeaf) as error:
        text = f"the erasure at leaf {line.leaf_index}: {error}"
        examination.report.add(Verdict.TAMPERED, text, line.leaf_index)
        return
    if leaf.topic in ERASURES:
        examination.erased_later(leaf.aggregate)


def tell_uncompared(report: Report, known: Sequence[Known]) -> None:
    """Tell of each source of what is known of which nothing could be compared. A log that goes on under another
    origin, as after a declared restore, would otherwise pass as one that nothing contradicts.

    To be called last, when the root log was looked at as well, if it is there.
    """
    if report.checkpoint is None:
        return  # told: there is nothing to compare anything with
    for source in dict.fromkeys(one.source for one in known):
        if source not in report.compared:
            held = [f"{one.checkpoint.origin} at {one.checkpoint.size}" for one in known if one.source == source]
            text = (
                f"{source} was not compared: that takes a bundle of the same log, or all entries of the root log "
                f"(--root-log), and it is of {', '.join(held)}"
            )
            report.add(Verdict.UNTRUSTED, text)


def _verify_seal(
    report: Report,
    policy: Policy,
    seal: Seal,
    examination: Examination,
    entered: Entered,
    later: Continued | None,
    known: Sequence[Known],
) -> None:
    opened = _open(report, policy, seal.checkpoint, "the checkpoint")
    root_opened = _open(report, policy, seal.root_checkpoint, "the root log's checkpoint")
    manifest = report.manifest
    if opened is None or root_opened is None or manifest is None:
        return
    (checkpoint, note), (root, root_note) = opened, root_opened
    report.checkpoint = checkpoint
    if checkpoint.origin != manifest.origin or checkpoint.size != manifest.size:
        report.add(Verdict.TAMPERED, "the manifest is of another log, or of another size, than the checkpoint")
    if _verify_heads(report, manifest, entered, root, seal.after):
        report.root = root
        _verify_label(report, policy, manifest, entered, checkpoint)
    if later is not None:
        try:
            verify_consistency(
                checkpoint.size, later.checkpoint.size, later.consistency, checkpoint.root, later.checkpoint.root
            )
        except InvalidProof as error:
            report.add(Verdict.TAMPERED, f"the later checkpoint does not continue this one: {error}")
        report.continued = later.checkpoint
        report.continued_witnessed = report.asks_for_witnesses and policy.witnessed(later.note)
    examination.finish(checkpoint, heads_proved=report.root is not None, continued=report.continued)
    for one in known:
        if (one.checkpoint.origin, one.checkpoint.size) == (root.origin, root.size):
            report.compared.add(one.source)
            if one.checkpoint.root != root.root:
                report.add(Verdict.FORK, f"{one.source} is another root log of the same size")
    _witnesses(report, policy, note, root_note)


def _verify_heads(
    report: Report, manifest: Manifest, entered: Entered, root: Checkpoint, after: Sequence[bytes]
) -> bool:
    """Whether the root log's checkpoint is of what was opened, and of what lies between and after that."""
    if root.origin != f"{base_of(manifest.origin)}/root":
        report.add(Verdict.TAMPERED, f"{root.origin} is not the root log of {manifest.origin}")
        return False
    try:
        entered.finish(root, after)
    except InvalidProof as error:
        report.add(Verdict.TAMPERED, f"the root log's checkpoint: {error}")
        return False
    return True


def _verify_label(report: Report, policy: Policy, manifest: Manifest, entered: Entered, checkpoint: Checkpoint) -> None:
    """Whether what the root log holds under the label is this log, this checkpoint the newest of what was opened."""
    if entered.newest != checkpoint:
        report.add(Verdict.TAMPERED, "the root log does not hold this checkpoint under the label")
    if checkpoint.origin != manifest.origin:
        return  # told: the label is that of a log which nobody signed here
    for text in entered.strange():
        report.add(Verdict.FORK, text)
    pinned = policy.labels.get(manifest.origin)
    report.label_pinned = pinned == manifest.label
    if pinned not in (None, manifest.label):
        report.add(Verdict.FORK, "the root log holds this log under another label than the policy's: there are two")


def _witnesses(report: Report, policy: Policy, *opened: Note) -> None:
    """Either checkpoint may be the one that the witnesses cosigned: the root log's stands for every log."""
    for note in opened:
        for signature in note.signatures:
            if signature.time is not None:
                report.cosigned[signature.key.name] = signature.time
    if not any(policy.witnessed(note) for note in opened):
        report.add(Verdict.UNWITNESSED, "the witnesses that the policy asks for cosigned neither checkpoint")


def _open(report: Report, policy: Policy, note: str, what: str) -> tuple[Checkpoint, Note] | None:
    try:
        return policy.open_checkpoint(note.encode())
    except ValueError as error:
        report.add(Verdict.UNTRUSTED, f"{what}: {error}")
        return None


def known_from(lines: Iterable[bytes], policy: Policy, source: str) -> list[Known]:
    """What a file holds that was kept from before: a checkpoint, or a bundle. Raises ValueError where it is neither."""
    first, later, last, note = b"", b"", b"", bytearray()
    for line in lines:
        first, last = first or line, line
        if not first.startswith(b"{"):
            note += line
            if len(note) > NOTE_BYTES_MAX:
                raise ValueError(f"{source} is neither a checkpoint nor a bundle")
        elif line.startswith(_LATER):
            later = line
    if note:
        return [Known(policy.open_checkpoint(bytes(note))[0], None, source)]
    label = parse_manifest(first).label
    seal, _, _ = parse_seal(last)
    others = [seal.root_checkpoint, *([parse_later(later).checkpoint] if later else [])]
    return [
        Known(policy.open_checkpoint(seal.checkpoint.encode())[0], label, source),
        *(Known(policy.open_checkpoint(each.encode())[0], None, source) for each in others),
    ]
