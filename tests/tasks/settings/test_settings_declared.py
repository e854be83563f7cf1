"""Files that settings name: there, and known to DVC."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from flows.command.init import stages
from tasks.run.errors import SettingsError
from tasks.settings.case import Case
from tasks.settings.declared import checked
from tasks.settings.fields import yaml_text
from tests.tiny import tiny_params

FLEET = [{"edge": "own", "devices": tiny_params()["fleet"][0]["devices"]}]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own").mkdir()
    Path("own/fleet.yaml").write_text(yaml_text(FLEET))
    Path("own/weights.safetensors").write_bytes(b"weights")


def write(key: str, file: str, params: str = "params.yaml") -> dict[str, Any]:
    values: dict[str, Any] = tiny_params()
    if key == "fleet":
        values["fleet"] = file
    else:
        values["backbone"]["reference"]["checkpoint"] = file
    Path(params).write_text(yaml_text(values))
    return values


FILES = [("fleet", "own/fleet.yaml"), ("checkpoint", "own/weights.safetensors")]


@pytest.mark.parametrize(("key", "file"), FILES)
def test_dvc_must_know_a_file_that_settings_name(key: str, file: str) -> None:
    values = write(key, file)
    checked(Path("params.yaml"))  # there are no stages yet
    Path("dvc.yaml").write_text(stages(Case.here(), tiny_params()))
    with pytest.raises(SettingsError, match=rf"names {file}, .*backbone in dvc\.yaml"):
        checked(Path("params.yaml"))
    write(key, file, "other.yaml")
    checked(Path("other.yaml"))  # no stage of DVC's reads it
    Path("dvc.yaml").write_text(stages(Case.here(), values))
    checked(Path("params.yaml"))
    for same in (f"./{file}", "own", f"own/../{file}"):
        content = YAML(typ="safe").load(stages(Case.here(), tiny_params()))
        for stage in content["stages"].values():
            stage["deps"] = [*stage["deps"], same]
        Path("dvc.yaml").write_text(yaml_text(content))
        checked(Path("params.yaml"))


@pytest.mark.parametrize(("key", "file"), FILES)
def test_so_must_the_experiments_project(key: str, file: str) -> None:
    write(key, file)
    Path("evaluation").mkdir()
    experiments = {"stages": {"experiment": {"cmd": "x", "deps": ["../params.yaml"]}}}
    Path("evaluation/dvc.yaml").write_text(yaml_text(experiments))
    with pytest.raises(SettingsError, match=r"dependency of experiment in evaluation/dvc\.yaml:"):
        checked(Path("params.yaml"))
    experiments["stages"]["experiment"]["deps"].append(f"../{file}")  # type: ignore[attr-defined]
    Path("evaluation/dvc.yaml").write_text(yaml_text(experiments))
    checked(Path("params.yaml"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no `stages:`"),
        ("[]", "no `stages:`"),
        ("words", "no `stages:`"),
        ("a: 1", "no `stages:`"),
        ("stages: []", "no `stages:`"),
        ("stages: {backbone: }", "stage backbone: expected"),
        ("stages: {backbone: {cmd: x, deps: own/weights.safetensors}}", "stage backbone: expected"),
        ("stages: {backbone: {cmd: x}}", "does not know as"),
        ("stages: {backbone: {cmd: x, deps: }}", "does not know as"),
        ("stages: {backbone: [", "not YAML"),
    ],
)
def test_odd_stages_are_one_clear_error(content: str, said: str) -> None:
    write("checkpoint", "own/weights.safetensors")
    Path("dvc.yaml").write_text(content)
    with pytest.raises(SettingsError, match=said):
        checked(Path("params.yaml"))


@pytest.mark.parametrize("file", ["nowhere.safetensors", "own"])
def test_a_checkpoint_must_be_a_file(file: str) -> None:
    write("checkpoint", file)
    with pytest.raises(SettingsError, match=rf"checkpoint: no file {file}"):
        checked(Path("params.yaml"))


def test_settings_behind_a_link_are_not_dvcs() -> None:
    """Files that they name lie beside them."""
    write("fleet", "fleet.yaml", "own/params.yaml")
    Path("params.yaml").symlink_to("own/params.yaml")
    Path("dvc.yaml").write_text(stages(Case.here(), tiny_params()))
    checked(Path("own/params.yaml"))
    with pytest.raises(SettingsError, match=r"fleet\.yaml: No such file"):
        checked(Path("params.yaml"))


def test_the_weekly_run_checks_too() -> None:
    from flows.weekly import customization, stage

    write("checkpoint", "own/weights.safetensors")
    Path("dvc.yaml").write_text(stages(Case.here(), tiny_params()))
    for flow, arguments in ((customization, ()), (stage, ("backbone",))):
        with pytest.raises(SettingsError, match="does not know as"):
            flow.fn(*arguments)
