"""Eq. 1, 2, 10-13 against slow literal versions, and the laws that hold for every grid."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.matching.candidates import Candidate
from models.matching.energy import (
    DeviceProfile,
    EnergyConstants,
    cluster_energy_joule,
    modelled_energy_joule,
)
from models.matching.grid import coordinates, dominates, grid_front, intervals, pareto_front_grid
from models.matching.recipe import Choice
from models.matching.rules import RULES
from models.matching.selection import NothingFitsError, objectives, select

CONSTANTS = EnergyConstants(power_growth=0.1, batch_power=0.005, latency_growth=0.2, epochs=3)


def test_eq01_eq02_energy_is_epochs_times_power_times_latency() -> None:
    device = DeviceProfile(gpu_capacity_watt=10.0, base_latency_s=2.0)
    w, d, p = 0.5, 4, 16
    delta_g, g_beta, delta_l = 0.1 * 10.0, 0.005 * 10.0, 0.2 * 2.0
    power = (10.0 + delta_g * w * d) + p * g_beta
    latency = 2.0 + delta_l * w * d
    assert modelled_energy_joule(device, CONSTANTS, w, d, p) == pytest.approx(3 * power * latency)


def test_eq10_cluster_energy_is_its_largest() -> None:
    devices = [DeviceProfile(5.0, 1.0), DeviceProfile(20.0, 0.5), DeviceProfile(8.0, 2.0)]
    each = [modelled_energy_joule(d, CONSTANTS, 0.75, 3, 16) for d in devices]
    assert cluster_energy_joule(devices, CONSTANTS, 0.75, 3, 16) == max(each)


def literal_coordinates(f: np.ndarray, window: float, sigma: float) -> list[list[int]]:
    """Eq. 11 with loops; sigma relative to each objective's span."""
    n, m = f.shape
    worst = [max(f[i][j] for i in range(n)) for j in range(m)]
    ideal = [min(f[i][j] for i in range(n)) for j in range(m)]
    k = max(1, math.ceil(abs(worst[0] - ideal[0]) / window - 1e-9))
    rows = []
    for i in range(n):
        row = []
        for j in range(m):
            s = sigma * ((worst[j] - ideal[j]) or 1.0)
            r = (worst[j] - ideal[j] + 2 * s) / k
            row.append(min(k, max(1, math.ceil((f[i][j] - ideal[j] + s) / r))))
        rows.append(row)
    return rows


def literal_front(psi: list[list[int]]) -> list[int]:
    """Eq. 12 as docs/method.md reads it: over all triples, the best of each cell of the others."""
    kept = set()
    values = range(1, max(max(row) for row in psi) + 1)
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        for cell in itertools.product(values, repeat=2):
            members = [i for i, row in enumerate(psi) if [row[a] for a in others] == list(cell)]
            if members:
                best = min(psi[i][axis] for i in members)
                kept |= {i for i in members if psi[i][axis] == best}
    return sorted(kept)


@st.composite
def grids(draw: st.DrawFn) -> np.ndarray:
    n = draw(st.integers(1, 12))
    loss = draw(st.lists(st.floats(0.1, 2.5), min_size=n, max_size=n))
    energy = draw(st.lists(st.floats(1.0, 1e4), min_size=n, max_size=n))
    size = draw(st.lists(st.integers(1_000, 1_000_000), min_size=n, max_size=n))
    return np.array([loss, energy, size], dtype=np.float64).T


@given(grids(), st.floats(0.1, 1.0))
def test_eq11_coordinates_match_the_literal_version(f: np.ndarray, window: float) -> None:
    psi = coordinates(f, window)
    assert psi.tolist() == literal_coordinates(f, window, 1e-6)
    assert psi.min() >= 1
    assert psi.max() <= intervals(f[:, 0], window)


@given(grids(), st.floats(0.1, 1.0))
def test_eq12_front_matches_the_literal_version(f: np.ndarray, window: float) -> None:
    psi = coordinates(f, window)
    assert grid_front(psi) == literal_front(psi.tolist())


@given(grids(), st.floats(0.1, 1.0))
def test_front_members_do_not_dominate_each_other(f: np.ndarray, window: float) -> None:
    front = pareto_front_grid(f, window)
    assert front
    assert not any(dominates(f[a], f[b]) for a in front for b in front)
    assert int(np.argmin(f[:, 0])) in front or f[front, 0].min() == f[:, 0].min()


def test_a_span_of_exactly_k_windows_has_k_intervals() -> None:
    assert intervals(np.array([0.1, 0.4]), 0.1) == 3
    assert intervals(np.array([0.5, 0.5]), 0.1) == 1


def candidates_of(f: np.ndarray) -> list[Candidate]:
    return [
        Candidate(0.5, i + 1, loss, 1 / (1 + loss), int(size), energy)
        for i, (loss, energy, size) in enumerate(f.tolist())
    ]


def literal_eq13(f: np.ndarray, window: float) -> int:
    """Eq. 13 by scanning: the front members of the best-loss model's performance cell."""
    psi = np.array(literal_coordinates(f, window, 1e-6))
    grid = literal_front(psi.tolist())
    front = [i for i in grid if not any(dominates(f[j], f[i]) for j in grid)]
    best = sorted(front, key=lambda i: (f[i][0], f[i][1], f[i][2]))[0]
    cell = [i for i in front if psi[i][0] == psi[best][0]]
    ideal = psi.min(axis=0)
    return sorted(
        cell,
        key=lambda i: (math.sqrt(sum((psi[i] - ideal) ** 2)), f[i][2], f[i][1]),
    )[0]


@given(grids(), st.floats(0.1, 1.0))
def test_eq13_selection_matches_the_literal_version(f: np.ndarray, window: float) -> None:
    selection = select(candidates_of(f), 2_000_000, Choice("pareto", window))
    assert tuple(f[selection.chosen]) == tuple(f[literal_eq13(f, window)])
    assert selection.chosen in selection.search_set
    assert set(selection.search_set) <= set(selection.front) <= set(selection.fitting)


@given(grids())
def test_fewer_parameters_than_none_are_never_left(f: np.ndarray) -> None:
    with pytest.raises(NothingFitsError, match=r"'edge-7': 0 parameters are left for the backbone"):
        select(candidates_of(f), -3_990, Choice("pareto", 0.1), cluster="edge-7")


@given(grids(), st.integers(1_000, 1_000_000), st.sampled_from(list(RULES)))
def test_every_method_respects_the_limit(f: np.ndarray, limit: int, method: str) -> None:
    candidates = candidates_of(f)
    if min(c.parameters for c in candidates) > limit:
        with pytest.raises(NothingFitsError, match="edge-7"):
            select(candidates, limit, Choice(method, 0.1), cluster="edge-7")
        return
    selection = select(candidates, limit, Choice(method, 0.1), seed=3)
    assert candidates[selection.chosen].parameters <= limit
    assert selection == select(candidates, limit, Choice(method, 0.1), seed=3)


def test_greedy_rules_take_the_extreme() -> None:
    f = np.array([[0.2, 10, 900], [0.3, 9, 1000], [0.9, 1, 100], [0.1, 50, 5000]], dtype=float)
    candidates = candidates_of(f)
    assert select(candidates, 1000, Choice("greedy-accuracy", 0.1)).chosen == 0
    assert select(candidates, 1000, Choice("greedy-size", 0.1)).chosen == 1


def test_the_window_trades_loss_for_size() -> None:
    f = np.array([[0.20, 10, 1000], [0.25, 5, 400], [0.9, 1, 100]], dtype=float)
    candidates = candidates_of(f)
    assert select(candidates, 2000, Choice("pareto", 0.01)).chosen == 0
    assert select(candidates, 2000, Choice("pareto", 0.3)).chosen == 1


def test_unknown_method_is_named() -> None:
    with pytest.raises(ValueError, match="best-effort"):
        select(candidates_of(np.ones((1, 3))), 10, Choice("best-effort", 0.1))


def test_objectives_are_loss_energy_parameters() -> None:
    assert objectives([Candidate(1, 2, 0.5, 0.8, 7, 3.0)]).tolist() == [[0.5, 3.0, 7.0]]
