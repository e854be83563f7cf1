"""Energy counters: read where there are some, and never taken for others'."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks import power


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """Two packages as the kernel shows them; the core below the first counts nothing twice."""
    for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"):
        (tmp_path / name).mkdir()
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
    (powercap / "intel-rapl:1/energy_uj").write_text("100000\n")
    assert joule() == pytest.approx(0.05 + 0.2)


def test_without_a_readable_counter_there_is_none(powercap: Path, tmp_path: Path) -> None:
    assert power.rapl_counter(tmp_path / "nowhere") is None
    (powercap / "intel-rapl:0/energy_uj").write_text("")
    assert power.rapl_counter(powercap) is None


def test_a_gpu_s_counter_comes_first(monkeypatch: pytest.MonkeyPatch, powercap: Path) -> None:
    millijoule = iter([1000, 1000, 3500])
    gpu = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda i: i,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(millijoule),
    )
    monkeypatch.setitem(sys.modules, "pynvml", gpu)
    found = power.find_counter(powercap)
    assert found is not None
    name, joule = found
    assert name == "NVML"
    assert -(joule() - joule()) == pytest.approx(2.5)
