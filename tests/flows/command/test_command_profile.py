"""This machine as a device of the fleet: what is measured, given or modelled is called so."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner, Result
from ruamel.yaml import YAML
from torch import nn

from flows.command import cli
from models.backbone.config import build
from models.backbone.families.vit import ViTConfig
from models.backbone.size import backbone_parameters, parameter_count
from models.backbone.slicing import slice_variant
from tasks.run.errors import SettingsError
from tasks.run.store import put_tensors
from tasks.settings.fields import read_yaml, yaml_text
from tasks.settings.params import load
from tasks.setup import profiling

PARAMS = Path(cli.__file__).parents[2] / "params.yaml"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(profiling, "SECONDS", 0.01)
    monkeypatch.setattr(profiling, "find_counter", lambda gpu: None)
    return tmp_path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine that nothing disturbs: 1 ms, and 1 ms for every 100,000 parameters."""
    now = SimpleNamespace(s=0.0, perf_counter=lambda: now.s)

    def seconds(module: nn.Module, pixels: torch.Tensor, *at_least: float) -> list[float]:
        took = 1e-3 + 1e-8 * parameter_count(module)
        now.s += took
        return [took]

    monkeypatch.setattr(profiling, "time", now)
    monkeypatch.setattr(profiling, "seconds_a_call", seconds)
    return now


def profile(*arguments: str) -> Result:
    command = ["profile", "--params", str(PARAMS), "--storage-limit", "2 MB", *arguments]
    return CliRunner().invoke(cli.cli, command)


def line_of(output: str) -> dict[str, float]:
    [device] = YAML(typ="safe").load(next(row for row in output.splitlines() if "- {id" in row))
    return device


def test_a_power_that_is_given_is_called_given(clock: SimpleNamespace) -> None:
    done = profile("--id", "12", "--power-watt", "7")
    assert done.exit_code == 0, done.output
    assert "Power (given by --power-watt): G_n 7 W" in done.output
    device = line_of(done.output)
    assert (device["id"], device["storage_limit"], device["gpu_capacity_watt"]) == (12, 500000, 7)
    assert device["base_latency_s"] > 0
    assert "a forward pass over 300 train samples" in done.output
    assert "residual ms" in done.output
    assert "power_growth" not in done.output


def test_a_power_that_nobody_knows_is_called_modelled(clock: SimpleNamespace) -> None:
    assert re.search(r"Power \(modelled: \d+ cores? at 5 W\)", profile().output)


def test_a_power_that_a_counter_tells_is_called_measured(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A counter of constant 18 W: G_n is what Eq. 2's share of the 16 patches leaves, a is 0."""
    monkeypatch.setattr(profiling, "find_counter", lambda gpu: ("RAPL", lambda: 18 * clock.s))
    found = profiling.profile(load(PARAMS), 7.0)
    assert found.power_from == "measured with RAPL"
    assert found.gpu_capacity_watt == pytest.approx(18 / (1 + 0.005 * 16))
    assert found.power_growth == pytest.approx(0, abs=1e-9)
    assert [row.watt for row in found.measured] == pytest.approx([18] * 5)
    assert found.latency.r_squared > 0.9


def test_variants_are_timed_on_a_real_clock() -> None:
    small, large = [
        slice_variant(
            build(
                ViTConfig(
                    image_size=28,
                    patch_size=7,
                    channels=1,
                    classes=10,
                    dim=64,
                    depth=6,
                    heads=4,
                    head_dim=16,
                    mlp_hidden=128,
                )
            ),
            w,
            d,
        )
        for w, d in ((0.25, 2), (1.0, 6))
    ]
    grid = [(0.25, 2), (1.0, 6)]
    rows = profiling._measure([small, large], grid, torch.rand(32, 1, 28, 28), None)
    assert [(row.width, row.depth) for row in rows] == grid
    assert all(0 < row.p50_s <= row.p90_s for row in rows)


def test_a_registered_reference_is_what_is_timed(here: Path, clock: SimpleNamespace) -> None:
    config = ViTConfig(
        image_size=28,
        patch_size=7,
        channels=1,
        classes=3,
        dim=32,
        depth=6,
        heads=4,
        head_dim=8,
        mlp_hidden=64,
    )
    ref = put_tensors("backbone", build(config).state_dict(), config.to_dict())
    name = {"backbone": {"reference": {"name": "models:/my-vit@best"}}}
    found = profiling.profile(load(PARAMS, name), 7.0, ref)
    largest = next(row for row in found.measured if (row.width, row.depth) == (1.0, 6))
    with_header = backbone_parameters(config) + 10 * (32 + 1)
    assert largest.p50_s == pytest.approx(1e-3 + 1e-8 * with_header)


def test_the_device_is_added_to_a_fleet_file_that_load_reads(
    here: Path, clock: SimpleNamespace
) -> None:
    values = read_yaml(PARAMS)
    (here / "params.yaml").write_text(yaml_text({**values, "fleet": "fleet.csv"}))
    for number in ("3", "4"):
        assert profile("--id", number, "--out", "fleet.csv").exit_code == 0
    [cluster] = load(here / "params.yaml").fleet
    assert [(d.id, d.storage_limit) for d in cluster.devices] == [(3, 500000), (4, 500000)]
    again = profile("--id", "3", "--out", "fleet.csv").exception
    assert isinstance(again, SettingsError)
    assert "has a device 3 already" in str(again)


def test_a_bad_limit_is_named() -> None:
    wrong = CliRunner().invoke(cli.cli, ["profile", "--storage-limit", "2 miles"]).exception
    assert isinstance(wrong, SettingsError)
    assert "--storage-limit: '2 miles'" in str(wrong)


def test_a_fit_that_explains_little_is_doubted() -> None:
    from flows.command.profiling import doubt
    from models.matching.profile import Line

    assert doubt(Line(1.0, 0.1, 0.95)) == ""
    assert "Measure again" in doubt(Line(1.0, 0.1, -1.17))
