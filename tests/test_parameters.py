"""A function takes few things: what belongs together is a record."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST, MOST_OF_A_STEP = 6, 4
ROOMS = ("benchmarks/*.py", "flows/**/*.py", "models/**/*.py", "tasks/**/*.py")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(file: Path) -> Iterator[Function]:
    """All of a file but those that click calls, with an argument an option of the command line."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, Function):
            decorators = " ".join(map(ast.unparse, node.decorator_list))
            if "click" not in decorators and ".command(" not in decorators:
                yield node


def parameters(function: Function) -> list[str]:
    """All but ``self`` and ``cls``; ``*args`` and ``**kwargs`` count as one each."""
    a = function.args
    named = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    return [p.arg for p in named if p.arg not in ("self", "cls")]


@pytest.mark.parametrize("room", ROOMS)
def test_a_function_takes_few_parameters(room: str) -> None:
    counts = {
        f"{file.relative_to(ROOT)}: {f.name}": (len(parameters(f)), most(file))
        for file in ROOT.glob(room)
        for f in functions(file)
    }
    assert counts
    assert not {name: count for name, (count, limit) in counts.items() if count > limit}


def most(file: Path) -> int:
    """How many parameters a function of a file may have."""
    room = file.relative_to(ROOT).parts
    return MOST_OF_A_STEP if room[0] == "flows" and room[1] != "command" else MOST
