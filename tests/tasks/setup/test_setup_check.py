"""What `acme check` passes can be built and computed with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from models.backbone.config import on_meta
from models.backbone.elastic import variant_config
from models.header.build import build_header
from models.header.config import SEARCHED, HeaderConfig
from models.header.kinds import FIXED
from models.header.operations import OPERATIONS
from models.header.space import Space
from models.matching.energy import DeviceProfile, cluster_energy_joule
from models.matching.grid import coordinates
from models.matching.recipe import EnergyConstants
from models.refinement.aggregation import row_weights
from tasks.data.contexts import ONE
from tasks.data.plan import DevicePlan, class_shares, plan_of
from tasks.data.sources import count
from tasks.run.errors import SettingsError
from tasks.settings.fields import yaml_text
from tasks.settings.params import Settings, merged
from tasks.settings.sources import Counts
from tasks.setup.check import check, look, reference
from tests.tiny import tiny_params

PARAMS = Path("params.yaml")
LARGE = {"id": 0, "storage_limit": 10**9, "gpu_capacity_watt": 5, "base_latency_s": 1}


def of(**overlay: Any) -> Settings:
    """The tiny settings for a data set that is known, one large device, with changes on top."""
    base = tiny_params() | {"fleet": [{"edge": "a", "devices": [LARGE]}]}
    base["data"]["source"] = "fashion-mnist"
    base["matching"]["header_budget"] = 10**8
    return Settings.model_validate(merged(base, overlay))


@st.composite
def overlays(draw: st.DrawFn) -> dict[str, Any]:
    """Small models of all kinds; one in a few has something that cannot be."""
    small = st.integers(1, 4)
    patch, heads, depth = draw(small), draw(small), draw(small)
    wrong = draw(st.sampled_from(["", "", "", "rim", "heads", "depth", "width"]))
    widths = st.sets(st.sampled_from([1e-9, 0.3, 0.5, 1.0]), min_size=1).map(sorted)
    depths = st.sets(st.integers(1, depth), min_size=1).map(sorted)
    operations = st.sets(st.sampled_from([*OPERATIONS]), min_size=1).map(sorted)
    return {
        "data": {
            "image_size": patch * draw(st.integers(1, 6)) + (wrong == "rim"),
            "channels": draw(st.sampled_from([1, 3])),
        },
        "backbone": {
            "reference": {
                "patch_size": patch,
                "dim": heads * draw(small) + (wrong == "heads"),
                "depth": depth,
                "heads": heads,
                "mlp_ratio": draw(st.floats(0, 4)),
            },
            "widths": draw(widths) + [1.1] * (wrong == "width"),
            "depths": draw(depths) + [depth + 1] * (wrong == "depth"),
            "depth_strategy": draw(st.sampled_from(["first", "even"])),
        },
        "edge": {
            **{name: draw(small) for name in ("blocks", "repeats", "channels", "hidden")},
            "operations": draw(operations),
        },
    }


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(overlays())
def test_models_that_pass_can_be_built(overlay: dict[str, Any]) -> None:
    try:
        passed = of(**overlay)
        look(passed, PARAMS)
    except (ValidationError, SettingsError):
        return
    event("passed")
    full = reference(passed, 10)
    assert full is not None
    assert full.image_size == full.shape[0] * full.patch_size, "pixels that no patch has"
    for width in passed.backbone.widths:
        for depth in passed.backbone.depths:
            vit = on_meta(variant_config(full, width, depth))
            assert vit(vit.sample()).shape == (1, 10)
    space = Space(passed.edge.blocks, passed.edge.operations)
    drawn = space.sample(torch.Generator().manual_seed(passed.seed))
    features = torch.zeros(1, 2, 1 + full.positions, full.dim, device="meta")
    linear = HeaderConfig.linear(full, passed.edge)
    for kind in (*FIXED, SEARCHED):
        values = vars(linear) | {"kind": kind, "architecture": drawn if kind == SEARCHED else None}
        with torch.device("meta"):
            header = build_header(HeaderConfig(**values))
        assert header(features).shape == (1, 10)


EXTREMES = [
    (("partition", "dirichlet_alpha"), (1e-3, 1e6)),
    (("matching", "performance_window"), (1e-6, 1e6)),
    (("refinement", "temperature"), (5e-324, 1e9)),
    (("seed",), (0, 2**32 - 1)),
]


@pytest.mark.parametrize(("name", "ends"), EXTREMES)
def test_the_ends_of_a_range_pass_and_what_lies_beyond_does_not(
    name: tuple[str, ...], ends: tuple[float, float]
) -> None:
    low, high = ends
    for value, passes in ((low, True), (high, True), (high * 2 + 1, False), (-1, False)):
        overlay: Any = value
        for part in reversed(name):
            overlay = {part: overlay}
        if passes:
            of(**overlay)
        else:
            with pytest.raises(ValidationError):
                of(**overlay)


@pytest.mark.parametrize("alpha", EXTREMES[0][1])
def test_shares_can_be_drawn(alpha: float) -> None:
    plan = plan_of(
        of(partition={"heterogeneity": "dirichlet", "dirichlet_alpha": alpha}), ONE, 10 * [1]
    )
    for number in range(50):
        device = DevicePlan(number, "d", "e", 0)
        shares = class_shares(device, plan, 2**32 - 1)
        assert shares.sum() == pytest.approx(1)
        assert np.isfinite(shares).all()


@pytest.mark.parametrize("window", EXTREMES[1][1])
def test_a_grid_has_coordinates(window: float) -> None:
    losses = np.array([[0.0, 1.0, 1.0], [1e3, 2.0, 2.0], [5.0, 1.0, 3.0]])
    psi = coordinates(losses, window)
    assert (psi >= 1).all()
    assert psi[0, 0] <= psi[2, 0] <= psi[1, 0]


@pytest.mark.parametrize("temperature", EXTREMES[2][1])
def test_weights_sum_to_one(temperature: float) -> None:
    rows = row_weights(np.array([[1.0, 0.2], [0.2, 1.0]]), temperature)
    assert rows.sum(1) == pytest.approx(np.ones(2))


def test_energy_is_finite_at_every_end() -> None:
    constants = EnergyConstants(1e6, 1e6, 1e6, 2**31 - 1)
    joule = cluster_energy_joule([DeviceProfile(1e9, 1e9)], constants, 1.0, 256, 2**28)
    assert np.isfinite(joule)


def test_every_library_takes_the_largest_seed() -> None:
    seed = of(seed=2**32 - 1).seed
    np.random.default_rng([seed, 1])
    torch.manual_seed(seed + 1000 * 2**31)  # a device's in a round
    assert len(pd.DataFrame({"a": [1, 2]}).sample(1, random_state=seed)) == 1


def test_images_are_counted_as_they_are_read(tmp_path: Path) -> None:
    from tasks.data.dataset import Wanted
    from tasks.data.sources import load

    for place, images in (("all/a", 9), ("all/b", 4), ("own/train/a", 5), ("own/train/b", 6)):
        (tmp_path / place).mkdir(parents=True)
        for number in range(images):
            Image.new("L", (8, 8), number).save(tmp_path / place / f"{number}.png")
    for name in "ab":
        shutil.copytree(tmp_path / "own/train" / name, tmp_path / "own/test" / name)
    for folder in ("all", "own"):
        found = count("image-folder", tmp_path / folder, Wanted(8, 1, 0, 0.3))
        data = load("image-folder", tmp_path / folder, Wanted(8, 1, 0, 0.3))
        splits = (np.bincount(labels) for labels in (data.train_labels, data.test_labels))
        assert found == Counts(*(tuple(split.tolist()) for split in splits), data.classes)
    assert count("image-folder", tmp_path / "nowhere", Wanted(8, 1, 0, 0.3)) is None


def test_what_cannot_be_seen_yet_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert look(of(), PARAMS) == ()
    registered = {"reference": {"name": "models:/my-vit@best"}}
    [model, data] = look(of(data={"source": "image-folder"}, backbone=registered), PARAMS)
    assert "registry" in model
    assert "data is not there yet" in data


def test_a_folder_is_counted_by_names_and_says_what_that_leaves_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.experiments.second import write_digits

    monkeypatch.chdir(tmp_path)
    write_digits(Path("data"))
    Path("data/3/x.heic").touch()
    Path("data/4/.hidden.png").touch()
    Path("params.yaml").write_text(yaml_text(tiny_params()))
    words = "whether 1,797 images can be read; left out: 1 other file (1 .heic: data/3/x.heic)"
    assert check(Path("params.yaml")).unseen == (words,)
