"""Tables on Prefect's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prefect.artifacts import create_table_artifact

TAKEN = {"header": "its header"}
"""Columns that the page's table means something else by: it drops all column heads."""


def show_table(key: str, rows: Sequence[Mapping[str, Any]], words: str) -> None:
    """Leave ``rows`` as the table ``key``, described by ``words``."""
    table = [{TAKEN.get(column, column): v for column, v in row.items()} for row in rows]
    create_table_artifact(key=key, table=table, description=words)
