"""Looking at the leaves of a tree, wherever they come from: a bundle, or a live database.

`Examination` has them one after the other, or, where nothing is to be said of them, in stretches that other processes
looked at.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import NamedTuple

from ledger.tlog.bundle import (
    ERASED,
    ERASURES,
    REQUEST,
    UNREADABLE,
    Filter,
    InvalidBundle,
    LeafLine,
    Manifest,
    Payload,
)
from ledger.tlog.canonical import SIZE_MAX
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.entered import Stated
from ledger.tlog.leaves import SALT_BYTES, InvalidLeaf, Leaf, state_digest
from ledger.tlog.leaves import parse as parse_leaf
from ledger.tlog.merkle import HASH_BYTES, Frontier, leaf_hash
from ledger.tlog.report import FINDINGS_MAX, Known, Report, Verdict
from ledger.tlog.requests import differences
from ledger.tlog.stored import happened_at, happens_at, has_personal_fields, read_event

CHUNK_LEAVES = 1_000  # looked at in one go, mostly a megabyte: what it takes to hand them over is then next to nothing
# How far the times of events may contradict their order. Those that come at once differ by the clocks of the machines
# that took them and by how long each took: seconds. Five minutes is what Kerberos and TLS allow clocks to differ by.
SKEW_MAX = timedelta(minutes=5)


class Chunk(NamedTuple):
    """Lines of leaves that follow each other in a bundle, the first of which should be that of leaf `begin`."""

    begin: int
    lines: Sequence[bytes]


class Stretch(NamedTuple):
    """A chunk with whose leaves everything is right, taken by itself: their hashes, what there is to count, and what
    leaves elsewhere have to do with: the times between which they lie, whose erasures they are, and whether one is the
    event by which the bundle was asked for.
    """

    hashes: Sequence[bytes]
    payloads: int
    told: int
    earliest: str
    latest: str
    erased: frozenset[str]
    requested: bool


_NO_HEAD = Stated(-1, SIZE_MAX, bytes(HASH_BYTES))
"""Stands after the last head: no tree has so many leaves."""


class Examination:
    """Looks at the leaves of one tree, in their order, and then at the checkpoint that they must lead to.

    Of the events in `asked`, and of that by which `request` was asked for, more than the leaf has to be there. `known`
    and `heads` are states of this tree that are known otherwise; heads are those that the root log states, in their
    order, and are read along with the leaves. With `begin`, it looks at some leaves from the middle, by themselves.
    """

    def __init__(
        self,
        report: Report,
        tree: str,
        asked: Filter,
        known: Iterable[Known] = (),
        heads: Iterable[Stated] = (),
        *,
        request: Manifest | None = None,
        begin: int = 0,
    ) -> None:
        self.report = report
        self._tree = tree
        self._asked = asked
        self._everything = asked == Filter()
        self._request = request
        self._signed = Frontier()  # of the hashes as they were signed, but for those that wait
        self._waiting: list[bytes] = []  # for a tree grows by many leaves in less time than by one after the other
        self._entered: Frontier | None = None  # of the entries, from the first on that has another hash
        self._next = begin
        self._gaps = False
        self._garbled = 0  # lines since the last leaf that are none
        self._known: dict[int, list[Known]] = {}
        self._others: list[Known] = []  # what is known of these leaves otherwise
        self._heads = iter(heads)
        self._head: Stated | None = None  # the next of them, from the first leaf on
        self._other_heads: list[Stated] = []
        self._earliest = self._latest = ""  # the times of leaves
        self._erased: set[str] = set()  # the aggregates whose erasure is in the log
        self._requested = False
        self._said_erased: dict[str, tuple[int, Leaf]] = {}  # those said to be erased, and at which leaf first
        for one in known:
            self._known.setdefault(one.checkpoint.size, []).append(one)

    @property
    def size(self) -> int:
        """How many leaves the tree has as far as it was looked at."""
        return self._next

    def leaf(self, line: LeafLine) -> Leaf | None:
        """The next leaf, and the event that it stands for, where that is at hand; what it says, if it was sealed."""
        if not self.entry(line.leaf_index, line.hash, line.entry):
            return None
        try:
            leaf = parse_leaf(line.entry)
        except InvalidLeaf as error:
            self.report.add(Verdict.TAMPERED, f"leaf {line.leaf_index}: {error}", line.leaf_index)
            return None
        self._date(line.leaf_index, leaf)
        if leaf.topic in ERASURES:
            self._erased.add(leaf.aggregate)
        if self._is_request(leaf):
            self._compare_request(line.leaf_index, leaf, line.payload)
        self._event(line.leaf_index, leaf, line.payload)
        return leaf

    def entry(self, index: int, sealed: bytes, entry: bytes) -> bool:
        """The next leaf, by its entry alone; whether that is what has the hash that was sealed."""
        if index != self._next:
            self._out_of_order(index)
            if index < self._next:
                return False
        self._next, self._garbled = index + 1, 0
        self.report.leaves += 1
        hashed = leaf_hash(entry)
        if self._entered is None and hashed != sealed:
            edge = self._edge()
            self._entered = Frontier(edge.size, edge.hashes)
        if self._entered is not None:
            self._entered.append(hashed)
        self._waiting.append(sealed)
        if self._known and self._next in self._known:
            of_this_size, root = self._known.pop(self._next), self._edge().root()
            self.report.compared.update(one.source for one in of_this_size)
            self._others += [one for one in of_this_size if one.checkpoint.root != root]
        self._compare_heads()
        if len(self._waiting) > CHUNK_LEAVES:
            self._edge()
        if hashed != sealed:
            self.report.add(Verdict.TAMPERED, f"leaf {index} is not the one whose hash was sealed", index)
        return hashed == sealed

    def stretch(self, begin: int, leaves: Stretch) -> bool:
        """The next leaves, with each of which everything is right; False where they have to be looked at in their
        place, for they are not the next, or what was found or is known before concerns them.
        """
        end = begin + len(leaves.hashes)
        if begin != self._next or self._entered is not None or any(begin < size <= end for size in self._known):
            return False
        if is_before(leaves.earliest, self._latest):
            return False
        self._compare_heads()
        taken = 0
        while (size := self._head_due().size) < end:
            self._waiting += leaves.hashes[taken : size - begin]
            self._next, taken = size, size - begin
            self._compare_heads()
        self._waiting += leaves.hashes[taken:]
        self._next, self._garbled = end, 0
        self._compare_heads()
        self._edge()
        self._latest = max(self._latest, leaves.latest)
        self._erased |= leaves.erased
        self._requested |= leaves.requested
        self.report.leaves += len(leaves.hashes)
        self.report.payloads += leaves.payloads
        self.report.told += leaves.told
        return True

    def taken_by_themselves(self) -> Stretch | None:
        """What was looked at, no more than a chunk; None where there is something to say of it."""
        if self.report.found:
            return None
        return Stretch(
            self._waiting,
            self.report.payloads,
            self.report.told,
            self._earliest,
            self._latest,
            frozenset(self._erased),
            self._requested,
        )

    def garbled(self, error: InvalidBundle) -> None:
        """A line stands where the next leaf should, and is none."""
        index = self._next + self._garbled
        self._garbled += 1
        self.report.add(Verdict.MALFORMED, f"leaf {index}: {error}", index)

    def erased_later(self, aggregate: str) -> None:
        """An aggregate's erasure was found to be in a later checkpoint of the log."""
        self._erased.add(aggregate)

    def finish(
        self, checkpoint: Checkpoint, *, heads_proved: bool = False, continued: Checkpoint | None = None
    ) -> None:
        """There are no more leaves, and this is the checkpoint over them, whose signature was verified.

        `heads_proved` says that the root log holds the heads; `continued` is a later checkpoint that was signed.
        """
        self.report.latest = self._latest
        if self._request is not None and not self._requested:
            text = "the event by which this was asked for is not here: nothing proves who asked, and why"
            self.report.add(Verdict.MISSING, text)
        for aggregate, (index, leaf) in self._said_erased.items():
            if aggregate not in self._erased:
                text = f"{told(index, leaf)}: its personal data is said to be erased, and the log has no erasure of it"
                self.report.add(Verdict.TAMPERED, text, index)
        if 0 < checkpoint.size - self._next <= self._garbled:
            pass  # told, each in its place
        elif self._next < checkpoint.size:
            self.report.add(
                Verdict.TRUNCATED, f"{checkpoint.size} leaves were signed, and what is here ends after {self._next}"
            )
        elif self._gaps:
            pass  # told; without the leaves that are missing there is no root to compare
        elif self._next > checkpoint.size:
            self.report.add(Verdict.TAMPERED, f"{checkpoint.size} leaves were signed, and there are {self._next} here")
        elif self._edge().root() == checkpoint.root:
            # Both were signed, and these leaves lead to one of them.
            others = [(one.checkpoint.size, one.source) for one in self._others]
            if heads_proved:
                others += [(head.size, f"entry {head.head_index} of the root log") for head in self._other_heads]
            for size, source in others:
                text = f"the first {size} leaves are not those of {source}, which was signed as well"
                self.report.add(Verdict.FORK, text)
        else:
            if self._entered is not None and self._entered.root() == checkpoint.root:
                text = "the entries are those that were signed, and the hashes beside them are not"
            else:
                text = (
                    "the leaves do not give the root that was signed: some were written anew together with their "
                    "hashes; an earlier bundle or a backup tells which"
                )
            self.report.add(Verdict.TAMPERED, text)
        for one in chain.from_iterable(self._known.values()):
            size = one.checkpoint.size
            if continued is not None and size < continued.size:
                continue  # the log was as long by then, and nothing here leads to how it was
            self.report.compared.add(one.source)
            if continued is None or size > continued.size:
                text = f"{one.source} is a signed checkpoint over {size} leaves, and this log ends after {self._next}"
                self.report.add(Verdict.TRUNCATED, text)
            elif one.checkpoint.root != continued.root:
                text = f"the later checkpoint over {size} leaves is not that of {one.source}, which was signed as well"
                self.report.add(Verdict.FORK, text)

    def _edge(self) -> Frontier:
        """The edge of the tree up to here."""
        self._signed.extend(self._waiting)
        self._waiting.clear()
        return self._signed

    def _head_due(self) -> Stated:
        """The next head of which the root log tells. They are there when the first leaf is looked at."""
        if self._head is None:
            self._head = next(self._heads, _NO_HEAD)
        return self._head

    def _compare_heads(self) -> None:
        """Compare the heads that the root log has of the tree as it is up to here."""
        while (head := self._head_due()).size <= self._next:
            differs = head.size < self._next or head.root != self._edge().root()
            if differs and len(self._other_heads) < FINDINGS_MAX:
                self._other_heads.append(head)
            self._head = next(self._heads, _NO_HEAD)

    def _out_of_order(self, index: int) -> None:
        self._gaps = True
        if self._next < index <= self._next + self._garbled:
            return  # told
        if index < self._next:
            text = f"leaf {index} comes after leaf {self._next - 1}: leaves are twice there, or in another order"
            self.report.add(Verdict.TAMPERED, text, index)
            return
        last = index - 1
        which = f"leaf {last} is" if last == self._next else f"leaves {self._next} to {last} are"
        self.report.add(Verdict.MISSING, f"{which} not here", self._next)

    def _date(self, index: int, leaf: Leaf) -> None:
        """Tell of an event that says that it happened long before others which were recorded earlier."""
        if leaf.at >= self._latest:
            self._earliest = self._earliest or leaf.at
            self._latest = leaf.at
            return
        self._earliest = min(self._earliest, leaf.at)
        if is_before(leaf.at, self._latest):
            text = f"{told(index, leaf)}: it was recorded after what happened at {self._latest}"
            self.report.add(Verdict.BACKDATED, text, index)

    def _is_request(self, leaf: Leaf) -> bool:
        return self._request is not None and leaf.aggregate == self._request.export and leaf.topic == REQUEST

    def _compare_request(self, index: int, leaf: Leaf, payload: Payload | None) -> None:
        """Whether the manifest tells who asked for what, and why, as the event by which it was asked for does."""
        self._requested = True
        changed = [] if payload is None or self._request is None else differences(self._request, payload.state)
        if changed:
            text = f"the manifest is not what was asked for in {told(index, leaf)}: {', '.join(changed)}"
            self.report.add(Verdict.TAMPERED, text, index)

    def _event(self, index: int, leaf: Leaf, payload: Payload | None) -> None:
        if leaf.organisation != self._tree:
            self.report.add(Verdict.TAMPERED, f"leaf {index} is of another log", index)
        if payload is None:
            if self._everything or self._is_request(leaf) or self._asked.takes(leaf):
                self.report.add(Verdict.MISSING, f"{told(index, leaf)}: the event was asked for and is not here", index)
            return
        self.report.payloads += 1
        if len(payload.salt) != SALT_BYTES or state_digest(payload.salt, payload.state) != leaf.digest:
            self.report.add(Verdict.TAMPERED, f"{told(index, leaf)}: the event is not as it was sealed", index)
        else:
            self._sealed_event(index, leaf, payload)
        if payload.personal == ERASED:
            self._said_erased.setdefault(leaf.aggregate, (index, leaf))
            self.report.add(Verdict.ERASED, f"{told(index, leaf)}: its personal data was erased", index)
        elif payload.personal == UNREADABLE:
            self.report.add(
                Verdict.TAMPERED, f"{told(index, leaf)}: its personal data was not erased, and cannot be read", index
            )
        elif payload.personal is not None:
            self.report.told += 1

    def _sealed_event(self, index: int, leaf: Leaf, payload: Payload) -> None:
        """Look at an event that is as it was sealed: others than we read it too, and its leaf speaks for it."""
        try:
            event = read_event(payload.state)
        except InvalidBundle as error:
            text = f"{told(index, leaf)}: what was sealed is no event: {error}"
            self.report.add(Verdict.TAMPERED, text, index)
            return
        if not happens_at(event, leaf.at):
            text = f"{told(index, leaf)}: the event itself says that it happened at {happened_at(event) or 'no time'}"
            self.report.add(Verdict.TAMPERED, text, index)
        asked = self._request is not None and self._request.personal
        if asked and payload.personal is None and has_personal_fields(event):
            text = f"{told(index, leaf)}: its personal data was asked for and is not here"
            self.report.add(Verdict.MISSING, text, index)


def told(index: int, leaf: Leaf) -> str:
    """A leaf, for people."""
    return f"leaf {index} ({leaf.topic} at {leaf.at}, version {leaf.version} of {leaf.aggregate})"


def is_before(at: str, other: str) -> bool:
    """Whether one time of a leaf lies before another by more than clocks differ."""
    return at < other and datetime.fromisoformat(other) - datetime.fromisoformat(at) > SKEW_MAX
