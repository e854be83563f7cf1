"""What there was to gain (:mod:`tasks.report.ceiling`), for a cluster's devices and for a fleet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flows.job import Job
from models.refinement.recipe import LocalTraining
from models.refinement.training import LocalSteps
from tasks.links.records import State
from tasks.report.ceiling import Circle, Learner, score_ceilings
from tasks.run.step import run_step
from tasks.run.store import Ref

Row = dict[str, Any]


def of_edge(job: Job, edge: str, backbone: Ref, received: Sequence[State]) -> Row | None:
    """What the devices of an edge, each with the header that it ``received``, could learn: a row of
    :func:`score_ceilings`, or None where of nobody's context samples are left."""
    recipe, settings = job.settings.refinement, job.settings
    ids = {device.name: device.id for device in settings.devices}
    learners = [
        Learner(name, ids[name], state.header, job.world.samples[name], job.world.unused[name])
        for name, state in ((state.device, state) for state in received)
        if name in job.world.unused
    ]
    if not learners or not recipe.ceiling_steps:
        return None
    training = recipe.part(LocalTraining)
    steps = LocalSteps(recipe.ceiling_steps, training, recipe.joint, recipe.answers)
    circle = Circle(edge, backbone, learners)
    return run_step(score_ceilings, circle, job.world.info, steps, settings.seed, job.machine)


def of_fleet(found: Iterable[Row | None]) -> Row | None:
    """The rows of all edges as one: ``steps`` and ``seconds`` that it took, the most ``samples``
    of a device, and each of the ``devices``; None where there are none."""
    rows = [row for row in found if row is not None]
    if not rows:
        return None
    devices = {name: device for row in rows for name, device in row["devices"].items()}
    return {
        "steps": rows[0]["steps"],
        "seconds": sum(row["seconds"] for row in rows),
        "samples": max(device["ceiling_samples"] for device in devices.values()),
        "devices": devices,
    }
