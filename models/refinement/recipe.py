"""What of the refinement can be turned. Apart from the algorithms, so that whoever reads settings
needs none of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Le, Lt

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
        debias: take off what two halves of one device's sketch are apart, before Eq. 19.
        sketch: what they are compared by, one of :data:`models.refinement.sketches.SKETCHES`.
    """

    method: str
    temperature: PositiveFloat
    debias: bool
    sketch: str = field(default="quantiles", kw_only=True)


@dataclass(frozen=True)
class Sketching:
    """What a device shows of its features, to be compared by.

    Attributes:
        sketch_samples: how many, where ``sketch`` is of samples.
        sketch: one of :data:`models.refinement.sketches.SKETCHES`.
        noise: standard deviation of what is added, in those of public data:
            :mod:`models.refinement.noise`.
    """

    sketch_samples: Annotated[int, Ge(2), Le(10_000)]
    sketch: str = field(default="quantiles", kw_only=True)
    noise: Annotated[float, Ge(0), Le(10)] = field(default=0.0, kw_only=True)
