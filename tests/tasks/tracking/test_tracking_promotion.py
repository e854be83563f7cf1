"""Challenger and champion: what decides, and that the registry does what was decided."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.modality import ImageInfo, to_json
from tasks.delivery.shipped import load_shipped
from tasks.run.errors import RegistryError
from tasks.run.files import sha256_of, write_json
from tasks.run.store import encode
from tasks.run.written import write_sums
from tasks.settings.case import Case
from tasks.tracking.logged import Entry
from tasks.tracking.promotion import Owner, Standing, any_known, judge, promote
from tasks.tracking.registry import CHALLENGER, CHAMPION, REASON, Registry, Version
from tests.constant import constant

standings = st.builds(
    Standing, st.just("1"), st.integers(1, 1000), st.floats(0, 1, allow_nan=False)
)


@given(standings, standings, st.integers(1, 1000))
def test_what_does_not_fit_is_never_promoted(a: Standing, b: Standing, limit: int) -> None:
    promoted, _ = judge(a, b, limit)
    assert not (promoted and a.parameters > limit)


@given(standings, standings, st.integers(1, 1000))
def test_a_champion_that_fits_gives_way_only_to_one_not_worse(
    a: Standing, b: Standing, limit: int
) -> None:
    promoted, _ = judge(a, b, limit)
    if a.parameters <= limit and b.parameters <= limit:
        assert a.val_accuracy is not None
        assert b.val_accuracy is not None
        assert promoted == (a.val_accuracy >= b.val_accuracy)


def test_the_first_needs_no_score() -> None:
    assert judge(Standing("1", 10), None, 10)[0]
    assert not judge(Standing("1", 11), None, 10)[0]


def test_the_reason_has_both_numbers() -> None:
    better, worse = Standing("2", 10, 0.75), Standing("1", 10, 0.5)
    assert judge(worse, better, 10) == (
        False,
        "0.5000 on validation, the champion (version 2) has 0.7500",
    )
    assert judge(Standing("2", 11, 1.0), None, 10) == (False, "11 parameters, the limit is 10")
    assert judge(worse, Standing("1", 11, 1.0), 10)[0]


@pytest.fixture
def owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Owner:
    """A device whose validation split has class 1 in three of four samples."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    samples = tmp_path / "artifacts/partition/samples/device-00.safetensors"
    samples.parent.mkdir(parents=True)
    images = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
    samples.write_bytes(encode({"val_images": images, "val_labels": torch.tensor([1, 1, 1, 2])}))
    info = ImageInfo("test", ("a", "b", "c"), 2, 1, (0.5,), (0.5,))
    write_json(tmp_path / "artifacts/partition/data.json", to_json(info))
    write_sums(tmp_path / "artifacts/partition")
    return Owner("acme-device-00", "device-00", constant(tmp_path, 0).parameters)


def register(root: Path, label: int) -> Version:
    registry = Registry(root)
    model = constant(root, label)
    entry = Entry(
        module=load_shipped(model.file),
        example=torch.zeros(2, 1, 2, 2),
        run_id=registry.client.create_run(experiment_id(registry)).info.run_id,
        sha256=sha256_of(model.file),
        tags={"device": "device-00"},
        card="A card",
        files=[model.file],
        metrics={"val_accuracy": 0.5},
    )
    return registry.register("acme-device-00", entry)


def experiment_id(registry: Registry) -> str:
    found = registry.client.get_experiment_by_name("x")
    return str(found.experiment_id if found else registry.client.create_experiment("x"))


def test_a_version_comes_in_as_challenger_and_goes_and_comes_back(
    tmp_path: Path, owner: Owner
) -> None:
    registry = Registry(tmp_path)
    with pytest.raises(RegistryError, match="acme-device-00 has no champion"):
        registry.rollback(owner.model)
    assert promote.fn(Case(tmp_path), owner) is None

    assert not any_known(tmp_path, [owner])
    register(tmp_path, 2)
    assert any_known(tmp_path, [owner])
    assert registry.find(owner.model, CHAMPION) is None
    first = promote.fn(Case(tmp_path), owner)
    assert first is not None
    assert first.promoted
    with pytest.raises(RegistryError, match="replaced no other"):
        registry.rollback(owner.model)

    register(tmp_path, 0)  # right on none of the samples
    worse = promote.fn(Case(tmp_path), owner)
    assert worse is not None
    assert not worse.promoted
    held = registry.find(owner.model, CHALLENGER)
    assert held is not None
    assert (
        held.tags[REASON]
        == worse.reason
        == ("0.0000 on validation, the champion (version 1) has 0.2500")
    )

    register(tmp_path, 1)  # right on three of four
    better = promote.fn(Case(tmp_path), owner)
    assert better is not None
    assert better.promoted
    left, champion = registry.rollback(owner.model)
    assert (left.number, champion.number) == ("3", "1")

    register(tmp_path, 1)  # the same content: challenger again, but remembered
    again = promote.fn(Case(tmp_path), owner)
    assert again is not None
    assert not again.promoted
    assert "rolled back" in again.reason
    forced = promote.fn(Case(tmp_path), owner, force=True)
    assert forced is not None
    assert forced.promoted
    assert len(registry.client.search_model_versions(f"name = '{owner.model}'")) == 3


def test_force_keeps_the_limit(tmp_path: Path, owner: Owner) -> None:
    register(tmp_path, 1)
    decision = promote.fn(
        Case(tmp_path), Owner(owner.model, owner.samples, owner.storage_limit - 1), force=True
    )
    assert decision is not None
    assert not decision.promoted
