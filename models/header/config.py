"""What it takes to rebuild a header without its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from models.backbone.config import BackboneConfig
from models.header.recipe import HeaderSearch
from models.header.space import Architecture, Block

SEARCHED = "searched"


@dataclass(frozen=True)
class HeaderConfig:
    """What it takes to rebuild a header; ``architecture`` is for the kind ``searched`` alone."""

    kind: str
    dim: int
    grid: int
    classes: int
    channels: int
    hidden: int
    repeats: int = 1
    architecture: Architecture | None = None

    @classmethod
    def linear(cls, backbone: BackboneConfig, recipe: HeaderSearch) -> HeaderConfig:
        """The linear header of a backbone; others replace ``kind`` and ``architecture``."""
        return cls(
            kind="linear",
            dim=backbone.dim,
            grid=backbone.grid,
            classes=backbone.classes,
            channels=recipe.channels,
            hidden=recipe.hidden,
            repeats=recipe.repeats,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        values = asdict(self)
        values["architecture"] = self.architecture and [list(b) for b in self.architecture]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HeaderConfig:
        """Inverse of :meth:`to_dict`."""
        blocks = values["architecture"]
        architecture = None if blocks is None else tuple(Block(*b) for b in blocks)
        return cls(**{**values, "architecture": architecture})
