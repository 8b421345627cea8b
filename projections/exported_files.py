"""Files that were written: the newest of each export and access review in each format, with its digest."""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from ledger.store.datastore import LedgerDatastore


class Written(NamedTuple):
    """What was written, whole: how many rows, how many of each kind, how many bytes, and their SHA-256 in hex."""

    rows: int
    counts: dict[str, int]
    bytes: int
    sha256: str


def keep_written(
    store: LedgerDatastore, export_id: UUID, form: str, made_at: datetime, written: Written, tag: str = ""
) -> None:
    """Remember a file, in place of the one before. `tag` is one that no other bytes have, where there is such."""
    with store.cursor_of_tuples() as curs:
        curs.execute(
            "INSERT INTO exported_file (export_id, format, made_at, rows, counts, bytes, sha256, tag) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (export_id, format) DO UPDATE SET "
            "made_at = EXCLUDED.made_at, rows = EXCLUDED.rows, counts = EXCLUDED.counts, bytes = EXCLUDED.bytes, "
            "sha256 = EXCLUDED.sha256, tag = EXCLUDED.tag",
            (export_id, form, made_at, written.rows, Jsonb(written.counts), written.bytes, written.sha256, tag),
        )


def find_length(store: LedgerDatastore, export_id: UUID, form: str, tag: str) -> int | None:
    """How many bytes the file with this tag has; None where it was never written to its end."""
    row = store.row(
        "SELECT bytes FROM exported_file WHERE export_id = %s AND format = %s AND tag = %s", (export_id, form, tag)
    )
    return None if row is None else int(row["bytes"])


def find_written(store: LedgerDatastore, export_id: UUID, form: str) -> dict[str, Any] | None:
    """The newest file in a format (`made_at` and what `Written` has), or None where none was written."""
    return store.row(
        "SELECT made_at, rows, counts, bytes, sha256 FROM exported_file WHERE export_id = %s AND format = %s",
        (export_id, form),
    )
