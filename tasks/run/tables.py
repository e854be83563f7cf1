"""Tables that people bring, as text: CSV and parquet, with the line or row of what is wrong."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from models.ranges import twice
from tasks.run.errors import AcmeError

Lines = list[tuple[int, dict[str, str | None]]]
"""Of each row its number and its cells by column; None where there is none."""


def read_csv(path: Path, text: str, error: type[AcmeError]) -> tuple[tuple[str, ...], Lines]:
    """The columns and rows (by line) of a CSV file's text, all cells as they stand there.

    Raises:
        error: it is no CSV, has a column twice or a cell without one; names the line.
    """
    reader = csv.DictReader(io.StringIO(text), strict=True)
    found: Lines = []
    try:
        columns = tuple(reader.fieldnames or ())
        if again := twice(columns):
            raise error(f"{path}, line 1: column {again} stands there more than once")
        for row in reader:
            if None in row:
                raise error(f"{path}, line {reader.line_num}: more values than columns")
            found.append((reader.line_num, dict(row)))
    except csv.Error as wrong:
        raise error(f"{path}, line {reader.line_num}: {wrong}") from None
    return columns, found


def read_parquet(path: Path, error: type[AcmeError]) -> tuple[tuple[str, ...], Lines]:
    """The columns and rows (counted from 1) of a parquet file of text and whole numbers.

    Raises:
        error: it is no parquet, or a column holds something else.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as wrong:
        words = " ".join(str(wrong).split())
        raise error(f"{path}: not a parquet file that can be read ({words})") from None
    if again := twice(tuple(table.column_names)):
        raise error(f"{path}: column {again} stands there more than once")
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
        text = pa.types.is_null(kind) or any(of(kind) for of in texts)
        if not (text or pa.types.is_integer(kind)):
            raise error(f"{path}: column {name}: {kind}; text or whole numbers are needed")
        columns[name] = column.cast(pa.string()).to_pylist()
    rows = (dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True))
    return tuple(columns), list(enumerate(rows, 1))
