"""What was written down by another version of this project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def readable(what: str, values: Mapping[str, Any], newest: int) -> int:
    """The version that wrote a record; what names none is of version 1.

    Args:
        what: the record, for the error.
        newest: the version that this code writes.

    Raises:
        ValueError: a newer version wrote it.
    """
    version = int(values.get("version", 1))
    if version > newest:
        raise ValueError(
            f"{what} is of version {version}; this ACME reads up to {newest}. Update it"
        )
    return version
