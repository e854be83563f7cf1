"""The documents say what is so."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from tests.pages import ROOT, new_files

DOCUMENTS = [ROOT / n for n in ("README.md", "CHANGELOG.md", "mlflow/README.md")]
DOCUMENTS += sorted((ROOT / "docs").glob("*.md"))
GLOSSARY = ROOT / "docs/glossary.md"
NOT_OURS = {"deploy/.env", "evaluation/dvc.lock", "evaluation/on-demand"}
"""Files that a user makes or DVC writes, and a deployment."""
TESTS = "\n".join(p.read_text() for p in (ROOT / "tests").rglob("test_*.py"))


def equations() -> list[list[str]]:
    rows = re.findall(r"^\| (\d+) \|(.+)\|$", (ROOT / "docs/equations.md").read_text(), re.M)
    return [[number, *(cell.strip() for cell in rest.split("|"))] for number, rest in rows]


def is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # what precedes the last dot is none
        return False


def resolved(dotted: str) -> object:
    """The module, or what it holds, by its dotted name; a name that is not there is an error."""
    path = dotted.split(".")
    for depth in range(len(path), 0, -1):
        name = ".".join(path[:depth])
        if is_module(name):
            found: object = import_module(name)
            for part in path[depth:]:
                found = getattr(found, part)
            return found
    raise ModuleNotFoundError(dotted)


def test_every_equation_is_listed_once() -> None:
    assert [int(row[0]) for row in equations()] == list(range(1, 22))


@pytest.mark.parametrize("row", equations(), ids=lambda row: f"eq{row[0]}")
def test_every_equation_has_its_function_and_its_test(row: list[str]) -> None:
    assert callable(resolved(row[2].strip("`")))
    assert f"def {row[3].strip('`')}(" in TESTS


def test_every_word_of_the_glossary_is_in_the_code() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| (`.+`) \|$", GLOSSARY.read_text(), re.M)
    words = [word for word, _, _ in rows]
    assert len(words) == len(set(words)) > 40
    for word, sentence, places in rows:
        assert re.search(r"[.)]$", sentence), word
        for place in re.findall(r"`([^`]+)`", places):
            assert resolved(place) is not None, (word, place)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target, heading in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", document.read_text()):
        page = document.parent / target if target else document
        assert page.exists(), target
        assert not heading or heading in anchors(page), (target, heading)


def anchors(page: Path) -> set[str]:
    """What links may name after #: the headings as GitHub spells them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_files_that_documents_name_exist(document: Path) -> None:
    rooms = "flows|tasks|models|tests|docs|benchmarks|evaluation|examples|deploy"
    for name in re.findall(rf"`((?:{rooms})/[\w./-]+)`", document.read_text()):
        assert name in {*NOT_OURS, *new_files()} or (ROOT / name).exists(), name


def test_pages_that_code_and_settings_name_exist_and_the_readme_lists_them() -> None:
    named = set()
    for path in [*(ROOT / n for n in ("params.yaml", "dvc.yaml", "prefect.yaml", "Makefile"))] + [
        p for room in ("flows", "tasks", "models", "deploy") for p in (ROOT / room).rglob("*.*")
    ]:
        if path.suffix in {".py", ".yaml", ".html", ".ini"} or path.name == "Makefile":
            named |= set(re.findall(r"docs/[\w-]+\.md", path.read_text()))
    assert len(named) > 3
    for name in named:
        assert (ROOT / name).exists(), name
    listed = set(re.findall(r"\]\((docs/[\w-]+\.md)\)", (ROOT / "README.md").read_text()))
    assert listed == {f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")}


def test_the_make_targets_that_the_readme_names_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.name)
def test_the_options_that_documents_give_to_acme_exist(document: Path) -> None:
    from flows.command.cli import cli

    for words in re.findall(r"(?:^|`|\$ )acme ([^\n`|#&;]+)", document.read_text(), re.M):
        command: click.Command = cli
        left = iter(words.split())
        for word in left:
            if word == "--case" and command is cli:
                next(left)  # its name
            elif isinstance(command, click.Group):
                command = command.commands[word]
            elif word.startswith("--"):
                known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)}
                assert word in known, (words, word)


def test_the_languages_of_texts_are_counted() -> None:
    from tasks.data.sources.package_descriptions import KNOWN

    rows = re.findall(
        r"^\| (\w+) \| [^|]+ \| ([\d,]+) \|$", (ROOT / "docs/text.md").read_text(), re.M
    )
    assert rows == [(name, f"{texts:,}") for name, (texts, _) in KNOWN.items()]


def test_no_python_shadows_mlflow() -> None:
    import mlflow

    assert not list((ROOT / "mlflow").rglob("*.py"))
    assert not (ROOT / "mlflow.py").exists()
    assert "site-packages" in str(mlflow.__file__)
