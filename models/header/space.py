"""The search space of headers: a DAG of blocks, each two inputs and two operations (Eq. 14)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from models.choices import chosen
from models.header.operations import OPERATIONS


class Block(NamedTuple):
    """One block: two inputs (0 the last layer's map, 1 the penultimate's, 2.. earlier blocks) and
    the names of the operations on them; their results are added."""

    input1: int
    input2: int
    op1: str
    op2: str


Architecture = tuple[Block, ...]


@dataclass(frozen=True)
class Space:
    """All headers of ``blocks`` blocks over ``operations``.

    Raises:
        ValueError: an operation is unknown.
    """

    blocks: int
    operations: tuple[str, ...] = tuple(OPERATIONS)

    def __post_init__(self) -> None:
        for name in self.operations:
            chosen("operation", name, OPERATIONS)

    def size(self) -> int:
        """How many headers there are (Eq. 14): the product of (b + 1)^2 |O|^2 over the blocks."""
        return math.prod(
            (b + 1) ** 2 * len(self.operations) ** 2 for b in range(1, self.blocks + 1)
        )

    def choices(self) -> list[int]:
        """The number of choices of each of the 4B decisions, in the order of a block's fields."""
        ops = len(self.operations)
        return [n for b in range(self.blocks) for n in (b + 2, b + 2, ops, ops)]

    def decode(self, decisions: Sequence[int]) -> Architecture:
        """The architecture that 4B decisions stand for."""
        blocks = [decisions[i : i + 4] for i in range(0, len(decisions), 4)]
        return tuple(
            Block(int(i1), int(i2), self.operations[o1], self.operations[o2])
            for i1, i2, o1, o2 in blocks
        )

    def encode(self, architecture: Architecture) -> list[int]:
        """Inverse of :meth:`decode`."""
        index = self.operations.index
        return [n for b in architecture for n in (b.input1, b.input2, index(b.op1), index(b.op2))]

    def sample(self, generator: torch.Generator) -> Architecture:
        """A uniformly drawn architecture."""
        drawn = [int(torch.randint(n, (1,), generator=generator)) for n in self.choices()]
        return self.decode(drawn)


def loose_ends(architecture: Architecture) -> list[int]:
    """Indices (2..) of the blocks that no other block reads: their sum is the module's output."""
    read = {i for block in architecture for i in (block.input1, block.input2)}
    return [b + 2 for b in range(len(architecture)) if b + 2 not in read]


def describe(architecture: Architecture) -> str:
    """One line a person can read: ``conv3(last) + maxpool(block 1); ...``."""
    names = ["last", "penultimate", *(f"block {b + 1}" for b in range(len(architecture)))]
    return "; ".join(
        f"{b.op1}({names[b.input1]}) + {b.op2}({names[b.input2]})" for b in architecture
    )
