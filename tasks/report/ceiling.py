"""What there was to gain: each device's received header, tuned on many more samples of its context
and its classes than it has. They are nobody's, so nothing but the report may learn from them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.answers import answered
from models.backbone.family import Backbone
from models.backbone.features import extract
from models.header.config import HeaderConfig
from models.header.kinds import seen_by
from models.header.split import Split
from models.refinement.training import LocalSteps, evaluate_devices, fit_devices
from tasks.data.modality import DataInfo
from tasks.data.samples import Classes, classes_of, read_split
from tasks.report.heldout import test_seen, unused_split
from tasks.run.cached import retried
from tasks.run.compute import Machine
from tasks.run.modules import load_backbone, load_header
from tasks.run.progress import progress
from tasks.run.store import Ref

Row = dict[str, Any]


@dataclass(frozen=True)
class Learner:
    """A device: the header that it received, its samples, and its context's that nobody has."""

    name: str
    id: int
    header: Ref
    samples: Ref
    unused: Ref


@dataclass(frozen=True)
class Circle:
    """The devices of one edge that have something to learn from, and the backbone they share."""

    edge: str
    backbone: Ref
    learners: Sequence[Learner]


@retried("evaluate what the devices of {circle.edge} could learn")
def score_ceilings(
    circle: Circle, info: DataInfo, steps: LocalSteps, seed: int, machine: Machine
) -> Row:
    """Headers tuned on the devices' train splits and the unused samples of their classes together,
    those that they want among them.

    Returns:
        ``steps`` and ``seconds`` that it took, and by device ``accuracy_ceiling`` on its test split
        and ``ceiling_samples``, of the unused ones.
    """
    started, place = time.perf_counter(), machine.prepare()
    vit = load_backbone(circle.backbone).to(place)
    headers = [load_header(of.header) for of in circle.learners]
    seen = Seen(vit, headers[0][1], info)
    classes = [classes_of(of.samples) for of in circle.learners]
    spare = _spare(seen, circle.learners, classes)
    more = [
        _of_classes(spare[of.unused.sha256], own.all)
        for of, own in zip(circle.learners, classes, strict=True)
    ]
    data = [
        seen.of(read_split(of.samples, "train", info)).join(m)
        for of, m in zip(circle.learners, more, strict=True)
    ]
    tuned = [header.to(place) for header, _ in headers]
    with progress(f"{circle.edge}: what its devices could learn") as on_step:
        seeds = [seed + of.id for of in circle.learners]
        fit_devices(tuned, data, steps, seeds, on_step=on_step)
    tests = [
        seen_by(seen.header, test_seen(of.samples, circle.backbone, info, machine))
        for of in circle.learners
    ]
    told = [answered(steps.answers, own.own, own.wanted) for own in classes]
    scores = evaluate_devices([header.eval() for header in tuned], tests, told)
    found = {
        of.name: {"accuracy_ceiling": accuracy, "ceiling_samples": len(m.labels)}
        for of, m, (_, accuracy) in zip(circle.learners, more, scores, strict=True)
    }
    seconds = time.perf_counter() - started
    return {"steps": steps.count, "seconds": seconds, "devices": found}


@dataclass(frozen=True)
class Seen:
    """What headers of one configuration read of a backbone."""

    backbone: Backbone
    header: HeaderConfig
    info: DataInfo

    def of(self, samples: tuple[Tensor, Tensor]) -> Split:
        """Of some samples."""
        inputs, labels = samples
        return seen_by(self.header, Split.of(extract(self.backbone, inputs), labels))


def _spare(seen: Seen, learners: Sequence[Learner], classes: Sequence[Classes]) -> dict[str, Split]:
    """What nobody has of each context, by its sha256: of classes that some learner has."""
    found = {}
    for unused in {of.unused.sha256: of.unused for of in learners}.values():
        theirs = [own.all for of, own in zip(learners, classes, strict=True) if of.unused == unused]
        inputs, labels = unused_split(unused, seen.info)
        known = torch.isin(labels, torch.cat(theirs))
        found[unused.sha256] = seen.of((inputs[known], labels[known]))
    return found


def _of_classes(data: Split, classes: Tensor) -> Split:
    return data.at(torch.isin(data.labels, classes).nonzero().flatten())
