"""What the experiments choose, count and compare, on rows whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.header.build import HeaderConfig, build_header, neurons, state_of
from models.refinement.aggregation import aggregate
from tasks.experiments.ablation import claims as of_ablation
from tasks.experiments.central import cells as central
from tasks.experiments.central import claims as of_central
from tasks.experiments.grid import cells as grid
from tasks.experiments.lightweight import cells as lightweight
from tasks.experiments.lightweight import claims as of_lightweight
from tasks.experiments.refining import cells as refining
from tasks.experiments.refining import claims as of_refining
from tasks.links.records import State, Variant
from tasks.run.store import Ref, put_tensors
from tasks.settings.params import load

SETTINGS = load(Path("params.yaml"))
MLP = HeaderConfig("mlp", 6, (2, 2), 3, channels=4, hidden=10)


def test_baselines_get_the_steps_of_all_of_acme_s_training() -> None:
    spec, edge = SETTINGS.backbone, SETTINGS.edge
    expected = 1900 + 50 + 300 + 8 * 30 + 300
    assert lightweight.equal_steps(spec, edge, 12000) == expected


def test_acme_s_best_is_chosen_by_validation_among_what_fits() -> None:
    def cell(name: str, size: int, val: float, test: float) -> tuple[Ref, list[dict]]:  # type: ignore[type-arg]
        row = {"header": "searched", "total_parameters": size, "val_loss": 0.1}
        return Ref(name, name), [{**row, "val_accuracy": val, "test_accuracy": test}]

    cells = [cell("a", 90, 0.8, 0.9), cell("b", 100, 0.9, 0.7), cell("c", 101, 1.0, 1.0)]
    best = lightweight.acme_row(cells, 100)
    assert best is not None
    assert best[0].kind == "b"
    assert lightweight.acme_row(cells, 80) is None


def test_the_authors_limit_is_a_share_of_the_normalised_size() -> None:
    variants = [Variant(1, d, 1.0, 0.5, size, 1, 1) for d, size in ((1, 100), (2, 1100))]
    assert grid.authors_limit(variants) == 900


def test_a_device_keeps_the_state_that_it_ships() -> None:
    def state(round: int, ships: bool) -> State:
        return State("device-07", round, Ref("header", str(round)), 10, 5, 5, 1.0, 0.5, ships=ships)

    rounds = [[state(0, False), state(1, True), state(2, False)]]
    assert central.kept_headers(rounds)["device-07"].sha256 == "1"


@given(st.integers(0, 10_000), st.integers(2, 4))
def test_sets_a_parameter_decide_what_sets_a_neuron_decide(seed: int, devices: int) -> None:
    # with `joint: sum` mixing is linear: the finer sets cost a hundred times as much for nothing
    random = np.random.default_rng(seed)
    sets, weights = random.random((devices, 5, 7)), random.random((devices, devices))
    finer = aggregate(sets.reshape(devices, -1), weights).reshape(sets.shape).sum(2)
    np.testing.assert_allclose(finer, aggregate(sets.sum(2), weights))


def test_bytes_of_sets_are_counted_by_neuron_and_by_parameter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = build_header(MLP)
    ref = put_tensors("header", state_of(module), MLP.to_dict())
    found = refining.set_bytes(ref, rounds=3)
    assert found["neuron"] == 3 * 4 * sum(neurons(module).values())
    assert found["parameter"] == 3 * 4 * sum(p.numel() for p in module.parameters())


def test_the_shared_header_sees_shared_samples_alone(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    stream = torch.Generator().manual_seed(0)
    features = torch.randn(20, 2, 5, 6, generator=stream).half()
    labels = torch.randint(3, (20,), generator=stream).to(torch.int16)
    header = put_tensors("header", state_of(build_header(MLP)), MLP.to_dict())
    edge = replace(SETTINGS.edge, retrain_steps=5)
    from tasks.run.compute import Machine

    def trained(changed_from: int) -> Ref:
        other = features.clone()
        other[changed_from:] += 1
        tensors = {"train_features": other, "train_labels": labels}
        own = put_tensors("features", tensors)
        return refining.header_on_shared.fn(header, [own], 4, edge, 0, Machine("cpu", 1))

    assert trained(20) == trained(4), "four samples are shared; the others stay"
    assert trained(20) != trained(3)


def by_seed(claims) -> dict[str, dict[int, float]]:  # type: ignore[no-untyped-def]
    return {claim.id: dict(claim.values) for claim in claims}


def test_table1_compares_the_systems_within_a_seed() -> None:
    rows = [
        {"seed": s, "system": system, "search_space": space, "uplink_bytes": up}
        | {"shared_bytes": shared, "compute_s": seconds, "accuracy": 0.8 + plus}
        | {"accuracy_own_classes": 0.9}
        for s in (0, 1)
        for system, space, up, shared, seconds, plus in (
            ("ACME", 10, 4, 16, 50.0, 0.0),
            ("centralised", 200, 100, 0, 100.0, 0.02),
        )
    ]
    found = by_seed(of_central.table1_claims(pd.DataFrame(rows)))
    assert found["table1.search-space"] == {0: 0.05, 1: 0.05}
    assert found["table1.upload"] == {0: 0.04, 1: 0.04}
    assert found["table1.upload-with-shared"] == {0: 0.2, 1: 0.2}
    assert found["table1.compute"] == {0: 0.5, 1: 0.5}
    assert found["table1.accuracy"][1] == pytest.approx(-0.02)


def test_controls_are_no_baselines() -> None:
    accuracies = {"ACME": 0.8, lightweight.LONGER: 0.9, lightweight.LARGE: 0.85, "DeiT": 0.7}
    rows = [
        {"seed": s, "model": model, "parameters": 10, "test_accuracy": a + 0.01 * s}
        | {"device_own_classes": a, "device_tuned_own_classes": a}
        for s in (0, 1)
        for model, a in {**accuracies, "Twins-SVT": 0.78}.items()
    ]
    found = by_seed(of_lightweight.fig7a_claims(pd.DataFrame(rows)))
    assert found["fig7a.test.over-best"] == {s: pytest.approx(0.02) for s in (0, 1)}
    assert found["fig7a.test.over-mean"] == {s: pytest.approx(0.06) for s in (0, 1)}
    assert found["fig7a.test.over-deit"] == {s: pytest.approx(0.1) for s in (0, 1)}
    assert found["fig7a.test.longer-over-best"] == {s: pytest.approx(0.12) for s in (0, 1)}
    assert found["fig7a.large-over-best"] == {s: pytest.approx(0.07) for s in (0, 1)}


def test_refinement_is_judged_by_level_and_by_corner() -> None:
    gains = {"alone": 0.01, "average": 0.02, "js": 0.03, "wasserstein": 0.04}
    gains |= {"random pruning": 0.0, "fine-tuning alone": 0.05}
    rows = [
        {"seed": s, "header": header, "level": level, "samples": samples, "strength": 0.5}
        | {"received": 0.6, "own_classes": 0.7, "method": method, "after_pruning": 0.6}
        | {"after_tuning": 0.7 + gain, "after_tuning_own_classes": 0.72 + gain}
        for s in (0, 1)
        for level in ("iid", "C3")
        for header, samples in (("searched", 300), ("mlp", 20))
        for method, gain in gains.items()
    ]
    found = by_seed(of_refining.fig11_claims(pd.DataFrame(rows)))
    assert found["fig11.C3.gain"][0] == pytest.approx(0.14)
    assert found["fig11.C3.gain-own-classes"][0] == pytest.approx(0.06)
    assert found["fig11.iid.over-best"][0] == pytest.approx(0.01)
    assert found["fig11.iid.over-tuning"][1] == pytest.approx(-0.01)
    assert found["fig11.mlp-20-50.after-tuning.over-alone"][1] == pytest.approx(0.03)
    assert found["fig11.mlp-20-50.after-pruning.over-random"][1] == pytest.approx(0.0)


def test_the_ablation_pairs_ours_with_each_other_way() -> None:
    values = {
        ("backbone", "test accuracy"): {
            "ours": 0.8,
            "no distillation": 0.7,
            "layers spread evenly": 0.79,
            "Eq. 9 without labels": 0.75,
        },
        ("gamma_p", "plotted score"): {"0.05": 0.4, "0.4": 0.6},
        ("gamma_p", "accuracy"): {"0.05": 0.8, "0.4": 0.7},
        ("Eq. 20", "after pruning"): {"ours": 0.6, "as printed": 0.5},
        ("Eq. 20", "after tuning"): {"ours": 0.6, "as printed": 0.6},
        ("importance", "after pruning"): {"group": 0.6, "sum": 0.5},
        ("importance", "after tuning"): {"group": 0.6, "sum": 0.6},
        ("importance sets", "bytes up"): {"neuron": 10.0, "parameter": 900.0, "raw data": 1000.0},
    }
    rows = [
        {"seed": s, "part": part, "setting": setting, "metric": metric, "value": value}
        for s in (0, 1)
        for (part, metric), table in values.items()
        for setting, value in table.items()
    ]
    found = by_seed(of_ablation.ablation_claims(pd.DataFrame(rows)))
    assert found["ablation.backbone.no-distillation.test-accuracy"][0] == pytest.approx(0.1)
    assert found["ablation.gamma_p.plotted-score"][1] == pytest.approx(0.2)
    assert found["ablation.gamma_p.accuracy"][1] == pytest.approx(-0.1)
    assert found["ablation.sets.neuron"] == {0: 0.01, 1: 0.01}
    assert found["ablation.eq20.as-printed.after-pruning"][0] == pytest.approx(0.1)
