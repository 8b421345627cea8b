"""What a bundle shows beside an organisation's leaves: what the root log holds of it, and what was erased since."""

import time
from collections.abc import Iterator
from uuid import UUID

from ledger.errors import NotSealedYet
from ledger.store.datastore import LedgerDatastore
from ledger.tlog.bundle import ERASURES, ErasureLine, HeadLine, Later
from ledger.tlog.merkle import complete_subtrees
from projections.sealed.reading import consistency_proof, find_tree, inclusion_proof, reader
from projections.sealed.signing import SIGNING
from projections.sealed.trees import INSTALLATION, ROOT, Tree, entries, fetch

CHUNK_HEADS = 500  # read at once; each may lie in a tile of its own, of eight kilobytes
CHUNK_LEAVES = 10_000  # looked through at once for erasures, two megabytes
CHUNK_ENTRIES = 10_000  # of the root log, a megabyte and a half
SIGNED_SECONDS_MAX = 30.0  # a sealer that runs takes one
SIGNED_SECONDS = 0.1  # between looks

_ERASURES = [f'%"topic":"{topic}"%'.encode() for topic in sorted(ERASURES)]


def opened_heads(store: LedgerDatastore, tree: UUID, last: int) -> Iterator[HeadLine]:
    """Every entry of the root log for a tree, up to that at index `last`, and the hashes of what lies between them.

    However slowly they are taken, no connection is held meanwhile.
    """
    begin = 0
    while some := _heads(store, tree, begin, last):
        yield from some
        begin = some[-1].head_index + 1


def _heads(store: LedgerDatastore, tree: UUID, begin: int, last: int) -> list[HeadLine]:
    found = []
    with store.cursor_of_tuples() as curs:
        read = reader(curs.connection, ROOT, last + 1)
        for index, origin, size, root, salt in fetch(
            curs.connection,
            "SELECT leaf_index, origin, size, root, salt FROM sealed_head "
            "WHERE tree = %s AND leaf_index >= %s AND leaf_index <= %s ORDER BY leaf_index LIMIT %s",
            (tree, begin, last, CHUNK_HEADS),
        ):
            between = tuple(read(*subtree) for subtree in complete_subtrees(begin, index))
            found.append(HeadLine(index, origin, size, root, salt, between))
            begin = index + 1
    return found


def erased_since(store: LedgerDatastore, tree: UUID, size: int) -> tuple[Later, Iterator[ErasureLine]] | None:
    """The erasures in a tree after its first `size` leaves, and the checkpoint that has them; None where there is none.

    Whoever is shown that personal data was erased is owed the erasure, so one that is not sealed yet is waited for.
    Raises `NotSealedYet` where nothing comes of that.
    """
    _await_erasures(store, tree)
    with store.cursor_of_tuples() as curs:
        found = find_tree(curs.connection, tree)
        if found is None:
            return None
        proof = consistency_proof(curs.connection, tree, size, found.signed_size)
    if next(_erasures(store, found, size), None) is None:
        return None
    return Later(found.checkpoint, tuple(proof)), _erasures(store, found, size)


def root_entries(store: LedgerDatastore) -> Iterator[bytes]:
    """All entries of the root log, up to its newest checkpoint, a line each: what `audit verify --root-log` takes.

    However slowly they are taken, no connection is held meanwhile.
    """
    with store.cursor_of_tuples() as curs:
        root = find_tree(curs.connection, ROOT)
    size = 0 if root is None else root.signed_size
    for begin in range(0, size, CHUNK_ENTRIES):
        with store.cursor_of_tuples() as curs:
            some = entries(curs.connection, ROOT, begin, min(size, begin + CHUNK_ENTRIES))
        yield from (entry + b"\n" for entry in some)


def _erasures(store: LedgerDatastore, tree: Tree, size: int) -> Iterator[ErasureLine]:
    for begin in range(size, tree.signed_size, CHUNK_LEAVES):
        with store.cursor_of_tuples() as curs:
            rows = fetch(
                curs.connection,
                "SELECT leaf_index, entry FROM sealed_leaf WHERE tree = %s AND leaf_index >= %s AND leaf_index < %s "
                "AND entry LIKE ANY(%s::bytea[]) ORDER BY leaf_index",
                (tree.tree, begin, min(begin + CHUNK_LEAVES, tree.signed_size), _ERASURES),
            )
            proofs = [tuple(inclusion_proof(curs.connection, tree.tree, row[0], tree.signed_size)) for row in rows]
        for (index, entry), proof in zip(rows, proofs, strict=True):
            yield ErasureLine(index, entry, proof)


def _await_erasures(store: LedgerDatastore, tree: UUID) -> None:
    """Wait until the erasures that there are now are signed; those that come meanwhile are not in what was shown."""
    newest = _newest_unsigned_erasure(store, tree)
    deadline = time.monotonic() + SIGNED_SECONDS_MAX
    while newest is not None and not _is_signed(store, newest):
        if time.monotonic() > deadline:
            raise NotSealedYet("an erasure is not in a signed checkpoint yet")
        time.sleep(SIGNED_SECONDS)


def _newest_unsigned_erasure(store: LedgerDatastore, tree: UUID) -> int | None:
    whose = "IS NULL" if tree == INSTALLATION else "= %(tree)s"
    row = store.row(
        f"SELECT max(notification_id) AS newest FROM ledger_events WHERE organisation_id {whose} "  # noqa: S608
        "AND topic = ANY(%(erasures)s) "
        "AND notification_id > (SELECT position FROM projection_tracking WHERE name = %(signing)s)",
        {"tree": tree, "erasures": sorted(ERASURES), "signing": SIGNING},
    )
    return None if row is None else row["newest"]


def _is_signed(store: LedgerDatastore, position: int) -> bool:
    row = store.row("SELECT 1 FROM projection_tracking WHERE name = %s AND position >= %s", (SIGNING, position))
    return row is not None
