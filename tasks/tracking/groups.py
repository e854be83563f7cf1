"""What a run logs to MLflow, as groups of candidates: a cloud's variants, a cluster's headers, a
device's rounds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.links.records import Match, Search
from tasks.report import figures
from tasks.report.columns import exchanged, last_gain
from tasks.report.outputs import backbone_file
from tasks.run.files import sha256_of
from tasks.settings.case import Case
from tasks.settings.fleet import BYTES_PER_PARAMETER
from tasks.tracking.candidates import Candidate, Group

Row = dict[str, Any]
PICTURE = "accuracy-size-energy"
METRICS = (
    "val_loss",
    "val_accuracy",
    "refit_loss",
    "refit_accuracy",
    "test_loss",
    "test_accuracy",
    "test_accuracy_own_classes",
    "test_accuracy_wanted",
    "modelled_energy_joule",
    "flops",
    "header_flops",
    "backbone_flops",
    "parameters",
    "bytes",
    "zeta",
    "latency_s",
)


def variants_group(case: Case, matches: Sequence[Match], variants: Sequence[Row]) -> Group:
    """The grid of variants; what energy each costs is each cluster's own, and the most of them."""
    energies = [row["modelled_energy_joule"] for row in variants]
    candidates = [
        Candidate(
            f"w{row['width']}-d{row['depth']}",
            {"width": row["width"], "depth": row["depth"]},
            {
                **_numbers({**row, "modelled_energy_joule": max(joule.values())}),
                **{f"modelled_energy_joule_{edge}": e for edge, e in joule.items()},
            },
            {"chosen_by": ", ".join(m.edge for m in matches if _is_of(m, row))},
        )
        for row, joule in zip(variants, energies, strict=True)
    ]
    files = [case.backbone / name for name in ("variants.json", "elastic.safetensors")]
    key, names = _key("backbone", *files), [candidate.key for candidate in candidates]
    picture = figures.candidates(variants, names, [max(joule.values()) for joule in energies])
    return Group(key, f"backbone {key[-8:]}", candidates, pictures={PICTURE: picture})


def _is_of(match: Match, variant: Row) -> bool:
    return (match.width, match.depth) == (variant["width"], variant["depth"])


def cluster_group(
    case: Case, backbone_run: str, match: Match, search: Search, rows: Sequence[Row]
) -> Group:
    """The headers of a cluster, ``rows``, which its search trained to the end."""
    winner = winner_of(rows)
    tags = {
        "cluster": match.edge,
        "width": str(match.width),
        "depth": str(match.depth),
        "backbone_run": backbone_run,
    }
    candidates = [
        Candidate(
            row["name"],
            {"kind": row["kind"], **header.config},
            _numbers(row),
            {**tags, "winner": str(row["winner"])},
        )
        for row, header in zip(rows, search.headers, strict=True)
    ]
    file = backbone_file(case.customize, match.edge)
    return Group(
        _key(match.edge, case.customize / "searches.json", file),
        f"{match.edge}: header search",
        candidates,
        params={
            "search_space": search.search_space,
            "budget_parameters": search.budget_parameters,
            "winner": winner["name"],
        },
        metrics=_numbers(winner),
        tags=tags,
        tables={"sampled": _sampled_table(search, winner)} if search.sampled else {},
        pictures={PICTURE: _picture(rows, [row["name"] for row in rows])},
    )


def winner_of(rows: Sequence[Row]) -> Row:
    """The header that a cluster's search chose."""
    return next(row for row in rows if row["winner"])


def device_group(runs: Mapping[str, str], device: Row, file: Path) -> Group:
    """A device's rounds; ``file`` is its model, of the round that was kept.

    Args:
        runs: MLflow's run ids of the ``backbone`` and of the device's cluster.
    """
    name, tags = device["device"], _device_tags(runs, device)
    joule = {"modelled_energy_joule": device["modelled_energy_joule"]}
    rows = [joule | row for row in device["rounds"]]
    candidates = [
        Candidate(
            f"round {row['round']}",
            {"round": row["round"], "way": row["way"], "neurons": row["neurons"]},
            _numbers(row),
            {**tags, "kept": str(row["kept"])},
            name=f"{name} round {row['round']}",
        )
        for row in rows
    ]
    names = [candidate.key for candidate in candidates]
    return Group(
        _key(name, file, extra=device["samples_sha256"] + _scores(device)),
        name,
        candidates,
        params={k: device[k] for k in ("width", "depth", "header", "round_kept", "storage_limit")},
        metrics=_device_metrics(device),
        tags=tags,
        pictures={PICTURE: _picture(rows, names)},
    )


def _device_tags(runs: Mapping[str, str], device: Row) -> dict[str, str]:
    return {
        "device": device["device"],
        "context": device["context"],
        "cluster": device["cluster"],
        "width": str(device["width"]),
        "depth": str(device["depth"]),
        "header": device["header"],
        "samples_sha256": device["samples_sha256"],
        "backbone_run": runs["backbone"],
        "header_run": runs[device["cluster"]],
    }


def _device_metrics(device: Row) -> dict[str, float]:
    return {
        **_numbers(device),
        "val_accuracy": device["val_accuracy_refined"],
        "test_accuracy": device["accuracy_refined"],
        "accuracy_received": device["accuracy_received"],
        "accuracy_received_own_classes": device["accuracy_received_own_classes"],
        "parameters": device["params"],
        "accuracy_per_joule": device["accuracy_refined"] / device["modelled_energy_joule"],
        **_exchange_metrics(device["exchange"]),
    }


def _exchange_metrics(receipt: Row) -> dict[str, float]:
    """What a device sent its peers, got of them, and what that was worth on its val split."""
    found = {
        "exchange_up_bytes": exchanged(receipt["up_bytes"]),
        "exchange_down_bytes": exchanged(receipt["down_bytes"]),
        "gained_by_peers": last_gain(receipt),
        "expected_of_peers": receipt["predicted"],
    }
    return {name: float(value) for name, value in found.items() if value is not None}


def _picture(rows: Sequence[Row], names: Sequence[str]) -> str:
    return figures.candidates(rows, names, [row["modelled_energy_joule"] for row in rows])


def _scores(device: Row) -> str:
    """A device's rounds without what is measured anew each time."""
    return str([(r["parameters"], r["val_loss"], r["test_loss"]) for r in device["rounds"]])


def _sampled_table(search: Search, winner: Row) -> pd.DataFrame:
    """The headers that were only scored with shared weights, with the candidates' columns; what
    was not measured for them is empty."""
    table = pd.DataFrame(list(search.sampled)).rename(
        columns={"reward": "val_accuracy", "flops": "header_flops"}
    )
    table["modelled_energy_joule"] = winner["modelled_energy_joule"]
    table["backbone_flops"] = winner["backbone_flops"]
    table["bytes"] = BYTES_PER_PARAMETER * table["parameters"]
    for column in ("test_accuracy", "latency_s"):
        table[column] = None
    return table


def _numbers(row: Row) -> dict[str, float]:
    return {name: float(row[name]) for name in METRICS if row.get(name) is not None}


def _key(name: str, *files: Path, extra: str = "") -> str:
    """What a group is called by its content: the same outcome is the same group."""
    digest = hashlib.sha256(("".join(sha256_of(f) for f in files) + extra).encode()).hexdigest()
    return f"{name}-{digest[:16]}"
