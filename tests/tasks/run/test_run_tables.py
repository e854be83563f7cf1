"""Tables that people bring, as text."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tasks.run.errors import DataError
from tasks.run.tables import read_parquet


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_parquet_of_any_kind_of_text_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    file = tmp_path / "m.parquet"
    parquet.write_table(pa.table({"label": pa.array(["cat", None], kind), "n": [3, 4]}), file)
    columns, rows = read_parquet(file, DataError)
    assert columns == ("label", "n")
    assert rows == [(1, {"label": "cat", "n": "3"}), (2, {"label": None, "n": "4"})]


def test_a_column_of_other_things_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "m.parquet"
    parquet.write_table(pa.table({"label": ["cat"], "share": [0.5]}), file)
    with pytest.raises(DataError, match=r"m\.parquet: column share: double; text or whole"):
        read_parquet(file, DataError)
