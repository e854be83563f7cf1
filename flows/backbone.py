"""Phase 1 (Sec. III-B): one elastic backbone, and the variant of it that each cluster gets."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from prefect import flow

from flows.hooks import STAGE_HOOKS
from flows.job import Job
from flows.on_device import LocalCarrier
from flows.shown import show_table
from tasks.cloud import backbone as cloud
from tasks.cloud.encoder import bring_encoder
from tasks.cloud.matching import match
from tasks.cloud.plain import compare_cnn, train_cnn
from tasks.cloud.public import Public
from tasks.cloud.reference import (
    check_depth,
    made,
    score_reference,
    take_checkpoint,
    train_reference,
)
from tasks.cloud.registered import bring, is_registered
from tasks.data.encoder import FOLDER as ENCODER
from tasks.device.own import Own
from tasks.edge.statistics import send_statistics
from tasks.links.asking import Key, Link
from tasks.links.records import Match, ReferenceScore, Trained, Variant
from tasks.report.outputs import Fitted, Grown, publish_backbone
from tasks.run.errors import StageError
from tasks.run.log import LOG
from tasks.run.step import run_step
from tasks.run.store import Ref
from tasks.settings.case import Case
from tasks.settings.fleet import Cluster
from tasks.settings.params import Grid, ReferenceModel, Settings


@flow(
    name="backbone",
    flow_run_name="backbone, seed {settings.seed}",
    validate_parameters=False,
    **STAGE_HOOKS,
)
def backbone(case: Case, settings: Settings) -> None:
    """Train, rank, distil and score once; then match and cut for every cluster."""
    job = Job.of(case, settings, devices=())  # the cloud sees no device's data
    trained = trained_reference(job, given_reference(settings))
    data, reference = Public(job.world.cloud, job.world.info), trained.model
    refits = settings.backbone.refit_samples
    known = run_step(score_reference, reference, data, refits, job.machine)
    require_learned(known, settings.backbone.at_chance)
    cnn = plain_cnn(job)
    score = None if cnn is None else run_step(compare_cnn, cnn, reference, data, job.machine)
    known = replace(known, made=made(settings, trained), cnn=score)
    for warning in filter(None, (known.warning, score and score.warning)):
        print(f"Warning: {warning}", file=sys.stderr)
    elastic = elastic_of(job, reference)
    variants = scored_grid(job, elastic)

    fitted = [cluster_backbone(job, cluster, elastic, variants) for cluster in settings.fleet]
    matches = [one.match for one in fitted]
    publish_backbone(case.backbone, Grown(reference, known, elastic, variants, cnn), fitted)
    show_table(
        case.key("front"),
        front_table(variants, matches),
        "The grid of variants: on a cluster's front (o), chosen for it (*).",
    )


def given_reference(settings: Settings) -> Ref | None:
    """What the reference starts from: of texts the encoder beside the data; of images a model of
    the registry, where its name is one of the registry's, or a file of weights. Files lie where the
    flow runs."""
    reference, data = settings.backbone.reference, settings.data
    if data.modality == "text":
        return run_step(bring_encoder, data.folder / ENCODER, data.length)
    if reference.name is not None and is_registered(reference.name):
        return run_step(bring, reference.name, Case.here().project)
    return take_checkpoint(reference.checkpoint) if reference.checkpoint else None


def elastic_backbone(job: Job, given: Ref | None) -> Ref:
    """Alg. 1, lines 2-4, from the reference that was ``given``, if one was."""
    return elastic_of(job, trained_reference(job, given).model)


def trained_reference(job: Job, given: Ref | None) -> Trained:
    """theta_0, from the reference that was ``given``, if one was."""
    spec, data = job.settings.backbone, examples_of(job)
    model, seed = spec.reference.part(ReferenceModel), job.settings.seed
    run_step(check_depth, model, data.info, max(spec.depths), given)
    return run_step(train_reference, data, model, spec.training, seed, job.machine, given)


def plain_cnn(job: Job) -> Ref | None:
    """A CNN beside the reference, where the settings ask for one; of texts there is none."""
    recipe = job.settings.backbone.cnn
    if recipe.none or job.settings.texts:
        return None
    return run_step(train_cnn, examples_of(job), recipe, job.settings.seed, job.machine)


def require_learned(known: ReferenceScore, at_chance: str) -> None:
    """Raises StageError if the reference is not shown to have learned and that is to stop the
    run."""
    if known.warning and at_chance == "stop":
        raise StageError(
            f"{known.warning}. Nothing was cut from it. To go on all the same: "
            "backbone.at_chance: warn"
        )


def elastic_of(job: Job, reference: Ref) -> Ref:
    """The reference ranked, and made elastic."""
    spec, seed, machine = job.settings.backbone, job.settings.seed, job.machine
    data, grid = Public(job.world.cloud, job.world.info), spec.part(Grid)
    ranked = run_step(cloud.rank, reference, data, spec.importance_samples, machine)
    shown = examples_of(job)
    return run_step(cloud.distil, ranked, shown, grid, spec.distillation, seed, machine)


def examples_of(job: Job) -> Public:
    """The public set as models are trained on it."""
    return Public(job.world.cloud, job.world.info, job.settings.flip)


def scored_grid(job: Job, elastic: Ref) -> list[Variant]:
    """Every variant on public validation data."""
    spec = job.settings.backbone
    data, grid = Public(job.world.cloud, job.world.info), spec.part(Grid)
    return run_step(cloud.score, elastic, data, grid, spec.refit_samples, job.machine)


def cluster_backbone(job: Job, cluster: Cluster, elastic: Ref, variants: list[Variant]) -> Fitted:
    """Attributes go up from the devices to their edge, statistics from there to the cloud, which
    picks and cuts the cluster's variant."""
    names, edge = [device.name for device in cluster.devices], cluster.edge
    owns = [Own(edge, device.name, device.id) for device in cluster.devices]
    link = Link(edge, LocalCarrier(job, owns))
    rules, seed = job.settings.matching, job.settings.seed
    answers = link.ask_all(names, "attributes", {}, Key(), quorum=rules.quorum)
    attributes = answers.of("device_attributes")
    statistics = run_step(send_statistics, edge, attributes)
    found = run_step(match, elastic, variants, statistics, rules, seed)
    strategy = job.settings.backbone.depth_strategy
    cut = run_step(cloud.cut, elastic, found.edge, found.width, found.depth, strategy)
    LOG.info(
        "%s: width %s and depth %s of %d variants, %d on its front",
        found.edge,
        found.width,
        found.depth,
        len(variants),
        len(found.front),
    )
    return Fitted(found, cut, (*link.sent, statistics))


def front_table(variants: list[Variant], matches: list[Match]) -> list[dict[str, Any]]:
    """The grid with a column a cluster."""
    return [
        {
            "width": v.width,
            "depth": v.depth,
            "parameters": v.parameters,
            "val_loss": round(v.val_loss, 4),
            "val_accuracy": round(v.val_accuracy, 4),
            **_refitted(v),
            **{m.edge: "*" if i == m.chosen else "o" if i in m.front else "" for m in matches},
        }
        for i, v in enumerate(variants)
    ]


def _refitted(variant: Variant) -> dict[str, float]:
    """With a header of its own, where it has one."""
    if variant.refit_loss is None or variant.refit_accuracy is None:
        return {}
    own = {"refit_loss": variant.refit_loss, "refit_accuracy": variant.refit_accuracy}
    return {name: round(value, 4) for name, value in own.items()}
