"""What one seed's attacks start from: the default fleet's data, a model that all received, its
devices after a round, and the attacker's shadows of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from models.backbone.family import Backbone
from models.backbone.training import fit
from models.header.build import build_header, neurons
from models.header.config import SEARCHED, HeaderConfig
from models.header.recipe import HeaderSearch
from models.header.search import train_header
from models.header.space import Space
from models.header.split import Split
from models.refinement.basis import fit_basis, tokens_read
from models.refinement.exchange import Received
from models.refinement.recipe import LocalTraining
from models.refinement.training import LocalSteps
from models.training import Loop
from tasks.cloud.public import Public
from tasks.cloud.reference import reference_model
from tasks.data.partitioning import divide
from tasks.data.samples import World, read_world, with_spare
from tasks.experiments.privacy.attacker import Attacker, scale_of
from tasks.experiments.privacy.people import (
    Person,
    Raw,
    View,
    devices,
    fewer,
    pixels,
    settled,
    shadows,
    unused,
    views,
)
from tasks.experiments.scale import load_scale, run_of
from tasks.experiments.world import content_of
from tasks.settings.params import Settings

SHADOWS = 96
SHADOW_SEED = 10_000


@dataclass(frozen=True)
class Stand:
    """Devices and shadows, before and after their local steps, and who attacks."""

    settings: Settings
    real: list[Raw]
    imagined: list[Raw]
    attacker: Attacker

    @cached_property
    def devices(self) -> list[Person]:
        """The devices after their steps."""
        return self._settled(self.real, self.settings.seed)

    @cached_property
    def shadows(self) -> list[Person]:
        """The shadows after theirs."""
        return self._settled(self.imagined, self.settings.seed + SHADOW_SEED)

    def with_fewer(self, samples: int) -> Stand:
        """The same with so many train samples of each class."""
        real, imagined = (fewer(raws, samples) for raws in (self.real, self.imagined))
        return replace(self, real=real, imagined=imagined)

    @property
    def steps(self) -> LocalSteps:
        """Of a first round."""
        recipe = self.settings.refinement
        return LocalSteps(recipe.steps, recipe.part(LocalTraining), recipe.joint, recipe.answers)

    def _settled(self, raws: list[Raw], seed: int) -> list[Person]:
        return settled(raws, self.attacker.header, self.attacker.received, self.steps, seed)


def settings_of(seed: int) -> Settings:
    """The default fleet's, small."""
    return run_of(load_scale("quick", Path("evaluation")), seed, Path("params.yaml"))


def stand(seed: int) -> Stand:
    """Of one seed, with data of its own."""
    settings = settings_of(seed)
    world = world_of(settings)
    public = Public(world.cloud, world.info)
    vit = backbone(settings, public)
    view = View(vit, pixels)
    shown = view.of(public.split("train")).data
    header, received = received_by_all(settings, vit, shown)
    edges = {d.name: cluster.edge for cluster in settings.fleet for d in cluster.devices}
    nobodys = {context: view.of(of) for context, of in unused(world, edges).items()}
    seen, raw = views(world, view, sorted(nobodys)), devices(world, view, edges, nobodys)
    attacker = Attacker.of(header, received, scale_of(shown), seen, seed)
    return Stand(settings, raw, shadows(seen, SHADOWS, raw, seed), attacker)


def world_of(settings: Settings) -> World:
    """The partition stage's, in a folder that is gone afterwards."""
    names = [device.name for device in settings.devices]
    with TemporaryDirectory() as scratch:
        out = Path(scratch) / "partition"
        divide(settings, content_of(settings.data), out, Path(scratch) / "validation")
        return with_spare(read_world(out, names), out)


def backbone(settings: Settings, public: Public) -> Backbone:
    """The reference, trained on public data."""
    spec, stream = settings.backbone, torch.Generator().manual_seed(settings.seed)
    vit = reference_model(spec.reference, public.info, settings.seed)
    recipe = replace(spec.training, patience=None)
    fit(vit, public.examples(vit), recipe, stream)
    return vit.eval().requires_grad_(False)


def received_by_all(settings: Settings, vit: Backbone, public: Split) -> tuple[nn.Module, Received]:
    """A header of the search space, trained on public data, and what exchanges need of it."""
    recipe, stream = settings.edge, torch.Generator().manual_seed(settings.seed)
    linear = HeaderConfig.linear(vit.config, recipe.part(HeaderSearch))
    config = replace(linear, kind=SEARCHED, architecture=Space(recipe.blocks).sample(stream))
    header = build_header(config, settings.seed)
    train_header(
        header, public, Loop(3 * recipe.retrain_steps, recipe.batch_size, recipe.lr), stream
    )
    state = {name: p.detach().clone() for name, p in header.named_parameters()}
    basis = fit_basis(public, tokens_read(config), settings.refinement.rank)
    count = sum(neurons(header).values())
    return header.eval(), Received(state, count, config.classes, basis)
