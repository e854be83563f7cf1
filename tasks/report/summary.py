"""What a run comes to: ``artifacts/summary.json`` (docs/operations.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import mean, pstdev
from typing import Any

from models.statistics import SURE, by_chance, interval, wilson
from tasks.data.dataset import ALL
from tasks.report.classes import mistakes

Row = dict[str, Any]
NOT_SUMMED_UP = ("rounds", "samples_sha256", "classes", "modelled_energy_joule_reference")
ACCURACIES = (
    "accuracy_received",
    "accuracy_received_own_classes",
    "accuracy_refined",
    "accuracy_refined_own_classes",
    "accuracy_reference",
    "accuracy_reference_own_classes",
)
"""Of a device, on its own test split."""
WANTED = ("accuracy_received_wanted", "accuracy_refined_wanted")
"""Of those that want classes of which they have no sample, on their test samples of these."""
CEILING = "accuracy_ceiling"
"""Of those of whose context there were more samples than anybody got."""
GAINED = ("accuracy_refined", "accuracy_received_own_classes")
"""What refining gains over what takes no training: the first less the second."""
GIVEN_UP = {
    "given_up_own_classes": ("accuracy_reference_own_classes", "accuracy_refined"),
    "given_up_both_own_classes": ("accuracy_reference_own_classes", "accuracy_refined_own_classes"),
    "given_up_all_classes": ("accuracy_reference", "accuracy_refined"),
}
"""What a device gives up: the first less the second. On like terms are those in which both know
the device's classes: what ships knows them, the reference must be told. In the first what ships
answers as it ships, in the second it too may answer only these classes, whatever it was told. In
the last the reference does not know them."""


def summarise(
    seed: int,
    devices: Sequence[Row],
    reference: Row,
    link: Mapping[str, float],
    run: Mapping[str, Any],
) -> dict[str, Any]:
    """The summary: ``devices``, ``fleet`` (their mean, worst and spread), ``by_context`` (the same
    of the devices of each context; nothing where the data tell of none), ``reference`` (what it
    reaches on public data), ``totals`` (of the fleet, and were it given the reference), ``link``,
    ``run``."""
    rows = [
        {k: v for k, v in device.items() if k not in NOT_SUMMED_UP}
        | certainty(device)
        | {"mistakes": [asdict(mistake) for mistake in mistakes(device["confusion"])]}
        for device in devices
    ]
    right = round(reference["test_accuracy"] * reference["test_samples"])
    low, high = wilson(right, reference["test_samples"])
    return {
        "seed": seed,
        "devices": rows,
        "fleet": spread(rows),
        "by_context": {
            name: {"devices": len(own), **spread(own)} for name, own in by_context(rows).items()
        },
        "reference": {k: v for k, v in reference.items() if k not in ("devices", "cnn")}
        | {"test_accuracy_low": low, "test_accuracy_high": high},
        "totals": totals(devices, reference),
        "link": dict(link),
        "run": run,
    }


def by_context(devices: Sequence[Row]) -> dict[str, list[Row]]:
    """The devices of each context, by its name; none where the data tell of no context."""
    names = sorted({device["context"] for device in devices} - {ALL})
    return {name: [d for d in devices if d["context"] == name] for name in names}


def certainty(device: Row) -> dict[str, float]:
    """The 95 % interval of a device's accuracy (Wilson), from the number of its test samples."""
    right = sum(row.get(label, 0) for label, row in device["confusion"].items())
    low, high = wilson(right, device["test_samples"])
    return {"accuracy_refined_low": low, "accuracy_refined_high": high}


def spread(devices: Sequence[Row]) -> dict[str, float]:
    """Mean, worst and standard deviation over the devices of each accuracy on test splits, the 95 %
    interval of each mean (Student's t over the devices; of one device there is none), and of what
    was given up (:data:`GIVEN_UP`, device by device); where some want classes, means of what these
    reach on them (:data:`WANTED`). How many test samples were ``won`` and ``lost`` on what was
    received, told its classes, and how many devices lost more than chance brings about."""
    result: dict[str, float] = {}
    for name in ACCURACIES:
        values = [device[name] for device in devices]
        result |= {f"{name}_worst": min(values), f"{name}_std": pstdev(values)}
        result |= _mean(name, values)
    for name, (reference, refined) in GIVEN_UP.items():
        result |= _mean(name, [d[reference] - d[refined] for d in devices])
    refined, told = GAINED
    result |= _mean("gained_over_own_classes", [d[refined] - d[told] for d in devices])
    result |= ceiling([device for device in devices if CEILING in device])
    for name in WANTED:
        if values := [device[name] for device in devices if name in device]:
            result |= _mean(name, values)
    turned = {name: [device[name] for device in devices] for name in ("won", "lost")}
    result |= {name: sum(counts) for name, counts in turned.items()}
    result["below_received"] = int((by_chance(**turned) <= SURE).sum())
    result["pruned_devices"] = sum(
        d["header_params_refined"] < d["header_params_received"] for d in devices
    )
    return result


WAY = 0.01
"""The least gap to a ceiling of which a share is told: of a smaller one it is noise by noise."""


def ceiling(devices: Sequence[Row]) -> dict[str, float]:
    """What these devices' models would reach with more samples, and the ``gap_closed``: which share
    of the way there, from the received model told their classes, refining went (none is named where
    the way is no :data:`WAY`)."""
    if not devices:
        return {}
    refined, told = (mean(device[name] for device in devices) for name in GAINED)
    found = _mean(CEILING, [device[CEILING] for device in devices])
    way = found[f"{CEILING}_mean"] - told
    return found | ({"gap_closed": (refined - told) / way} if way >= WAY else {})


def totals(devices: Sequence[Row], reference: Row) -> dict[str, dict[str, float]]:
    """What the fleet's models come to together, ``shipped`` and were each the ``reference``."""
    count = len(devices)
    return {
        "parameters": {
            "shipped": sum(d["params"] for d in devices),
            "reference": count * reference["parameters"],
        },
        "bytes": {
            "shipped": sum(d["bytes"] for d in devices),
            "reference": count * reference["bytes"],
        },
        "modelled_energy_joule": {
            "shipped": sum(d["modelled_energy_joule"] for d in devices),
            "reference": sum(d["modelled_energy_joule_reference"] for d in devices),
        },
    }


def _mean(name: str, values: Sequence[float]) -> dict[str, float]:
    found, bounds = {f"{name}_mean": mean(values)}, interval(values)
    if bounds is None:
        return found
    return found | {f"{name}_mean_low": bounds[0], f"{name}_mean_high": bounds[1]}
