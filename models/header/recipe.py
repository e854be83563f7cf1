"""What of the headers can be turned. Apart from the algorithms, so that whoever reads settings
needs none of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval, MinLen

from models.ranges import Count, Few, Positive, Rate, Size, twice


@dataclass(frozen=True)
class HeaderSearch:
    """The headers that may be found, those they are compared with, and how all are trained.

    Attributes:
        blocks: B of Eq. 14.
        repeats: U, how often the module of blocks is stacked.
        operations: of :data:`models.header.operations.OPERATIONS`.
        channels: of the maps, in headers that convolve.
        hidden: neurons of hidden layers.
        fixed: the headers to compare with, of :data:`models.header.kinds.FIXED`.
        epochs: each of ``weight_steps`` for the shared weights and ``controller_steps``.
        children: M of Eq. 15.
        finalists: how many found headers are trained for the comparison; 0: there is no search, and
            the fixed ones are compared alone.
        retrain_steps: of finalists and fixed headers alike.
        lr: of all headers.
    """

    blocks: Few
    repeats: Few
    operations: Annotated[tuple[str, ...], MinLen(1)]
    channels: Size
    hidden: Size
    fixed: tuple[str, ...]
    epochs: Positive
    weight_steps: Positive
    controller_steps: Positive
    children: Few
    finalists: Annotated[int, Interval(ge=0, le=256)]
    retrain_steps: Positive
    batch_size: Positive
    lr: Rate
    controller_lr: Rate

    def __post_init__(self) -> None:
        for name, values in (("operations", self.operations), ("fixed", self.fixed)):
            if again := twice(values):
                raise ValueError(f"{name}: {again} stands there more than once")


@dataclass(frozen=True)
class JointTraining:
    """Of backbone and winner, where the backbone is not frozen."""

    unfreeze_steps: Count
    unfreeze_lr: Rate
    batch_size: Positive
