"""What the signer signed last, kept outside the database that it signs for.

Whoever restores an old backup of that database restores what it knew of its checkpoints too. This file stays: with it
the signer notices that the log has become shorter, or another one, and does not sign two logs under one name. Keep it
where the database's backups do not reach, and where the signing process runs.
"""

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Self

from ledger.sealed_log import SealedLog
from ledger.store.durable_file import open_durable
from ledger.tlog.bundle import generations
from ledger.tlog.merkle import Frontier
from projections.sealed.trees import frontier_from

_TABLE = """
CREATE TABLE IF NOT EXISTS signed (
    origin TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    frontier BLOB NOT NULL
) STRICT, WITHOUT ROWID
"""


class SignerMemory:
    """The newest signed head of every tree, by the origin of its checkpoints. For one thread."""

    def __init__(self, file: Path) -> None:
        """Open the file, or begin it; raises sqlite3.Error where it is none, or cannot be written."""
        self.is_new = not file.exists()
        if self.is_new:
            file.parent.mkdir(parents=True, exist_ok=True)
        self._database = open_durable(file, _TABLE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def recall(self, origin: str) -> Frontier | None:
        """The head that was signed last under this origin."""
        row = self._database.execute("SELECT size, frontier FROM signed WHERE origin = ?", (origin,)).fetchone()
        return None if row is None else frontier_from(*row)

    def owed(self, log: SealedLog) -> Iterator[tuple[str, Frontier]]:
        """Every head that was signed and that the log still has to lead to: of this generation of it, and of later
        ones, which it knows nothing of where they were signed after an earlier restore of the same backup.
        """
        with closing(
            self._database.execute(
                "SELECT origin, size, frontier FROM signed WHERE origin >= ? AND origin < ? ORDER BY origin",
                (f"{log.name}/", f"{log.name}0"),  # 0 follows the slash
            )
        ) as rows:
            for origin, size, frontier in rows:
                found = generations(origin)
                if found is not None and found[1] >= log.generation:
                    yield origin, frontier_from(size, frontier)

    def remember(self, signed: Iterable[tuple[str, Frontier]]) -> None:
        """Keep these heads; they are on the disk when this returns. A longer one that is known already stays: who lost
        the lead while it signed may come here after whoever took it.
        """
        rows = [(origin, frontier.size, b"".join(frontier.hashes)) for origin, frontier in signed]
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(
                "INSERT INTO signed (origin, size, frontier) VALUES (?, ?, ?) "
                "ON CONFLICT (origin) DO UPDATE SET size = excluded.size, frontier = excluded.frontier "
                "WHERE excluded.size >= signed.size",
                rows,
            )
