"""Families of choices: one dict by name each, and one error for a name that is in none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


def chosen(what: str, name: str, among: Mapping[str, T]) -> T:
    """The choice of that name.

    Args:
        what: what is chosen, for the error.

    Raises:
        ValueError: there is none of that name; names those that there are.
    """
    if name not in among:
        raise ValueError(f"unknown {what} {name!r}: choose one of {', '.join(among)}")
    return among[name]
