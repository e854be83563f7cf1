"""Numbers of things, in words."""

from __future__ import annotations

from boltons.strutils import cardinalize


def counted(count: int, noun: str) -> str:
    """A count with its noun: ``1 thread``, ``12,000 threads``."""
    return f"{count:,} {cardinalize(noun, count)}"
