"""How a long computation tells its caller where it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable

OnStep = Callable[[int, int, dict[str, float]], bool | None]
"""Called as ``on_step(done, total, metrics)``. Training stops where one answers True."""


def ignore(done: int, total: int, metrics: dict[str, float]) -> None:
    """Listen to nothing: the default of every ``on_step``."""
