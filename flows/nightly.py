"""Between two customizations: devices whose data drifted are refined again, each by itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from prefect import flow

from flows import on_device
from flows.customize import Circle, refine, sketched
from flows.deployed import in_case, named, run_elsewhere
from flows.evaluate import digest
from flows.hooks import HOOKS, tell_held
from flows.job import Job
from flows.on_device import LocalCarrier
from flows.owned import OWNED
from flows.shown import show_table
from tasks.data.drift import Thresholds
from tasks.data.samples import read_content_id, read_contexts, read_info, samples_ref, tokenizer_ref
from tasks.device.drifted import remember, trained_on
from tasks.device.own import Own
from tasks.edge.kept import kept_for
from tasks.edge.mixing import compare
from tasks.links.asking import Key, Link
from tasks.links.ledger import LEDGER, write_ledger
from tasks.links.link import Message, leave_out
from tasks.links.records import Mixing
from tasks.report import evaluation
from tasks.report.outputs import (
    read_backbone,
    read_kept,
    read_matches,
    read_reference,
    read_searches,
    read_trained_on,
)
from tasks.report.receipts import in_words, receipt_rows
from tasks.run.errors import AcmeError, ArtifactError, LinkError, RegistryError, StageError
from tasks.run.log import LOG
from tasks.run.step import run_step
from tasks.run.written import keep_written, rewriting
from tasks.servers.services import environment
from tasks.servers.shell import reproduce
from tasks.settings.case import SETTINGS, Case
from tasks.settings.fleet import Cluster, Device
from tasks.settings.params import Likeness, device_name
from tasks.setup.check import check
from tasks.tracking.candidates import Lineage, Tracker, git_commit
from tasks.tracking.catalogue import Catalogue, log_device
from tasks.tracking.promotion import Decision, owner_of, promote
from tasks.tracking.registry import CHAMPION, SAMPLES, Registry, device_model

ON_DEMAND = "refine-devices/on-demand"
Status = Literal["unchanged", "no drift", "drifted", "no champion", "unfit"]


@dataclass(frozen=True)
class Finding:
    """What the check of one device found; ``words`` say why."""

    device: str
    status: Status
    words: str


@flow(name="check-devices", flow_run_name=named("check every device's data"), **OWNED, **HOOKS)
@in_case
def check_devices(
    params: Path = Path(SETTINGS),
    limits: Thresholds = Thresholds(),  # noqa: B008 - frozen
    refine_by: str | None = ON_DEMAND,
    case: str | None = None,
) -> list[Finding]:
    """Look at the data of each device, and have those that drifted refined.

    Args:
        params: the settings file.
        limits: how far the data may have moved.
        refine_by: the deployment that refines; without one, this run does it itself.
        case: of cases/; none: the project's own.
    """
    settings = check(params).settings
    here = Case.here()
    run_step(reproduce, "partition", params, environment(here))
    findings = [look_at(here, device, limits) for device in settings.devices]
    show_table(
        here.key("drift"),
        [vars(finding) for finding in findings],
        "What the nightly check found.",
    )
    for finding in findings:
        LOG.info("%s: %s: %s", finding.device, finding.status, finding.words)
    drifted = [finding.device for finding in findings if finding.status == "drifted"]
    if drifted and refine_by:
        run_elsewhere(refine_by, {"devices": drifted, "params": str(params), "case": case})
    elif drifted:
        refine_devices(drifted, params, case=case)
    unfit = [finding.words for finding in findings if finding.status == "unfit"]
    if unfit:
        raise RegistryError("; ".join(unfit))
    return findings


@flow(name="refine-devices", flow_run_name=named("refine {devices}"), **OWNED, **HOOKS)
@in_case
def refine_devices(
    devices: list[str],
    params: Path = Path(SETTINGS),
    promotion: bool = True,
    case: str | None = None,
) -> list[Decision]:
    """Refine single devices with what their edges kept of their peers.

    Args:
        devices: names or ids.
        params: the settings file.
        promotion: decide on the challengers; else they wait for ``acme promote``.
        case: of cases/; none: the project's own.

    Raises:
        StageError: devices could not be refined; the others were.
    """
    settings, decisions, here = check(params).settings, [], Case.here()
    failed: dict[str, AcmeError] = {}
    job = Job.of(here, settings)
    names = [device_name(settings, device) for device in devices]
    for at, cluster in enumerate(settings.fleet):
        for device in (d for d in cluster.devices if d.name in names):
            try:
                refine_one(here, job, at, device)
            except (LinkError, ArtifactError) as error:  # of one device, or of what is kept of it
                failed[device.name] = error
                leave_out(cluster.edge, device.name, error)
                continue
            owner = owner_of(here, device)
            decisions.append(run_step(promote, here, owner) if promotion else None)
    made = [decision for decision in decisions if decision is not None]
    tell_held(made)
    if failed:
        words = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise StageError(f"not refined: {words}")
    return made


def look_at(case: Case, device: Device, limits: Thresholds) -> Finding:
    """Whether a device should be refined."""
    name, samples = device.name, samples_ref(device.name, case.partition)
    model = device_model(case, name)
    champion, seen = Registry(case.project).made_from(model, samples.sha256)
    if champion is None:
        return Finding(name, "no champion", "the next customization will give it one")
    if seen:
        return Finding(name, "unchanged", "champion or challenger was made from these data")
    known = read_trained_on(case.customize)
    then = trained_on(case.nightly, name, champion.tags.get(SAMPLES), known)
    if then is None:
        return Finding(name, "drifted", "nothing is kept of the data of its champion")
    try:
        info = read_info(case.partition)
        out = case.nightly / "checks" / name
        found = run_step(on_device.check_data, samples, then, info, limits, out)
    except AcmeError as error:
        return Finding(name, "unfit", str(error))
    words = ", ".join(f"{column} moved by {nats:.3f} nats" for column, nats in found.items())
    return Finding(name, "drifted" if found else "no drift", words or "changed, within the limits")


def refine_one(case: Case, job: Job, at: int, device: Device) -> None:
    """Alg. 2 for one device of cluster number ``at``; its model becomes a challenger."""
    settings, info, samples = job.settings, job.world.info, job.world.samples[device.name]
    cluster = settings.fleet[at]
    own, mixing, messages = refined_by_itself(case, job, cluster, device)
    search, matches = read_searches(case.customize)[at], read_matches(case.backbone)
    header, backbone = (
        search.headers[search.winner].name,
        read_backbone(case.customize, cluster.edge),
    )
    tokenizer = tokenizer_ref(case.partition)
    facts = run_step(on_device.describe_data, device.name, samples, info)
    context, left = (
        read_contexts(case.partition)["devices"][device.name],
        case.nightly / device.name,
    )
    with rewriting(left) as new:
        row = run_step(
            evaluation.score_device,
            evaluation.Outcome(
                device,
                context,
                matches[at],
                backbone,
                header,
                own.rounds,
                settings.refinement.answers,
                tokenizer,
            ),
            samples,
            info,
            settings.matching.energy,
            job.machine,
            new,
        )
        if left.exists():
            keep_written(left, LEDGER, new)
        write_ledger(new / LEDGER, messages)
        remember(new, facts)
    ledger = [asdict(message) for message in messages]
    receipts = [own.receipt] if own.receipt else []
    row["exchange"] = receipt_rows(receipts, ledger, [mixing])[device.name]
    LOG.info("%s", in_words(device.name, row["exchange"]))
    registry = Registry(case.project)
    champion = registry.find(device_model(case, device.name), CHAMPION)
    if champion is None:
        raise RegistryError(f"{device.name} has no champion to refine. Try: acme run")
    content = read_content_id(case.partition)
    measured_on = evaluation.measured_on(job.machine)
    made = read_reference(case.backbone).made or ""
    commit = git_commit(case)
    lineage = Lineage(info.source, content, commit, digest(settings), measured_on, made)
    runs = {"backbone": champion.tags["backbone_run"], cluster.edge: champion.tags["header_run"]}
    log_device(Catalogue(Tracker(case, lineage), registry, info), runs, row, case.nightly)


def refined_by_itself(
    case: Case, job: Job, cluster: Cluster, device: Device
) -> tuple[Own, Mixing, list[Message]]:
    """What the device has after its rounds on its data as they are now, whom it listened to, and
    the messages that this took."""
    edge, recipe, name = cluster.edge, job.settings.refinement, device.name
    kept = kept_for(read_kept(case.customize), device, cluster, recipe)
    samples = job.world.samples[name]
    own = Own(edge, name, device.id, samples, model=kept.model, answers=recipe.answers)
    carrier = LocalCarrier(job, [own])
    link = Link(edge, carrier)
    key = Key(kept.model.sha256)
    adopted = link.ask_all([name], "adopt", {}, key)
    sketches = [*sketched(recipe, link, [name], key), *kept.sketches]
    told = [*kept.sketches, *(m for sent in kept.sent.values() for m in sent)]
    members = (name, *dict.fromkeys(message.sender for message in told))
    mixing = run_step(compare, edge, members, sketches, recipe.part(Likeness))
    mixing = refine(recipe, link, Circle([name], mixing, kept.model, adopted, kept.sent))
    return carrier.owns[name], mixing, link.sent
