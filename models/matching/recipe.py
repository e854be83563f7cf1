"""What of the matching can be turned. Apart from the algorithms, so that whoever reads settings
needs none of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from models.ranges import Positive, Weight


@dataclass(frozen=True)
class Choice:
    """How a variant is chosen.

    Attributes:
        method: one of :data:`models.matching.rules.RULES`.
        performance_window: gamma_p of Sec. III-B2, in nats of validation loss.
    """

    method: str
    performance_window: Annotated[float, Interval(ge=1e-6, le=1e6)]


@dataclass(frozen=True)
class EnergyConstants:
    """Proportionality constants of Eq. 2 and the number of epochs of Eq. 1.

    Attributes:
        power_growth: a, with dG_n = a * G_n: power per unit of ``width * depth``.
        batch_power: b, with G_n^beta = b * G_n: power per patch at the profiled batch size.
        latency_growth: c, with dL_n = c * L_n: latency per unit of ``width * depth``.
        epochs: k of Eq. 1.
    """

    power_growth: Weight
    batch_power: Weight
    latency_growth: Weight
    epochs: Positive
