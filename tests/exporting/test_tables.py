"""CSV and Parquet: what others read from them is what was written, harmless in a spreadsheet, in bounded memory."""

import csv
import io
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from api.exporting import parquet_files
from api.exporting.csv_files import harmless, write_csv
from api.exporting.parquet_files import write_parquet
from api.exporting.tables import Column, Type

COLUMNS: tuple[Column[Any], ...] = (
    Column("text", Type.TEXT, lambda row: row[0]),
    Column("texts", Type.TEXTS, lambda row: row[1]),
    Column("number", Type.INTEGER, lambda row: row[2]),
    Column("truth", Type.BOOLEAN, lambda row: row[3]),
    Column("time", Type.TIME, lambda row: row[4]),
)
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from('",\r\n= '), max_size=20
)
ROWS = st.lists(
    st.tuples(
        st.none() | TEXTS,
        st.lists(TEXTS, max_size=3),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.booleans(),
        st.none() | st.datetimes(timezones=st.just(UTC)),
    ),
    max_size=20,
)


def parquet(rows: Any) -> io.BytesIO:
    return io.BytesIO(b"".join(write_parquet(COLUMNS, rows, {"about": "it"})))


@drawn(ROWS)
def test_parquet_gives_back_every_cell_as_it_was(rows: list[tuple[Any, ...]]) -> None:
    table = pq.read_table(parquet(rows))
    assert table.column_names == [column.name for column in COLUMNS]
    assert [tuple(row.values()) for row in table.to_pylist()] == rows


@drawn(ROWS)
def test_csv_gives_back_every_text_and_number(rows: list[tuple[Any, ...]]) -> None:
    written = b"".join(write_csv(COLUMNS, rows)).decode()
    header, *read = csv.reader(io.StringIO(written, newline=""), strict=True)
    assert header == [column.name for column in COLUMNS]
    assert [(row[0], row[2]) for row in read] == [
        (harmless(row[0] or ""), "" if row[2] is None else str(row[2])) for row in rows
    ]


@drawn(ROWS)
def test_csv_is_written_as_the_standard_library_writes_it(rows: list[tuple[Any, ...]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(
        (
            harmless(row[0] or ""),
            harmless(" ".join(row[1])),
            row[2],
            row[3] if row[3] is None else str(row[3]).lower(),
            row[4] and row[4].isoformat().replace("+00:00", "Z"),
        )
        for row in rows
    )
    _, written = b"".join(write_csv(COLUMNS, rows)).split(b"\r\n", 1)
    assert written.decode() == text.getvalue()


def test_csv_is_what_rfc_4180_says() -> None:
    at = datetime(2026, 11, 21, 13, 42, 54, 5, tzinfo=UTC)
    rows = [('say "no", twice\r\nat once', ["a", "b"], 1, True, at), (None, [], None, None, None)]
    assert b"".join(write_csv(COLUMNS, rows)) == (
        b"text,texts,number,truth,time\r\n"
        b'"say ""no"", twice\r\nat once",a b,1,true,2026-11-21T13:42:54.000005Z\r\n'
        b",,,,\r\n"
    )


@pytest.mark.parametrize("beginning", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_no_text_is_a_formula_to_a_spreadsheet_and_numbers_stay_numbers(beginning: str) -> None:
    rows: list[Any] = [(f'{beginning}HYPERLINK("https://example.com")', [f"{beginning}1", "b"], -1, None, None)]
    read = list(csv.reader(io.StringIO(b"".join(write_csv(COLUMNS, rows)).decode(), newline="")))[1]
    assert read[:3] == [f"'{rows[0][0]}", f"'{beginning}1 b", "-1"]


def test_duckdb_reads_both_alike(tmp_path: Path) -> None:
    at = datetime(2026, 11, 21, 13, 42, 54, 5, tzinfo=UTC)
    rows = [(f"naïve, {n}", ["a", "b"], n, n % 2 == 0, at) for n in range(1_000)]
    (tmp_path / "t.parquet").write_bytes(parquet(rows).getvalue())
    (tmp_path / "t.csv").write_bytes(b"".join(write_csv(COLUMNS, rows)))
    query = "SELECT text, number, truth, epoch_us(time) FROM '{}' ORDER BY number"
    of_parquet = duckdb.execute(query.format(tmp_path / "t.parquet")).fetchall()
    of_csv = duckdb.execute(query.format(tmp_path / "t.csv")).fetchall()
    microseconds = int(at.timestamp() * 1_000_000)
    assert of_parquet == of_csv == [(row[0], row[2], row[3], microseconds) for row in rows]


def test_the_file_says_what_it_is_about() -> None:
    assert pq.read_schema(parquet([])).metadata[b"about"] == b"it"


def test_a_group_is_bounded_in_rows_and_in_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "GROUP_ROWS", 10)
    monkeypatch.setattr(parquet_files, "GROUP_BYTES", 1_000)
    monkeypatch.setattr(parquet_files, "BATCH_ROWS", 1)
    rows: list[tuple[Any, ...]] = [("x" * size, [], None, None, None) for size in (1,) * 25 + (600,) * 4]
    file = pq.ParquetFile(parquet(rows))
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [10, 10, 7, 2]


def test_a_file_takes_no_more_memory_the_longer_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_files, "GROUP_ROWS", 500)

    def rows(count: int) -> Iterator[tuple[Any, ...]]:
        return (("x" * 200 + str(n), [], n, None, None) for n in range(count))

    for write in (write_csv, write_parquet):
        peaks = []
        for count in (1_000, 5_000):
            tracemalloc.start()
            for _ in write(COLUMNS, rows(count)):
                pass
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < 1.5 * peaks[0]
