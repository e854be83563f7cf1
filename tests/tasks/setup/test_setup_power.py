"""Energy counters: read where there are some, and never taken for others'."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.setup import power


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """Two packages as the kernel shows them; neither the core below the first nor the whole board
    counts anything twice."""
    zones = {"0": "package-0", "0:0": "core", "1": "psys", "2": "package-1"}
    for zone, label in zones.items():
        name = f"intel-rapl:{zone}"
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(f"{label}\n")
        (tmp_path / name / "energy_uj").write_text("900000\n")
        (tmp_path / name / "max_energy_range_uj").write_text("1000000\n")
    return tmp_path


def test_packages_are_added_and_a_full_counter_starts_again(powercap: Path) -> None:
    found = power.rapl_counter(powercap)
    assert found is not None
    name, joule = found
    assert (name, joule()) == ("RAPL", 0.0)
    (powercap / "intel-rapl:0/energy_uj").write_text("950000\n")
    (powercap / "intel-rapl:0:0/energy_uj").write_text("999999\n")
    assert joule() == pytest.approx(0.05)
    (powercap / "intel-rapl:1/energy_uj").write_text("990000\n")
    assert joule() == pytest.approx(0.05)
    (powercap / "intel-rapl:2/energy_uj").write_text("100000\n")
    assert joule() == pytest.approx(0.05 + 0.2)


def test_without_a_readable_counter_there_is_none(powercap: Path, tmp_path: Path) -> None:
    assert power.rapl_counter(tmp_path / "nowhere") is None
    (powercap / "intel-rapl:0/energy_uj").write_text("")
    assert power.rapl_counter(powercap) is None


def test_the_processor_that_computes_is_the_one_that_is_measured(
    monkeypatch: pytest.MonkeyPatch, powercap: Path
) -> None:
    millijoule, asked = iter([1000, 1000, 3500]), []
    gpu = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: asked.append(uuid) or uuid,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(millijoule),
    )
    monkeypatch.setitem(sys.modules, "pynvml", gpu)
    found = power.find_counter("GPU-1", powercap)
    assert found is not None
    name, joule = found
    assert (name, asked) == ("NVML", ["GPU-1"])
    assert -(joule() - joule()) == pytest.approx(2.5)
    on_cpu = power.find_counter(None, powercap)
    assert on_cpu is not None
    assert on_cpu[0] == "RAPL"
