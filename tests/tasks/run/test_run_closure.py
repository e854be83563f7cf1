"""What a module's code is: an independent reader of imports (grimp, import-linter's) agrees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.run import closure as code
from tasks.run.closure import PACKAGES, ROOT, closure, code_version, relative

MODULES = ["flows.partition", "flows.backbone", "flows.customize", "flows.evaluate"]
MODULES += ["tasks.cloud.reference", "tasks.device.rounds", "tasks.edge.mixing", "models.progress"]


@pytest.mark.parametrize("module", MODULES)
def test_the_closure_is_what_is_imported(module: str, imports: Callable[[str], set[str]]) -> None:
    sources = {f for f in closure(module) if f.suffix == ".py"}
    names = {relative(f).removesuffix(".py").removesuffix("/__init__") for f in sources}
    assert {name.replace("/", ".") for name in names} == imports(module)


def test_files_that_a_module_names_count() -> None:
    files = {relative(f) for f in closure("flows.partition")}
    assert "tasks/data/expectations/manifest.json" in files
    assert "tasks/report/templates/report.html" not in files
    assert "tasks/report/templates/report.html" in {relative(f) for f in closure("flows.evaluate")}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of our package names in another folder."""
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    monkeypatch.setattr(code, "ROOT", tmp_path)
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    for function in (
        code.code_version,
        code._source,
        code._tree,
        code._imports,
        code._files,
        code._content_hash,
    ):
        function.cache_clear()


def closed(module: str) -> set[str]:
    forget()
    return {f.relative_to(code.ROOT).as_posix() for f in closure(module)}


def test_imports_inside_functions_and_by_name_count(project: Path) -> None:
    (project / "tasks/one.py").write_text(
        "from __future__ import annotations\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from models import typed\n"
        "else:\n    from models import other\n"
        "def f(name):\n"
        "    from . import two\n"
        "    import importlib\n"
        "    importlib.import_module('models.three')\n"
        "    return importlib.import_module(f'flows.{name}')\n"
    )
    for name in ("tasks/two", "models/three", "models/typed", "models/other", "flows/four"):
        (project / f"{name}.py").touch()
    assert closed("tasks.one") == {
        "flows/__init__.py",
        "flows/four.py",
        "models/__init__.py",
        "models/other.py",
        "models/three.py",
        "tasks/__init__.py",
        "tasks/one.py",
        "tasks/two.py",
    }


def test_what_runs_though_no_type_checker_reads_it_counts(project: Path) -> None:
    (project / "tasks/one.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "if not TYPE_CHECKING:\n    from models import two\n"
        "if 1 or TYPE_CHECKING:\n    from models import three\n"
    )
    for name in ("models/two", "models/three"):
        (project / f"{name}.py").touch()
    assert {"models/two.py", "models/three.py"} <= closed("tasks.one")


@pytest.mark.parametrize(
    "argument",
    ["name", "'models.' + name", "f'models.{a}.{b}'", "f'models.t{x}'", "'.two', 'tasks'"],
)
def test_an_import_that_cannot_be_followed_is_refused(argument: str, project: Path) -> None:
    (project / "tasks/one.py").write_text(
        f"import importlib\nimportlib.import_module({argument})\n"
    )
    with pytest.raises(ValueError, match=r"tasks\.one: cannot tell what"):
        closed("tasks.one")


def test_the_version_follows_every_file_and_no_other(project: Path) -> None:
    (project / "tasks/one.py").write_text("from models import two\nNAME = 'page.html'\n")
    (project / "models/two.py").write_text("x = 1\n")
    (project / "models/three.py").write_text("x = 1\n")
    (project / "tasks/page.html").write_text("<p>")
    before = version()
    (project / "models/three.py").write_text("x = 2\n")
    assert version() == before
    for file in ("models/two.py", "tasks/page.html", "tasks/__init__.py", "tasks/one.py"):
        with (project / file).open("a") as out:
            out.write("# more\n")
        assert version() != before
        before = version()


def version() -> str:
    forget()
    return code_version("tasks.one")


def test_it_reads_this_project() -> None:
    assert (ROOT / "tasks/run/closure.py").is_file()
