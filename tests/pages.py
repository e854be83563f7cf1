"""What docs/extending.md tells a reader to do, done: its new files are written and imported, its
lines stand in the registries, and both are gone after the test."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/extending.md"
BLOCK = re.compile(
    r"^`(?P<path>[\w/]+\.py)`(?:, in `(?P<registry>\w+)`)?:\n\n```python\n(?P<code>.*?)^```$",
    re.M | re.S,
)


@dataclass(frozen=True)
class Block:
    """One block of code of the page, and the file that it belongs to: a new one, or the module of
    the registry that gets it as a line."""

    path: str
    registry: str | None
    code: str

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").replace("/", ".")


def sections() -> dict[str, list[Block]]:
    """The page's blocks by the heading that they stand under."""
    _, *parts = re.split(r"^## (.+)$", PAGE.read_text(), flags=re.M)
    found = {
        heading: [Block(m["path"], m["registry"], m["code"]) for m in BLOCK.finditer(text)]
        for heading, text in zip(parts[::2], parts[1::2], strict=True)
    }
    return {heading: blocks for heading, blocks in found.items() if blocks}


def follow(heading: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Do what the page says under ``heading``; new files go below ``folder``."""
    blocks = sections()[heading]
    registries = {block.module for block in blocks if block.registry}
    for block in blocks:
        if block.registry is None:
            assert not registries & imported(block.code), "the registry will import this file"
            _write(block, folder, patch)
        else:
            _register(block, patch)


def imported(code: str) -> set[str]:
    """The modules from which a file imports."""
    nodes = ast.walk(ast.parse(code))
    return {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def _write(block: Block, folder: Path, patch: pytest.MonkeyPatch) -> None:
    assert not (ROOT / block.path).exists(), f"{block.path} is there already"
    path = folder / block.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.code)
    spec = spec_from_file_location(block.module, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    room, _, name = block.module.rpartition(".")
    patch.setitem(sys.modules, block.module, module)
    patch.setattr(import_module(room), name, module, raising=False)
    spec.loader.exec_module(module)


def _register(block: Block, patch: pytest.MonkeyPatch) -> None:
    imports = [line for line in block.code.splitlines() if line.startswith(("from ", "import "))]
    line = block.code.removeprefix("\n".join(imports)).strip()
    assert "\n" not in line, f"more than one line: {line}"
    module = import_module(block.module)
    assert f"\n{block.registry}" in (ROOT / block.path).read_text()
    names = dict(vars(module))
    exec("\n".join(imports), names)
    entry = ast.Expression(ast.parse(f"{{{line}}}", mode="eval").body)
    added = eval(compile(entry, block.path, "eval"), names)
    for name, record in added.items():
        assert name not in getattr(module, str(block.registry))
        patch.setitem(getattr(module, str(block.registry)), name, record)
