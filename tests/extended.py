"""What each addition of docs/extending.md does. Run in a copy of the code that has them all, by
tests/test_extending.py: here its names are unknown."""

from __future__ import annotations

from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.settings.names import require_known
from tasks.settings.params import load

PARAMS = Path(__file__).parents[1] / "params.yaml"


def accepted(section: str, **named: object) -> Any:
    """The shipped settings' section with these names, once the registries know them."""
    settings = load(PARAMS)
    old = getattr(settings, section)
    changed = replace(old, **named) if is_dataclass(old) else old.model_copy(update=named)
    require_known(settings.model_copy(update={section: changed}), PARAMS)
    return changed


def test_a_header() -> None:
    from models.header.build import build_header, neurons, slim
    from models.header.config import HeaderConfig
    from models.header.search import evaluate, train_header
    from models.header.split import Split
    from models.refinement.pruning import apply_masks
    from models.training import Loop

    accepted("edge", fixed=("mlp", "pooled"))
    config = HeaderConfig("pooled", dim=8, shape=(2, 2), classes=3, channels=4, hidden=6)
    header = build_header(config)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(120, 2, 5, 8, generator=generator)
    labels = features[:, 0, 1:].mean(1)[:, :3].argmax(1)  # of the patches alone
    data = Split(features, labels)
    before = evaluate(header, data)[1]
    train_header(header, data, Loop(300, 32, lr=1e-2), generator)
    assert evaluate(header, data)[1] > 0.8 > 0.5 > before
    assert neurons(header) == {"hidden": 6}
    apply_masks(header, np.array([True, False, True, True, False, True]))
    small = slim(header, config)
    assert sum(p.numel() for p in small.parameters()) == (16 + 1) * 4 + (4 + 1) * 3
    assert torch.allclose(small(features), header(features), atol=1e-6)


def test_a_rule() -> None:
    from models.matching.candidates import Candidate
    from models.matching.selection import select

    recipe = accepted("matching", method="frugal", performance_window=0.1)
    rows = [(0.50, 90, 9.0), (0.51, 95, 4.0), (0.52, 80, 4.0), (0.9, 10, 1.0)]
    grid = [
        Candidate(1.0, i + 1, loss, 0.8, size, joule) for i, (loss, size, joule) in enumerate(rows)
    ]
    found = select(grid, 100, recipe)
    assert found.chosen == 2  # the last needs less, but its loss is of another cell
    assert found.chosen in found.search_set


def test_a_data_source(tmp_path: Path) -> None:
    from flows.command.cli import cli
    from tasks.data import sources
    from tasks.data.dataset import Wanted, content_hashes
    from tasks.data.partition import partition
    from tasks.data.plan import DevicePlan, Plan
    from tasks.data.rows import Source

    accepted("data", source="digits")
    asked = next(p for p in cli.commands["init"].params if p.name == "source")
    assert "digits" in asked.type.choices
    sources.fetch("digits", tmp_path)
    before = (tmp_path / "digits.npz").stat().st_mtime_ns
    sources.fetch("digits", tmp_path)
    assert (tmp_path / "digits.npz").stat().st_mtime_ns == before
    wanted = Wanted(image_size=8, channels=1, seed=3, test_fraction=0.3)
    data = sources.load("digits", tmp_path, wanted)
    assert data.train_samples.shape[1:] == (1, 8, 8)
    assert len(data.test_labels) == round(0.3 * (len(data.train_labels) + len(data.test_labels)))
    assert len(data.test_labels) + len(data.train_labels) == 1797
    train, test = (
        Source(name, labels, content_hashes(images), np.arange(len(labels)))
        for name, images, labels in (
            ("train", data.train_samples, data.train_labels),
            ("test", data.test_samples, data.test_labels),
        )
    )
    plan = Plan(
        heterogeneity="iid",
        dirichlet_alpha=1.0,
        public_train=600,
        public_val=100,
        public_test=100,
        samples_per_device=100,
        train_fraction=0.6,
        val_fraction=0.2,
        shared_fraction=0.2,
        shared_val_fraction=0.4,
        slots=4,
        classes=10,
    )
    manifest = partition(train, test, [DevicePlan(0, "device-00", "edge-0", 0)], plan, seed=0)
    owned = manifest.groupby("owner").size()
    assert owned["cloud"] == 800
    assert 90 <= owned["device-00"] <= 100
    assert owned["edge-0"] > 5


def test_an_aggregation() -> None:
    from models.refinement.aggregation import aggregate
    from models.refinement.mixers import mixing_weights

    recipe = accepted("refinement", method="nearest")
    random = np.random.default_rng(0)
    samples = [random.normal(at, 0.1, (20, 3)) for at in (0, 0.2, 5, 5.3)]
    _, weights = mixing_weights(recipe, samples)
    assert weights.tolist() == [[0.5, 0.5, 0, 0]] * 2 + [[0, 0, 0.5, 0.5]] * 2
    assert aggregate(np.eye(4), weights)[0].tolist() == [0.5, 0.5, 0, 0]


def test_an_exchange(prefect_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the shipped loop: three devices, of which two listen to each other."""
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    from models.refinement.aggregation import aggregate
    from tasks.links.link import receive
    from tests.flows.test_customize_loop import NAMES, ROUNDS, WEIGHTS, run, settings

    accepted("refinement", exchange="averages")
    monkeypatch.chdir(tmp_path)
    recipe = settings(prune_fraction=0.2)
    by_weights = replace(recipe.refinement, exchange="averages", steps=40, tuning_steps=40)
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "results"}):
        rounds, messages = run(recipe.model_copy(update={"refinement": by_weights}))
    bodies = {(m.kind, m.round, m.sender, m.receiver): receive(m)[0] for m in messages}
    for t in range(1, ROUNDS + 1):
        up = [bodies["header_weights", t, n, "north"]["weights"].double().numpy() for n in NAMES]
        down = [bodies["mixed_weights", t, "north", n]["weights"].double().numpy() for n in NAMES]
        assert np.allclose(aggregate(np.stack(up), np.array(WEIGHTS)), down, atol=1e-3)
        assert not np.allclose(up[0], down[0], atol=1e-3)
    assert {m.kind for m in messages}.isdisjoint({"importance_set", "mixed_importance"})
    first, last = rounds[0], rounds[-1]
    assert sum(s.val_accuracy for s in last) > sum(s.val_accuracy for s in first)
    assert all(b.neurons < a.neurons for a, b in zip(first, last, strict=True))


def test_a_backbone_family() -> None:
    from models.backbone.config import build, config_from, on_meta
    from models.backbone.elastic import forward, reorder, variant_config
    from models.backbone.families.signal import SignalConfig
    from models.backbone.importance import importance
    from models.backbone.size import parameter_count
    from models.backbone.slicing import slice_variant

    config = SignalConfig(
        classes=3,
        dim=8,
        depth=3,
        heads=4,
        head_dim=2,
        mlp_hidden=6,
        channels=2,
        length=20,
        window=5,
    )
    assert config_from(config.to_dict()) == config
    model = build(config, seed=1).eval()
    x = torch.randn(7, 2, 20, generator=torch.Generator().manual_seed(0))
    ranked = reorder(model, importance(model, x, torch.arange(7) % 3))
    assert torch.allclose(ranked(x), model(x), atol=1e-5)
    small = slice_variant(ranked, 0.5, 2)
    assert small.config == variant_config(config, 0.5, 2)
    assert (small.config.heads, small.config.mlp_hidden, small.config.shape) == (2, 3, (4,))
    narrow = ranked.logits(forward(ranked, x, 0.5, range(2)).hidden[-1])
    assert torch.allclose(small(x), narrow, atol=1e-5)
    assert parameter_count(on_meta(small.config)) == parameter_count(small) < parameter_count(model)
