"""Flows run their steps through one function, so that an engine can take them."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect import Task

from tests.tiny import ROOT

FLOWS = [str(file.relative_to(ROOT)) for file in sorted((ROOT / "flows").rglob("*.py"))]


def called(file: Path) -> Iterator[tuple[int, object]]:
    """What a file calls by a name that its module knows, with the line."""
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    known = vars(importlib.import_module(name))
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            first, *rest = ast.unparse(node.func).split(".")
            value: object = known.get(first)
            for part in rest:
                value = getattr(value, part, None)
            yield node.lineno, value


@pytest.mark.parametrize("file", FLOWS)
def test_no_task_is_called_directly(file: str) -> None:
    direct = [line for line, value in called(ROOT / file) if isinstance(value, Task)]
    assert not direct, "a task that is called directly stays here under any engine: run_step"


def test_the_steps_of_a_flow_are_seen() -> None:
    names = {getattr(value, "__name__", "") for _, value in called(ROOT / "flows/customize.py")}
    assert {"run_step", "run_steps"} <= names
