"""dvc.yaml: a change reruns what it touches, and no more."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.command.pipeline import with_code
from tasks.experiments.registry import EXPERIMENTS
from tasks.run.closure import PACKAGES
from tasks.settings.case import Case
from tasks.settings.declared import paths
from tasks.settings.fields import read_yaml
from tasks.settings.params import Settings, load
from tasks.settings.stages import STAGES

ROOT = Path(__file__).parents[1]
DVC = read_yaml(ROOT / "dvc.yaml")["stages"]


def test_the_stages_are_the_command_line_s() -> None:
    assert list(DVC) == list(STAGES)
    assert all(stage["cmd"] == f"acme stage {name}" for name, stage in DVC.items())


def test_a_device_parameter_reruns_no_cloud_stage() -> None:
    for name in ("partition", "backbone"):
        assert not {"refinement", "edge"} & {p.split(".")[0] for p in DVC[name]["params"]}
    assert "refinement" in DVC["customize"]["params"]


def test_how_many_devices_must_say_what_they_are_reruns_no_other_stage_by_itself() -> None:
    readers = [n for n, s in DVC.items() if {"matching", "matching.quorum"} & set(s["params"])]
    assert readers == ["backbone"]
    beside = {f"matching.{name}" for name in vars(load(ROOT / "params.yaml").matching)}
    assert beside - set(DVC["evaluate"]["params"]) == {"matching.quorum"}


def test_every_setting_is_somebody_s_parameter() -> None:
    declared = {p.split(".")[0] for stage in DVC.values() for p in stage["params"]}
    assert declared == set(Settings.model_fields)


READERS = {
    "partition": ["tasks/data/dealing.py", "tasks/data/partitioning.py", "tasks/data/plan.py"],
    "backbone": ["flows/backbone.py", "flows/job.py"],
    "customize": ["flows/customize.py", "flows/job.py"],
    "evaluate": ["flows/evaluate.py", "flows/ceiling.py", "flows/job.py"],
}
"""Where a stage's settings are taken apart."""


@pytest.mark.parametrize("stage", READERS)
def test_a_stage_declares_the_settings_that_it_reads(stage: str) -> None:
    text = "\n".join((ROOT / file).read_text() for file in READERS[stage])
    read = set(re.findall(r"\bsettings\.(\w+)", text)) & set(Settings.model_fields)
    read |= {"fleet"} if "cluster" in text else set()
    assert {p.split(".")[0] for p in DVC[stage]["params"]} == read


@pytest.mark.parametrize("stage", ["backbone", "customize", "evaluate"])
def test_a_stage_needs_no_more_than_it_declares(
    stage: str, finished: Path, tmp_path: Path, run: Callable[..., None]
) -> None:
    root = tmp_path / "project"
    shutil.copytree(finished, root)
    needed = [root / d for d in DVC[stage]["deps"]] + [root / "artifacts/work"]
    for file in [p for p in (root / "artifacts").rglob("*") if p.is_file()]:
        if not any(file == place or place in file.parents for place in needed):
            file.unlink()
    run(root, stage)
    for out in paths(DVC[stage], "outs", "metrics", "plots"):
        assert (root / out).exists()


def test_what_a_stage_left_stays_until_it_has_something_to_put_in_its_place() -> None:
    for name, stage in DVC.items():
        for kind in ("outs", "metrics", "plots"):
            for out in stage.get(kind, []):
                assert next(iter(out.values()))["persist"], name


def test_every_declared_dependency_exists_or_is_made() -> None:
    made = [out for stage in DVC.values() for out in paths(stage, "outs")]
    for stage in DVC.values():
        for dependency in stage["deps"]:
            assert (ROOT / dependency).exists() or any(dependency.startswith(o) for o in made)


def test_the_partition_depends_on_the_checksums_not_on_the_data() -> None:
    assert "data.sha256" in DVC["partition"]["deps"]
    assert "data" not in DVC["partition"]["deps"]


def test_every_experiment_has_its_own_stage() -> None:
    stages = read_yaml(ROOT / "evaluation/dvc.yaml")["stages"]
    assert tuple(stages["experiment"]["matrix"]["name"]) == tuple(EXPERIMENTS)
    folders = stages["experiment"]["deps"]
    for dependency in folders:
        assert (ROOT / "evaluation" / dependency.replace("${scale}", "quick")).exists()
    assert {f"../{package}" for package in PACKAGES} <= set(folders)


def test_the_stages_depend_on_all_code_that_they_run() -> None:
    """To mend it: make deps."""
    text = (ROOT / "dvc.yaml").read_text()
    assert with_code(Case(ROOT), text) == text


def test_no_lock_is_ignored_by_git() -> None:
    """DVC runs no stage at all, not even another file's, where git ignores a lock."""
    for pipeline in (p for p in ROOT.rglob("dvc.yaml") if ".venv" not in p.parts):
        lock = pipeline.with_name("dvc.lock")
        done = subprocess.run(["git", "check-ignore", "-q", str(lock)], cwd=ROOT, check=False)
        assert done.returncode == 1, lock
