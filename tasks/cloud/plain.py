"""A plain CNN beside the reference, on the same public data: what there would be without ACME."""

from __future__ import annotations

import torch

from models.backbone.chance import LEVEL, better
from models.backbone.families.vit import flipped
from models.backbone.family import unchanged
from models.backbone.size import parameter_count
from models.backbone.training import Examples, Schedule, fit, logits_of
from models.baselines.cnn import plain_cnn
from tasks.cloud.public import Public
from tasks.data.modality import of_images
from tasks.links.records import CnnScore
from tasks.run.cached import cached
from tasks.run.cnn import load_cnn, put_cnn
from tasks.run.compute import Machine
from tasks.run.modules import load_backbone
from tasks.run.progress import progress
from tasks.run.store import Ref


@cached("cloud: train a plain CNN")
def train_cnn(public: Public, recipe: Schedule, seed: int, machine: Machine) -> Ref:
    """A plain CNN, from scratch, on the public train split; nothing else is made of it."""
    info, device = of_images(public.info), machine.prepare()
    cnn = plain_cnn(info.channels, len(info.classes), seed).to(device)
    shown = Examples(*public.split("train"), flipped if public.flip else unchanged)
    generator = torch.Generator().manual_seed(seed)
    with progress("cloud: training a plain CNN") as on_step:
        held_out = None if recipe.patience is None else public.split("val")
        fit(cnn, shown, recipe, generator, on_step, held_out)
    return put_cnn(cnn)


@cached("cloud: compare the reference with a plain CNN")
def compare_cnn(cnn: Ref, reference: Ref, public: Public, machine: Machine) -> CnnScore:
    """Both on the public validation split, and a warning where the CNN is shown to be better."""
    inputs, labels = public.split("val")
    place = machine.prepare()
    plain, vit = load_cnn(cnn).to(place), load_backbone(reference).to(place)
    right, theirs = (logits_of(m, inputs).argmax(1) == labels for m in (plain, vit))
    accuracy, beaten = right.float().mean().item(), theirs.float().mean().item()
    warning = None
    if better(right, theirs):
        warning = (
            f"a plain CNN of {parameter_count(plain):,} parameters is better than the reference "
            f"model that everything is cut from: accuracy {accuracy:.3f} against {beaten:.3f} on "
            f"{len(labels):,} public validation samples (McNemar's test at {LEVEL:.0%}). Try: a "
            "stem and backbone.reference.initialisation small, more steps "
            "(backbone.training.steps), or weights that are trained already (--model of acme init)"
        )
    return CnnScore(parameter_count(plain), accuracy, len(labels), warning)
