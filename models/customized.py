"""A model as it ships: pixels, or numbers of tokens, in; logits out."""

from __future__ import annotations

from torch import Tensor, nn

from models.backbone.family import Backbone
from models.backbone.features import FeatureExtractor, Headed


def customized(vit: Backbone, header: nn.Module, prepare: nn.Module) -> nn.Module:
    """A device's model: what prepares its inputs, backbone without its reference header, own
    header.

    It maps what ``prepare`` takes to logits ``(n, classes)``: with
    :class:`models.standardise.Standardise` pixels in 0..1, with ``nn.Identity`` numbers of tokens.
    ``vit`` loses its reference header.
    """
    vit.reset_classifier(0)
    return Headed(prepare, FeatureExtractor(vit), header).eval()


class Masked(nn.Module):
    """A :func:`customized` model of texts that is told which tokens are real ``(n, length)``, and
    does not look for the padding itself."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.prepare, self.extractor, self.header = model.children()

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.header(*self.extractor(self.prepare(ids), mask.bool()))


def standalone(vit: Backbone, prepare: nn.Module) -> nn.Module:
    """A backbone with its reference header, from what ``prepare`` takes to logits."""
    return nn.Sequential(prepare, vit).eval()
