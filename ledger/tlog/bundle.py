"""Bundles: an organisation's log in a file that proves itself, as NDJSON, one object a line.

    {"type":"manifest",...}   whose log, how large, who asked for it and why, and for which events
    {"type":"head",...}       every entry of the root log under the log's label, up to that of this checkpoint
    {"type":"leaf",...}       every leaf of the tree, in order; with its salt and the stored event where it is asked for
    {"type":"later",...}      a later checkpoint, and with it
    {"type":"erasure",...}    each erasure since, where personal fields were asked for and some were erased since
    {"type":"seal",...}       the signed checkpoints of the log and of the root log

A bundle has every leaf of the tree, also of events that were not asked for: a leaf tells what kind of event it is, of
what and when, so whoever reads it sees whether one that was asked for has been left out. The event by which the bundle
itself was asked for is always among those that are there. docs/auditing.md tells the format for people;
`ledger.tlog.verifying` verifies.
"""

import json
import re
from binascii import a2b_base64, b2a_base64, hexlify, unhexlify
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from ledger.tlog.canonical import SIZE_MAX, encode_base64, is_line, parse_hash, parse_json
from ledger.tlog.heads import LABEL
from ledger.tlog.leaves import SALT_BYTES, Leaf, moment

FORMAT = "keyledger.bundle/1"
LINE_BYTES_MAX = 2**24  # the largest events take some hundred kilobytes; a line is read whole
ERASED = "erased"
UNREADABLE = "unreadable"
"""Stand in place of personal fields whose key was destroyed, and of those that cannot be read for another reason."""
INSTALLATION = "00000000-0000-0000-0000-000000000000"
"""The tree of what concerns no organisation."""
REQUEST = "export.requested"
"""The kind of event by which a bundle is asked for; its aggregate is what the manifest calls `export`."""
ERASURES = frozenset({"credential.erased", "operator.erased", "bulk_revocation.erased", "webhook_endpoint.removed"})
"""The kinds of events with which the key of an aggregate's personal fields is destroyed."""

_ORIGIN = re.compile("(?P<base>.+)/(?:root|installation|organisations/(?P<tree>[0-9a-f-]{36}))")
_GENERATION = re.compile("(?P<name>.+)/generation-(?P<number>[1-9][0-9]{0,8})")
_TOPIC = re.compile(r"[a-z0-9_]{1,100}(?:\.[a-z0-9_]{1,100})?")


class InvalidBundle(ValueError):
    """A line is not what a bundle has in its place."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events are asked for: all that is given must hold, and of several values one.

    The period runs from `begin`, inclusive, to `end`, exclusive, as leaves write times; empty leaves it open.
    `aggregates` are ids of credentials, or of what else there is. A topic is one kind of event
    (`credential.revoked`, in all its versions) or all of one kind of thing (`credential`).
    """

    begin: str = ""
    end: str = ""
    aggregates: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            canonical = (
                all(time == moment(time) for time in (self.begin, self.end) if time)
                and all(aggregate == str(UUID(aggregate)) for aggregate in self.aggregates)
                and all(_TOPIC.fullmatch(topic) for topic in self.topics)
            )
        except (TypeError, AttributeError, ValueError):
            canonical = False
        if not canonical:
            raise InvalidBundle("this is not a filter: times, ids and topics are written as leaves write them")

    def takes(self, leaf: Leaf) -> bool:
        """Whether the event of this leaf is asked for."""
        return (
            (not self.begin or self.begin <= leaf.at)
            and (not self.end or leaf.at < self.end)
            and (not self.aggregates or leaf.aggregate in self.aggregates)
            and (
                not self.topics
                or leaf.topic.partition("@")[0] in self.topics
                or leaf.topic.partition(".")[0] in self.topics
            )
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the operator says of a bundle: `size` leaves of the log `origin`, whose label in the root log is `label`.

    `export` is the id under which the asking was recorded, `requested_at` and `requested_by` when and by whom, and
    `personal` whether personal fields were asked for in clear.
    """

    origin: str
    label: str
    size: int
    export: str
    requested_at: str
    requested_by: str
    reason: str
    filter: Filter = field(default_factory=Filter)
    personal: bool = False

    def __post_init__(self) -> None:
        texts = (self.origin, self.label, self.export, self.requested_at, self.requested_by, self.reason)
        if not all(isinstance(text, str) for text in texts) or type(self.personal) is not bool:
            raise InvalidBundle("a field of the manifest is of the wrong type")
        if type(self.size) is not int or self.size < 1:
            raise InvalidBundle("a bundle has at least one leaf")
        if not is_line(self.origin) or base_of(self.origin) is None or not LABEL.fullmatch(self.label):
            raise InvalidBundle("the manifest does not name a log")

    @property
    def tree(self) -> str:
        """The organisation whose log it is; the nil UUID for what concerns none."""
        match = _ORIGIN.fullmatch(self.origin)
        return (match and match["tree"]) or INSTALLATION


class Payload(NamedTuple):
    """What was asked for of one event: the salt, the bytes as they are stored, and personal fields in clear.

    `personal` is None where it was not asked for or there is none, and `ERASED` or `UNREADABLE` where it is gone.
    """

    salt: bytes
    state: bytes
    personal: Mapping[str, Any] | str | None = None


class LeafLine(NamedTuple):
    """One leaf: its hash as it was signed, and its entry, which must have this hash."""

    leaf_index: int
    hash: bytes
    entry: bytes
    payload: Payload | None = None


class HeadLine(NamedTuple):
    """One entry of the root log under the log's label, opened: at `head_index`, of this origin, size and root.

    `between` are the hashes of the complete subtrees of the root log (`merkle.complete_subtrees`) that lie between
    the entry before and this one. So a walk along these lines gives the root log's own root.
    """

    head_index: int
    origin: str
    size: int
    root: bytes
    salt: bytes
    between: tuple[bytes, ...]


class Later(NamedTuple):
    """A signed checkpoint of the same log that is newer than the bundle's, and the proof that it continues that."""

    checkpoint: str
    consistency: tuple[bytes, ...]


class ErasureLine(NamedTuple):
    """A leaf of the later checkpoint that is an erasure, with the proof of its inclusion there."""

    leaf_index: int
    entry: bytes
    proof: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Seal:
    """What proves the leaves and the heads: signed notes of the checkpoint over the leaves, and of the root log's.

    `after` are the hashes of what the root log holds after the last entry under the log's label that is in the bundle.
    """

    checkpoint: str
    after: tuple[bytes, ...]
    root_checkpoint: str


def base_of(origin: str) -> str | None:
    """What the origins of all logs of one ledger begin with; None for an origin that is none of these."""
    match = _ORIGIN.fullmatch(origin)
    return match and match["base"]


def generations(origin: str) -> tuple[str, int] | None:
    """An origin as it was before any restore was declared, and the generation it is of; None for one that is none."""
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        return None
    base = match["base"]
    later = _GENERATION.fullmatch(base)
    name, number = (base, 1) if later is None else (later["name"], int(later["number"]))
    return name + origin[len(base) :], number


def encode_manifest(manifest: Manifest) -> bytes:
    """The first line."""
    asked = manifest.filter
    return _line(
        {
            "type": "manifest",
            "format": FORMAT,
            "origin": manifest.origin,
            "tree": manifest.tree,
            "label": manifest.label,
            "size": manifest.size,
            "export": manifest.export,
            "requested_at": manifest.requested_at,
            "requested_by": manifest.requested_by,
            "reason": manifest.reason,
            "filter": {
                "from": asked.begin,
                "to": asked.end,
                "aggregates": list(asked.aggregates),
                "topics": list(asked.topics),
            },
            "personal": manifest.personal,
        }
    )


def parse_manifest(line: bytes) -> Manifest:
    """The manifest of a line; raises InvalidBundle unless `encode_manifest` gives exactly this line for it."""

    def make(read: dict[str, Any]) -> Manifest:
        asked = read["filter"]
        return Manifest(
            **{name: read[name] for name in _MANIFEST_FIELDS},
            filter=Filter(asked["from"], asked["to"], tuple(asked["aggregates"]), tuple(asked["topics"])),
        )

    return _parsed(line, "manifest", make, encode_manifest)


_MANIFEST_FIELDS = ("origin", "label", "size", "export", "requested_at", "requested_by", "reason", "personal")


def encode_head_line(head: HeadLine) -> bytes:
    """The line of a head."""
    return b'{"type":"head","index":%d,"origin":%b,"size":%d,"root":"%b","salt":"%b","between":[%b]}\n' % (
        head.head_index,
        _encode(head.origin),
        head.size,
        b2a_base64(head.root, newline=False),
        hexlify(head.salt),
        b",".join([b'"%b"' % b2a_base64(each, newline=False) for each in head.between]),
    )


def parse_head_line(line: bytes) -> HeadLine:
    """The head of a line; raises InvalidBundle unless `encode_head_line` gives exactly this line for it."""
    match = _HEAD.fullmatch(line)
    if match is None:
        return _head_parsed(line)
    index, origin, size, root, salt, between = match.groups()
    try:
        return HeadLine(
            _number(int(index)),
            origin.decode(),
            _number(int(size)),
            a2b_base64(root),
            unhexlify(salt),
            tuple(map(a2b_base64, between[1:-1].split(b'","'))) if between else (),
        )
    except ValueError as error:  # of what is not UTF-8
        raise InvalidBundle(f"this is not a head: {error}") from None


def _head_parsed(line: bytes) -> HeadLine:
    """The head of a line whose origin is spelt with escapes, which hardly any is; or what is wrong with it."""
    return _parsed(
        line,
        "head",
        lambda read: HeadLine(
            head_index=_number(read["index"]),
            origin=_text(read["origin"]),
            size=_number(read["size"]),
            root=parse_hash(read["root"]),
            salt=_salt(read["salt"]),
            between=tuple(map(parse_hash, read["between"])),
        ),
        encode_head_line,
    )


def _head_pattern() -> re.Pattern[bytes]:
    """Of a head's line, where its origin needs no escapes: then this has no other spelling."""
    number, salt = rb"(0|[1-9][0-9]{0,18})", rb"([0-9a-f]{32})"
    # The last letter before the padding has two bits that stand for nothing, and are zero.
    digest = rb"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="
    return re.compile(
        rb'\{"type":"head","index":%b,"origin":"([^"\\\x00-\x1f]*+)","size":%b,"root":"(%b)","salt":"%b",'
        rb'"between":\[((?:"%b"(?:,"%b")*+)?)\]\}\n' % (number, number, digest, salt, digest, digest)
    )


_HEAD = _head_pattern()


def encode_later(later: Later) -> bytes:
    """The line of a later checkpoint."""
    return _line({"type": "later", "checkpoint": later.checkpoint, "consistency": _hashes(later.consistency)})


def parse_later(line: bytes) -> Later:
    """The later checkpoint of a line; raises InvalidBundle unless `encode_later` gives exactly this line for it."""
    return _parsed(
        line,
        "later",
        lambda read: Later(_text(read["checkpoint"]), tuple(map(parse_hash, read["consistency"]))),
        encode_later,
    )


def encode_erasure_line(erasure: ErasureLine) -> bytes:
    """The line of an erasure."""
    return _line(
        {
            "type": "erasure",
            "index": erasure.leaf_index,
            "entry": erasure.entry.decode(errors="replace"),
            "proof": _hashes(erasure.proof),
        }
    )


def parse_erasure_line(line: bytes) -> ErasureLine:
    """The erasure of a line; raises InvalidBundle unless `encode_erasure_line` gives exactly this line for it."""
    return _parsed(
        line,
        "erasure",
        lambda read: ErasureLine(
            _number(read["index"]), _text(read["entry"]).encode(), tuple(map(parse_hash, read["proof"]))
        ),
        encode_erasure_line,
    )


def encode_leaf_line(leaf: LeafLine) -> bytes:
    """The line of a leaf. What is stored is JSON, and stands in it as it is, byte for byte."""
    index, digest, entry, payload = leaf
    return leaf_line_of(index, digest, entry, *(payload or ()))


def leaf_line_of(
    leaf_index: int,
    digest: bytes,
    entry: bytes,
    salt: bytes = b"",
    state: bytes | None = None,
    personal: Mapping[str, Any] | str | None = None,
) -> bytes:
    """The line of a leaf with these fields, without making one: who exports a log does little else.

    Without a `state` it has no payload.
    """
    if not _is_plain(entry):
        entry = _quoted(entry)
    if state is None:
        return b'{"type":"leaf","index":%d,"hash":"%b","entry":%b}\n' % (leaf_index, hexlify(digest), entry)
    if not is_plain_state(state):
        state = _quoted(state)
    told = b"" if personal is None else b',"personal":' + _encode(personal)
    return b'{"type":"leaf","index":%d,"hash":"%b","entry":%b,"salt":"%b"%b,"state":%b}\n' % (
        leaf_index,
        hexlify(digest),
        entry,
        hexlify(salt),
        told,
        state,
    )


def parse_leaf_line(line: bytes) -> LeafLine:
    """The leaf of a line; raises InvalidBundle unless `encode_leaf_line` gives exactly this line for it.

    The bytes of the state are taken out as they stand there. That they are one object in JSON, and nothing beside it,
    is for the caller to see, as only a state that was sealed is worth the time.
    """
    match = _LEAF.match(line)
    if match is None or not line.endswith(b"}\n"):
        raise InvalidBundle("this is not a leaf")
    index, digest, entry, salt = match.groups()
    at, end, payload = match.end(), len(line) - 2, None
    plain = entry[:1] == b"{"
    if salt is not None:
        personal = None
        if line.startswith(_PERSONAL, at):
            personal, at = _personal(line, at + len(_PERSONAL))
        if not line.startswith(_STATE, at):
            raise InvalidBundle("a salt without a state")
        state, at = line[at + len(_STATE) : end], end
        plain = plain and personal is None and is_plain_state(state)
        payload = Payload(unhexlify(salt), _unquoted(state) if state[:1] == b'"' else state, personal)
    if at != end:
        raise InvalidBundle("this is not a leaf")
    leaf = LeafLine(int(index), unhexlify(digest), entry if entry[:1] == b"{" else _unquoted(entry), payload)
    if not plain:  # else what was matched has no other spelling
        _check_spelling(leaf, line)
    return leaf


def _check_spelling(leaf: LeafLine, line: bytes) -> None:
    try:
        same = encode_leaf_line(leaf) == line
    except ValueError as error:  # of surrogates, which no UTF-8 has
        raise InvalidBundle(f"this is not a leaf: {error}") from None
    if not same:
        raise InvalidBundle(f"this is not a leaf of {FORMAT}")


def leaf_pattern(entry: bytes) -> re.Pattern[bytes]:
    """Of the beginning of a leaf's line, where its entry is like this: up to the salt, or the entry where none is."""
    index, digest, salt = rb"(0|[1-9][0-9]{0,18})", rb"([0-9a-f]{64})", rb"([0-9a-f]{32})"
    return re.compile(
        rb'\{"type":"leaf","index":%b,"hash":"%b","entry":(%b)(?:,"salt":"%b")?' % (index, digest, entry, salt)
    )


_LEAF = leaf_pattern(rb'\{[^{}\n]*\}|"(?:[^"\\\n]++|\\.)*+"')
# Possessive: a text keeps no state for each of its characters, to which nothing would go back.
_PERSONAL, _STATE = b',"personal":', b',"state":'


def _is_plain(entry: bytes) -> bool:
    """Whether an entry can stand in a line as it is: in braces, with neither braces nor line ends in it.

    The alphabets of the log have none. What is not like that was put there by somebody else, and is quoted, as a text,
    for the verifier to tell of.
    """
    return entry.rfind(b"{") == 0 and entry.find(b"}") == len(entry) - 1 and b"\n" not in entry


def is_plain_state(state: bytes) -> bool:
    """Whether a state stands in a line as it is; it is quoted, as a text, where somebody else put it there."""
    return state[:1] == b"{" and b"\n" not in state


def _quoted(stored: bytes) -> bytes:
    return _encode(stored.decode(errors="replace"))


def _unquoted(text: bytes) -> bytes:
    try:
        return _text(parse_json(text)).encode()
    except ValueError as error:
        raise InvalidBundle(f"this is not a text: {error}") from None


def _personal(line: bytes, at: int) -> tuple[Mapping[str, Any] | str, int]:
    """The personal fields that begin there, and where they end."""
    end = line.find(_STATE, at)  # nothing personal looks like this: quotes in a text are escaped
    try:
        read = parse_json(line[at:end])
    except ValueError:
        read = None
    if end < 0 or not (isinstance(read, dict) or read in (ERASED, UNREADABLE)):
        raise InvalidBundle("these are no personal fields")
    return read, end


def encode_seal(seal: Seal) -> bytes:
    """The last line up to its own digest, which `finish_seal` adds."""
    fields = {
        "type": "seal",
        "checkpoint": seal.checkpoint,
        "after": _hashes(seal.after),
        "root_checkpoint": seal.root_checkpoint,
    }
    return _line(fields).removesuffix(b"}\n") + b',"sha256":"'


def finish_seal(digest: str) -> bytes:
    """What ends a bundle: SHA-256 in hex of all bytes before this."""
    return f'{digest}"}}\n'.encode("ascii")


def parse_seal(line: bytes) -> tuple[Seal, bytes, str]:
    """The seal of a line, the bytes of the line that its digest covers, and the digest; raises InvalidBundle."""

    def make(read: dict[str, Any]) -> tuple[Seal, str]:
        after = tuple(map(parse_hash, read["after"]))
        return Seal(_text(read["checkpoint"]), after, _text(read["root_checkpoint"])), _text(read["sha256"])

    seal, digest = _parsed(line, "seal", make, lambda made: encode_seal(made[0]) + finish_seal(made[1]))
    return seal, encode_seal(seal), digest


def type_of(line: bytes) -> str:
    """What a line says that it is; empty where it says nothing."""
    match = re.match(rb'\{"type":"([a-z]{1,20})"', line)
    return match[1].decode() if match else ""


def _encode(value: object) -> bytes:
    return _ENCODER.encode(value).encode()


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def _line(fields: Mapping[str, Any]) -> bytes:
    return _encode(fields) + b"\n"


def _object(line: bytes, kind: str) -> dict[str, Any]:
    try:
        read = parse_json(line)
    except ValueError:
        read = None
    if not isinstance(read, dict) or read.get("type") != kind:
        raise InvalidBundle(f"this is not a {kind}")
    return read


_Made = TypeVar("_Made")


def _parsed(line: bytes, kind: str, make: Callable[[dict[str, Any]], _Made], encode: Callable[[_Made], bytes]) -> _Made:
    """What `make` makes of a line's object; raises InvalidBundle where `encode` does not give the line for it again."""
    read = _object(line, kind)
    try:
        made = make(read)
        same = encode(made) == line
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidBundle(f"this is not a {kind}: {error}") from None
    if not same:
        raise InvalidBundle(f"this is not a {kind} of {FORMAT}")
    return made


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidBundle(f"{value!r:.80} is not a text")
    return value


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value <= SIZE_MAX:
        raise InvalidBundle(f"{value!r:.80} is not a number of leaves")
    return value


def _salt(value: object) -> bytes:
    salt = bytes.fromhex(_text(value))
    if len(salt) != SALT_BYTES:
        raise InvalidBundle(f"a salt has {SALT_BYTES} bytes")
    return salt


def _hashes(hashes: Sequence[bytes]) -> list[str]:
    return [encode_base64(each) for each in hashes]
