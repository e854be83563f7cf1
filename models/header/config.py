"""What it takes to rebuild a header without its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from models.backbone.family import BackboneConfig, Layers, Size
from models.header.recipe import HeaderSearch
from models.header.space import Architecture, Block
from models.versions import readable

SEARCHED = "searched"
VERSION = 2  # 1 had the side of a square ``grid`` and no version


@dataclass(frozen=True)
class HeaderConfig:
    """What it takes to rebuild a header.

    Attributes:
        kind: one of :data:`models.header.kinds.HEADERS`.
        dim: of a token.
        shape: how the positions lie, [CLS] aside: ``(rows, columns)`` of patches or ``(t,)``.
        channels, hidden, repeats: see :class:`models.header.recipe.HeaderSearch`.
        architecture: for the kind ``searched`` alone.

    Raises:
        ValueError: the positions lie in no one or two dimensions.
    """

    kind: str
    dim: Size
    shape: tuple[Size, ...]
    classes: Size
    channels: Size
    hidden: Size
    repeats: Layers = 1
    architecture: Architecture | None = None

    @classmethod
    def linear(cls, backbone: BackboneConfig, recipe: HeaderSearch) -> HeaderConfig:
        """The linear header of a backbone; others replace ``kind`` and ``architecture``."""
        return cls(
            kind="linear",
            dim=backbone.dim,
            shape=backbone.shape,
            classes=backbone.classes,
            channels=recipe.channels,
            hidden=recipe.hidden,
            repeats=recipe.repeats,
        )

    def __post_init__(self) -> None:
        if len(self.shape) not in (1, 2):
            raise ValueError(f"shape {self.shape}: a header takes one dimension, or two")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form, with its :data:`VERSION`."""
        values = asdict(self)
        values["shape"] = list(self.shape)
        values["architecture"] = self.architecture and [list(b) for b in self.architecture]
        return {**values, "version": VERSION}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HeaderConfig:
        """Inverse of :meth:`to_dict`; reads what older versions wrote.

        Raises:
            ValueError: a newer version wrote it, or it is none of a header.
        """
        version = readable("a header's configuration", values, VERSION)
        rest = {name: value for name, value in values.items() if name != "version"}
        try:
            if version < 2:
                side = rest.pop("grid")
                rest["shape"] = (side, side)
            blocks = rest["architecture"]
            rest["architecture"] = blocks and tuple(Block(*b) for b in blocks)
            return _form().validate_python({**rest, "shape": tuple(rest["shape"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"no configuration of a header: {error}") from None


@cache  # to make it takes longer than to read a header
def _form() -> TypeAdapter[HeaderConfig]:
    return TypeAdapter(HeaderConfig)
