"""Cutting a variant out of the elastic model as a real, smaller module."""

from __future__ import annotations

from torch import Tensor

from models.backbone.config import restore, units_of
from models.backbone.elastic import counts_at, layers_of, variant_config
from models.backbone.family import Backbone
from models.backbone.units import layered, narrowed, reordered


def slice_variant(
    backbone: Backbone, width: float, depth: int, strategy: str = "first"
) -> Backbone:
    """A smaller backbone with the first heads and neurons of the chosen layers.

    It gives the same logits as ``backbone`` with the removed heads and neurons masked and the
    other layers skipped.
    """
    full = backbone.config
    units, counts = layered(units_of(full)), counts_at(full, width)
    state = {k: v for k, v in backbone.state_dict().items() if not k.startswith("blocks.")}
    for new, old in enumerate(layers_of(depth, full.depth, strategy)):
        tensors = narrowed(backbone.blocks[old].state_dict(), units, counts)
        state |= {f"blocks.{new}.{name}": value for name, value in tensors.items()}
    return restore(variant_config(full, width, depth), state)


def trimmed(backbone: Backbone, words: Tensor) -> Backbone:
    """A smaller backbone with some rows of the table of words, in the order of ``words (k,)``:
    number i there is number ``words[i]`` of ``backbone``, which answers texts of these alike.

    Raises:
        ValueError: the family has no words, or these lack the padding.
    """
    units = [unit for unit in units_of(backbone.config) if not unit.layered]
    state = reordered(backbone.state_dict(), units, {"vocabulary": words})
    return restore(backbone.config.with_words(words), state)
