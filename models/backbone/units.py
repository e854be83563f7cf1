"""Which tensors of a backbone hold a head, a neuron or a word: the table from which ranking,
slicing, masking and size follow, whatever the family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Unit:
    """One tensor that holds units of one kind along one axis.

    Attributes:
        tensor: its name within a layer; within the model if not ``layered``.
        axis: along it the units lie. Along axis 1 of a linear layer's weight lies what the units
            put out: removing a unit is zeroing its columns there.
        kind: the configuration's field that counts the units, e.g. ``heads``.
        size: entries of one unit, e.g. ``head_dim``.
        fused: how many matrices are stacked along the axis, e.g. 3 of q, k and v in one.
        layered: whether every layer has this tensor.
    """

    tensor: str
    axis: int
    kind: str
    size: int = 1
    fused: int = 1
    layered: bool = True

    def split(self, value: Tensor) -> Tensor:
        """The axis as three: ``(fused, units, size)``; units lie along ``axis + 1``."""
        return value.unflatten(self.axis, (self.fused, -1, self.size))

    def join(self, value: Tensor) -> Tensor:
        """Inverse of :meth:`split`."""
        return value.flatten(self.axis, self.axis + 2)


Units = Iterable[Unit]


def layered(units: Units) -> list[Unit]:
    """The rows that every layer has."""
    return [unit for unit in units if unit.layered]


def outputs(units: Units) -> dict[str, Unit]:
    """For each kind within layers, the row whose tensor reads what its units put out."""
    return {unit.kind: unit for unit in layered(units) if unit.axis == 1}


def reordered(
    tensors: Mapping[str, Tensor], units: Units, orders: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors with the units of some kinds in another order, or only some of them.

    Args:
        orders: indices of units, by kind.
    """
    result = dict(tensors)
    for unit in units:
        if unit.tensor in result and unit.kind in orders:
            value = result[unit.tensor]
            order = orders[unit.kind].to(value.device)
            result[unit.tensor] = unit.join(unit.split(value).index_select(unit.axis + 1, order))
    return result


def narrowed(
    tensors: Mapping[str, Tensor], units: Units, counts: Mapping[str, int]
) -> dict[str, Tensor]:
    """Views of the tensors with the first units of each kind alone; differentiable."""
    result = dict(tensors)
    for unit in units:
        if unit.tensor in result and unit.kind in counts:
            parts = unit.split(result[unit.tensor])
            result[unit.tensor] = unit.join(parts.narrow(unit.axis + 1, 0, counts[unit.kind]))
    return result


def masked(
    tensors: Mapping[str, Tensor], units: Units, counts: Mapping[str, int]
) -> dict[str, Tensor]:
    """The tensors at full shape, without what all but the first units of each kind put out."""
    result = dict(tensors)
    for kind, unit in outputs(units).items():
        if kind in counts:
            parts = unit.split(result[unit.tensor]).clone()
            left = parts.shape[unit.axis + 1] - counts[kind]
            parts.narrow(unit.axis + 1, counts[kind], left).zero_()
            result[unit.tensor] = unit.join(parts)
    return result
