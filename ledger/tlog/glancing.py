"""Looking at leaves quickly, as nearly all of them are just as the log writes them.

`glance` knows the one way in which everything is right: the letters of a line, the hashes over them, and an event that
says when it happened. Whatever else there may be is left to `Examination`, which knows all that can be wrong. So it may
be ignorant, but never mistaken: what it takes, `Examination` takes and has nothing to say of.
"""

from binascii import hexlify, unhexlify
from hashlib import sha256

from ledger.tlog.bundle import ERASURES, Filter, InvalidBundle, Manifest, leaf_pattern, parse_leaf_line
from ledger.tlog.examining import Chunk, Examination, Stretch, is_before
from ledger.tlog.leaves import PATTERN, check_day
from ledger.tlog.leaves import parse as parse_leaf
from ledger.tlog.merkle import leaf_hash
from ledger.tlog.report import Report
from ledger.tlog.stored import happens_at, has_personal_fields, read_event

_LINE = leaf_pattern(PATTERN.encode())
_STATE, _END = b',"state":', b"}\n"
_ERASURES = frozenset(topic.encode() for topic in ERASURES)


def look_at(manifest: Manifest, chunk: Chunk) -> Stretch | None:
    """Look at some leaves by themselves: all that takes time, and needs nothing that stands before them."""
    return glance(manifest, chunk) or examine(manifest, chunk)


def examine(manifest: Manifest, chunk: Chunk) -> Stretch | None:
    """What there is to know of a chunk; None where there is something to say of it."""
    examination = Examination(Report(), manifest.tree, manifest.filter, request=manifest, begin=chunk.begin)
    try:
        for line in chunk.lines:
            examination.leaf(parse_leaf_line(line))
    except InvalidBundle:
        return None
    return examination.taken_by_themselves()


def glance(manifest: Manifest, chunk: Chunk) -> Stretch | None:
    """The same, in less time; None too where it takes a closer look."""
    seen = _Glance(manifest)
    try:
        for index, line in enumerate(chunk.lines, chunk.begin):
            seen.leaf(index, line)
    except (_Unsure, ValueError):  # of days that no calendar has, and of events that are none
        return None
    return Stretch(seen.hashes, seen.payloads, 0, seen.earliest, seen.latest, frozenset(seen.erased), requested=False)


class _Unsure(Exception):
    """There is something that `glance` knows nothing about."""


class _Glance:
    """What was seen of some leaves. Bytes are compared as they stand there, as little is made of them as may be."""

    def __init__(self, manifest: Manifest) -> None:
        self.hashes = list[bytes]()
        self.payloads = 0
        self.earliest = self.latest = ""
        self.erased = set[str]()
        self._asked = manifest.filter
        self._everything = manifest.filter == Filter()
        self._personal = manifest.personal
        self._tree, self._request = manifest.tree.encode(), manifest.export.encode()

    def leaf(self, index: int, line: bytes) -> None:
        """See that all is right with the next leaf."""
        match = _LINE.match(line)
        if match is None:
            raise _Unsure
        written, sealed, entry, aggregate, time, digest, organisation, topic, _, salt = match.groups()
        hashed, at = leaf_hash(entry), time.decode()
        if int(written) != index or hexlify(hashed) != sealed or organisation != self._tree:
            raise _Unsure
        if aggregate == self._request:  # its event is compared with the manifest
            raise _Unsure
        self.hashes.append(hashed)
        self._date(at)
        rest = line[match.end() :]
        if salt is not None:
            self._event(unhexlify(salt), rest, digest, at)
        elif rest != _END or self._everything or self._asked.takes(parse_leaf(entry)):
            raise _Unsure
        if topic in _ERASURES:
            self.erased.add(aggregate.decode())

    def _date(self, at: str) -> None:
        check_day(at[:10])
        if at >= self.latest:
            self.earliest, self.latest = self.earliest or at, at
        elif is_before(at, self.latest):
            raise _Unsure
        else:
            self.earliest = min(self.earliest, at)

    def _event(self, salt: bytes, rest: bytes, digest: bytes, at: str) -> None:
        state = rest[len(_STATE) : -len(_END)]
        if not (rest.startswith(_STATE) and rest.endswith(_END)):
            raise _Unsure
        if sha256(salt + state).hexdigest().encode() != digest:
            raise _Unsure
        event = read_event(state)
        if not happens_at(event, at) or (self._personal and has_personal_fields(event)):
            raise _Unsure
        self.payloads += 1
