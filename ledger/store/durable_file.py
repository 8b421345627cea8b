"""Small files beside the database, for what must outlast a restore of it: SQLite, readable by their owner alone."""

import os
import sqlite3
from pathlib import Path

BUSY_SECONDS = 10  # another process of this machine has it for one fsync, or for the moment of a handover


def open_durable(file: Path, table: str) -> sqlite3.Connection:
    """The file, begun with this table where there is none, in autocommit but for transactions that are begun.

    What is committed outlasts a power cut. Raises `sqlite3.Error` and `OSError` where it cannot be used.
    """
    if not file.exists():
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
    database = sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        database.execute("PRAGMA synchronous = EXTRA")  # the directory too, or a commit could come undone
        database.execute(table)
    except BaseException:
        database.close()
        raise
    return database
