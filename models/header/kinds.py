"""The registry of headers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class HeaderKind:
    """How a header is built, and what it reads of a backbone."""

    build: Callable[[HeaderConfig], nn.Module]
    reads: str


HEADERS: dict[str, HeaderKind] = {
    "linear": HeaderKind(LinearHeader, "[CLS]"),
    "mean-pool": HeaderKind(MeanPoolHeader, "the patches"),
    "mlp": HeaderKind(MLPHeader, "[CLS]"),
    "cnn-ignore": HeaderKind(partial(CNNHeader, mode="ignore"), "the patches"),
    "cnn-add": HeaderKind(partial(CNNHeader, mode="add"), "all tokens"),
    "cnn-project": HeaderKind(partial(CNNHeader, mode="project"), "all tokens"),
    "mixer": HeaderKind(MixerHeader, "all tokens"),
    "resmlp": HeaderKind(ResMLPHeader, "all tokens"),
    "vit": HeaderKind(ViTHeader, "all tokens"),
    SEARCHED: HeaderKind(DagHeader, "all tokens of the last two layers"),
}
FIXED = {name: kind for name, kind in HEADERS.items() if name != SEARCHED}
