"""The registry of headers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from models.header.config import SEARCHED, HeaderConfig
from models.header.fixed import (
    CNNHeader,
    LinearHeader,
    MeanPoolHeader,
    MixerHeader,
    MLPHeader,
    ResMLPHeader,
    ViTHeader,
)
from models.header.network import DagHeader
from models.header.split import Split


@dataclass(frozen=True)
class HeaderKind:
    """How a header is built, and what it reads of a backbone."""

    build: Callable[[HeaderConfig], nn.Module]
    reads: str


CLS = "[CLS]"
HEADERS: dict[str, HeaderKind] = {
    "linear": HeaderKind(LinearHeader, CLS),
    "mean-pool": HeaderKind(MeanPoolHeader, "the patches"),
    "mlp": HeaderKind(MLPHeader, CLS),
    "cnn-ignore": HeaderKind(partial(CNNHeader, mode="ignore"), "the patches"),
    "cnn-add": HeaderKind(partial(CNNHeader, mode="add"), "all tokens"),
    "cnn-project": HeaderKind(partial(CNNHeader, mode="project"), "all tokens"),
    "mixer": HeaderKind(MixerHeader, "all tokens"),
    "resmlp": HeaderKind(ResMLPHeader, "all tokens"),
    "vit": HeaderKind(ViTHeader, "all tokens"),
    SEARCHED: HeaderKind(DagHeader, "all tokens of the last two layers"),
}
FIXED = {name: kind for name, kind in HEADERS.items() if name != SEARCHED}


def seen_by(config: HeaderConfig, data: Split) -> Split:
    """What a header reads of features: [CLS] alone ``(n, 1, 1, dim)``, without a mask, where it
    reads no more (of texts of 32 tokens that is one number in 64); else all of them."""
    if HEADERS[config.kind].reads != CLS:
        return data
    return replace(data, features=data.features[:, :1, :1], mask=None)
