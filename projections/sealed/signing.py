"""Signing the trees' heads, after reading again what is to be signed.

The signer does not believe the sealer. It goes on from the head that it signed last, takes every leaf after that from
what the database holds now, makes each of them anew from the event itself, and signs the root that this gives, if it is
the one that the sealer came to. So it can never sign what is not a continuation of what it signed before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from uuid import UUID

from ledger.sealed_log import SealedLog, SealingKey
from ledger.store.keys import Keyring
from ledger.tlog import checkpoints, notes
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.merkle import Frontier
from ledger.tlog.notes import Algorithm, SignerKey, VerifierKey
from ledger.tlog.tiles import WIDTH, InvalidTile
from projections.sealed.integrating import TRACKING
from projections.sealed.memory import SignerMemory
from projections.sealed.reading import frontier_at, roots_at
from projections.sealed.rereading import Changed, grow_again
from projections.sealed.trees import (
    COLUMNS,
    Connection,
    Tree,
    find_trees,
    lock_trees,
    origin_of,
    position_of,
    tree_from,
)

SIGNING = "signing"
"""The name under which the position is tracked up to which everything is in a signed head."""
TREES_MAX = 1_000  # signed in one go; what a round of sealing can have moved
KEYS_MAX = 10_000  # derived and kept: ten megabytes or so
REMEMBERED_MAX = 250  # trees looked at in one go: twenty megabytes, where each nearly fills a tile


class SignerRefuses(Exception):
    """What is to be signed does not follow from what was signed before, or not from the events."""

    def __init__(self, origin: str, reason: str, lost: Checkpoint | None = None) -> None:
        super().__init__(f"{origin}: {reason}")
        self.origin = origin
        self.lost = lost
        """The head that the log no longer leads to, where that is why."""


class NotAsSealed(SignerRefuses):
    """What was sealed and is not signed yet was changed since. No restore explains that, and to declare one mends
    nothing: the events have to be as they were.
    """


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs for one ledger, with the keys that its sealed log has at a moment and what it remembers."""

    memory: SignerMemory
    keyring: Keyring
    _keys: dict[tuple[str, str], SignerKey] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Keys that have signed, by their id and the origin that they sign for: to derive one takes longer than to sign."""

    def check_memory(self, connection: Connection, log: SealedLog) -> list[SignerRefuses]:
        """What stands against signing anything: heads that were signed and that the trees do not hold any more.

        It looks at each head that was ever signed, once, so it is for the start.
        """
        remembered, found = self.memory.owed(log), list[SignerRefuses]()
        trees = dict[str, UUID]()
        while some := list(islice(remembered, REMEMBERED_MAX)):
            if not trees:  # after the memory was begun to be read: a sealer may be at work, and begin new ones
                every = connection.execute("SELECT tree FROM sealed_tree")
                trees = {origin_of(log.base, tree): tree for (tree,) in every}
            sizes = {trees[origin]: signed.size for origin, signed in some if origin in trees}
            kept = find_trees(connection, sizes)
            roots = roots_at(connection, {tree: size for tree, size in sizes.items() if kept[tree].size >= size})
            for origin, signed in some:
                tree = kept[trees[origin]] if origin in trees else None
                if tree is None or tree.size < signed.size:
                    size = 0 if tree is None else tree.size
                    reason = f"{signed.size} leaves were signed, and the log holds {size}: was an old backup restored?"
                elif roots.get(tree.tree) != signed.root():
                    reason = f"the first {signed.size} leaves are not those that were signed"
                else:
                    continue
                found.append(SignerRefuses(origin, reason, Checkpoint(origin, signed.size, signed.root())))
        return found

    def refusals(self, connection: Connection, log: SealedLog) -> list[SignerRefuses]:
        """All that stands against signing: what `check_memory` finds, and what is refused of the trees that grew."""
        found = self.check_memory(connection, log)
        told = {refusal.origin for refusal in found}
        for tree in _all_unsigned(connection):
            try:
                self._checked(connection, log, [tree])
            except SignerRefuses as refusal:
                signed = self.memory.recall(refusal.origin)
                # What is remembered was looked at. Where it is more now, a sealer was at work since this tree was read.
                if refusal.origin not in told and (signed is None or signed.size <= tree.size):
                    found.append(refusal)
        return found

    def sign_heads(self, connection: Connection, log: SealedLog, now: datetime, *, every: bool = False) -> int:
        """Sign the heads that moved since they were signed, at most `TREES_MAX`; returns how many.

        The root tree is the first, as it is what witnesses follow. With the last it is noted how far everything is
        signed. With `every`, those are signed too that another key signed, which takes a look at each tree there is.

        Raises `SignerRefuses` where one of them may not be, with none signed, and `WrongMasterKey` where the key to
        sign with cannot be derived.
        """
        newest = log.keys[-1].kid
        integrated = position_of(connection, TRACKING)  # before the trees are looked at, which grow on meanwhile
        trees = _unsigned(connection, newest if every else None)
        signed = [
            (tree.tree, edge, self._note(log, tree.tree, edge, now))
            for tree, edge in zip(trees, self._checked(connection, log, trees), strict=True)
        ]
        self.memory.remember([(origin_of(log.base, tree), edge) for tree, edge, _ in signed])
        with connection.transaction():
            _write(connection, signed, now, newest)
            if len(signed) < TREES_MAX:
                connection.execute(
                    "UPDATE projection_tracking SET position = %(integrated)s, updated_at = now() "
                    "WHERE name = %(name)s AND position < %(integrated)s",
                    {"integrated": integrated, "name": SIGNING},
                )
        return len(signed)

    def _checked(self, connection: Connection, log: SealedLog, trees: Sequence[Tree]) -> list[Frontier]:
        """The trees' edges, as they follow from the heads that were signed last and the leaves since then."""
        edges = [self._signed_last(connection, log, tree) for tree in trees]
        try:
            grow_again(connection, trees, edges)
        except Changed as changed:
            raise NotAsSealed(origin_of(log.base, changed.tree), str(changed)) from None
        for tree, edge in zip(trees, edges, strict=True):
            if edge.size != tree.size or edge.hashes != tree.frontier.hashes:
                reason = f"{edge.size} leaves do not give the root that the log has at {tree.size}"
                raise NotAsSealed(origin_of(log.base, tree.tree), reason)
            # Where a tile became full, it is looked at as well: proofs are made of tiles.
            if tree.size // WIDTH != tree.signed_size // WIDTH and not _tiles_give(connection, tree.tree, edge):
                raise NotAsSealed(origin_of(log.base, tree.tree), "the tiles do not give the root that the leaves do")
        return edges

    def _signed_last(self, connection: Connection, log: SealedLog, tree: Tree) -> Frontier:
        """The head that was signed last, from which the tree has to go on."""
        origin = origin_of(log.base, tree.tree)
        edge = self.memory.recall(origin)
        if edge is None:
            # This signer is new here: what another one signed is where it begins.
            edge = frontier_at(connection, tree.tree, tree.signed_size)
            self._check_signed_by_us(log, tree, origin, edge)
        if edge.size > tree.size:
            lost = Checkpoint(origin, edge.size, edge.root())
            raise SignerRefuses(origin, f"{edge.size} leaves were signed, and the log holds {tree.size}", lost)
        return edge

    def _check_signed_by_us(self, log: SealedLog, tree: Tree, origin: str, frontier: Frontier) -> None:
        if tree.signed_size == 0:
            return
        try:
            text = notes.open_note(tree.checkpoint.encode(), verifier_keys(self.keyring, log, tree.tree)).text
        except notes.InvalidNote as error:
            raise SignerRefuses(origin, f"its checkpoint is not one of ours: {error}") from None
        if text != checkpoints.encode(Checkpoint(origin, frontier.size, frontier.root())):
            reason = f"the first {frontier.size} leaves are not those that were signed"
            raise SignerRefuses(origin, reason, checkpoints.parse(text))

    def _note(self, log: SealedLog, tree: UUID, frontier: Frontier, now: datetime) -> str:
        """The checkpoint, signed by the newest key, and by those before it until their overlap is over."""
        origin = origin_of(log.base, tree)
        signers = [self._key(log, key, tree, origin) for key in keys_in_use(self.keyring, log, now)]
        return notes.sign(checkpoints.encode(Checkpoint(origin, frontier.size, frontier.root())), signers).decode()

    def _key(self, log: SealedLog, key: SealingKey, tree: UUID, origin: str) -> SignerKey:
        kept = self._keys.get((key.kid, origin))
        if kept is None:
            if len(self._keys) >= KEYS_MAX:
                self._keys.clear()
            kept = self._keys[key.kid, origin] = signer_key(self.keyring, log, key, tree)
        return kept


def _unsigned(connection: Connection, kid: str | None = None, before: UUID | None = None) -> list[Tree]:
    """Trees that grew since they were signed, or were signed by another key than this, at most `TREES_MAX`: the
    highest ids first, from the one before `before` on.
    """
    of_other_keys = "" if kid is None else "OR kid <> %(kid)s"
    and_before = "" if before is None else "AND tree < %(before)s"
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM sealed_tree "  # noqa: S608 - texts of ours
        f"WHERE (signed_size < size {of_other_keys}) {and_before} ORDER BY tree DESC LIMIT %(limit)s",
        {"limit": TREES_MAX, "kid": kid, "before": before},
        binary=True,
    ).fetchall()
    return [tree_from(row) for row in rows]


def _all_unsigned(connection: Connection) -> Iterator[Tree]:
    """Every tree that grew since it was signed; each once, as it stands when it comes up."""
    some = _unsigned(connection)
    while some:
        yield from some
        some = _unsigned(connection, before=some[-1].tree)


def _tiles_give(connection: Connection, tree: UUID, edge: Frontier) -> bool:
    """Whether the tiles of a tree lead to this edge, as its leaves do."""
    try:
        return frontier_at(connection, tree, edge.size).hashes == edge.hashes
    except InvalidTile:
        return False


def _write(connection: Connection, signed: Sequence[tuple[UUID, Frontier, str]], now: datetime, kid: str) -> None:
    """Show the checkpoints that were signed: for each a tree, its edge, and the note."""
    trees = [tree for tree, _, _ in signed]
    lock_trees(connection, trees)
    connection.execute(
        "UPDATE sealed_tree t SET signed_size = w.size, checkpoint = w.checkpoint, signed_at = %s, kid = %s "
        "FROM unnest(%s::uuid[], %s::bigint[], %s::text[]) AS w (tree, size, checkpoint) WHERE t.tree = w.tree",
        (now, kid, trees, [edge.size for _, edge, _ in signed], [note for _, _, note in signed]),
    )


def verifier_keys(keyring: Keyring, log: SealedLog, tree: UUID) -> list[VerifierKey]:
    """The keys that ever signed a tree's checkpoints, newest first, as far as the master keys at hand give them."""
    return [
        signer_key(keyring, log, key, tree).verifier for key in reversed(log.keys) if keyring.holds(key.master_key_id)
    ]


def keys_in_use(keyring: Keyring, log: SealedLog, now: datetime) -> list[SealingKey]:
    """The newest key, and those before it whose overlap is not over: what signs now, and what a policy names."""
    *before, newest = log.keys
    return [newest] + [
        key
        for key in before
        if key.expires_at is not None and key.expires_at > now and keyring.holds(key.master_key_id)
    ]


def signer_key(keyring: Keyring, log: SealedLog, key: SealingKey, tree: UUID) -> SignerKey:
    """What signs a tree's checkpoints under one of the log's keys. Raises `WrongMasterKey`."""
    seed = keyring.sealing_seed(key.master_key_id, key.kid, tree)
    return SignerKey(origin_of(log.base, tree), Algorithm.ED25519, seed)
