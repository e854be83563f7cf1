"""What all tests share: reproducible property tests, and a tiny project on real data (the digits
that scikit-learn brings, as a folder of class folders). Heavy imports are inside the fixtures."""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch is imported; see tasks.servers
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tasks.settings.fields import yaml_text
from tests.tiny import tiny_params

settings.register_profile("acme", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("acme")


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's own folder is the working folder: relative paths, and so its store, are below."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def flows_in_tmp(in_tmp: None, prefect_home: None, tmp_path: Path) -> Iterator[None]:
    """The same, with a Prefect server whose cached results are below too."""
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "results"}):
        yield


@pytest.fixture(scope="session")
def prefect_home() -> Iterator[None]:
    """One Prefect server for all tests that run flows."""
    os.environ["PREFECT_LOGGING_LEVEL"] = "CRITICAL"
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git and DVC repository with the tiny settings and pinned data; copy before use."""
    from tasks.experiments.second import write_digits

    root = tmp_path_factory.mktemp("pinned")
    write_digits(root / "data")
    (root / "params.yaml").write_text(yaml_text(tiny_params()))
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "data"], cwd=root, check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        from tasks.data import pin

        pin.write_checksums(Path("data"), Path("data.sha256"))
    return root


def run_stages(root: Path, *stages: str) -> None:
    """Run stages in ``root`` as ``acme stage`` does, in this process."""
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    from flows.command.run import stage_flow
    from tasks.settings.case import Case
    from tasks.settings.params import load

    settings = load(root / "params.yaml")
    results = {PREFECT_LOCAL_STORAGE_PATH: root / "artifacts/work/results"}
    with pytest.MonkeyPatch.context() as patch, temporary_settings(results):
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for stage in stages:
            stage_flow(stage)(Case(root), settings)


def promote_all(root: Path) -> None:
    """`acme promote` in ``root``."""
    from flows.command.promotion import promote_fleet

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        promote_fleet(Path("params.yaml"), ())


@pytest.fixture(scope="session")
def run(prefect_home: None) -> Callable[..., None]:
    """:func:`run_stages`, with a Prefect server to run on."""
    return run_stages


@pytest.fixture(scope="session")
def finished(pinned: Path, prefect_home: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the whole pipeline has run once; do not change it."""
    root = tmp_path_factory.mktemp("finished") / "project"
    shutil.copytree(pinned, root)
    run_stages(root, "partition", "backbone", "customize", "evaluate")
    promote_all(root)
    return root


@pytest.fixture(scope="module")
def working(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A module's own copy of the finished project, as the working folder."""
    root = tmp_path_factory.mktemp("working") / "project"
    shutil.copytree(finished, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        yield root


@pytest.fixture(scope="session")
def imports() -> Callable[[str], set[str]]:
    """What a module imports in turn, by import-linter's reader, with the packages it lies in."""
    import grimp

    from tasks.run.closure import PACKAGES

    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)

    by_name = ("tasks.data.sources", "tasks.delivery.formats")  # load their files by a name

    def upstream(module: str) -> set[str]:
        found, grown = {module}, set[str]()
        while found != grown:
            grown = set(found)
            for name in grown:
                found |= graph.find_upstream_modules(name)
                found |= graph.find_children(name) if name in by_name else set()
            for parts in [name.split(".") for name in set(found)]:
                found |= {".".join(parts[:i]) for i in range(1, len(parts))}
        return found

    return upstream
