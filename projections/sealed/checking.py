"""Checking a live database: whether its events are those that were sealed, and if not, which were touched.

It looks at what the database holds now as an auditor looks at a bundle, leaf by leaf, and besides at what only the
database has: events that no leaf stands for, and the signer's memory of heads that the trees may no longer lead to.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from ledger.sealed_log import SealedLog
from ledger.store.codec import SEALED
from ledger.store.datastore import LedgerDatastore
from ledger.store.log import READ_BYTES_MAX, EventLog
from ledger.tlog import checkpoints, heads, notes
from ledger.tlog.bundle import ERASURES, Filter, LeafLine, Payload, base_of
from ledger.tlog.checkpoints import Checkpoint
from ledger.tlog.examining import Examination, told
from ledger.tlog.heads import Head
from ledger.tlog.leaves import Leaf
from ledger.tlog.merkle import Frontier
from ledger.tlog.report import FINDINGS_MAX, Known, Report, Verdict
from ledger.tlog.tiles import WIDTH, InvalidTile
from projections.sealed.exporting import SealedHashes
from projections.sealed.integrating import TRACKING
from projections.sealed.memory import SignerMemory
from projections.sealed.reading import find_tree, frontier_at
from projections.sealed.signing import verifier_keys
from projections.sealed.trees import INSTALLATION, ROOT, Connection, Tree, fetch, origin_of, tree_of

_SEALED = f'"{SEALED}'.encode()
CHUNK_LEAVES = WIDTH  # read at once, with their events: a tile's worth
SHOWN_SECONDS_MAX = 2.0  # a signer that runs takes milliseconds; one that crashed there goes on when it is started
SHOWN_SECONDS = 0.02  # between looks


def check(
    log: EventLog,
    state: SealedLog,
    memory: SignerMemory | None,
    known: Sequence[Known] = (),
    organisation_id: UUID | None = None,
) -> Iterator[tuple[str, Report]]:
    """Look at the trees of a ledger, or at one organisation's: the origin of each with what was found.

    `memory` is the signer's, where this machine has it; `known` are signed checkpoints from elsewhere.
    """
    with log.datastore.connect() as connection:
        # Bounded by the log's length, not by a request's patience.
        connection.execute("SET statement_timeout TO 0")
        looked_at = set[str]()
        for tree in _trees(connection) if organisation_id is None else [organisation_id]:
            looked_at.add(origin_of(state.base, tree))
            yield origin_of(state.base, tree), _check_tree(log, connection, state, tree, memory, known)
        report = Report()
        _check_events(connection, report, organisation_id)
        if organisation_id is None and memory is not None:
            _check_memory(connection, state, memory, report)
        _tell_uncompared(report, state, known, looked_at, every=organisation_id is None)
        yield f"{state.base}: events", report


def _tell_uncompared(
    report: Report, state: SealedLog, known: Sequence[Known], looked_at: set[str], *, every: bool
) -> None:
    """Tell of what is known that is of none of the logs that were looked at. Where these were `every` log that there
    is, one of this generation is gone; any other is of another generation, or of another ledger.
    """
    for source in dict.fromkeys(one.source for one in known):
        checkpoints_of = [one.checkpoint for one in known if one.source == source]
        gone = [one for one in checkpoints_of if one.origin not in looked_at and base_of(one.origin) == state.base]
        if every and gone:
            for one in gone:
                text = f"{one.origin} is gone, and {source} is a signed checkpoint over {one.size} leaves of it"
                report.add(Verdict.TRUNCATED, text)
        elif looked_at.isdisjoint(one.origin for one in checkpoints_of):
            text = f"{source} was not compared: it is of {checkpoints_of[0].origin}, which was not looked at"
            report.add(Verdict.UNTRUSTED, text)


def list_trees(store: LedgerDatastore) -> list[UUID]:
    """Every tree that there is."""
    return [row["tree"] for row in store.rows("SELECT tree FROM sealed_tree")]


def _trees(connection: Connection) -> list[UUID]:
    return [tree for (tree,) in fetch(connection, "SELECT tree FROM sealed_tree ORDER BY tree", ())]


def _missing(
    connection: Connection, origin: str, tree: UUID, remembered: Frontier | None, known: Sequence[Known]
) -> Report:
    """What there is to say of a log that was not here: nothing, where all its events still wait to be sealed, or did
    when it was looked for.
    """
    report = Report()
    if remembered is not None:
        report.add(Verdict.TRUNCATED, f"the log is gone, and the signer signed {remembered.size} leaves of it")
    for one in known:
        if one.checkpoint.origin == origin:
            text = f"the log is gone, and {one.source} is a signed checkpoint over {one.checkpoint.size} leaves of it"
            report.add(Verdict.TRUNCATED, text)
    # In one look with the log itself: a sealer at work may have begun it since it was looked for.
    (waited,) = connection.execute(
        "SELECT EXISTS (SELECT 1 FROM sealed_tree WHERE tree = %s) "
        "OR EXISTS (SELECT 1 FROM ledger_events WHERE organisation_id IS NOT DISTINCT FROM %s::uuid "
        "AND notification_id > (SELECT position FROM projection_tracking WHERE name = %s))",
        (tree, None if tree == INSTALLATION else tree, TRACKING),
    ).fetchone() or (False,)
    if not report.found and not waited:
        report.add(Verdict.MISSING, "there is no such log, nor any event that would be in it")
    return report


def _check_tree(
    log: EventLog,
    connection: Connection,
    state: SealedLog,
    tree_id: UUID,
    memory: SignerMemory | None,
    known: Sequence[Known],
) -> Report:
    origin, report = origin_of(state.base, tree_id), Report()
    is_in_root = _is_in_signed_root(connection, tree_id)  # before the tree, too: a sealer may be at work
    remembered, tree = _remembered_and_kept(connection, origin, tree_id, memory)
    if tree is None:
        return _missing(connection, origin, tree_id, remembered, known)
    of_this = [one for one in known if one.checkpoint.origin == origin]
    if remembered is not None:
        signed = Checkpoint(origin, remembered.size, remembered.root())
        of_this.append(Known(signed, None, "what the signer remembers"))
    if tree.signed_size == 0 and not of_this and not is_in_root:
        return report  # nothing of it was ever signed
    try:
        note = notes.open_note(tree.checkpoint.encode(), verifier_keys(log.keyring, state, tree.tree))
        checkpoint = report.checkpoint = checkpoints.parse(note.text)
    except (notes.InvalidNote, checkpoints.InvalidCheckpoint) as error:
        report.add(Verdict.UNTRUSTED, f"the checkpoint that is kept is not one of this log's: {error}")
        checkpoint = None
    if checkpoint is not None and (checkpoint.origin, checkpoint.size) != (origin, tree.signed_size):
        report.add(Verdict.TAMPERED, "the checkpoint that is kept is not of this log as it stands")
    examination = Examination(report, str(tree_of(tree.tree)), Filter(), of_this)
    size = tree.size if checkpoint is None else checkpoint.size
    if tree.tree == ROOT:
        _look_at_heads(connection, examination, size)
    else:
        _look_at_leaves(log, connection, examination, tree.tree, size)
    if checkpoint is not None:
        examination.finish(checkpoint)
        _check_tiles(connection, report, tree.tree, checkpoint)
    return report


def _remembered_and_kept(
    connection: Connection, origin: str, tree_id: UUID, memory: SignerMemory | None
) -> tuple[Frontier | None, Tree | None]:
    """What the signer remembers of a tree, and the tree as it is after that: a sealer at work makes it longer.

    What is remembered is shown as a checkpoint a moment later; where it is not yet, that is waited for.
    """
    deadline = time.monotonic() + SHOWN_SECONDS_MAX
    while True:
        remembered = None if memory is None else memory.recall(origin)
        tree = find_tree(connection, tree_id)
        if remembered is None or tree is None or not tree.signed_size < remembered.size <= tree.size:
            return remembered, tree
        if time.monotonic() > deadline:
            return remembered, tree
        time.sleep(SHOWN_SECONDS)


def _is_in_signed_root(connection: Connection, tree: UUID) -> bool:
    """Whether the signed root log holds a head of this tree: then the tree's own was signed as well."""
    root = find_tree(connection, ROOT)
    return root is not None and any(
        connection.execute(
            "SELECT 1 FROM sealed_head WHERE tree = %s AND leaf_index < %s LIMIT 1", (tree, root.signed_size)
        )
    )


def _look_at_leaves(log: EventLog, connection: Connection, examination: Examination, tree: UUID, size: int) -> None:
    report, begin, before = examination.report, 0, 0
    while begin < size:
        with_personal_fields: dict[int, tuple[int, Leaf]] = {}
        done = end = min(size, begin + CHUNK_LEAVES)
        hashes = SealedHashes(connection, tree, begin, end)
        for index, entry, salt, position, event_position, organisation_id, *event, state in connection.execute(
            "SELECT leaf_index, entry, salt, position, notification_id, organisation_id, "
            "topic, originator_id, originator_version, state FROM ("
            "SELECT l.leaf_index, l.entry, l.salt, l.position, e.notification_id, e.organisation_id, "
            "e.topic, e.originator_id, e.originator_version, e.state, sum(octet_length(e.state)) OVER "
            "(ORDER BY l.leaf_index ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before "
            "FROM sealed_leaf l LEFT JOIN ledger_events e "
            "ON e.originator_id = l.aggregate_id AND e.originator_version = l.aggregate_version "
            "WHERE l.tree = %s AND l.leaf_index >= %s AND l.leaf_index < %s) AS first "
            "WHERE coalesce(bytes_before, 0) < %s ORDER BY leaf_index",
            (tree, begin, end, READ_BYTES_MAX),
            prepare=True,
            binary=True,
        ).fetchall():
            done = index + 1
            said = report.found.total()
            payload = None if event_position is None else Payload(salt, state)
            leaf = examination.leaf(LeafLine(index, hashes.of(index, entry), entry, payload))
            if leaf is not None and payload is not None:
                for what in _moved(leaf, position, event_position, organisation_id, *event):
                    report.add(Verdict.TAMPERED, f"{told(index, leaf)}: the event was {what}", index)
                if _SEALED in state and report.found.total() == said:
                    with_personal_fields[event_position] = index, leaf
            if position <= before:
                text = f"leaf {index} stands for position {position} of the log, after one for {before}"
                report.add(Verdict.TAMPERED, text, index)
            before = position
        _look_at_personal_fields(log, connection, report, with_personal_fields)
        begin = done  # fewer than were asked for, where their events are large
    _look_for_gaps(connection, report, tree, size)


def _look_at_personal_fields(
    log: EventLog, connection: Connection, report: Report, leaves: Mapping[int, tuple[int, Leaf]]
) -> None:
    """Personal fields of events that are as they were sealed, by position, can be read, or were erased: no leaf covers
    their keys.
    """
    gone: dict[UUID, tuple[int, Leaf]] = {}
    for position, event, has_key in log.personal_at(list(leaves), connection=connection):
        index, leaf = leaves[position]
        if event is None:
            text = f"{told(index, leaf)}: its personal data was not erased, and cannot be read"
            report.add(Verdict.TAMPERED, text, index)
        elif not has_key:
            gone[UUID(leaf.aggregate)] = index, leaf
    erased = fetch(
        connection,
        "SELECT originator_id FROM ledger_events WHERE originator_id = ANY(%s) AND topic = ANY(%s)",
        (list(gone), sorted(ERASURES)),
    )
    for aggregate in gone.keys() - {aggregate for (aggregate,) in erased}:
        index, leaf = gone[aggregate]
        text = f"{told(index, leaf)}: the key of its personal data is gone, and the log has no erasure of it"
        report.add(Verdict.TAMPERED, text, index)


def _look_for_gaps(connection: Connection, report: Report, tree: UUID, size: int) -> None:
    """Before each leaf stands that of the version before it, of the same thing: one that was taken out before it was
    sealed has no leaf, and shows by this alone.
    """
    for index, aggregate, version in connection.execute(
        "SELECT l.leaf_index, l.aggregate_id, l.aggregate_version FROM sealed_leaf l "
        "WHERE l.tree = %s AND l.leaf_index < %s AND l.aggregate_version > 1 "
        "AND NOT EXISTS (SELECT 1 FROM sealed_leaf b WHERE b.aggregate_id = l.aggregate_id "
        "AND b.aggregate_version = l.aggregate_version - 1 AND b.position < l.position) "
        "ORDER BY l.leaf_index LIMIT %s",
        (tree, size, FINDINGS_MAX),
        binary=True,
    ):
        text = f"leaf {index}: version {version} of {aggregate} was sealed, and version {version - 1} was not before it"
        report.add(Verdict.MISSING, text, index)


def _moved(
    leaf: Leaf,
    sealed_at: int,
    position: int,
    organisation_id: UUID | None,
    topic: str,
    aggregate_id: UUID,
    version: int,
) -> Iterator[str]:
    """What stands beside an event's bytes and is not as it was sealed."""
    if position != sealed_at:
        yield f"moved from position {sealed_at} of the log to {position}"
    if topic != leaf.topic:
        yield f"made one of {topic}"
    if (str(aggregate_id), str(version)) != (leaf.aggregate, leaf.version):
        yield f"made version {version} of {aggregate_id}"
    if str(tree_of(organisation_id)) != leaf.organisation:
        yield f"given to organisation {organisation_id}"


def _look_at_heads(connection: Connection, examination: Examination, size: int) -> None:
    begin = 0
    while begin < size:
        hashes = SealedHashes(connection, ROOT, begin, begin + CHUNK_LEAVES)
        for index, entry, salt, origin, head_size, root, label in connection.execute(
            "SELECT h.leaf_index, h.entry, h.salt, h.origin, h.size, h.root, t.label FROM sealed_head h "
            "LEFT JOIN sealed_tree t ON t.tree = h.tree "
            "WHERE h.leaf_index >= %s AND h.leaf_index < %s ORDER BY h.leaf_index",
            (begin, min(size, begin + CHUNK_LEAVES)),
            prepare=True,
            binary=True,
        ).fetchall():
            if not examination.entry(index, hashes.of(index, entry), entry):
                continue
            if _head_now(label, salt, origin, head_size, root) != entry:
                examination.report.add(
                    Verdict.TAMPERED, f"leaf {index}: the head of {origin} is not as it was sealed", index
                )
        begin += CHUNK_LEAVES


def _head_now(label: str, salt: bytes, origin: str, size: int, root: bytes) -> bytes:
    """What a head would be entered as now; nothing where it is none any more."""
    try:
        return heads.encode(Head(label, heads.head_digest(salt, checkpoints.encode(Checkpoint(origin, size, root)))))
    except ValueError:
        return b""


def _check_tiles(connection: Connection, report: Report, tree: UUID, checkpoint: Checkpoint) -> None:
    """Proofs are made of tiles, so these must lead to the same root as the leaves."""
    try:
        right = frontier_at(connection, tree, checkpoint.size).root() == checkpoint.root
    except (InvalidTile, ValueError):
        right = False
    if not right:
        report.add(Verdict.TAMPERED, "the tiles do not give the root that was signed")


def _check_events(connection: Connection, report: Report, organisation_id: UUID | None) -> None:
    """Every event up to where the sealer is has a leaf in its organisation's tree: what has none was slipped in behind
    its back. A leaf beyond the end of a tree is none: no signature ever covered it.
    """
    # By the leaves, too: what the sealer has noted of itself can be set back.
    row = connection.execute(
        "SELECT greatest((SELECT position FROM projection_tracking WHERE name = %s), "
        "(SELECT max(position) FROM sealed_leaf), 0)",
        (TRACKING,),
    ).fetchone()
    sealed = int(row[0]) if row else 0
    row = connection.execute("SELECT position FROM ledger_head").fetchone()
    head = int(row[0]) if row else 0
    if head < sealed:
        report.add(Verdict.TRUNCATED, f"the log ends at position {head}, and was sealed up to {sealed}")
    of = None if organisation_id == INSTALLATION else organisation_id
    for position, aggregate, version, topic in connection.execute(
        "SELECT e.notification_id, e.originator_id, e.originator_version, e.topic FROM ledger_events e "
        "WHERE e.notification_id <= %(sealed)s AND (%(all)s OR e.organisation_id IS NOT DISTINCT FROM %(of)s::uuid) "
        "AND NOT EXISTS (SELECT 1 FROM sealed_leaf l JOIN sealed_tree t ON t.tree = l.tree AND l.leaf_index < t.size "
        "WHERE l.aggregate_id = e.originator_id AND l.aggregate_version = e.originator_version "
        "AND l.tree = coalesce(e.organisation_id, %(installation)s)) "
        "ORDER BY e.notification_id LIMIT %(limit)s",
        {
            "sealed": sealed,
            "all": organisation_id is None,
            "of": of,
            "installation": INSTALLATION,
            "limit": FINDINGS_MAX,
        },
        binary=True,
    ):
        report.add(
            Verdict.TAMPERED,
            f"position {position} ({topic}, version {version} of {aggregate}): the event was slipped in, no leaf "
            "stands for it",
        )


def _check_memory(connection: Connection, state: SealedLog, memory: SignerMemory, report: Report) -> None:
    """Every log that the signer ever signed for is there."""
    owed = [(origin, signed.size) for origin, signed in memory.owed(state)]  # first, as a sealer may begin a tree
    there = {origin_of(state.base, tree) for tree in _trees(connection)}
    for origin, size in owed:
        if origin not in there:
            report.add(Verdict.TRUNCATED, f"{origin} is gone: {size} leaves of it were signed")
