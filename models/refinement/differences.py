"""What a device changed of its header, as small as it travels, and what is made of several."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.refinement.exchange import Body, TensorSchema
from models.refinement.similarity import Matrix

LEVELS = 127  # of 8 bits, on each side of 0
AGAINST = 3  # times a negative cosine to the own difference is what a peer's weight loses

SCHEMA = {
    "differences": TensorSchema(torch.int8, 1, 1 << 24, low=-LEVELS, high=LEVELS),
    "scales": TensorSchema(torch.float32, 1, 1 << 12, low=0, high=1e3),
    "sizes": TensorSchema(torch.int32, 1, 1 << 12, low=1, high=1 << 24),
}
"""How differences travel."""


def packed(difference: Sequence[Tensor], left: Tensor | None = None) -> tuple[Body, Tensor]:
    """A header's difference to what was received, one tensor a parameter, in 8 bits a value and a
    scale a tensor, and what that rounding left out ``(values,)``.

    Args:
        left: what was left out the last time; it is added now, so that over the rounds what was
            sent stays within half a scale of what was meant.
    """
    sizes = [part.numel() for part in difference]
    meant = torch.cat([part.detach().flatten().float() for part in difference])
    meant = meant if left is None else meant + left
    scales = torch.stack([part.abs().max() / LEVELS for part in meant.split(sizes)])
    steps = meant / scales.where(scales > 0, 1).repeat_interleave(torch.tensor(sizes))
    body = {
        "differences": steps.round().clamp(-LEVELS, LEVELS).to(torch.int8),
        "scales": scales,
        "sizes": torch.tensor(sizes, dtype=torch.int32),
    }
    return body, meant - unpacked(body)


def unpacked(body: Body) -> Tensor:
    """The difference that was sent ``(values,)``, in the parameters' order, as
    ``torch.nn.utils.vector_to_parameters`` takes it."""
    return body["differences"] * body["scales"].repeat_interleave(body["sizes"])


def check(body: Body, sizes: Sequence[int]) -> str | None:
    """Why a received difference cannot be added to a header whose parameters have ``sizes``
    values each, or None if it can."""
    if body["sizes"].tolist() != list(sizes) or len(body["scales"]) != len(sizes):
        return f"is of {len(body['sizes'])} other tensors than the header's {len(sizes)}"
    if len(body["differences"]) != sum(sizes):
        return f"has {len(body['differences']):,} values, expected {sum(sizes):,}"
    return None


def mixed(bodies: Sequence[Body], weights: Matrix) -> Tensor:
    """What each device gets ``(devices, values)``: the mean of all differences, by its weights
    ``(devices, devices)``, rows summing to 1; no peer can bend it far.

    Whose difference is all zeros is as good as absent. A difference longer than the (lower) median
    of the others is shortened to that: as long as most are honest, none counts as more than an
    honest one, whatever it claims. The more a peer's difference points against the device's own,
    the more of its weight goes to the device itself, and all of it from a cosine of -1/``AGAINST``
    on: honest peers that see alike point the same way, the more so once they were mixed, and those
    of another context at most a little away. And where a device hears two peers or more, each value
    of a peer is kept between the second smallest and the second largest of all that it hears, its
    own included: one liar among them stays within what the others say. A single peer that says
    something as long as the others' and unlike them cannot be told apart here: a device's own
    validation must judge the mix.
    """
    found = torch.stack([unpacked(body) for body in bodies])
    lengths, itself = found.norm(dim=1), torch.eye(len(found))
    present = lengths > 0
    given = torch.from_numpy(weights).float() * present
    given += itself * (given.sum(1) == 0)  # nobody is left
    given /= given.sum(1, keepdim=True)
    units = found / lengths.where(present, 1)[:, None]
    kept = given * (1 + AGAINST * (units @ units.T - itself)).clamp(0, 1)
    kept += (given - kept).sum(1).diag()
    usual = lengths[present].median() if present.any() else 0.0
    said = units * lengths.clamp(max=usual)[:, None]
    return torch.stack([_heard(said, kept[i], i) for i in range(len(said))])


def _heard(said: Tensor, weights: Tensor, listener: int) -> Tensor:
    """One device's mix ``(values,)`` of what is said ``(devices, values)``."""
    heard = weights > 0
    heard[listener] = said[listener].any()
    if heard.sum() < 3:
        return weights @ said
    ordered = said[heard].sort(0).values
    within = said.clamp(ordered[1], ordered[-2])
    within[listener] = said[listener]
    return weights @ within
