"""Up to where the lists of erasures were compared with this database (`ledger/store/erasures.py`).

Not derived from the log: a restored backup has what it had then, and that tells what is to be erased again.
"""

from collections.abc import Sequence

from ledger.store.datastore import LedgerDatastore


def list_marks(store: LedgerDatastore) -> list[bytes]:
    """The mark of each list that was compared with this database: one for each machine that has such a list."""
    return [bytes(row["mark"]) for row in store.rows("SELECT mark FROM erasure_mark")]


def keep_mark(store: LedgerDatastore, mark: bytes, instead_of: Sequence[bytes]) -> None:
    """Keep the mark up to which a list was compared, and nothing that it names is here any more, in place of the
    list's earlier ones.
    """
    with store.cursor_of_tuples() as curs, curs.connection.transaction():
        curs.execute("DELETE FROM erasure_mark WHERE mark = ANY(%s)", (list(instead_of),))
        curs.execute("INSERT INTO erasure_mark (mark) VALUES (%s) ON CONFLICT DO NOTHING", (mark,))
