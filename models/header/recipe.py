"""What of the headers can be turned. Apart from the algorithms, so that whoever reads settings
needs none of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, MinLen

Positive = Annotated[int, Ge(1)]
PositiveFloat = Annotated[float, Gt(0)]


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
        finalists: how many found headers are trained for the comparison.
        retrain_steps: of finalists and fixed headers alike.
        lr: of all headers.
    """

    blocks: Positive
    repeats: Positive
    operations: Annotated[tuple[str, ...], MinLen(1)]
    channels: Positive
    hidden: Positive
    fixed: tuple[str, ...]
    epochs: Positive
    weight_steps: Positive
    controller_steps: Positive
    children: Positive
    finalists: Positive
    retrain_steps: Positive
    batch_size: Positive
    lr: PositiveFloat
    controller_lr: PositiveFloat


@dataclass(frozen=True)
class JointTraining:
    """Of backbone and winner, where the backbone is not frozen."""

    unfreeze_steps: Annotated[int, Ge(0)]
    unfreeze_lr: PositiveFloat
    batch_size: Positive
