"""Bundles from the log: what `ledger/tlog/bundle.py` specifies, made piece by piece in memory that does not grow.

An export ends where the log had a signed head when it was first fetched, and has its own request as one of its leaves,
with the event: nobody can take out events without this being in what they hold. It is made anew each time it is
fetched, the same to the byte but for what was erased since and the root log's checkpoint in its last line, so a
download that was cut off can go on at a leaf. After a key was rotated or a restore declared it has a new end, as what
only an older key signed is believed no more.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from ledger.events import EVENTS, Event
from ledger.export import Export
from ledger.sealed_log import SealedLog
from ledger.store.datastore import LedgerDatastore
from ledger.store.log import READ_BYTES_MAX, EventLog
from ledger.tlog import bundle, checkpoints, notes
from ledger.tlog.bundle import ERASED, ERASURES, UNREADABLE, Filter, Manifest, Seal
from ledger.tlog.leaves import InvalidLeaf, timestamp
from ledger.tlog.leaves import parse as parse_leaf
from ledger.tlog.merkle import HASH_BYTES, complete_subtrees, leaf_hash
from ledger.tlog.tiles import WIDTH
from projections.reading_ahead import read_ahead
from projections.sealed.attested import find_witnessed_root
from projections.sealed.evidence import erased_since, opened_heads
from projections.sealed.reading import SealedHead, find_event, find_head, find_tree, reader
from projections.sealed.sealer import sealed_log
from projections.sealed.signing import signer_key
from projections.sealed.trees import INSTALLATION, ROOT, Connection, fetch, origin_of

CHUNK_LEAVES = 8 * WIDTH  # whose tiles are read at once
READ_LEAVES = 2 * WIDTH  # that are read at once with their events
LARGE_BYTES = READ_BYTES_MAX // READ_LEAVES  # of an event that is read apart; most have a few hundred
CHUNK_ERASURES = 1_000  # whose leaves are read at once, some megabytes
_WITH_PERSONAL_FIELDS = {event.TOPIC for event in EVENTS if event.PERSONAL}

Reached = Callable[[int], None]
"""Called with how many of an export's leaves are done."""


def unwatched(_leaves_done: int) -> None:
    """Where nobody waits to be told."""


@dataclass(frozen=True, slots=True)
class SealedExport:
    """An export whose end is fixed: what its first line says, and the signed checkpoint in its last."""

    tree: UUID
    manifest: Manifest
    checkpoint: str


def find_sealed(log: EventLog, connection: Connection, export: Export) -> SealedExport | None:
    """The export with its end; None while its own request is not in a head that the newest key signed.

    After a key was rotated or a restore declared, every export has a new end.
    """
    fixed = _fixed(log, connection, [export]).get(export.id)
    found = None if fixed is None else find_tree(connection, fixed.tree)
    if fixed is None or found is None:
        return None
    stated = checkpoint_of(fixed.checkpoint)
    manifest = Manifest(
        origin=stated.origin,
        label=found.label,
        size=stated.size,
        export=str(export.id),
        requested_at=timestamp(export.requested.at),
        requested_by=export.requested.actor,
        reason=export.requested.reason,
        filter=Filter(
            begin="" if export.begin is None else timestamp(export.begin),
            end="" if export.end is None else timestamp(export.end),
            aggregates=tuple(map(str, export.aggregates)),
            topics=export.topics,
        ),
        personal=export.personal,
    )
    return SealedExport(fixed.tree, manifest, fixed.checkpoint)


def sealed_sizes(log: EventLog, connection: Connection, exports: Sequence[Export]) -> dict[UUID, int]:
    """How many leaves each export has, by its id; without those that `find_sealed` has no end of yet."""
    ends = _fixed(log, connection, exports)
    return {export_id: checkpoint_of(end.checkpoint).size for export_id, end in ends.items()}


def checkpoint_of(note: str) -> checkpoints.Checkpoint:
    """What one of our own signed notes states."""
    return checkpoints.parse(note.partition("\n\n")[0] + "\n")


class _End(NamedTuple):
    """Where an export ends: the tree that it is of, and the signed checkpoint."""

    tree: UUID
    checkpoint: str


def _fixed(log: EventLog, connection: Connection, exports: Sequence[Export]) -> dict[UUID, _End]:
    """The ends of exports, by their ids; fixed here and now where they can be and were not yet."""
    state = sealed_log(log)
    if state is None:
        return {}
    kept = _kept(connection, exports)
    for export in exports:
        end = kept.get(export.id)
        if end is None or not _is_current(log, state, end):
            kept.pop(export.id, None)
            if _fix(log, connection, state, export, before=end):
                kept.update(_kept(connection, [export]))
    return kept


def _fix(log: EventLog, connection: Connection, state: SealedLog, export: Export, before: _End | None) -> bool:
    """Let an export end with the tree's newest checkpoint, if its own request is in it; false where it is not."""
    event = find_event(connection, export.id, 1)
    tree = None if event is None else find_tree(connection, event.tree)
    if event is None or tree is None or tree.signed_size <= event.index or not _is_in_root(connection, tree.tree):
        return False
    if not _is_current(log, state, _End(tree.tree, tree.checkpoint)):
        return False  # it is signed anew in a moment
    connection.execute(
        "INSERT INTO sealed_export (export_id, tree, size, checkpoint) VALUES (%s, %s, %s, %s) "
        "ON CONFLICT (export_id) DO UPDATE SET size = excluded.size, checkpoint = excluded.checkpoint "
        "WHERE sealed_export.checkpoint IS NOT DISTINCT FROM %s",  # else somebody was quicker
        (export.id, tree.tree, tree.signed_size, tree.checkpoint, None if before is None else before.checkpoint),
    )
    return True


def _kept(connection: Connection, exports: Sequence[Export]) -> dict[UUID, _End]:
    rows = fetch(
        connection,
        "SELECT export_id, tree, checkpoint FROM sealed_export WHERE export_id = ANY(%s)",
        ([export.id for export in exports],),
    )
    return {export_id: _End(tree, checkpoint) for export_id, tree, checkpoint in rows}


def _is_current(log: EventLog, state: SealedLog, end: _End) -> bool:
    """Whether the newest key signed this checkpoint, under the origin that the tree has now."""
    key = signer_key(log.keyring, state, state.keys[-1], end.tree).verifier
    try:
        notes.open_note(end.checkpoint.encode(), [key])
    except notes.InvalidNote:
        return False
    return checkpoint_of(end.checkpoint).origin == origin_of(state.base, end.tree)


def _is_in_root(connection: Connection, tree: UUID) -> bool:
    """Whether the root log's signed checkpoint holds the tree's."""
    found, root = find_tree(connection, tree), find_tree(connection, ROOT)
    head = None if found is None else find_head(connection, tree, found.signed_size)
    return head is not None and root is not None and head.index < root.signed_size


def write_bundle(
    log: EventLog, export: SealedExport, first: int = 0, hashed: Any = None, reached: Reached = unwatched
) -> Iterator[bytes]:
    """A bundle from a leaf on, in pieces of whole lines: the manifest and the heads before leaf 0, and the seal at the
    end.

    The seal has a digest of every line. `hashed` is a SHA-256 of those before `first`, where the caller has it;
    else they are made again to be hashed. However slowly pieces are taken, no connection waits for their taker.
    """
    begin, digest = (0, sha256()) if hashed is None else (first, hashed)
    if hashed is None:
        for line in _opening(log, export):
            digest.update(line)
            if first == 0:
                yield line
    # None lies on both sides of the first that is asked for.
    parts = chain(_parts(log, export, begin, first), _parts(log, export, first, export.manifest.size))
    for part in read_ahead(parts):
        piece = _lines(part)
        digest.update(piece)
        if part.begin >= first:
            yield piece
        reached(part.end)
    if export.manifest.personal:
        for line in _erased_since(log, export):
            digest.update(line)
            yield line
    with log.datastore.cursor_of_tuples() as curs:
        sealed = bundle.encode_seal(_seal(log, curs.connection, export))
    digest.update(sealed)
    yield sealed + bundle.finish_seal(digest.hexdigest())


def _opening(log: EventLog, export: SealedExport) -> Iterator[bytes]:
    """The manifest, and the entries of the root log under the log's label."""
    yield bundle.encode_manifest(export.manifest)
    with log.datastore.cursor_of_tuples() as curs:
        last = _head(curs.connection, export).index
    for head in opened_heads(log.datastore, export.tree, last):
        yield bundle.encode_head_line(head)


def _erased_since(log: EventLog, export: SealedExport) -> Iterator[bytes]:
    """The proof of what is shown as erased here, and was erased after the end of the export."""
    erased = erased_since(log.datastore, export.tree, export.manifest.size)
    if erased is not None:
        later, erasures = erased
        yield bundle.encode_later(later)
        yield from map(bundle.encode_erasure_line, erasures)


_Row = tuple[int, bytes, bytes, int, bytes | None, bool]
"""Of a leaf its index, entry, salt and position, and the event's stored bytes where they are taken. The last is for who
reads it.
"""


class _Part(NamedTuple):
    """Leaves from `begin` and before `end`, as they are there; what tells their hashes, and by the event's position
    what there is to tell of personal fields.
    """

    begin: int
    end: int
    rows: Sequence[_Row]
    hashes: "SealedHashes"
    personal: Mapping[int, Mapping[str, Any] | str]


def _parts(log: EventLog, export: SealedExport, begin: int, end: int) -> Iterator[_Part]:
    """Leaves with the event's stored bytes where the filter takes them, or it is the request. As many at once as make
    `READ_LEAVES`, or of large events `EventLog.states_at` gives.
    """
    personal = export.manifest.personal
    for chunk in range(begin, end, CHUNK_LEAVES):
        chunk_end = min(end, chunk + CHUNK_LEAVES)
        with log.datastore.cursor_of_tuples() as curs:
            hashes = SealedHashes(curs.connection, export.tree, chunk, chunk_end)
        at = chunk
        while at < chunk_end:
            rows, part_end = _read(log, export, at, min(chunk_end, at + READ_LEAVES))
            taken = [position for *_, position, state, _ in rows if state is not None] if personal else []
            yield _Part(at, part_end, rows, hashes, _personal(log, taken) if taken else {})
            at = part_end


def _lines(part: _Part) -> bytes:
    line_of, hash_of, personal_of = bundle.leaf_line_of, part.hashes.of, part.personal.get
    return b"".join(
        [
            line_of(index, hash_of(index, entry), entry, salt, state, personal_of(position))
            for index, entry, salt, position, state, _ in part.rows
        ]
    )


def _read(log: EventLog, export: SealedExport, begin: int, end: int) -> tuple[list[_Row], int]:
    """The first of these leaves, and where they end."""
    with log.datastore.cursor_of_tuples() as curs:
        if export.manifest.filter == Filter():
            return _read_all(log, curs.connection, export, begin, end)
        return _read_asked_for(log, curs.connection, export, begin, end)


def _read_all(
    log: EventLog, connection: Connection, export: SealedExport, begin: int, end: int
) -> tuple[list[_Row], int]:
    """Leaves with their events, the two together, which is what most exports ask of the database; large ones apart."""
    rows = fetch(
        connection,
        # The length of a long state is known without unpacking it.
        "SELECT l.leaf_index, l.entry, l.salt, l.position, CASE WHEN octet_length(e.state) <= %(large)s THEN e.state "
        "END, octet_length(e.state) > %(large)s "
        "FROM sealed_leaf l LEFT JOIN ledger_events e ON e.notification_id = l.position "
        "WHERE l.tree = %(tree)s AND l.leaf_index >= %(begin)s AND l.leaf_index < %(end)s ORDER BY l.leaf_index",
        {"large": LARGE_BYTES, "tree": export.tree, "begin": begin, "end": end},
    )
    large = [position for _, _, _, position, _, is_large in rows if is_large]
    return _with_states(log, connection, rows, large, end) if large else (rows, end)


def _read_asked_for(
    log: EventLog, connection: Connection, export: SealedExport, begin: int, end: int
) -> tuple[list[_Row], int]:
    """Leaves, and those of their events that the filter takes, with that by which they were asked for."""
    asked = export.manifest.filter
    rows = fetch(
        connection,
        "SELECT leaf_index, entry, salt, position, NULL::bytea, aggregate_id = %s FROM sealed_leaf "
        "WHERE tree = %s AND leaf_index >= %s AND leaf_index < %s ORDER BY leaf_index",
        (UUID(export.manifest.export), export.tree, begin, end),
    )
    taken = [position for _, entry, _, position, _, is_request in rows if is_request or takes(asked, entry)]
    return _with_states(log, connection, rows, taken, end) if taken else (rows, end)


def _with_states(
    log: EventLog, connection: Connection, rows: list[_Row], wanted: Sequence[int], end: int
) -> tuple[list[_Row], int]:
    """The first of these leaves, with the stored bytes of the events that are wanted, by their positions; and where the
    leaves end: before the first for which it was too many bytes.
    """
    states = log.states_at(wanted, connection=connection)
    if 0 < len(states) < len(wanted):  # some were too many, or are not there any more
        last = max(states)
        unread = {position for position in wanted if position > last}
        read = next((number for number, row in enumerate(rows) if row[3] in unread), len(rows))
        if read == 0:  # somebody changed the order; however long it is, one is taken
            states = log.states_at([rows[0][3]], connection=connection)
        end = end if read == len(rows) else int(rows[max(read, 1)][0])
    found = [(*row[:4], states.get(row[3]) if row[4] is None else row[4], False) for row in rows if row[0] < end]
    return found, end


class SealedHashes:
    """The hashes of leaves as they were sealed: from the tiles, where these are full."""

    def __init__(self, connection: Connection, tree: UUID, begin: int, end: int) -> None:
        self._tiles: dict[int, bytes] = dict(
            fetch(
                connection,
                "SELECT tile_index, hashes FROM sealed_tile "
                "WHERE tree = %s AND level = 0 AND tile_index >= %s AND tile_index < %s",
                (tree, begin // WIDTH, -(-end // WIDTH)),
            )
        )

    def of(self, index: int, entry: bytes) -> bytes:
        """The hash of a leaf, which has this entry now."""
        hashes, at = self._tiles.get(index // WIDTH, b""), index % WIDTH * HASH_BYTES
        return hashes[at : at + HASH_BYTES] or leaf_hash(entry)


def takes(asked: Filter, entry: bytes) -> bool:
    """Whether the event of a leaf's entry is asked for."""
    try:
        return asked.takes(parse_leaf(entry))
    except InvalidLeaf:
        return False  # it was tampered with, and whoever reads the bundle is told


def erasures_shown(store: LedgerDatastore, export: SealedExport) -> str:
    """A digest of which erasures, since the export was asked for, took something from what it shows; "" for none.

    As long as it is the same, so is all that the export shows. It is "" for ever where no personal fields were asked
    for, and what happens to things beside the filter, or newer than the export's end, does not touch it.
    """
    taken = list[bytes]()
    if export.manifest.personal:
        after = 0
        while erased := _erased_after(store, export, after):
            shown = _shown_of(store, export, list(erased))
            taken += [aggregate.bytes for aggregate in erased if aggregate in shown]
            after = max(erased.values())
    return sha256(b"".join(taken)).hexdigest() if taken else ""


def _erased_after(store: LedgerDatastore, export: SealedExport, after: int) -> dict[UUID, int]:
    """What was erased since the export was asked for and after a position, in order, and where in the log."""
    whose = "IS NULL" if export.tree == INSTALLATION else "= %(tree)s"
    with store.cursor_of_tuples() as curs:
        return dict(
            curs.execute(
                "SELECT originator_id, notification_id FROM ledger_events "  # noqa: S608
                f"WHERE organisation_id {whose} AND topic = ANY(%(erasures)s) "
                "AND notification_id > greatest(%(after)s, "
                "(SELECT position FROM sealed_leaf WHERE aggregate_id = %(export)s AND aggregate_version = 1)) "
                "ORDER BY notification_id LIMIT %(limit)s",
                {
                    "tree": export.tree,
                    "erasures": sorted(ERASURES),
                    "after": after,
                    "export": UUID(export.manifest.export),
                    "limit": CHUNK_ERASURES,
                },
            ).fetchall()
        )


def _shown_of(store: LedgerDatastore, export: SealedExport, aggregates: Sequence[UUID]) -> set[UUID]:
    """Those of some aggregates of which the export shows personal fields, or did before they were erased."""
    with store.cursor_of_tuples() as curs:
        rows = curs.execute(
            "SELECT aggregate_id, entry FROM sealed_leaf "
            "WHERE tree = %s AND leaf_index < %s AND aggregate_id = ANY(%s)",
            (export.tree, export.manifest.size, list(aggregates)),
            binary=True,
        )
        return {aggregate for aggregate, entry in rows if _shows_personal(export.manifest.filter, entry)}


def _shows_personal(asked: Filter, entry: bytes) -> bool:
    """Whether the event of a leaf's entry is asked for and has personal fields."""
    try:
        leaf = parse_leaf(entry)
    except InvalidLeaf:
        return False
    return leaf.topic.partition("@")[0] in _WITH_PERSONAL_FIELDS and asked.takes(leaf)


def _personal(log: EventLog, positions: Sequence[int]) -> dict[int, Mapping[str, Any] | str]:
    """What there is to tell of personal fields, by position."""
    told: dict[int, Mapping[str, Any] | str] = {}
    for position, event, has_key in log.personal_at(positions):
        if event is None:
            told[position] = UNREADABLE
        elif not has_key:
            told[position] = ERASED
        else:
            told[position] = _shown(event)
    return told


def _shown(event: Event) -> Mapping[str, Any]:
    """An event's personal fields but for those that are kept out of every `repr`: hashes of passwords."""
    shown = {each.name for each in fields(event) if each.repr}
    return {name: getattr(event, name) for name in event.PERSONAL if name in shown and getattr(event, name)}


def _head(connection: Connection, export: SealedExport) -> SealedHead:
    """Where the root log holds the checkpoint that the export ends with."""
    head = find_head(connection, export.tree, export.manifest.size)
    if head is None:
        raise LookupError("the root log does not hold this checkpoint")
    return head


def _seal(log: EventLog, connection: Connection, export: SealedExport) -> Seal:
    index = _head(connection, export).index
    root = _root_over(log, connection, index)
    if root is None:
        raise LookupError("no checkpoint of the root log holds this one")
    root_size, root_checkpoint = root
    read = reader(connection, ROOT, root_size)
    after = tuple(read(*subtree) for subtree in complete_subtrees(index + 1, root_size))
    return Seal(export.checkpoint, after, root_checkpoint)


def _root_over(log: EventLog, connection: Connection, head_index: int) -> tuple[int, str] | None:
    """The size and the signed note of the root checkpoint to show for a head: witnessed, if it was by now."""
    state = sealed_log(log)
    if state is None:
        return None
    witnessed = find_witnessed_root(connection, state.base)
    if witnessed and head_index < witnessed.size and _is_current(log, state, _End(ROOT, witnessed.checkpoint)):
        return witnessed.size, witnessed.checkpoint
    root = find_tree(connection, ROOT)
    return None if root is None or root.signed_size <= head_index else (root.signed_size, root.checkpoint)
