"""A device's constants from measurements, and clusters of devices that are alike."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.matching.clustering import clusters
from models.matching.energy import DeviceProfile, EnergyConstants, modelled_latency_s, power_watt
from models.matching.profile import fit, power_constants

GRID = [(0.25, 2), (0.25, 6), (0.5, 4), (1.0, 2), (1.0, 6)]


@given(st.floats(1e-4, 1e3), st.floats(0, 5))
def test_the_fit_finds_the_constants_of_eq_2(base: float, growth: float) -> None:
    device = DeviceProfile(gpu_capacity_watt=1.0, base_latency_s=base)
    constants = EnergyConstants(0.0, 0.0, growth, 1)
    line = fit(GRID, [modelled_latency_s(device, constants, w, d) for w, d in GRID])
    assert line.base == pytest.approx(base, rel=1e-6)
    assert line.growth == pytest.approx(growth, rel=1e-6, abs=1e-6)
    assert line.at(0.5, 4) == pytest.approx(modelled_latency_s(device, constants, 0.5, 4))


def test_noise_lowers_r_squared_and_no_line_explains_more_than_all() -> None:
    rng = np.random.default_rng(0)
    exact = np.array([1 + 0.1 * w * d for w, d in GRID])
    noisy = fit(GRID, exact + rng.normal(0, 0.05, len(GRID)))
    assert fit(GRID, exact).r_squared == pytest.approx(1)
    assert noisy.r_squared < 1


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(ValueError, match="two sizes"):
        fit([(0.5, 4), (1.0, 2)], [1.0, 1.0])
    with pytest.raises(ValueError, match="nothing else running"):
        fit(GRID, [w * d - 0.3 for w, d in GRID])
    with pytest.raises(ValueError, match="measured 0"):
        fit(GRID, [0.0, *(w * d for w, d in GRID[1:])])


attributes = st.tuples(st.integers(1000, 10**8), st.floats(0.5, 500), st.floats(0.01, 10))


@given(st.lists(attributes, min_size=1, max_size=12, unique=True), st.data())
def test_every_device_is_in_one_cluster_and_none_is_empty(
    devices: list[tuple[float, ...]], data: st.DataObject
) -> None:
    count = data.draw(st.one_of(st.none(), st.integers(1, len(devices))))
    labels = clusters(devices, count)
    assert len(labels) == len(devices)
    assert set(labels) == set(range(max(labels) + 1))
    assert count in (None, max(labels) + 1)


@given(st.lists(attributes, min_size=3, max_size=8, unique=True), st.randoms())
def test_the_order_of_the_devices_does_not_matter(
    devices: list[tuple[float, ...]], random: Random
) -> None:
    before = dict(zip(devices, clusters(devices), strict=True))
    random.shuffle(devices)
    assert dict(zip(devices, clusters(devices), strict=True)) == before


def test_devices_of_two_kinds_are_two_clusters() -> None:
    kinds = [(3e7, 30.0, 0.3)] * 3 + [(1e6, 5.0, 2.0)] * 4
    assert clusters(kinds) == [1, 1, 1, 0, 0, 0, 0]
    assert clusters([(1e6, 5.0, 2.0)] * 4) == [0, 0, 0, 0]


def test_phones_and_boards_are_told_apart_without_a_number() -> None:
    phones = [(1e6 * (1 + i / 20), 5.0 + i / 10, 2.0) for i in range(4)]
    boards = [(3e7 * (1 + i / 20), 30.0 + i, 0.3) for i in range(3)]
    assert clusters([*boards, *phones]) == [1, 1, 1, 0, 0, 0, 0]
    with pytest.raises(ValueError, match="3 clusters of 2 devices"):
        clusters(phones[:2], 3)


@given(st.floats(1, 500), st.floats(0, 5), st.integers(1, 1024))
def test_measured_watts_give_eq_2_s_constants(watt: float, growth: float, patches: int) -> None:
    device = DeviceProfile(gpu_capacity_watt=watt, base_latency_s=1.0)
    constants = EnergyConstants(growth, 0.005, 0.0, 1)
    watts = fit(GRID, [power_watt(device, constants, w, d, patches) for w, d in GRID])
    assert power_constants(watts, 0.005, patches) == pytest.approx((watt, growth), abs=1e-6)


def test_a_cost_that_falls_with_size_is_taken_as_constant() -> None:
    line = fit(GRID, [10 - 0.1 * w * d for w, d in GRID])
    assert line.growth == 0
    assert line.base == pytest.approx(np.mean([10 - 0.1 * w * d for w, d in GRID]), rel=1e-9)
