"""Pages of fleets of any size, made up: what the report is tried on without a run."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import Any

from models.header.config import HeaderConfig
from models.header.space import Block
from models.matching.recipe import EnergyConstants
from tasks.links.records import Header, Match, Mixing, Search
from tasks.report.report import Page
from tasks.report.summary import summarise
from tasks.run.store import Ref
from tasks.settings.params import Matching

WIDTHS, DEPTHS = (0.25, 0.5, 0.75, 1.0), (2, 3, 4, 5, 6)
LIMITS = (90_000, 190_000, 250_000)
RUN = {
    "started": "2026-11-26T22:41:50+00:00",
    "hardware": "x86_64 CPU, 2 threads",
    "data_hash": "5f974fc07a228533.dir",
    "git_commit": "78115b370416ef76f7e2",
    "latency_batch": 32,
}
LINK = {
    "uplink_bytes": 82_294,
    "downlink_bytes": 36_069_760,
    "shared_bytes": 568_416,
    "centralised_bytes": 3_768_000,
    "uplink_ratio": 0.0218,
    "uplink_ratio_with_shared": 0.1727,
}
CONTEXTS = {
    "names": ["day", "night", "rain"],
    "public": ["day"],
    "synthetic": True,
    "recovered": {"share": 0.71, "chance": 0.33, "devices": 12},
}
MATCHING = Matching(
    method="pareto",
    performance_window=0.1,
    header_budget=36_000,
    energy=EnergyConstants(0.1, 0.005, 0.1, 10),
)
FOUND = (Block(0, 0, "identity", "maxpool"), Block(2, 0, "conv3", "avgpool"))


CNN = {
    "parameters": 75_370,
    "test_accuracy": 0.853,
    "accuracy_own_classes_mean": 0.612,
    "warning": None,
}
CEILING = {"steps": 400, "seconds": 21.4, "samples": 910}


@cache
def made_up(devices: int, edges: int, classes: int = 10) -> Page:
    """The page of a fleet of ``devices`` in ``edges``, the first ones as large as the others or
    larger by one. Made once: do not change it."""
    random = Random(devices)
    names = [f"class {i}" for i in range(classes)]
    rows = [_device(i, f"edge-{i % edges}", names, random) for i in range(devices)]
    rows.sort(key=lambda row: (row["cluster"], row["device"]))
    variants = [_variant(width, depth) for width in WIDTHS for depth in DEPTHS]
    clusters = [[d for d in rows if d["cluster"] == f"edge-{e}"] for e in range(edges)]
    reference = {
        "parameters": 205_962,
        "bytes": 830_952,
        "latency_s": 0.021,
        "test_samples": 2000,
        "test_accuracy": 0.84,
    }
    return Page(
        summarise(0, rows, reference, LINK, RUN)
        | {"contexts": CONTEXTS, "cnn": CNN, "ceiling": CEILING, "exchange": "statistics"},
        variants,
        [h for own in clusters for h in _headers(own[0]["cluster"])],
        [_match(own, variants) for own in clusters],
        [_search(own[0]["cluster"]) for own in clusters],
        [_mixing(own) for own in clusters],
        MATCHING,
    )


def _device(number: int, edge: str, classes: list[str], random: Random) -> dict[str, Any]:
    own = random.sample(classes, max(1, len(classes) // 2))
    confusion = {name: _answers(name, classes, random) for name in own}
    samples = sum(sum(row.values()) for row in confusion.values())
    refined = sum(confusion[name][name] for name in own) / samples
    return {
        "context": CONTEXTS["names"][1 + number % 2],
        "device": f"device-{number:02d}",
        "cluster": edge,
        "width": 0.25,
        "depth": 5,
        "header": "searched-1",
        "params": 60_000 + number,
        "words": 13_000 + number,
        "header_params_received": 15_000,
        "header_params_refined": 13_000,
        "round_kept": 2,
        "way_kept": "peers",
        "exchange": _receipt(number),
        "bytes": 250_000,
        "storage_limit": LIMITS[number % 3],
        "modelled_energy_joule": 120.0 + number,
        "modelled_energy_joule_reference": 260.0 + number,
        "modelled_latency_s": 1.5,
        "latency_s": 0.0031,
        "accuracy_received": refined - 0.1,
        "accuracy_received_own_classes": refined + 0.01,
        "answers": "own",
        "accuracy_refined": refined,
        "accuracy_refined_own_classes": refined,
        "accuracy_reference": refined - 0.05,
        "accuracy_reference_own_classes": refined + 0.05,
        "accuracy_cnn": refined - 0.3,
        "accuracy_cnn_own_classes": refined - 0.25,
        "accuracy_ceiling": refined + 0.02,
        "ceiling_samples": 900 + 10 * (number % 2),
        "test_samples": samples,
        "won": 30,
        "lost": 12 + number,
        "confusion": confusion,
        "wanted": [name for name in classes if name not in own][:1],
        "wanted_test_samples": 20,
        "accuracy_received_wanted": 0.4,
        "accuracy_refined_wanted": 0.6,
    }


def _receipt(number: int) -> dict[str, Any]:
    """Every third device stayed silent; the others sent some bytes and gained a little."""
    silent = number % 3 == 2
    told = {} if silent else {"class_statistics": 1500 + number}
    return {
        "samples": 60,
        "virtual": 20,
        "ships": "alone" if silent else "peers",
        "round": 2,
        "ways": {"received": 0.5, "alone": 0.7, "peers": 0.73, "ships": 0.73},
        "gained": {"1": 0.01, "2": 0.0 if silent else 0.03},
        "predicted": 0.02,
        "silent": silent,
        "withheld": number % 2,
        "peers": [] if silent else [f"device-{number + 1:02d}"],
        "up_bytes": {"0": {"metrics": 90}, "1": {**told, "metrics": 90}},
        "down_bytes": {"0": {"customized_model": 250_000}, "1": {"peers_statistics": 1700}},
    }


def _answers(name: str, classes: list[str], random: Random) -> dict[str, int]:
    """Of 20 samples of a class, most are right, and all others taken for one class."""
    right = random.randint(8, 20)
    wrong = {random.choice([c for c in classes if c != name]): 20 - right} if right < 20 else {}
    return {name: right, **wrong}


def _variant(width: float, depth: int) -> dict[str, Any]:
    parameters = int(5_000 + 34_000 * width * depth)
    return {
        "width": width,
        "depth": depth,
        "zeta": 30_000.0 * width * depth,
        "parameters": parameters,
        "val_loss": 0.4 + 6_000 / parameters,
        "val_accuracy": 0.85 - 3_000 / parameters,
    }


def _match(devices: list[dict[str, Any]], variants: list[dict[str, Any]]) -> Match:
    limit = min(d["storage_limit"] for d in devices)
    fitting = [i for i, v in enumerate(variants) if v["parameters"] <= limit - 36_000]
    energy = tuple(100 + 40 * v["width"] * v["depth"] for v in variants)
    best = tuple(fitting)
    return Match(devices[0]["cluster"], 0.25, 5, limit, energy, 3, best, best[:4], best[:4])


def _headers(edge: str) -> list[dict[str, Any]]:
    kinds = ("linear", "mlp", "searched-1")
    return [
        {
            "edge": edge,
            "name": name,
            "winner": name == "searched-1",
            "parameters": 15_324,
            "header_flops": 2.2e5,
            "val_accuracy": 0.8,
            "test_accuracy": 0.79,
        }
        for name in kinds
    ]


def _search(edge: str) -> Search:
    config = HeaderConfig("searched", 64, (4, 4), 10, 24, 64, architecture=FOUND).to_dict()
    header = Header("searched-1", "searched", config, Ref("header", "0" * 64), 15_324, 1, 0.5, 0.8)
    return Search(edge, 0, (header,), (), 86_436, 36_000)


def _mixing(devices: list[dict[str, Any]]) -> Mixing:
    names = tuple(d["device"] for d in devices)
    near = [[1 / (1 + abs(i - j)) for j in range(len(names))] for i in range(len(names))]
    weights = tuple(tuple(value / sum(row) for value in row) for row in near)
    return Mixing(devices[0]["cluster"], names, tuple(map(tuple, near)), weights)
