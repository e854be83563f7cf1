"""The documents say what is so."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "mlflow/README.md", *sorted((ROOT / "docs").glob("*.md"))]
TESTS = "\n".join(p.read_text() for p in (ROOT / "tests").rglob("test_*.py"))


def equations() -> list[list[str]]:
    rows = re.findall(r"^\| (\d+) \|(.+)\|$", (ROOT / "docs/equations.md").read_text(), re.M)
    return [[number, *(cell.strip() for cell in rest.split("|"))] for number, rest in rows]


def test_every_equation_is_listed_once() -> None:
    assert [int(row[0]) for row in equations()] == list(range(1, 22))


@pytest.mark.parametrize("row", equations(), ids=lambda row: f"eq{row[0]}")
def test_every_equation_has_its_function_and_its_test(row: list[str]) -> None:
    path = row[2].strip("`").split(".")
    depth = 3
    target: object = import_module(".".join(path[:depth]))
    for name in path[depth:]:
        target = getattr(target, name)
    assert callable(target)
    assert f"def {row[3].strip('`')}(" in TESTS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_the_make_targets_that_the_readme_names_exist() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    named = re.findall(r"^make (\S+)", (ROOT / "README.md").read_text(), re.M)
    assert named
    assert set(named) <= set(targets)


def test_the_acme_commands_that_documents_name_exist() -> None:
    from flows.command.cli import cli, data

    names = set(cli.commands)
    for document in DOCUMENTS:
        for command, word in re.findall(r"`?acme ([a-z]+)(?: ([a-z]+))?", document.read_text()):
            if command in names:
                assert command != "data" or word in data.commands, (document.name, command, word)
            else:
                pytest.fail(f"{document.name} names acme {command}")


def test_no_python_shadows_mlflow() -> None:
    import mlflow

    assert not list((ROOT / "mlflow").rglob("*.py"))
    assert not (ROOT / "mlflow.py").exists()
    assert "site-packages" in str(mlflow.__file__)
