"""What of the refinement can be turned. Apart from the algorithms, so that whoever reads settings
needs none of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Lt

from models.ranges import Fraction, Positive, PositiveFloat, Rate


@dataclass(frozen=True)
class LocalTraining:
    """A device's optimizer: AdamW on batches of its own samples."""

    batch_size: Positive
    lr: Rate
    weight_decay: Fraction


@dataclass(frozen=True)
class Pruning:
    """What a device discards in a round: a fraction of the neurons of the header that it received,
    of which so many stay in every layer."""

    prune_fraction: Annotated[float, Ge(0), Lt(1)]
    min_per_layer: Positive


@dataclass(frozen=True)
class Likeness:
    """How devices' data are compared, and who listens to whom (Eq. 19-20).

    Attributes:
        method: one of :data:`models.refinement.mixers.MIXERS`.
        temperature: of Eq. 20; 1 is the paper's formula, less tells devices apart more sharply.
        debias: take off what two halves of one device's sample are apart, before Eq. 19.
    """

    method: str
    temperature: PositiveFloat
    debias: bool
