"""Tables as Apache Parquet, with pyarrow: the extra `parquet` of the package, for it is larger than all the rest."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from api.exporting.tables import Column, Row, Type
from ledger.errors import InvalidValue

if TYPE_CHECKING:
    import pyarrow as pa

MEDIA_TYPE = "application/vnd.apache.parquet"
GROUP_ROWS = 10_000  # read back at once; large enough for dictionaries and statistics to pay
GROUP_CHARS = 2**24  # of a group's texts, for a few events are hundreds of kilobytes long


def write_parquet(
    columns: Sequence[Column[Any]], rows: Iterable[Row], metadata: Mapping[str, str] | None = None
) -> Iterator[bytes]:
    """The file, in pieces: a row group each. Times are microseconds in UTC, and no cell is anything but what it was.

    `metadata` goes into the file's own. Raises `InvalidValue` at once where pyarrow is not installed.
    """
    check_installed()
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(column.name, _type(pa, column.type)) for column in columns], metadata=dict(metadata or {}))
    return _pieces(pa, pq, schema, rows)


def is_installed() -> bool:
    """Whether this installation has pyarrow."""
    return find_spec("pyarrow") is not None


def check_installed() -> None:
    """Raises `InvalidValue` where pyarrow is not installed."""
    if not is_installed():
        raise InvalidValue(
            "format", "this installation cannot write Parquet: install keyledger[parquet]", "format_not_installed"
        )


def _pieces(pa: Any, pq: Any, schema: "pa.Schema", rows: Iterable[Row]) -> Iterator[bytes]:
    sink = _Sink()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for group in _groups(rows):
            cells_of = zip(schema, zip(*group, strict=True), strict=True)
            arrays = [pa.array(cells, field.type) for field, cells in cells_of]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            yield sink.taken()
    yield sink.taken()


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    chars = 0
    for row in rows:
        group.append(row)
        chars += sum(len(cell) for cell in row if isinstance(cell, str))
        if len(group) == GROUP_ROWS or chars >= GROUP_CHARS:
            yield group
            group, chars = [], 0
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
