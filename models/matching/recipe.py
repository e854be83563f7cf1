"""What of the matching can be turned. Apart from the algorithms, so that whoever reads settings
needs none of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt


@dataclass(frozen=True)
class Choice:
    """How a variant is chosen.

    Attributes:
        method: one of :data:`models.matching.rules.RULES`.
        performance_window: gamma_p of Sec. III-B2, in nats of validation loss.
    """

    method: str
    performance_window: Annotated[float, Gt(0)]


@dataclass(frozen=True)
class EnergyConstants:
    """Proportionality constants of Eq. 2 and the number of epochs of Eq. 1.

    Attributes:
        power_growth: a, with dG_n = a * G_n: power per unit of ``width * depth``.
        batch_power: b, with G_n^beta = b * G_n: power per patch at the profiled batch size.
        latency_growth: c, with dL_n = c * L_n: latency per unit of ``width * depth``.
        epochs: k of Eq. 1.
    """

    power_growth: Annotated[float, Ge(0)]
    batch_power: Annotated[float, Ge(0)]
    latency_growth: Annotated[float, Ge(0)]
    epochs: Annotated[int, Ge(1)]
