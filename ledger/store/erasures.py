"""What was erased, listed outside the database that it was erased from.

Whoever restores an older backup brings back the keys that were destroyed since, and with them the data of people who
were promised that it is gone. This file stays: by it everything that was erased is erased again before anything is
answered. It holds ids and times, who did it and why, and nothing of what was erased. Keep it where the database's
backups do not reach.

Each entry gets a random mark. A database that holds the mark of an entry has nothing any more of what was listed up to
there; a backup of it has an older mark, or none. So only what was listed since has to be looked at.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from ledger.errors import StoreUnavailable
from ledger.events import CredentialErased, OperatorErased, Recorded
from ledger.store.durable_file import open_durable

BATCH = 500  # what a batch of queries and commands takes at once

_TABLE = """
CREATE TABLE IF NOT EXISTS erased (
    id BLOB PRIMARY KEY,
    aggregate TEXT NOT NULL,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""
# In which order erasures were entered. By a trigger, so that an entry of a release that knows no marks has one too.
_IN_ORDER = (
    "CREATE TABLE entered (number INTEGER PRIMARY KEY, mark BLOB NOT NULL UNIQUE, id BLOB NOT NULL) STRICT",
    "INSERT INTO entered (mark, id) SELECT randomblob(16), id FROM erased",
    """CREATE TRIGGER erased_entered AFTER INSERT ON erased
    BEGIN INSERT INTO entered (mark, id) VALUES (randomblob(16), NEW.id); END""",
)


class Erasure(NamedTuple):
    """Whose data was erased (a credential's or an operator's), when, by whom as events name them, and why."""

    id: UUID
    aggregate: str
    at: datetime
    actor: str
    reason: str


def erasures_in(recorded: Iterable[Recorded]) -> list[Erasure]:
    """The erasures among some events. Of a bulk revocation's email there is none: it goes with a credential again."""
    return [
        Erasure(
            one.aggregate_id,
            one.event.TOPIC.partition(".")[0],
            one.event.context.at,
            one.event.context.actor,
            one.event.context.reason,
        )
        for one in recorded
        if isinstance(one.event, CredentialErased | OperatorErased)
    ]


class ErasureList:
    """The list of one installation, for any number of threads and processes of a machine.

    Where there is no data directory, as beside a command line that came from elsewhere, nothing is listed here: the
    process that sweeps lists what others erased. Every method raises `StoreUnavailable` where the file is unusable.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def kept(self) -> bool:
        """Whether there is a place for the list on this machine."""
        return self._file.parent.is_dir()

    def remember(self, erasures: Iterable[Erasure]) -> None:
        """Add to the list; it is on the disk when this returns. What it has already stays as it is."""
        rows = [(e.id.bytes, e.aggregate, e.at.astimezone(UTC).isoformat(), e.actor, e.reason) for e in erasures]
        if rows and self.kept:
            with _unavailable_as_such(), closing(self._open()) as database, database:
                database.execute("BEGIN IMMEDIATE")
                database.executemany("INSERT OR IGNORE INTO erased VALUES (?, ?, ?, ?, ?)", rows)

    def missing(self, ids: Iterable[UUID]) -> list[UUID]:
        """Those of some ids that are not listed, in their order."""
        if not self._file.exists():
            return list(ids)
        with _unavailable_as_such(), closing(self._open()) as database:
            known = "SELECT 1 FROM erased WHERE id = ?"
            return [one for one in ids if database.execute(known, (one.bytes,)).fetchone() is None]

    def newest_mark(self) -> bytes | None:
        """The mark of what was entered last; None where nothing is listed."""
        if not self._file.exists():
            return None
        with _unavailable_as_such(), closing(self._open()) as database:
            row = database.execute("SELECT mark FROM entered ORDER BY number DESC LIMIT 1").fetchone()
        return None if row is None else bytes(row[0])

    def own_marks(self, marks: Iterable[bytes]) -> list[bytes]:
        """Those of some marks that this list gave, in the order of its entries. A copy of the list has them too."""
        if not self._file.exists():
            return []
        with _unavailable_as_such(), closing(self._open()) as database:
            found = "SELECT number, mark FROM entered WHERE mark = ?"
            rows = [row for one in marks for row in database.execute(found, (one,))]
        return [mark for _, mark in sorted(rows)]

    def batches(self, after: bytes | None = None) -> Iterator[list[Erasure]]:
        """All that is listed, or what was entered after a mark, in the order in which it was, a batch at a time."""
        last = after
        while self._file.exists():
            with _unavailable_as_such(), closing(self._open()) as database:
                rows = database.execute(
                    "SELECT mark, e.id, aggregate, at, actor, reason FROM entered n JOIN erased e ON e.id = n.id "
                    "WHERE number > coalesce((SELECT number FROM entered WHERE mark = ?), 0) ORDER BY number LIMIT ?",
                    (last, BATCH),
                ).fetchall()
            if not rows:
                return
            yield [Erasure(UUID(bytes=row[1]), row[2], datetime.fromisoformat(row[3]), *row[4:]) for row in rows]
            last = rows[-1][0]

    def _open(self) -> sqlite3.Connection:
        database = open_durable(self._file, _TABLE)
        try:
            if not _is_in_order(database):
                with database:
                    database.execute("BEGIN IMMEDIATE")
                    for statement in () if _is_in_order(database) else _IN_ORDER:  # another process may have been first
                        database.execute(statement)
        except BaseException:
            database.close()
            raise
        return database


def _is_in_order(database: sqlite3.Connection) -> bool:
    return database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'erased_entered'").fetchone() is not None


@contextmanager
def _unavailable_as_such() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreUnavailable(f"the list of erasures cannot be used: {error}") from None
