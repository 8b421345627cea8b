"""Bundles made up for tests: a ledger of one organisation whose log holds a few events."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

from ledger.tlog import bundle, checkpoints, heads, leaves, merkle, notes
from ledger.tlog.bundle import REQUEST, Filter, HeadLine, LeafLine, Manifest, Payload, Seal
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.heads import Head
from ledger.tlog.leaves import Leaf
from ledger.tlog.merkle import Frontier, leaf_hash
from ledger.tlog.notes import Algorithm, SignerKey
from ledger.tlog.policy import Policy
from ledger.tlog.policy import parse as parse_policy
from tests.unit.tlog.trees import mth

BASE = "keys.example.com"
ORGANISATION = "0197a000-0000-7000-8000-000000000001"
ORIGIN, ROOT_ORIGIN = f"{BASE}/organisations/{ORGANISATION}", f"{BASE}/root"
LABEL = "5f" * 16
SEED, OTHER_SEED = bytes(range(32)), bytes(range(1, 33))
WITNESS = SignerKey("witness.example.org", Algorithm.COSIGNATURE, bytes(range(2, 34)))
MANIFEST = Manifest(ORIGIN, LABEL, 1, str(UUID(int=7)), "2026-03-01T00:00:00.000000Z", "operator:ada", "yearly audit")


def log_key(origin: str, seed: bytes = SEED) -> SignerKey:
    """The key of one log: each has its own, made from a seed."""
    return SignerKey(origin, Algorithm.ED25519, sha256(seed + origin.encode()).digest())


def policy(seed: bytes = SEED, *, witnessed: bool = False, label: str = LABEL) -> Policy:
    """The log's key and its root log's, and its label; with one witness, who must have cosigned."""
    lines = [f"#keyledger label {ORIGIN} {label}"]
    lines += [f"log {log_key(origin, seed).verifier.encode()}" for origin in (ORIGIN, ROOT_ORIGIN)]
    lines += [f"witness w {WITNESS.verifier.encode()}", "quorum w"] if witnessed else ["quorum none"]
    return parse_policy("\n".join([*lines, ""]).encode())


def leaf(index: int, text: str = "", topic: str = "credential.created", at: str = "") -> LeafLine:
    """The leaf of an event that happened to one of three credentials, one a day."""
    at = at or f"2026-03-{index + 1:02}T12:00:00.000000Z"
    state = json.dumps({"context": {"at": at}, "name": text or f"key {index} “ä”"}).encode()
    return leaf_of(index, str(UUID(int=index % 3)), topic, at, str(index // 3 + 1), state)


def request(index: int, asked: Filter | None = None, manifest: Manifest = MANIFEST) -> LeafLine:
    """The leaf of the event by which a bundle was asked for."""
    asked = asked or Filter()
    state = {
        "context": {"at": manifest.requested_at, "actor": manifest.requested_by, "reason": manifest.reason},
        "begin": asked.begin or None,
        "end": asked.end or None,
        "aggregates": asked.aggregates,
        "topics": asked.topics,
        "personal": manifest.personal,
    }
    return leaf_of(index, manifest.export, REQUEST, manifest.requested_at, "1", json.dumps(state).encode())


def leaf_of(index: int, aggregate: str, topic: str, at: str, version: str, state: bytes) -> LeafLine:
    salt = sha256(b"%d" % index).digest()[:16]
    digest = leaves.state_digest(salt, state)
    entry = leaves.encode(Leaf(aggregate, at, digest, ORGANISATION, topic, version))
    return LeafLine(index, leaf_hash(entry), entry, Payload(salt, state))


def a_log(size: int, asked: Filter | None = None) -> list[LeafLine]:
    """The leaves of a log in which the first event is the request for the bundle."""
    return [request(0, asked), *map(leaf, range(1, size))]


def head_of(hashes: Iterable[bytes], origin: str = ORIGIN) -> Checkpoint:
    """What the log states when it has these leaves."""
    frontier = Frontier()
    frontier.extend(list(hashes))
    return Checkpoint(origin, frontier.size, frontier.root())


def entry(head: Checkpoint, label: str = LABEL) -> bytes:
    """What a head is in the root log."""
    return heads.encode(Head(label, heads.head_digest(bytes(16), checkpoints.encode(head))))


class RootLog:
    """A root log in which heads of the log stand among heads of others."""

    def __init__(self, *own: Checkpoint) -> None:
        self.entries: list[bytes] = []
        self.own: list[tuple[int, Checkpoint]] = []
        for number, head in enumerate(own):
            self.entries += [entry(Checkpoint("other", size, bytes(32)), "0a" * 16) for size in range(number % 4 + 1)]
            self.own.append((len(self.entries), head))
            self.entries.append(entry(head))

    def opened(self) -> list[HeadLine]:
        """The lines of the heads."""
        lines, begin = [], 0
        for index, head in self.own:
            between = self.hashes(begin, index)
            lines.append(HeadLine(index, head.origin, head.size, head.root, bytes(16), between))
            begin = index + 1
        return lines

    def hashes(self, begin: int, end: int) -> tuple[bytes, ...]:
        """Of the complete subtrees that cover these entries."""
        subtrees = ((index << level, index + 1 << level) for level, index in merkle.complete_subtrees(begin, end))
        return tuple(mth(self.entries[first:last]) for first, last in subtrees)

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(ROOT_ORIGIN, len(self.entries), mth(self.entries))


class Sealed(NamedTuple):
    """What stands around the leaves of a bundle."""

    heads: Sequence[HeadLine]
    seal: Seal


def seal(
    hashes: Iterable[bytes],
    seed: bytes = SEED,
    *,
    cosigned: bool = False,
    root: RootLog | None = None,
    origin: str = ORIGIN,
) -> Sealed:
    """What seals these leaves: their checkpoint, and a root log with some heads before it, and others after."""
    every = list(hashes)
    now = head_of(every, origin)
    if root is None:
        root = RootLog(*(head_of(every[:size]) for size in (1, 2, 5) if size < len(every)), now)
        root.entries.append(entry(Checkpoint("other", 9, bytes(32)), "0b" * 16))
    signers = [log_key(ROOT_ORIGIN, seed), *([WITNESS] if cosigned else [])]
    note = notes.sign(checkpoints.encode(root.checkpoint), signers, time=1_775_000_000).decode()
    signed = notes.sign(checkpoints.encode(now), [log_key(origin, seed)]).decode()
    return Sealed(root.opened(), Seal(signed, root.hashes(root.own[-1][0] + 1, len(root.entries)), note))


def written(manifest: Manifest, lines: Sequence[LeafLine], sealed: Sealed, after: Sequence[bytes] = ()) -> list[bytes]:
    """The lines of a bundle, with a digest of its own that fits."""
    before = [
        bundle.encode_manifest(manifest),
        *map(bundle.encode_head_line, sealed.heads),
        *map(bundle.encode_leaf_line, lines),
        *after,
        bundle.encode_seal(sealed.seal),
    ]
    return [*before[:-1], before[-1] + bundle.finish_seal(sha256(b"".join(before)).hexdigest())]


def a_bundle(size: int = 7, asked: Filter | None = None, *, cosigned: bool = False) -> list[bytes]:
    """A bundle in which everything is right."""
    asked = asked or Filter()
    lines = a_log(size, asked)
    kept = [
        line if asked.takes(leaves.parse(line.entry)) or line is lines[0] else line._replace(payload=None)
        for line in lines
    ]
    return written(
        replace(MANIFEST, size=size, filter=asked), kept, seal((line.hash for line in lines), cosigned=cosigned)
    )
