"""What the MLflow store holds after a run: every candidate, and a challenger for every device."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from models.customized import standalone
from tasks.data.modality import DataInfo, of_images
from tasks.delivery.shipped import load_shipped
from tasks.links.records import Match, Search
from tasks.report import figures
from tasks.report.outputs import backbone_file, read_backbone
from tasks.run.cached import retried
from tasks.run.files import sha256_of
from tasks.run.modules import load_backbone
from tasks.run.progress import progress
from tasks.settings.case import Case
from tasks.settings.fleet import BYTES_PER_PARAMETER
from tasks.tracking import cards
from tasks.tracking.candidates import (
    BACKBONES,
    DEVICES,
    HEADERS,
    Candidate,
    Group,
    Lineage,
    Tracker,
    trial,
)
from tasks.tracking.registry import Entry, Registry, backbone_model, device_model
from tasks.tracking.store import tracking_uri

Row = dict[str, Any]
PICTURE = "accuracy-size-energy"
METRICS = (
    "val_loss",
    "val_accuracy",
    "test_loss",
    "test_accuracy",
    "test_accuracy_own_classes",
    "modelled_energy_joule",
    "flops",
    "header_flops",
    "backbone_flops",
    "parameters",
    "bytes",
    "zeta",
    "latency_s",
)


@dataclass(frozen=True)
class Outcome:
    """What a run came to: each cluster's match and search, and a row a variant, a header (of any
    cluster) and a device."""

    info: DataInfo
    matches: list[Match]
    searches: list[Search]
    variants: list[Row]
    headers: list[Row]
    devices: list[Row]


@retried("log every candidate to MLflow")
def log_all(case: Case, lineage: Lineage, outcome: Outcome) -> dict[str, str]:
    """Log and register; returns the MLflow run id of every group.

    Raises:
        MlflowException: the store does not answer or refuses.
    """
    tracker, matches = Tracker(case, lineage), outcome.matches
    # a trial's models are nobody's challengers
    catalogue = Catalogue(tracker, None if trial() else Registry(case.project), outcome.info)
    total = 1 + len(matches) + len(outcome.devices)
    with progress("MLflow: logging candidates and models") as on_step:
        runs = {"backbone": _log_variants(tracker, matches, outcome.variants)}
        on_step(1, total, {})
        for done, (match, search) in enumerate(zip(matches, outcome.searches, strict=True)):
            rows = [h for h in outcome.headers if h["edge"] == match.edge]
            runs[match.edge] = _log_cluster(catalogue, runs["backbone"], match, search, rows)
            on_step(2 + done, total, {})
        for done, device in enumerate(outcome.devices):
            runs[device["device"]] = log_device(catalogue, runs, device, case.models)
            on_step(2 + len(matches) + done, total, {})
    return runs


@dataclass(frozen=True)
class Catalogue:
    """Where models of some data are logged, and registered if ``registry`` is not None."""

    tracker: Tracker
    registry: Registry | None
    info: DataInfo


def _log_variants(tracker: Tracker, matches: Sequence[Match], variants: Sequence[Row]) -> str:
    case, candidates = tracker.case, []
    for row in variants:
        energies = row["modelled_energy_joule"]
        chosen = [m.edge for m in matches if (m.width, m.depth) == (row["width"], row["depth"])]
        candidates.append(
            Candidate(
                f"w{row['width']}-d{row['depth']}",
                {"width": row["width"], "depth": row["depth"]},
                {
                    **_numbers({**row, "modelled_energy_joule": max(energies.values())}),
                    **{f"modelled_energy_joule_{edge}": e for edge, e in energies.items()},
                },
                {"chosen_by": ", ".join(chosen)},
            )
        )
    files = [case.backbone / name for name in ("variants.json", "elastic.safetensors")]
    key = _group("backbone", *files)
    picture = figures.candidates(
        variants,
        [candidate.key for candidate in candidates],
        [max(row["modelled_energy_joule"].values()) for row in variants],
    )
    pictures = {PICTURE: picture}
    group = Group(key, f"backbone {key[-8:]}", candidates, pictures=pictures)
    return tracker.log_group(BACKBONES, group)


def _log_cluster(
    catalogue: Catalogue, backbone_run: str, match: Match, search: Search, rows: Sequence[Row]
) -> str:
    tracker, registry, info = catalogue.tracker, catalogue.registry, catalogue.info
    winner = next(row for row in rows if row["winner"])
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
    outcome = tracker.case.customize
    backbone, file = read_backbone(outcome, match.edge), backbone_file(outcome, match.edge)
    group = Group(
        _group(match.edge, outcome / "searches.json", file),
        f"{match.edge}: header search",
        candidates,
        params={
            "search_space": search.search_space,
            "budget_parameters": search.budget_parameters,
            "winner": winner["name"],
        },
        metrics=_numbers(winner),
        tags=tags,
        tables={"sampled": _sampled_table(search, winner)},
        pictures={PICTURE: _picture(rows, [row["name"] for row in rows])},
    )
    run = tracker.log_group(HEADERS, group)
    if registry is None:
        return run
    entry = Entry(
        module=standalone(load_backbone(backbone), of_images(info).mean, of_images(info).std),
        example=info.example(2),
        run_id=run,
        sha256=backbone.sha256,
        tags={**tracker.lineage_tags(), **tags, "header": "reference"},
        card=cards.backbone(match, winner, tracker.links({"Candidates": backbone_run}), info),
        files=[file],
        metrics={"val_accuracy": winner["val_accuracy"]},
    )
    registry.register(backbone_model(tracker.case, match.edge), entry)
    return run


def log_device(catalogue: Catalogue, runs: Mapping[str, str], device: Row, folder: Path) -> str:
    """Log a device's rounds and make the model in ``folder`` its challenger.

    Args:
        runs: MLflow's run ids of the ``backbone`` and of the device's cluster.
    """
    tracker, registry, info = catalogue.tracker, catalogue.registry, catalogue.info
    name, cluster = device["device"], device["cluster"]
    tags = {
        "device": name,
        "cluster": cluster,
        "width": str(device["width"]),
        "depth": str(device["depth"]),
        "header": device["header"],
        "samples_sha256": device["samples_sha256"],
        "backbone_run": runs["backbone"],
        "header_run": runs[cluster],
    }
    common = {"modelled_energy_joule": device["modelled_energy_joule"]}
    candidates = [
        Candidate(
            f"round {row['round']}",
            {"round": row["round"], "neurons": row["neurons"]},
            _numbers({**common, **row}),
            {**tags, "kept": str(row["kept"])},
            name=f"{name} round {row['round']}",
        )
        for row in device["rounds"]
    ]
    names = [candidate.key for candidate in candidates]
    file, config = folder / name / "model.safetensors", folder / name / "config.json"
    metrics = {
        **_numbers(device),
        "val_accuracy": device["val_accuracy_refined"],
        "test_accuracy": device["accuracy_refined"],
        "accuracy_received": device["accuracy_received"],
        "accuracy_received_own_classes": device["accuracy_received_own_classes"],
        "parameters": device["params"],
        "accuracy_per_joule": device["accuracy_refined"] / device["modelled_energy_joule"],
    }
    group = Group(
        _group(name, file, extra=device["samples_sha256"] + _scores(device)),
        name,
        candidates,
        params={k: device[k] for k in ("width", "depth", "header", "round_kept", "storage_limit")},
        metrics=metrics,
        tags=tags,
        pictures={PICTURE: _picture([common | r for r in device["rounds"]], names)},
    )
    run = tracker.log_group(DEVICES, group)
    if registry is None:
        return run
    links = {"Header search": runs[cluster], "Backbone candidates": runs["backbone"], "Rounds": run}
    model, uri = device_model(tracker.case, name), tracking_uri(tracker.case.project)
    card = cards.device(device, tracker.links(links), tracker.lineage, info)
    entry = Entry(
        module=load_shipped(file),
        example=info.example(2),
        run_id=run,
        sha256=sha256_of(file),
        tags={**tracker.lineage_tags(), **tags},
        card=f"{cards.how_to_use(model, uri, info)}\n{card}",
        files=[file, config],
        metrics=metrics,
    )
    registry.register(model, entry)
    return run


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


def _group(name: str, *files: Path, extra: str = "") -> str:
    """What a group is called by its content: the same outcome is the same group."""
    digest = hashlib.sha256(("".join(sha256_of(f) for f in files) + extra).encode()).hexdigest()
    return f"{name}-{digest[:16]}"
