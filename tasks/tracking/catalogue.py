"""What the MLflow store holds after a run: every candidate, and a challenger for every device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.customized import standalone
from tasks.data.modality import DataInfo
from tasks.data.tokens import TOKENIZER
from tasks.delivery.shipped import example_of, load_shipped
from tasks.links.records import Match, Search
from tasks.report.outputs import backbone_file, read_backbone
from tasks.run.cached import retried
from tasks.run.files import sha256_of
from tasks.run.modules import load_backbone
from tasks.run.progress import progress
from tasks.settings.case import Case
from tasks.tracking import cards
from tasks.tracking.candidates import BACKBONES, DEVICES, HEADERS, Group, Lineage, Tracker, trial
from tasks.tracking.groups import Row, cluster_group, device_group, variants_group, winner_of
from tasks.tracking.logged import Entry
from tasks.tracking.registry import Registry, backbone_model, device_model
from tasks.tracking.store import tracking_uri


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
    variants = variants_group(case, matches, outcome.variants)
    with progress("MLflow: logging candidates and models") as on_step:
        runs = {"backbone": tracker.log_group(BACKBONES, variants)}
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


def _log_cluster(
    catalogue: Catalogue, backbone_run: str, match: Match, search: Search, rows: Sequence[Row]
) -> str:
    tracker, registry, info = catalogue.tracker, catalogue.registry, catalogue.info
    case = tracker.case
    group = cluster_group(case, backbone_run, match, search, rows)
    run = tracker.log_group(HEADERS, group)
    if registry is None:
        return run
    backbone, winner = read_backbone(case.customize, match.edge), winner_of(rows)
    entry = Entry(
        module=standalone(load_backbone(backbone), info.prepare()),
        example=info.example(2),
        run_id=run,
        sha256=backbone.sha256,
        tags={**tracker.lineage_tags(), **group.tags, "header": "reference"},
        card=cards.backbone(
            match, winner, tracker.links({"Candidates": backbone_run}), tracker.lineage, info
        ),
        files=[backbone_file(case.customize, match.edge)],
        metrics={"val_accuracy": winner["val_accuracy"]},
    )
    registry.register(backbone_model(case, match.edge), entry)
    return run


def log_device(catalogue: Catalogue, runs: Mapping[str, str], device: Row, folder: Path) -> str:
    """Log a device's rounds and make the model in ``folder`` its challenger.

    Args:
        runs: MLflow's run ids of the ``backbone`` and of the device's cluster.
    """
    tracker, registry, info = catalogue.tracker, catalogue.registry, catalogue.info
    file = folder / device["device"] / "model.safetensors"
    group = device_group(runs, device, file)
    run = tracker.log_group(DEVICES, group)
    if registry is None:
        return run
    model = device_model(tracker.case, device["device"])
    entry = Entry(
        module=load_shipped(file),
        example=example_of(file, info),
        run_id=run,
        sha256=sha256_of(file),
        tags={**tracker.lineage_tags(), **group.tags},
        card=_device_card(catalogue, model, group, run, device),
        files=[
            place
            for name in (file.name, "config.json", TOKENIZER)
            if (place := file.with_name(name)).exists()
        ],
        metrics=group.metrics,
    )
    registry.register(model, entry)
    return run


def _device_card(catalogue: Catalogue, model: str, group: Group, run: str, device: Row) -> str:
    tracker, info = catalogue.tracker, catalogue.info
    above = {"Header search": "header_run", "Backbone candidates": "backbone_run"}
    links = {words: group.tags[tag] for words, tag in above.items()} | {"Rounds": run}
    card = cards.device(device, tracker.links(links), tracker.lineage, info)
    return f"{cards.how_to_use(model, tracking_uri(tracker.case.project), info)}\n{card}"
