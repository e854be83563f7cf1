"""A searched header as a network, and the parts it shares with the weight-sharing super-network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.header.config import HeaderConfig
from models.header.layers import PrunableConv, PrunableLinear, rms_norm
from models.header.maps import Mask, add, mask_of, mean, real, to_map
from models.header.operations import OPERATIONS
from models.header.space import Architecture, loose_ends

Lookup = Callable[[int, int, int, str], nn.Module]
"""``(repeat, block, slot, operation name)`` to the module that does it."""


class DagFrame(nn.Module):
    """What surrounds the DAG: a stem for each input, pooling, and the classifier.

    The classifier is an MLP on the pooled map and [CLS], plus a linear layer on [CLS] alone. The
    linear part is ours: it may start from the cloud's reference header, so that a searched header
    starts as good as the linear one and adds what the patch tokens know.
    """

    def __init__(self, shape: HeaderConfig) -> None:
        super().__init__()
        self.shape, self.repeats = shape.shape, shape.repeats
        rank = len(shape.shape)
        self.stem_last = PrunableConv(shape.dim, shape.channels, 1, rank)
        self.stem_penultimate = PrunableConv(shape.dim, shape.channels, 1, rank)
        self.hidden = PrunableLinear(shape.channels + shape.dim, shape.hidden)
        self.classifier = PrunableLinear(shape.hidden, shape.classes, classifier=True)
        self.skip = PrunableLinear(shape.dim, shape.classes, classifier=True)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def run(
        self, features: Tensor, architecture: Architecture, lookup: Lookup, mask: Mask
    ) -> Tensor:
        """Logits ``(n, classes)`` of one architecture with the operations that ``lookup`` gives.

        Module u of ``repeats`` reads the outputs of modules u-1 and u-2; the first reads the
        backbone's last and penultimate layers.
        """
        last, penultimate = features[:, 0], features[:, 1]
        mask = mask_of(mask, self.shape)
        newer = real(self.stem_last(to_map(last, self.shape)), mask)
        older = real(self.stem_penultimate(to_map(penultimate, self.shape)), mask)
        for u in range(self.repeats):
            newer, older = _module((newer, older), architecture, partial(lookup, u), mask), newer
        pooled, cls = rms_norm(mean(newer, mask), 1), last[:, 0]
        inner = F.gelu(self.hidden(torch.cat([pooled, cls], 1)))
        return self.classifier(inner) + self.skip(cls)


def _module(
    inputs: tuple[Tensor, Tensor],
    architecture: Architecture,
    lookup: Callable[[int, int, str], nn.Module],
    mask: Mask,
) -> Tensor:
    """One module of blocks on the maps of the two before it."""
    maps = list(inputs)
    for b, block in enumerate(architecture):
        one = lookup(b, 0, block.op1)(maps[block.input1], mask)
        two = lookup(b, 1, block.op2)(maps[block.input2], mask)
        maps.append(add(one, two, mask))
    ends = loose_ends(architecture)
    out = maps[ends[0]]
    for end in ends[1:]:
        out = add(out, maps[end], mask)
    return out


class DagHeader(DagFrame):
    """One searched header (Sec. III-C1): features ``(n, 2, 1 + positions, dim)``, with a mask
    ``(n, 1 + positions)`` where some positions are padding, to logits."""

    def __init__(self, shape: HeaderConfig) -> None:
        super().__init__(shape)
        if shape.architecture is None:
            raise ValueError("a searched header needs its architecture")
        self.architecture = architecture = shape.architecture
        self.operations = nn.ModuleDict(
            {
                f"{u}-{b}-{slot}": OPERATIONS[name](shape.channels, len(shape.shape))
                for u in range(shape.repeats)
                for b, block in enumerate(architecture)
                for slot, name in enumerate((block.op1, block.op2))
            }
        )

    def forward(self, features: Tensor, mask: Mask = None) -> Tensor:
        return self.run(
            features,
            self.architecture,
            lambda u, b, slot, _: self.operations[f"{u}-{b}-{slot}"],
            mask,
        )


class SharedWeights(DagFrame):
    """Every operation of every slot once: all headers of a space share these weights."""

    def __init__(self, blocks: int, operations: tuple[str, ...], shape: HeaderConfig) -> None:
        super().__init__(shape)
        self.operations = nn.ModuleDict(
            {
                f"{u}-{b}-{slot}-{name}": OPERATIONS[name](shape.channels, len(shape.shape))
                for u in range(shape.repeats)
                for b in range(blocks)
                for slot in range(2)
                for name in operations
            }
        )

    def forward(self, features: Tensor, architecture: Architecture, mask: Mask = None) -> Tensor:
        return self.run(
            features,
            architecture,
            lambda u, b, slot, name: self.operations[f"{u}-{b}-{slot}-{name}"],
            mask,
        )
