"""The ranges that numbers of recipes and settings keep to. Each has two ends: what is infinite or
no number lies in none of them, and what lies in one can be computed with."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Interval, Le, Lt

LARGEST = 2**31 - 1
"""Of counts: what every library takes for a whole number."""

Count = Annotated[int, Interval(ge=0, le=LARGEST)]
Positive = Annotated[int, Interval(ge=1, le=LARGEST)]
Size = Annotated[int, Interval(ge=1, le=2**14)]
"""Of a layer: neurons, channels, dimensions, pixels a side."""
Few = Annotated[int, Interval(ge=1, le=256)]
"""Layers, heads, blocks, repeats."""

Fraction = Annotated[float, Interval(ge=0, le=1)]
Part = Annotated[float, Gt(0), Lt(1)]
PositiveFloat = Annotated[float, Gt(0), Le(1e9)]
Weight = Annotated[float, Ge(0), Le(1e6)]
Rate = Annotated[float, Gt(0), Le(1)]
"""Of learning: AdamW moves each weight by about so much in a step."""

Answerable = Literal["own", "wanted", "all"]
"""Which classes a device's model answers: those of its own train samples; these and those that it
wants, of which it has none; or all that there are."""


def twice(values: tuple[object, ...]) -> str:
    """What stands in a list more than once, in words; empty if nothing does."""
    return ", ".join(str(value) for value in dict.fromkeys(values) if values.count(value) > 1)
