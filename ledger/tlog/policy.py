"""Policies: whom a verifier believes, as in C2SP tlog-policy (https://c2sp.org/tlog-policy).

    log <vkey> [<url>]
    witness <name> <vkey> [<url>]
    group <name> all|any|<number> <name>...
    quorum <name>|none
    #keyledger label <origin> <label>

A checkpoint is accepted that one of the logs signed under its own origin, and that witnesses of the quorum cosigned.
While a log changes its key, a policy lists both; the older is taken out when no proof that only it signed is in use.

The last kind of line is our own: it pins the label under which the root log holds the heads of the log `origin`
(ledger/tlog/heads.py). It is a comment to every other tool, so the file stays a tlog-policy that they read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ledger.tlog.canonical import parse_decimal
from ledger.tlog.checkpoints import Checkpoint, InvalidCheckpoint
from ledger.tlog.checkpoints import parse as parse_checkpoint
from ledger.tlog.heads import LABEL
from ledger.tlog.notes import Algorithm, InvalidKey, InvalidNote, Note, Unsigned, VerifierKey, open_note

POLICY_BYTES_MAX = 1_000_000  # thousands of witnesses: more than any policy has, and read in an instant
NONE = "none"
OURS = "#keyledger"
"""What lines begin with that only Keyledger reads."""


class InvalidPolicy(ValueError):
    """A file is not a policy; the message says in which line."""


class Unwitnessed(Exception):
    """A log signed this checkpoint, but the witnesses that the policy asks for did not: others may be shown another."""


@dataclass(frozen=True, slots=True)
class Group:
    """So many of these witnesses and groups have to have cosigned."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """The keys of the logs, those of the witnesses by name, and which of these must have cosigned.

    Groups stand in an order in which each names only what stands before it. `urls` has those of witnesses, by name,
    and `labels` the pinned label of each log in the root log, by the log's origin.
    """

    logs: tuple[VerifierKey, ...]
    witnesses: Mapping[str, VerifierKey]
    groups: Mapping[str, Group]
    quorum: str
    urls: Mapping[str, str]
    labels: Mapping[str, str] = field(default_factory=dict)

    def open_checkpoint(self, note: bytes) -> tuple[Checkpoint, Note]:
        """The checkpoint of a note that a log signed under its own origin, whether witnesses cosigned it or not.

        Raises InvalidNote (Unsigned, where it is a note) or InvalidCheckpoint.
        """
        opened = open_note(note, (*self.logs, *self.witnesses.values()))
        checkpoint = parse_checkpoint(opened.text)
        signers = {signature.key for signature in opened.signatures if signature.key.name == checkpoint.origin}
        if signers.isdisjoint(self.logs):
            raise Unsigned(f"no log of the policy signed this for {checkpoint.origin}")
        return checkpoint, opened

    def witnessed(self, note: Note) -> bool:
        """Whether the witnesses of the quorum cosigned this note."""
        keys = {signature.key for signature in note.signatures}
        cosigned = {NONE, *(name for name, key in self.witnesses.items() if key in keys)}
        for name, group in self.groups.items():
            if sum(member in cosigned for member in group.members) >= group.threshold:
                cosigned.add(name)
        return self.quorum in cosigned

    def satisfied(self, note: bytes) -> bool:
        """Whether a checkpoint's note is all that the policy asks for: signed by a log, and witnessed."""
        try:
            _checkpoint, opened = self.open_checkpoint(note)
        except (InvalidNote, InvalidCheckpoint):
            return False
        return self.witnessed(opened)


def parse(file: bytes) -> Policy:
    """The policy of a file; raises InvalidPolicy."""
    if len(file) > POLICY_BYTES_MAX:
        raise InvalidPolicy(f"a policy has at most {POLICY_BYTES_MAX} bytes")
    reader = _Reader()
    for number, octets in enumerate(file.split(b"\n"), start=1):
        try:
            reader.read(octets)
        except ValueError as error:
            raise InvalidPolicy(f"line {number}: {error}") from None
    if reader.quorum is None:
        raise InvalidPolicy("a policy has a line for its quorum; `quorum none` asks for no witness")
    return Policy(tuple(reader.logs), reader.witnesses, reader.groups, reader.quorum, reader.urls, reader.labels)


def encode(policy: Policy) -> bytes:
    """The file of a policy, which `parse` reads as this policy again."""
    lines = [
        *(f"log {key.encode()}" for key in policy.logs),
        *(" ".join(("witness", name, key.encode(), *_url(policy, name))) for name, key in policy.witnesses.items()),
        *(f"group {name} {group.threshold} {' '.join(group.members)}" for name, group in policy.groups.items()),
        f"quorum {policy.quorum}",
        *(f"{OURS} label {origin} {label}" for origin, label in policy.labels.items()),
    ]
    return "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")


def _url(policy: Policy, name: str) -> tuple[str, ...]:
    return (policy.urls[name],) if name in policy.urls else ()


class _Reader:
    """What the lines up to now defined."""

    def __init__(self) -> None:
        self.logs: list[VerifierKey] = []
        self.witnesses: dict[str, VerifierKey] = {}
        self.groups: dict[str, Group] = {}
        self.urls: dict[str, str] = {}
        self.labels: dict[str, str] = {}
        self.quorum: str | None = None
        self._members: set[str] = set()

    def read(self, octets: bytes) -> None:
        """Take in one line; raises ValueError, which says what is wrong with it."""
        if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", octets):
            raise ValueError("there is a control character")
        # Octets beyond ASCII are opaque; this keeps different ones different, whether they are UTF-8 or not.
        line = octets.decode(errors="surrogateescape").strip(" \t")
        words = re.split("[ \t]+", line)
        if not line or (line.startswith("#") and not line.startswith(OURS)):
            return
        match words:
            case [ours, "label", origin, label] if ours == OURS:
                self._pin(origin, label)
            case ["log", vkey]:
                self._add_log(vkey)
            case ["log", vkey, _url]:
                self._add_log(vkey)
            case ["witness", name, vkey, *url] if len(url) <= 1:
                self._add_witness(name, vkey)
                self.urls.update((name, each) for each in url)
            case ["group", name, threshold, *members] if members:
                self._add_group(name, threshold, members)
            case ["quorum", name]:
                if self.quorum is not None:
                    raise ValueError("there is one quorum")
                if name != NONE:
                    self._check_defined(name)
                self.quorum = name
            case _:
                raise ValueError("this is neither a log, a witness, a group, a quorum nor a label")

    def _pin(self, origin: str, label: str) -> None:
        if not LABEL.fullmatch(label):
            raise ValueError("a label is 16 bytes in hex")
        if origin in self.labels:
            raise ValueError(f"the label of {origin} is pinned already")
        self.labels[origin] = label

    def _add_log(self, vkey: str) -> None:
        key = VerifierKey.parse(vkey)
        if key.algorithm is not Algorithm.ED25519:
            raise InvalidKey("a log has a key of type 1, not one for cosignatures")
        if any(other.public_key == key.public_key for other in self.logs):
            raise ValueError("two logs have the same key")
        self.logs.append(key)

    def _add_witness(self, name: str, vkey: str) -> None:
        self._check_new(name)
        key = VerifierKey.parse(vkey)
        if key.algorithm is not Algorithm.COSIGNATURE:
            raise InvalidKey("a witness has a key of type 4, for cosignatures")
        if any(other.public_key == key.public_key for other in self.witnesses.values()):
            raise ValueError("two witnesses have the same key")
        self.witnesses[name] = key

    def _add_group(self, name: str, threshold: str, members: list[str]) -> None:
        self._check_new(name)
        for member in members:
            self._check_defined(member)
            if member in self._members:  # else one witness would count twice
                raise ValueError(f"{member!r} is a member already")
            self._members.add(member)
        least = {"any": 1, "all": len(members)}.get(threshold) or parse_decimal(threshold)
        if not 1 <= least <= len(members):
            raise ValueError(f"a group of {len(members)} cannot ask for {least}")
        self.groups[name] = Group(least, tuple(members))

    def _check_new(self, name: str) -> None:
        if name == NONE or name in self.witnesses or name in self.groups:
            raise ValueError(f"{name!r} is defined already")

    def _check_defined(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise ValueError(f"{name!r} is not defined before this line")
