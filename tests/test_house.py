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


def test_two_modules_import_mlflow() -> None:
    users = [
        p.name for p in SOURCES if re.search(r"^\s*(?:from|import) mlflow", p.read_text(), re.M)
    ]
    assert sorted(users) == ["registry.py", "tracking.py"]


def test_no_pickle_crosses_a_link_or_a_store() -> None:
    for name in ("links", "store", "records", "outputs"):
        assert "pickle" not in (ROOT / f"tasks/{name}.py").read_text().replace("never pickle", "")


def test_help_answers_without_loading_the_heavy_libraries() -> None:
    code = (
        "import sys; from flows import cli\n"
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
