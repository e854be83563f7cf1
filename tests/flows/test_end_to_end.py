"""The whole pipeline on tiny real data: what a run leaves, and that it leaves it again."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from tasks.data.modality import VERSION
from tasks.delivery.shipped import load_shipped
from tasks.report.outputs import read_rounds, read_searches
from tasks.run.errors import DataError, StageError
from tasks.settings.case import Case
from tasks.settings.fields import read_yaml, yaml_text


@pytest.fixture(scope="session")
def summary(finished: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((finished / "artifacts/summary.json").read_text())
    return content


def test_every_device_has_a_model_within_its_limit(finished: Path, summary: dict[str, Any]) -> None:
    assert [d["device"] for d in summary["devices"]] == [f"device-0{i}" for i in range(4)]
    for device in summary["devices"]:
        file = finished / f"artifacts/models/{device['device']}/model.safetensors"
        model = load_shipped(file)
        assert sum(p.numel() for p in model.parameters()) == device["params"]
        assert device["params"] <= device["storage_limit"]
        assert device["bytes"] == file.stat().st_size
        assert model(torch.rand(3, 1, 8, 8)).shape == (3, 10)


def test_no_device_is_worse_on_validation_than_what_it_received(summary: dict[str, Any]) -> None:
    for device in summary["devices"]:
        assert device["val_accuracy_refined"] >= device["val_accuracy_received"]


def test_accuracies_are_counted_by_class_and_compared_with_the_reference(
    finished: Path, summary: dict[str, Any]
) -> None:
    manifest = pd.read_parquet(finished / "artifacts/partition/manifest.parquet")
    held_out = manifest[manifest.split == "test"].groupby("owner").size()
    for device in summary["devices"]:
        counts = device["confusion"]
        total = sum(sum(row.values()) for row in counts.values())
        assert total == device["test_samples"] == held_out[device["device"]]
        right = sum(row.get(label, 0) for label, row in counts.items())
        assert right / total == pytest.approx(device["accuracy_refined"])
        low, high = device["accuracy_refined_low"], device["accuracy_refined_high"]
        assert 0 <= low < device["accuracy_refined"] < high <= 1 or right == total
        assert device["accuracy_reference_own_classes"] >= device["accuracy_reference"]
    fleet, reference = summary["fleet"], summary["reference"]
    assert fleet["given_up_own_classes_mean"] == pytest.approx(
        fleet["accuracy_reference_own_classes_mean"] - fleet["accuracy_refined_mean"]
    )
    assert reference["test_accuracy_low"] < reference["test_accuracy"]
    assert reference["test_accuracy"] < reference["test_accuracy_high"]
    assert summary["totals"]["parameters"] == {
        "shipped": sum(d["params"] for d in summary["devices"]),
        "reference": 4 * reference["parameters"],
    }
    energy = summary["totals"]["modelled_energy_joule"]
    assert energy["shipped"] < energy["reference"]


def test_the_uplink_is_a_fraction_of_a_centralised_system_s(
    finished: Path, summary: dict[str, Any]
) -> None:
    link = summary["link"]
    ledgers = [
        pd.read_parquet(finished / f"artifacts/{stage}/ledger.parquet")
        for stage in ("backbone", "customize")
    ]
    rows = pd.concat(ledgers)
    up = rows[rows.direction == "up"]
    assert link["uplink_bytes"] + link["shared_bytes"] == up.bytes.sum()
    assert set(up.kind) == {
        "device_attributes",
        "cluster_statistics",
        "class_statistics",
        "metrics",
        "receipt",
        "shared_samples",
    }
    manifest = pd.read_parquet(finished / "artifacts/partition/manifest.parquet")
    assert manifest.attrs == {"version": VERSION}
    private = manifest[(manifest.tier == "device") & manifest.split.isin(["train", "val"])]
    assert link["centralised_bytes"] == len(private) * (8 * 8 + 1)


def test_the_winner_is_not_worse_than_linear_on_shared_validation(finished: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(finished)
        searches = read_searches(Case.here().customize)
    for search in searches:
        linear = next(h for h in search.headers if h.kind == "linear")
        assert search.headers[search.winner].val_accuracy >= linear.val_accuracy
        assert search.headers[search.winner].parameters <= search.budget_parameters


def test_mlflow_holds_every_candidate_and_a_champion_that_predicts(
    finished: Path, summary: dict[str, Any]
) -> None:
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{finished / 'mlflow/store/mlflow.db'}")
    candidates = mlflow.search_runs(
        search_all_experiments=True, filter_string="tags.`acme.kind` = 'candidate'"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(finished)
        rounds, searches = (
            read_rounds(Case.here().customize),
            read_searches(Case.here().customize),
        )
    assert len(candidates) == 4 + sum(len(s.headers) for s in searches) + len(rounds)
    for metric in (
        "val_accuracy",
        "test_accuracy",
        "modelled_energy_joule",
        "flops",
        "parameters",
        "bytes",
        "latency_s",
    ):
        assert candidates[f"metrics.{metric}"].notna().all(), metric
    assert candidates["tags.mlflow.parentRunId"].notna().all()

    pixels = torch.rand(5, 1, 8, 8)
    for device in summary["devices"]:
        name = f"acme-device-{device['device'][-2:]}"
        champion = mlflow.pytorch.load_model(f"models:/{name}@champion")
        shipped = load_shipped(finished / f"artifacts/models/{device['device']}/model.safetensors")
        assert torch.allclose(champion(pixels), shipped(pixels), atol=1e-5)
        version = mlflow.MlflowClient().get_model_version_by_alias(name, "champion")
        assert {"cluster", "width", "depth", "header", "data_hash", "git_commit"} <= set(
            version.tags
        )
    assert mlflow.pytorch.load_model("models:/acme-backbone-north@champion")(pixels).shape == (
        5,
        10,
    )


def test_logging_the_same_outcome_again_adds_no_run(
    finished: Path, tmp_path: Path, run: Callable[..., None]
) -> None:
    import mlflow

    root = tmp_path / "again"
    shutil.copytree(finished, root)
    store = f"sqlite:///{root / 'mlflow/store/mlflow.db'}"
    mlflow.set_tracking_uri(store)
    before = len(mlflow.search_runs(search_all_experiments=True))
    run(root, "evaluate")
    mlflow.set_tracking_uri(store)
    assert len(mlflow.search_runs(search_all_experiments=True)) == before
    versions = mlflow.MlflowClient().search_model_versions("name = 'acme-device-00'")
    assert len(versions) == 1


def test_the_report_needs_no_network(finished: Path) -> None:
    page = (finished / "artifacts/report.html").read_text()
    assert not re.search(r"(src|href)\s*=\s*[\"']https?:", page)
    assert "url(http" not in page
    assert page.count("<svg") == 3 + 3 * 2
    for device in range(4):
        assert f"device-0{device}" in page


def stage_outputs(root: Path) -> dict[str, bytes]:
    folders = ("partition", "backbone", "customize")
    files = [p for f in folders for p in (root / "artifacts" / f).rglob("*") if p.is_file()]
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(files)}


def test_the_same_seed_from_scratch_gives_the_same_bytes(
    pinned: Path, finished: Path, tmp_path: Path, run: Callable[..., None]
) -> None:
    root = tmp_path / "project"
    shutil.copytree(pinned, root)
    run(root, "partition", "backbone", "customize")
    assert stage_outputs(root) == stage_outputs(finished)


def test_a_killed_stage_goes_on_from_what_was_finished(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., None]
) -> None:
    root = tmp_path / "project"
    shutil.copytree(finished, root)
    shutil.rmtree(root / "artifacts/customize")  # what DVC does before it reruns a stage
    from models.refinement import training

    def never(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(training, "fit_devices", never)
    run(root, "customize")
    assert stage_outputs(root) == stage_outputs(finished)


def test_tampered_data_stop_the_partition_and_are_named(
    pinned: Path, tmp_path: Path, run: Callable[..., None]
) -> None:
    root = tmp_path / "project"
    shutil.copytree(pinned, root)
    victim = next((root / "data/3").glob("*.png"))
    victim.write_bytes(victim.read_bytes()[:-7])
    with pytest.raises(DataError, match=victim.name):
        run(root, "partition")
    assert not (root / "artifacts/partition").exists()


def test_a_fleet_that_nothing_fits_names_the_cluster(
    finished: Path, tmp_path: Path, run: Callable[..., None]
) -> None:
    from models.matching.selection import NothingFitsError

    root = tmp_path / "project"
    shutil.copytree(finished, root)
    params = read_yaml(root / "params.yaml")
    params["fleet"][1]["devices"][0]["storage_limit"] = 4100
    (root / "params.yaml").write_text(yaml_text(params))
    with pytest.raises(NothingFitsError, match=r"south.*smallest variant"):
        run(root, "backbone")


def test_a_stage_without_its_inputs_says_which_to_run(
    pinned: Path, tmp_path: Path, run: Callable[..., None]
) -> None:
    from tasks.run.errors import ArtifactError

    root = tmp_path / "project"
    shutil.copytree(pinned, root)
    with pytest.raises((ArtifactError, StageError), match=r"data\.json"):
        run(root, "backbone")


def test_another_seed_changes_the_outcome(
    pinned: Path, finished: Path, tmp_path: Path, run: Callable[..., None]
) -> None:
    root = tmp_path / "project"
    shutil.copytree(pinned, root)
    params = read_yaml(root / "params.yaml")
    params["seed"] = 1
    (root / "params.yaml").write_text(yaml_text(params))
    run(root, "partition", "backbone")
    for name in ("partition/manifest.parquet", "backbone/variants.json"):
        ours, theirs = (r / "artifacts" / name for r in (root, finished))
        assert ours.read_bytes() != theirs.read_bytes()


def test_the_paper_s_unfrozen_backbone_can_be_had(
    finished: Path, tmp_path: Path, run: Callable[..., None]
) -> None:
    root = tmp_path / "project"
    shutil.copytree(finished, root)
    params = read_yaml(root / "params.yaml")
    params["edge"] |= {"unfreeze_steps": 3, "unfreeze_lr": 1e-6}  # too little to be worse
    (root / "params.yaml").write_text(yaml_text(params))
    run(root, "customize")
    for edge in ("north", "south"):
        cut = (root / f"artifacts/backbone/{edge}.safetensors").read_bytes()
        frozen = (finished / f"artifacts/customize/backbones/{edge}.safetensors").read_bytes()
        tuned = (root / f"artifacts/customize/backbones/{edge}.safetensors").read_bytes()
        assert len(cut) == len(frozen) == len(tuned)
        assert tuned != frozen


def changed_fleet(finished: Path, tmp_path: Path, change: Callable[[list[Any]], None]) -> Path:
    """A copy of a finished project with another fleet; every cached result is there."""
    root = tmp_path / "project"
    shutil.copytree(finished, root)
    params = read_yaml(root / "params.yaml")
    change(params["fleet"])
    (root / "params.yaml").write_text(yaml_text(params))
    return root


def computed(said: str) -> dict[str, list[str]]:
    """What each stage's cache report says was computed."""
    found: dict[str, list[str]] = {}
    for line in said.splitlines():
        if match := re.fullmatch(r"(\w+): \d+ results? reused, (\d+) computed", line):
            found[stage := match[1]] = []
            count = int(match[2])
        elif line.startswith("  computed: "):
            found[stage].append(line.removeprefix("  computed: "))
            assert len(found[stage]) <= count
    return found


def test_a_limit_that_is_not_the_smallest_redoes_nothing(
    finished: Path, tmp_path: Path, run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    root = changed_fleet(
        finished, tmp_path, lambda fleet: fleet[1]["devices"][1].update(storage_limit=9900)
    )
    run(root, "partition", "backbone", "customize")
    assert computed(capsys.readouterr().out) == {"backbone": [], "customize": []}
    assert stage_outputs(root).keys() == stage_outputs(finished).keys()


def test_a_new_device_redoes_its_own_cluster_alone(
    finished: Path, tmp_path: Path, run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def add(fleet: list[Any]) -> None:
        fleet[1]["devices"].append({**fleet[1]["devices"][0], "id": 4})

    root = changed_fleet(finished, tmp_path, add)
    run(root, "partition", "backbone", "customize")
    redone = computed(capsys.readouterr().out)
    assert redone["backbone"] == []
    assert redone["customize"]
    assert not [name for name in redone["customize"] if "north" in name or "device-00" in name]
    assert any("device-04" in name for name in redone["customize"])
