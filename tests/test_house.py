"""The house rules that a machine can check."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = [p for f in ("flows", "tasks", "models") for p in sorted((ROOT / f).rglob("*.py"))]


def test_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_models_know_no_files_network_or_frameworks() -> None:
    forbidden = r"^\s*(?:from|import) (prefect|mlflow|dvc|yaml|pandas|requests|urllib|pathlib|os)\b"
    for path in SOURCES:
        if "models" in path.relative_to(ROOT).parts[0]:
            assert not re.search(forbidden, path.read_text(), re.M), path


def test_one_room_imports_mlflow() -> None:
    users = {
        p.parent.name
        for p in SOURCES
        if re.search(r"^\s*(?:from|import) mlflow", p.read_text(), re.M)
    }
    assert users == {"tracking"}


def test_a_device_loads_no_framework() -> None:
    """At run time too, through whatever it imports."""
    modules = [f"tasks.device.{p.stem}" for p in (ROOT / "tasks/device").glob("[a-z]*.py")]
    code = (
        f"import sys, {', '.join(modules)}\n"
        "found = {'prefect', 'pandas', 'mlflow', 'dvc', 'great_expectations'} & set(sys.modules)\n"
        "assert not found, found"
    )
    assert len(modules) > 4
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_one_module_reads_test_splits() -> None:
    """The contracts say who may import it; here, that nobody reads the files past it."""
    word = re.compile(r"[\"'](?:test|test_images|test_labels)[\"']|\bTEST\b|pixels_and_labels\(")
    readers = {
        p.relative_to(ROOT).as_posix()
        for p in SOURCES
        if not p.relative_to(ROOT).as_posix().startswith("tasks/data/")
        and word.search(p.read_text())
    }
    assert readers == {
        "tasks/report/heldout.py",
        "tasks/experiments/world.py",  # names what it got from heldout
        "tasks/experiments/lightweight/cells.py",  # and reads what world named
        "tasks/experiments/refining/cells.py",
        "tasks/experiments/exchange/cells.py",
        "tasks/experiments/pruning/cells.py",
    }


def test_no_pickle_crosses_a_link_or_a_store() -> None:
    rooms = [*(ROOT / "tasks/links").glob("*.py"), ROOT / "tasks/report/outputs.py"]
    rooms += [ROOT / f"tasks/run/{name}.py" for name in ("store", "files")]
    for path in rooms:
        assert "pickle" not in path.read_text().replace("never pickle", ""), path


def test_nothing_is_loaded_that_runs_code() -> None:
    """No loader that unpickles, or imports what a file names (docs/operations.md says why)."""
    runs_code = re.compile(
        r"pickle\.loads?\b|joblib|\btorch\.(?:jit\.|hub\.)?load\(|\bexport\.load\(|\.load_model\("
        r"|allow_pickle=True|weights_only=False|(?:unsafe|full)_load|typ=.unsafe|\b(?:eval|exec)\("
    )
    known = {
        "tasks/delivery/formats/__init__.py": "torch.export.load(",  # words for a person
        "tasks/tracking/cards.py": "mlflow.pytorch.load_model(",  # the same
        "tasks/delivery/formats/pt2.py": "torch.export.load(",  # what was written a moment before
    }
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        text = path.read_text().replace(known.get(name, "\0"), "").replace(".eval()", "")
        assert not runs_code.search(text), f"{name}: {runs_code.search(text)}"


def test_whoever_receives_says_what_it_expects() -> None:
    for path in SOURCES:
        calls = re.findall(r"(?<!def )\breceive\(([^)]*)\)", path.read_text())
        anything = [c for c in calls if "," not in c and path.name != "asking.py"]
        assert not anything, f"{path}: {anything}"


def test_help_answers_without_loading_the_heavy_libraries() -> None:
    code = (
        "import sys; from flows.command import cli\n"
        "try: cli.cli(['--help'], standalone_mode=False)\n"
        "finally:\n"
        "    heavy = {'torch', 'prefect', 'mlflow', 'pandas', 'timm', 'ot'} & set(sys.modules)\n"
        "    assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "customize" not in done.stderr
    assert "Usage" in done.stdout


def test_tests_lie_in_the_rooms_that_they_test() -> None:
    folders = {p.parent.relative_to(ROOT / "tests") for p in (ROOT / "tests").rglob("test_*.py")}
    for folder in folders:
        assert (ROOT / folder).is_dir(), folder
    tested = {f.parts[1] for f in folders if f.parts[:1] == ("tasks",) and len(f.parts) > 1}
    rooms = {p.parent.name for p in (ROOT / "tasks").glob("*/__init__.py")}
    assert rooms == tested
