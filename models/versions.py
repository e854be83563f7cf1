"""What was written down by another version of this project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class UnreadableError(ValueError):
    """A record that this code cannot read: of a newer version, or of none that is a number."""


def readable(what: str, values: Mapping[str, Any], newest: int) -> int:
    """The version that wrote a record; what names none is of version 1.

    Args:
        what: the record, for the error.
        newest: the version that this code writes.

    Raises:
        UnreadableError: a newer version wrote it, or one that is no number.
    """
    version = values.get("version", 1)
    if not isinstance(version, int):
        raise UnreadableError(f"{what} is of version {version!r}, which is no number")
    if version > newest:
        raise UnreadableError(
            f"{what} is of version {version}; this ACME reads up to {newest}. Update it"
        )
    return version
