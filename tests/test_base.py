"""What a device and a notebook need is little: the packages of `dependencies`, and theirs."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ONLY = """
import sys
refused = set(sys.argv[1].split())

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"No module named {name!r}: it is not in the base", name=name)

sys.meta_path.insert(0, Absent())
"""
NEED_MORE = ("models.baselines", "models.backbone.families.from_timm", "tasks.links.ledger")
"""Of these rooms, what only experiments and the cloud (named references, the ledger) run."""


def base() -> set[str]:
    """The distributions that `pip install acme-customization` brings."""
    found: set[str] = set()
    todo = list(DECLARED["dependencies"])
    while todo:
        requirement = Requirement(todo.pop())
        name = canonicalize_name(requirement.name)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if not wanted or name in found:
            continue
        found.add(name)
        try:
            todo += requires(name) or []
        except PackageNotFoundError:  # of another platform
            continue
    return found


def absent() -> set[str]:
    """The modules that are installed here and would not be with the base alone."""
    kept = base()
    return {
        module
        for module, owners in packages_distributions().items()
        if not kept & {canonicalize_name(owner) for owner in owners}
        and module not in {"flows", "tasks", "models", *sys.stdlib_module_names}
    }


def run_in_base(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ONLY + code, " ".join(sorted(absent()))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_rest_is_not_in_the_base() -> None:
    assert {"timm", "prefect", "pandas", "mlflow", "dvc", "ot", "sklearn", "scipy"} <= absent()


def test_models_devices_and_links_load_with_the_base_alone() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for room in ("models", "tasks/device", "tasks/links")
        for path in sorted((ROOT / room).rglob("[a-z]*.py"))
    ]
    names = [name for name in names if not name.startswith(NEED_MORE)]
    assert len(names) > 30
    run_in_base(f"import {', '.join(names)}")
