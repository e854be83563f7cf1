"""What a run comes to: ``artifacts/summary.json`` and the fleet table (docs/operations.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, pstdev
from typing import Any

Row = dict[str, Any]
NOT_SUMMED_UP = ("rounds", "samples_sha256")


def summarise(
    seed: int, devices: Sequence[Row], link: Mapping[str, float], run: Mapping[str, Any]
) -> dict[str, Any]:
    """The summary: ``devices``, ``fleet`` (their mean, worst and spread), ``link``, ``run``."""
    rows = [{k: v for k, v in device.items() if k not in NOT_SUMMED_UP} for device in devices]
    return {"seed": seed, "devices": rows, "fleet": spread(rows), "link": dict(link), "run": run}


def spread(devices: Sequence[Row]) -> dict[str, float]:
    """Mean, worst and standard deviation over the devices of each accuracy on test splits."""
    result: dict[str, float] = {}
    for name in (
        "accuracy_received",
        "accuracy_received_own_classes",
        "accuracy_refined",
        "accuracy_refined_own_classes",
    ):
        values = [device[name] for device in devices]
        result |= {
            f"{name}_mean": mean(values),
            f"{name}_worst": min(values),
            f"{name}_std": pstdev(values),
        }
    result["pruned_devices"] = sum(
        d["header_params_refined"] < d["header_params_received"] for d in devices
    )
    return result


def table(summary: Mapping[str, Any]) -> list[Row]:
    """The fleet as rows of short columns, for a terminal or Prefect's page."""
    return [
        {
            "device": d["device"],
            "cluster": d["cluster"],
            "backbone": f"w {d['width']} d {d['depth']}",
            "header": d["header"],
            "pruned": f"{1 - d['header_params_refined'] / d['header_params_received']:.0%}",
            "params": f"{d['params']:,}",
            "limit": f"{d['storage_limit']:,}",
            "energy J*": f"{d['modelled_energy_joule']:.0f}",
            "round": d["round_kept"],
            "received": f"{d['accuracy_received']:.3f}",
            "own classes": f"{d['accuracy_received_own_classes']:.3f}",
            "refined": f"{d['accuracy_refined']:.3f}",
        }
        for d in summary["devices"]
    ]
