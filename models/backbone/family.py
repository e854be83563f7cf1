"""What a family of backbones is: a configuration, a module, and its table of units."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar

from annotated_types import Interval
from pydantic import Strict
from torch import Generator, Tensor, nn

from models.backbone.units import Unit

VERSION = 1
"""Of configurations in files and messages."""

Size = Annotated[int, Strict(), Interval(ge=1, le=1 << 16)]
Layers = Annotated[int, Strict(), Interval(ge=1, le=1 << 10)]
"""How large and how deep what a file describes may be: it may be anybody's."""

Augment = Callable[[Tensor, Generator], Tensor]
"""A batch of inputs, as it is trained on."""


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """What it takes to rebuild a (possibly narrowed) backbone without its weights.

    ``heads`` and ``mlp_hidden`` are those that are left in every layer; ``head_dim`` never
    changes, nor does the embedding dimension ``dim``.
    """

    classes: Annotated[int, Strict(), Interval(ge=0, le=1 << 16)]
    dim: Size
    depth: Layers
    heads: Size
    head_dim: Size
    mlp_hidden: Size

    family: ClassVar[str]
    """Its name in :data:`models.backbone.config.FAMILIES`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """How the positions lie, [CLS] aside: ``(rows, columns)`` or ``(time,)``."""
        raise NotImplementedError

    @property
    def positions(self) -> int:
        """Tokens that stand for a part of the input: N of Eq. 2."""
        return math.prod(self.shape)

    @property
    def prefix(self) -> int:
        """Tokens before them, [CLS] in most."""
        return 1

    def with_words(self, words: Tensor) -> BackboneConfig:
        """Of the backbone that has these rows ``(k,)`` of its table of words alone.

        Raises:
            ValueError: the family has no words, or these lack one that it needs.
        """
        raise ValueError(f"a {self.family} has no words")

    def with_vocabulary(self, rows: int | None) -> BackboneConfig:
        """Of a backbone with so many rows in its table of words, for its size; the same where the
        family has no words, or none is told."""
        return self

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; :func:`models.backbone.config.config_from` reads it."""
        return {"version": VERSION, "family": self.family, **asdict(self)}


class Backbone(nn.Module):
    """A Transformer: inputs to tokens ``(n, prefix + positions, dim)``, through layers, to logits
    of the reference header ``(n, classes)``. Which tokens are what is said here alone:
    :meth:`pooled` is what the reference header reads, :meth:`read` what any other header does.

    Padding takes no part in what they give: each is told the mask, where the family has one.

    A layer maps tokens and their mask to tokens. It takes the number of its heads and neurons from
    the shapes of its tensors, so that it runs on views of them just as well.
    """

    config: BackboneConfig
    blocks: nn.ModuleList
    head: Any

    @abstractmethod
    def embed(self, inputs: Tensor) -> Tensor:
        """Tokens ``(n, prefix + positions, dim)`` before the first layer."""

    @abstractmethod
    def sample(self) -> Tensor:
        """One input, of zeros, where the module lies."""

    def mask(self, inputs: Tensor) -> Tensor | None:
        """Which tokens there are ``(n, prefix + positions)``; None where there are always all."""
        return None

    def finish(self, hidden: Tensor) -> Tensor:
        """What follows the last layer: a final norm, where the family has one."""
        return hidden

    def pooled(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the reference header reads of a layer's tokens ``(n, dim)``: [CLS], finished."""
        return self.finish(hidden)[:, 0]

    def read(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """What headers read of a layer's tokens ``(n, 1 + positions, dim)``: what the reference
        header reads, in the place of [CLS], and each position's token, finished."""
        return self.finish(hidden)

    def logits(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """The reference header's logits ``(n, classes)`` from a layer's tokens."""
        return self.head(self.pooled(hidden, mask))

    def encode(self, inputs: Tensor) -> Tensor:
        """Tokens of the last layer."""
        x, mask = self.embed(inputs), self.mask(inputs)
        for block in self.blocks:
            x = block(x, mask)
        return x

    def forward_features(self, inputs: Tensor) -> Tensor:
        """Finished tokens of the last layer."""
        return self.finish(self.encode(inputs))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.logits(self.encode(inputs), self.mask(inputs))

    def reset_classifier(self, classes: int) -> None:
        """Another reference header, fresh; none where ``classes`` is 0."""
        place = next(self.parameters()).device
        self.config = replace(self.config, classes=classes)
        self.head = classifier(self.config).to(place)


def classifier(config: BackboneConfig) -> nn.Module:
    """A fresh reference header."""
    return nn.Linear(config.dim, config.classes) if config.classes else nn.Identity()


def unchanged(inputs: Tensor, generator: Generator) -> Tensor:
    """Inputs as they are."""
    return inputs


@dataclass(frozen=True)
class Family:
    """One line of the registry.

    Attributes:
        config: the class of its configurations.
        module: a fresh module of a configuration, initialised from torch's global stream.
        units: which of its tensors hold units.
        augment: what else inputs may look like that mean the same, drawn anew for every batch.
    """

    config: type[BackboneConfig]
    module: Callable[[Any], Backbone]
    units: Callable[[Any], tuple[Unit, ...]]
    augment: Augment = unchanged
