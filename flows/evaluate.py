"""The last stage: test splits, latency, the registry, the summary and the report."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.context import get_run_context

from flows.ceiling import of_edge, of_fleet
from flows.job import Job
from flows.shown import show_table
from models.backbone.elastic import Grid
from models.refinement.recovery import recovery
from tasks.data.samples import read_content_id, read_contexts, tokenizer_ref, with_spare
from tasks.data.skipped import read_skipped
from tasks.links.ledger import read_ledger, totals
from tasks.links.link import leave_out
from tasks.links.records import Match, Mixing, ReferenceScore, Search
from tasks.report import evaluation
from tasks.report.columns import table
from tasks.report.outputs import (
    read_backbone,
    read_cnn,
    read_cut,
    read_elastic,
    read_matches,
    read_mixings,
    read_receipts,
    read_reference,
    read_reference_model,
    read_rounds,
    read_searches,
    read_variants,
)
from tasks.report.plots import write_plots
from tasks.report.receipts import in_words, known_from, receipt_rows
from tasks.report.reference import score_cnn, score_reference
from tasks.report.report import Page, write_report
from tasks.report.summary import summarise
from tasks.run.compute import Machine, hardware
from tasks.run.files import write_json
from tasks.run.log import LOG
from tasks.run.step import run_step
from tasks.run.written import rewriting_in
from tasks.settings.case import Case
from tasks.settings.params import Settings
from tasks.tracking.candidates import Lineage, git_commit
from tasks.tracking.catalogue import Outcome, log_all

NO_MODEL, NOT_FINISHED = (
    "it received no model in the customization",
    "it chose no model to ship in the customization",
)


@flow(name="evaluate", flow_run_name="evaluate, seed {settings.seed}", validate_parameters=False)
def evaluate(case: Case, settings: Settings) -> None:
    """Score everything on test data, log and register it, and say what came of it."""
    with rewriting_in(case.artifacts, "evaluate") as new:
        summary, lineage, outcome = come_to(replace(case, out=new), settings)
    rows = table(summary)
    show_table(case.key("fleet"), rows, "One model a device.")
    for row in rows:
        LOG.info(", ".join(f"{name} {value}" for name, value in row.items()))
    for device in summary["devices"]:
        LOG.info("%s", in_words(device["device"], device["exchange"]))
    report, browse = case.shown(case.report), case.command("ui")
    create_markdown_artifact(
        key=case.key("report"),
        markdown=f"Front, headers, links: `{report}`. MLflow: `{browse}`.",
        description="Where to read more of this run.",
    )
    print(f"Report: {report} (MLflow's log and registry follow)", flush=True)
    run_step(log_all, case, lineage, outcome)  # last: it takes longest, and nothing waits for it


def come_to(case: Case, settings: Settings) -> tuple[dict[str, Any], Lineage, Outcome]:
    """What the run comes to, written: its summary, and what MLflow is told of it."""
    started, job = datetime.now(UTC), Job.of(case, settings)
    job = replace(job, world=with_spare(job.world, case.partition))
    info = job.world.info
    matches, searches = read_matches(case.backbone), read_searches(case.customize)
    variants = score_variants(case, job, matches)
    headers = score_headers(case, job, matches, searches)
    reference = run_step(
        score_reference,
        read_reference_model(case.backbone),
        job.world,
        settings.devices,
        settings.matching.energy,
        job.machine,
    )
    known, facts = read_reference(case.backbone), read_contexts(case.partition)
    plain = score_plain(case, job, known)
    rows, ceiling = score_clusters(case, job)
    devices = [
        row | {k: v for found in (reference, plain, ceiling) for k, v in of(found, row).items()}
        for row in with_receipts(case, rows)
    ]
    lineage = lineage_of(case, job, known)
    link = totals(
        (case.backbone, case.customize),
        evaluation.centralised_bytes(list(job.world.devices.values()), info),
    )
    run = run_section(started, lineage, job.machine)
    run["not_read"] = read_skipped(case.partition).words
    of_reference = {**reference, **asdict(known)}
    mixings = read_mixings(case.customize)
    beside = {
        "contexts": contexts(facts, mixings),
        "cnn": plain and without_devices(plain),
        "ceiling": ceiling and without_devices(ceiling),
        "exchange": settings.refinement.exchange,
    }
    summary = summarise(settings.seed, devices, of_reference, link, run) | beside
    outcome = Outcome(info, matches, searches, variants, headers, devices)
    page = Page(summary, variants, headers, matches, searches, mixings, settings.matching)
    write(case, page)
    return summary, lineage, outcome


def of(found: dict[str, Any] | None, row: dict[str, Any]) -> dict[str, Any]:
    """What was found of a device that a row is about."""
    return (found or {"devices": {}})["devices"].get(row["device"], {})


def with_receipts(case: Case, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The devices' rows, with what each sent messages for (``exchange``) and whom it knows classes
    from of which it has no samples (``known_from``)."""
    out = case.customize
    ledger = read_ledger(out).to_dict("records")
    found = receipt_rows(read_receipts(out), ledger, read_mixings(out))
    rows = [row | {"exchange": found[row["device"]]} for row in rows]
    classes = {row["device"]: row["classes"] for row in rows}
    return [row | {"known_from": known_from(row, classes)} for row in rows]


def without_devices(found: dict[str, Any]) -> dict[str, Any]:
    """What was found of the fleet as a whole."""
    return {k: v for k, v in found.items() if k != "devices"}


def score_plain(case: Case, job: Job, known: ReferenceScore) -> dict[str, Any] | None:
    """What there would be without ACME: the plain CNN, where one was trained."""
    if known.cnn is None:
        return None
    devices, cnn = job.settings.devices, read_cnn(case.backbone)
    found = run_step(score_cnn, cnn, job.world, devices, job.machine)
    return {**found, **asdict(known.cnn)}


def score_clusters(case: Case, job: Job) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Every device's row, in the fleet's order, and what there was to gain (None where of no
    device's context samples are left). One cluster after the other: of its test splits both are
    told by what is remembered of a few."""
    outcomes, rows, found = read_outcomes(case, job), [], []
    received = [state for state in read_rounds(case.customize) if state.round == 0]
    for cluster in job.settings.fleet:
        names = [device.name for device in cluster.devices]
        backbone = read_backbone(case.customize, cluster.edge)
        own = [state for state in received if state.device in names]
        found.append(of_edge(job, cluster.edge, backbone, own))
        rows += score_devices(case, job, [o for o in outcomes if o.device.name in names])
    return rows, of_fleet(found)


def contexts(facts: dict[str, Any], mixings: Sequence[Mixing]) -> dict[str, Any]:
    """The contexts of a run, and how well devices of the same one were ``recovered`` (None: no
    device has peers of its own and of others)."""
    found = recovery(
        (mixing.weights, [facts["devices"][name] for name in mixing.devices]) for mixing in mixings
    )
    return {**facts, "recovered": found and asdict(found)}


def score_variants(case: Case, job: Job, matches: list[Match]) -> list[dict[str, Any]]:
    """A row a variant of the grid."""
    cloud = evaluation.Cloud(
        read_elastic(case.backbone),
        job.settings.backbone.part(Grid),
        read_variants(case.backbone),
        matches,
    )
    world = job.world
    return run_step(evaluation.score_variants, cloud, world.cloud, world.info, job.machine)


def score_headers(
    case: Case, job: Job, matches: list[Match], searches: list[Search]
) -> list[dict[str, Any]]:
    """A row a header that a cluster's search trained to the end."""
    return [
        row
        for search, match in zip(searches, matches, strict=True)
        for row in run_step(
            evaluation.score_headers,
            search,
            match,
            read_cut(case.backbone, search.edge),
            job.world.cloud,
            job.world.info,
            job.machine,
        )
    ]


def score_devices(
    case: Case, job: Job, outcomes: Sequence[evaluation.Outcome]
) -> list[dict[str, Any]]:
    """A row a device."""
    return [
        run_step(
            evaluation.score_device,
            outcome,
            job.world.samples[outcome.device.name],
            job.world.info,
            job.settings.matching.energy,
            job.machine,
            case.models / outcome.device.name,
        )
        for outcome in outcomes
    ]


def read_outcomes(case: Case, job: Job) -> list[evaluation.Outcome]:
    """What every device's refinement came to, in the fleet's order. One that received no model is
    left out by name."""
    settings, rounds, found = job.settings, read_rounds(case.customize), []
    matches, searches = read_matches(case.backbone), read_searches(case.customize)
    tokenizer = tokenizer_ref(case.partition)
    for cluster, match, search in zip(settings.fleet, matches, searches, strict=True):
        backbone = read_backbone(case.customize, cluster.edge)
        for device in cluster.devices:
            of_device = [r for r in rounds if r.device == device.name]
            if not any(state.ships for state in of_device):
                leave_out(cluster.edge, device.name, NOT_FINISHED if of_device else NO_MODEL)
                continue
            found.append(
                evaluation.Outcome(
                    device,
                    job.world.contexts[device.name],
                    match,
                    backbone,
                    search.headers[search.winner].name,
                    of_device,
                    settings.refinement.answers,
                    tokenizer,
                )
            )
    return found


def lineage_of(case: Case, job: Job, known: ReferenceScore) -> Lineage:
    """From which data, code and settings the run is, and on what it is measured."""
    return Lineage(
        job.world.info.source,
        read_content_id(case.partition),
        git_commit(case),
        digest(job.settings),
        evaluation.measured_on(job.machine),
        known.made or "",
    )


def write(case: Case, page: Page) -> None:
    """The summary, the plots and the page."""
    write_json(case.summary, page.summary)
    write_plots(case.plots, page.variants, page.summary["devices"])
    run_step(write_report, case, page)


def run_section(started: datetime, lineage: Lineage, machine: Machine) -> dict[str, Any]:
    """What differs from run to run: times, ids, machine. MLflow's ids come when all is logged."""
    context = get_run_context()
    return {
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_commit": lineage.git_commit,
        "data_hash": lineage.data_id,
        "hardware": hardware(machine),
        "latency_batch": evaluation.LATENCY_BATCH,
        "prefect_flow_run": str(context.flow_run.id),  # type: ignore[union-attr]
    }


def digest(settings: Settings) -> str:
    """Hash of all settings."""
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()
