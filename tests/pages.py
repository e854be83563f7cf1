"""What docs/extending.md tells a reader to do, done in a copy of the code."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/extending.md"
CODE = ("flows", "tasks", "models", "tests")
BLOCK = re.compile(
    r"^`(?P<path>[\w/]+\.py)`(?:, in `(?P<registry>\w+)`)?:\n\n```python\n(?P<code>.*?)^```$",
    re.M | re.S,
)


@dataclass(frozen=True)
class Block:
    """One block of code of the page, and the file that it belongs to: a new one, or that of the
    registry that gets it as a line."""

    path: str
    registry: str | None
    code: str


def sections() -> dict[str, list[Block]]:
    """The page's blocks by the heading that they stand under."""
    _, *parts = re.split(r"^## (.+)$", PAGE.read_text(), flags=re.M)
    found = {
        heading: [Block(m["path"], m["registry"], m["code"]) for m in BLOCK.finditer(text)]
        for heading, text in zip(parts[::2], parts[1::2], strict=True)
    }
    return {heading: blocks for heading, blocks in found.items() if blocks}


def new_files() -> list[str]:
    """The files that the page adds."""
    return [b.path for blocks in sections().values() for b in blocks if b.registry is None]


def followed(copy: Path) -> Path:
    """A copy of the code below ``copy``, with all that the page adds."""
    for room in CODE:
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("params.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    for blocks in sections().values():
        for block in blocks:
            path = copy / block.path
            if block.registry is None:
                assert not path.exists(), f"{block.path} is there already"
                path.write_text(block.code)
            else:
                path.write_text(registered(path.read_text(), block))
    return copy


def registered(source: str, block: Block) -> str:
    """The registry's module with the block's line first in its dict, and its imports."""
    imports, line = split(block.code)
    start = re.search(rf"^{block.registry}\b.* = \{{", source, re.M)
    assert start, f"{block.path} has no {block.registry}"
    source = f"{source[: start.end()]}\n{line}{source[start.end() :]}"
    first = re.search(r"^from (?!__future__)", source, re.M)
    assert first, f"{block.path} imports nothing"
    return f"{source[: first.start()]}{imports}{source[first.start() :]}"


def split(code: str) -> tuple[str, str]:
    """The imports of a registry's block, and its line."""
    lines = [line for line in code.splitlines(keepends=True) if line.strip()]
    imports = [line for line in lines if line.startswith("from ")]
    return "".join(imports), "".join(line for line in lines if line not in imports)
