"""Foreign models that ours cannot stand for."""

from __future__ import annotations

TOLERANCE = 1e-5
"""Of outputs near 1, absolute and relative. The same operations in the same order differ in no bit;
attention that is computed in other steps differs by some 1e-6."""


class RefusedError(ValueError):
    """A model that ours cannot stand for; ``part`` says in words what of it is the reason."""

    def __init__(self, part: str) -> None:
        super().__init__(f"this model cannot be sliced: {part}")
        self.part = part
