"""Tables as Apache Parquet, with pyarrow: the extra `parquet` of the package, for it is larger than all the rest."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from api.exporting.tables import Column, Thing, Type, batches, cells, weightless
from ledger.errors import InvalidValue

if TYPE_CHECKING:
    import pyarrow as pa

MEDIA_TYPE = "application/vnd.apache.parquet"
GROUP_ROWS = 10_000  # read back at once; large enough for dictionaries and statistics to pay
GROUP_BYTES = 2**24  # of a group's cells, for a few events are hundreds of kilobytes long
BATCH_ROWS = 250  # made into arrow's own cells at once, which take a fraction of what Python's do


def write_parquet(
    columns: Sequence[Column[Thing]],
    things: Iterable[Thing],
    metadata: Mapping[str, str] | None = None,
    bytes_of: Callable[[Thing], int] = weightless,
) -> Iterator[bytes]:
    """The file, in pieces: a row for each thing, a group of rows to each piece, and of large ones fewer to a group.
    Times are microseconds in UTC, and no cell is anything but what it was.

    `metadata` goes into the file's own. Raises `InvalidValue` at once where pyarrow is not installed.
    """
    check_installed()
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(column.name, _type(pa, column.type)) for column in columns], metadata=dict(metadata or {}))
    return _pieces(pa, pq, schema, columns, batches(things, BATCH_ROWS, bytes_of))


def is_installed() -> bool:
    """Whether this installation has pyarrow."""
    return find_spec("pyarrow") is not None


def check_installed() -> None:
    """Raises `InvalidValue` where pyarrow is not installed."""
    if not is_installed():
        raise InvalidValue(
            "format", "this installation cannot write Parquet: install keyledger[parquet]", "format_not_installed"
        )


def _pieces(
    pa: Any, pq: Any, schema: "pa.Schema", columns: Sequence[Column[Thing]], some: Iterable[Sequence[Thing]]
) -> Iterator[bytes]:
    sink = _Sink()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for group in _groups(_batches(pa, schema, columns, some)):
            writer.write_table(pa.Table.from_batches(group), row_group_size=GROUP_ROWS)
            yield sink.taken()
    yield sink.taken()


def _batches(
    pa: Any, schema: "pa.Schema", columns: Sequence[Column[Thing]], some: Iterable[Sequence[Thing]]
) -> Iterator["pa.RecordBatch"]:
    for batch in some:
        of_columns = zip(schema, cells(columns, batch), strict=True)
        yield pa.record_batch([pa.array(column, field.type) for field, column in of_columns], schema=schema)


def _groups(batches: Iterable["pa.RecordBatch"]) -> Iterator[list["pa.RecordBatch"]]:
    """Batches that are written as one group: it is full when the next could be too many rows, or it is large."""
    group: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        group.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows + BATCH_ROWS > GROUP_ROWS or size >= GROUP_BYTES:
            yield group
            group, rows, size = [], 0, 0
    if group:
        yield group


def _type(pa: Any, of: Type) -> "pa.DataType":
    types = {
        Type.TEXT: pa.string(),
        Type.TEXTS: pa.list_(pa.string()),
        Type.INTEGER: pa.int64(),
        Type.BOOLEAN: pa.bool_(),
        Type.TIME: pa.timestamp("us", tz="UTC"),
    }
    return types[of]


class _Sink(io.RawIOBase):
    """Takes what the writer writes, until somebody takes it away."""

    def __init__(self) -> None:
        self._written = bytearray()
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, some: Any) -> int:
        self._written += some
        self._position += len(some)
        return len(some)

    def tell(self) -> int:
        return self._position

    def taken(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken
