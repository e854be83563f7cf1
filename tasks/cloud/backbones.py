"""docs/backbones.md: which of timm's VisionTransformers can be a reference, and what of the others
cannot be cut. ``python -m tasks.cloud.backbones`` writes its table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.backbone.families.from_timm import RefusedError, same_tensors
from models.backbone.size import backbone_parameters, zeta
from tasks.cloud.named import look, prove, vits
from tasks.run.files import atomic_write

PAGE = Path("docs/backbones.md")
MARK = "<!-- written by make backbones -->\n"
HEAD = "| model | image size | parameters | zeta | can be cut |\n|---|--:|--:|--:|---|"
SIDE = 4
"""Patches a side of the images that outputs are compared on."""


@dataclass(frozen=True)
class Row:
    """A model: its image size, and parameters and zeta without a header; or why it is refused."""

    name: str
    image_size: int = 0
    parameters: int = 0
    zeta: int = 0
    refused: str = ""

    def __str__(self) -> str:
        if self.refused:
            return f"| `{self.name}` | | | | no: {self.refused} |"
        numbers = f"{self.image_size} | {self.parameters:,} | {self.zeta:,}"
        return f"| `{self.name}` | {numbers} | yes |"


def row(name: str) -> Row:
    """A model by name: its tensors at its own image size and its outputs on small images are
    compared with ours."""
    try:
        vit, config = look(name)
        same_tensors(vit, config)
        prove(name, img_size=SIDE * config.patch_size)
    except RefusedError as error:
        return Row(name, refused=error.part)
    whole = round(zeta(1.0, config.depth, config))
    return Row(name, config.image_size, backbone_parameters(config), whole)


def main() -> None:
    """Write the table of the page."""
    rows = [row(name) for name in vits()]
    table = "\n".join([HEAD, *map(str, rows)])
    atomic_write(PAGE, f"{PAGE.read_text().split(MARK)[0]}{MARK}\n{table}\n".encode())


if __name__ == "__main__":
    main()
