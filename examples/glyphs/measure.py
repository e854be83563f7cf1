"""What the product's own steps reach on the pictures, seed by seed: the cloud's on 12,000 and on
3,000 of them, beside a plain CNN; and all of these on families of fonts that nobody trained on."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from prefect import flow
from torch import Tensor, nn

from examples.glyphs.timed import remembered
from flows.backbone import elastic_of, plain_cnn, trained_reference
from flows.experiments.bench import OPTIONS, job_of
from flows.job import Job
from models.backbone.training import logits_of, scores
from tasks.data.samples import World, read_split
from tasks.experiments import world
from tasks.report.heldout import test_split
from tasks.run.cnn import load_cnn
from tasks.run.errors import DataError
from tasks.run.modules import load_backbone
from tasks.run.step import run_step
from tasks.run.store import Ref
from tasks.settings.fields import read_yaml
from tasks.settings.params import Settings, load, merged

SETTINGS = Path(__file__).with_name("glyphs.yaml")
FEW = 3000  # public images
APART = 6  # of so many families, the cloud does not know one: it is a device's
LEAST = 4  # pictures of each class, of which a device gets some in each split
Row = dict[str, float]
Labelled = tuple[Tensor, Tensor]


def settings_of(params: Path, pictures: Path, seed: int) -> Settings:
    """The settings of one seed, on top of a file. Every sixth family, beginning with another one
    for each seed, is a device's, and the cloud's data have the others.

    Raises:
        DataError: no family has pictures enough to be a device's.
    """
    found = {family.name: counts(family) for family in sorted(pictures.iterdir())}
    every = max(map(len, found.values()))
    whole = [name for name, of in found.items() if len(of) == every and min(of) >= LEAST]
    held = whole[seed % APART :: APART]
    if not held:
        raise DataError(
            f"{pictures}: no family with {LEAST} pictures of each class to be kept from the cloud. "
            "Give more fonts of more families"
        )
    limits = {"storage_limit": 10**6, "gpu_capacity_watt": 5, "base_latency_s": 1.0}
    devices = [{"id": i, "context": name, **limits} for i, name in enumerate(held)]
    overlay = {
        "seed": seed,
        "data": {"folder": str(pictures)},
        "partition": {"public_contexts": [name for name in found if name not in held]},
        "fleet": [{"edge": "unseen", "devices": devices}],
    }
    return load(params, merged(read_yaml(SETTINGS), overlay))


def counts(family: Path) -> list[int]:
    """How many pictures a family has of each of its classes."""
    return [len(list(of_class.iterdir())) for of_class in family.iterdir()]


@flow(name="glyphs", flow_run_name="glyphs, seed {settings.seed}", **OPTIONS)
def measured(settings: Settings) -> Row:
    """Accuracy on test of ``reference``, ``full``, ``smallest`` and ``cnn``, and of ``few``, which
    is the reference of few images; with ``unseen_`` before them, on the families that the cloud
    does not know. And the ``seconds`` that the reference took when it was trained."""
    job = job_of(settings)
    start = time.perf_counter()
    reference = trained_reference(job, None).model
    seconds = run_step(remembered, reference, time.perf_counter() - start)
    models = {"reference": load_backbone(reference), **cut_of(job, reference), **cnn_of(job)}
    public, unseen = test_split(job.world.cloud, job.world.info), all_of_devices(job.world)
    row = {name: accuracy(model, public) for name, model in models.items()}
    row |= {f"unseen_{name}": accuracy(model, unseen) for name, model in models.items()}
    return {**row, "few": of_few(settings), "seconds": seconds}


def cut_of(job: Job, reference: Ref) -> dict[str, nn.Module]:
    """The largest and the smallest variant of the reference, distilled."""
    spec, elastic = job.settings.backbone, elastic_of(job, reference)
    ends = {"full": max, "smallest": min}
    return {
        name: load_backbone(
            run_step(world.cut, elastic, end(spec.widths), end(spec.depths), spec.depth_strategy)
        )
        for name, end in ends.items()
    }


def cnn_of(job: Job) -> dict[str, nn.Module]:
    """The plain CNN, where the settings ask for one."""
    cnn = plain_cnn(job)
    return {} if cnn is None else {"cnn": load_cnn(cnn)}


def of_few(settings: Settings) -> float:
    """Accuracy on test of a reference of few images."""
    fewer = settings.partition.model_copy(update={"public_train": FEW})
    job = job_of(settings.model_copy(update={"partition": fewer}))
    few = load_backbone(trained_reference(job, None).model)
    return accuracy(few, test_split(job.world.cloud, job.world.info))


def all_of_devices(data: World) -> Labelled:
    """All images and labels that devices were dealt: no model here was trained on any of them."""
    parts: list[Labelled] = []
    for samples in data.devices.values():
        parts += [read_split(samples, split, data.info) for split in ("train", "val")]
        parts.append(test_split(samples, data.info))
    images, labels = zip(*parts, strict=True)
    return torch.cat(images), torch.cat(labels)


def accuracy(model: nn.Module, data: Labelled) -> float:
    """Over a whole split."""
    images, labels = data
    return scores(logits_of(model, images), labels)[1]
