"""`acme evaluate` on tiny real data: every experiment end to end, and that it is honest."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from flows.experiments import bench, exchange, refining
from flows.experiments.bench import Bench
from flows.experiments.by_name import flow_of
from models.backbone import distillation, training
from models.refinement.exchanges import EXCHANGES
from tasks.data import dealing, partitioning
from tasks.experiments import results
from tasks.experiments.grid import cells as grid
from tasks.experiments.registry import EXPERIMENTS
from tasks.experiments.scale import Scale
from tasks.experiments.world import World
from tasks.run.errors import ValidationError
from tasks.run.store import put_tensors, read_tensors
from tasks.settings.fields import read_yaml, yaml_text
from tasks.settings.params import load
from tests.encoders import tiny_encoder
from tests.texts import texts
from tests.tiny_texts import tiny_text_params

FLEET = [
    {
        "edge": "second",
        "devices": [
            {"id": i, "group": i % 2, "storage_limit": 9000}
            | {"gpu_capacity_watt": 5, "base_latency_s": 1.0}
            for i in range(2)
        ],
    }
]
ALIKE = [
    {
        "edge": "alike",
        "devices": [
            {"id": i, "group": 0, "storage_limit": 9000}
            | {"gpu_capacity_watt": 5, "base_latency_s": 1.0}
            for i in range(3)
        ],
    }
]
OWN = tiny_text_params()
TEXTS = {name: OWN[name] for name in ("backbone", "edge", "matching", "refinement")}
TEXTS["data"] = OWN["data"] | {"folder": "texts"}
TEXTS["partition"] = OWN["partition"] | {
    "heterogeneity": "iid",
    "samples_per_device": 30,
    "public_contexts": ["en", "de"],
}
TEXTS["fleet"] = [
    {
        "edge": "it",
        "devices": [
            {**FLEET[0]["devices"][i], "id": i, "group": 0, "context": "it", "storage_limit": 50000}
            for i in range(2)
        ],
    },
]
SCALE: dict[str, Any] = {
    "seeds": 1,
    "cheap_seeds": 1,
    "settings": {},
    "digits": {"data": {"folder": "data"}, "fleet": FLEET},
    "headers": {
        "widths": [0.5, 1.0],
        "depths": [1, 2],
        "everywhere": ["cnn-ignore", "cnn-project"],
        "full_width": ["mlp", "mixer"],
        "train_samples": 200,
        "val_samples": 100,
        "blocks": [1, 2],
        "repeats": [1],
        "edge": {"epochs": 1},
    },
    "refining": {
        "groups": [0, 0, 1, 1],
        "levels": ["iid", "C2"],
        "corners": [
            {"samples": 50, "strength": 0.5},
            {"samples": 20, "strength": 0.8, "header": "mlp"},
        ],
        "variant": {"width": 1.0, "depth": 1},
        "sketches": [16],
        "loop": {"rounds": 1, "steps": 3, "tuning_steps": 2},
    },
    "windows": [0.05, 0.4],
    "contexts": {
        "settings": {"fleet": ALIKE, "partition": {"samples_per_device": 40, "slots": 4}},
        "pool": {"samples_per_device": 80},
        "samples": [4],
        "unseen": [0, 2],
        "val_samples": 3,
    },
    "languages": {
        "settings": TEXTS,
        "pool": {"samples_per_device": 60},
        "samples": [4],
        "unseen": [0, 1],
        "val_samples": 3,
    },
    "lightweight": {
        "families": ["DeiT", "DeViT"],
        "parameters": 9000,
        "lr": 3e-3,
        "longer": 2,
    },
}


@pytest.fixture
def tiny(pinned: Path, prefect_home: None, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Runs a flow of the evaluation in a project of its own."""
    storage = {PREFECT_LOCAL_STORAGE_PATH: tmp_path / "artifacts/work/results"}
    for name in ("data", "data.dvc", "data.sha256"):
        (tmp_path / name).symlink_to(pinned / name)
    params = read_yaml(pinned / "params.yaml")
    (tmp_path / "params.yaml").write_text(yaml_text(params))
    written = texts(("en", "de", "it"), 120)
    (tmp_path / "texts").mkdir()
    written.drop(columns="number").to_csv(tmp_path / "texts/manifest.csv", index=False)
    tiny_encoder(tmp_path / "texts/encoder", written["text"])
    with pytest.MonkeyPatch.context() as patch, temporary_settings(storage):
        patch.chdir(tmp_path)
        yield lambda name: flow_of(name)(Bench(Scale.model_validate(SCALE), Path("params.yaml"), 1))


def permuted(data: World) -> World:
    """The same partition with the labels of every test split in another order."""
    samples = {}
    for name, ref in data.samples.items():
        tensors, _ = read_tensors(ref)
        labels = tensors["test_labels"]
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
        samples[name] = put_tensors("samples", {**tensors, "test_labels": labels[order]})
    return replace(data, samples=samples)


@pytest.mark.parametrize(
    ("name", "chosen", "measured"),
    [
        ("fig9", ["edge", "method", "width", "depth", "text_cost"], "test_accuracy"),
        ("fig7b", ["architecture", "winner", "val_loss", "val_accuracy"], "test_accuracy"),
        ("fig10", ["rank_agreement", "weights"], None),
        ("table1", ["chosen", "uplink_bytes"], "accuracy"),
        pytest.param(
            "contexts", ["way_shipped", "uplink_bytes"], "accuracy", marks=pytest.mark.slow
        ),
    ],
)
def test_permuting_test_labels_changes_no_choice(
    name: str,
    chosen: list[str],
    measured: str | None,
    tiny: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = pd.DataFrame(tiny(name))
    real = bench.partition
    for module in (bench, exchange, refining):
        monkeypatch.setattr(module, "partition", lambda settings: permuted(real(settings)))
    blind = pd.DataFrame(tiny(name))
    assert honest[chosen].to_dict("records") == blind[chosen].to_dict("records")
    if measured:
        assert (honest[measured] > blind[measured]).any(), "the permuted labels were never read"


def test_a_stopped_evaluation_goes_on_without_doing_work_twice(
    tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*arguments: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(grid, "matching_rows", killed)
        with pytest.raises(KeyboardInterrupt):
            tiny("fig9")
    for module, name in ((training, "fit"), (distillation, "distill")):
        monkeypatch.setattr(module, name, lambda *a, **k: pytest.fail("trained again"))
    assert {row["method"] for row in tiny("fig9")} == set(grid.METHODS.values())


def test_a_test_sample_in_validation_stops_the_evaluation(
    pinned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaking(*arguments: Any) -> pd.DataFrame:
        manifest = honest(*arguments)
        of_device = manifest.tier == "device"
        stolen = manifest[of_device & (manifest.split == "test")].iloc[0]
        victim = manifest.index[of_device & (manifest.split == "val")][0]
        for column in ("sample_id", "content_hash", "label"):
            if column in manifest:
                manifest.loc[victim, column] = stolen[column]
        return manifest

    honest = dealing.partition
    settings = load(pinned / "params.yaml")
    monkeypatch.chdir(pinned)
    monkeypatch.setattr(dealing, "partition", leaking)
    with pytest.raises(ValidationError, match=r"sample|content"):
        partitioning.divide(settings, "content", tmp_path / "out", tmp_path / "report")
    assert not list((tmp_path / "out").rglob("*.safetensors")), "nothing may be trained on it"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["contexts", "languages"])
def test_all_exchanges_get_the_same_draw(name: str, tiny: Callable[..., Any]) -> None:
    frame = pd.DataFrame(tiny(name))
    by_draw = frame.groupby(["device", "samples", "unseen"])
    assert (by_draw.exchange.agg(tuple) == tuple(EXCHANGES)).all()
    assert (by_draw[["raw_bytes", "received", "ceiling"]].nunique() == 1).all(axis=None)
    assert (frame.groupby("unseen").accuracy_wanted.count() > 0).tolist() == [False, True]
    seen, lacking = (frame[frame.unseen == u] for u in sorted(set(frame.unseen)))
    assert seen.raw_bytes.mean() > lacking.raw_bytes.mean()
    told = {f"up_{e.up.kind}" for e in EXCHANGES.values() if e.up} & set(frame)
    assert not frame.loc[frame.exchange == "none", sorted(told)].notna().any(axis=None)
    assert frame.loc[frame.exchange == "statistics", "up_class_statistics"].notna().all()
    assert (frame.uplink_bytes == frame.filter(like="up_").sum(axis=1)).all()
    assert (frame.peers > 0).all()


@pytest.mark.slow
def test_every_experiment_runs_and_leaves_its_results(tiny: Callable[..., Any]) -> None:
    how = results.Circumstances("quick", "acme evaluate", "CPU", "abc", 1.0)
    out = Path("evaluation-of-a-test")
    for name in EXPERIMENTS:
        rows = tiny(name)
        claims = results.publish(out, name, rows, how)
        assert claims
        assert all(claim.id.startswith(f"{name}.") for claim in claims)
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    collected = results.collect(out, "quick")
    assert {row["id"].split(".")[0] for row in collected} == set(EXPERIMENTS)
    assert json.loads((out / "claims.json").read_text()) == collected
