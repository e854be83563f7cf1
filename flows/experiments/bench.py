"""What all experiments start from: the scale, and one elastic backbone a seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.backbone import elastic_backbone, given_reference, scored_grid
from flows.job import Job
from tasks.data.samples import World
from tasks.experiments import world
from tasks.experiments.exchange.texts import languages_of
from tasks.experiments.grid import cells as grid
from tasks.experiments.registry import EXPERIMENTS
from tasks.experiments.scale import Point, Scale, run_of, settings_of
from tasks.experiments.second import second_folder
from tasks.links.records import Variant
from tasks.run.compute import Machine
from tasks.run.step import run_step
from tasks.run.store import Ref
from tasks.settings.params import Data, Grid, Settings, merged

Row = dict[str, Any]
OPTIONS: dict[str, Any] = {"validate_parameters": False}


@dataclass(frozen=True)
class Bench:
    """What every experiment gets: the scale, the settings file, the seeds to run."""

    scale: Scale
    params: Path
    seeds: int | None  # None: as many as the scale says

    def costly(self) -> range:
        """Seeds of the experiments that train for long."""
        return range(self.seeds or self.scale.seeds)

    def cheap(self) -> range:
        """Seeds of those that need little more than the backbones."""
        return range(self.seeds or self.scale.cheap_seeds)

    def settings(self, seed: int, **overlay: Any) -> Settings:
        """The settings of one seed."""
        return settings_of(self.scale, seed, self.params, **overlay)

    def run(self, seed: int) -> Settings:
        """What ``acme run`` does with one seed."""
        return run_of(self.scale, seed, self.params)

    def exchanging(self, name: str, **overlay: Any) -> Settings:
        """The settings of ``contexts`` or ``languages``, of seed 0; ``overlay`` lies on top."""
        values = merged(self.scale.draws(name).settings, overlay)
        on_text = name == "languages"
        return run_of(self.scale, 0, self.params, **(languages_of(values) if on_text else values))

    def data(self, name: str) -> Data:
        """The data that an experiment is about."""
        if not EXPERIMENTS[name].ours:
            return self.settings(0).data
        return self.exchanging("languages" if name == "languages" else "contexts").data

    def second(self) -> dict[str, Any]:
        """What to lay on top of the settings for the second data set."""
        return second_folder(self.scale.digits)


@dataclass(frozen=True)
class Base:
    """What one seed's experiments start from: data, the elastic backbone, its scored grid."""

    job: Job
    elastic: Ref
    variants: list[Variant]

    @property
    def settings(self) -> Settings:
        return self.job.settings

    @property
    def world(self) -> World:
        return self.job.world

    @property
    def machine(self) -> Machine:
        return self.job.machine

    def cut(self, point: Point) -> Ref:
        """One variant."""
        strategy = self.settings.backbone.depth_strategy
        return run_step(world.cut, self.elastic, point.width, point.depth, strategy)

    def embed(self, backbone: Ref, data: World) -> list[Ref]:
        """Every device's features under a backbone."""
        return [
            run_step(world.embed, name, backbone, ref, data.info, self.machine)
            for name, ref in data.devices.items()
        ]

    def grid_on_test(self) -> list[float]:
        """The test accuracy of every variant; nothing is chosen by it."""
        data, variants = self.world, self.settings.backbone.part(Grid)
        return run_step(
            grid.grid_on_test, self.elastic, data.cloud, data.info, variants, self.machine
        )


def base(settings: Settings) -> Base:
    """Train once a seed; every experiment finds it in the cache."""
    job = job_of(settings)
    elastic = elastic_backbone(job, given_reference(settings))
    return Base(job, elastic, scored_grid(job, elastic))


def job_of(settings: Settings) -> Job:
    """The job of one seed, its data divided."""
    machine = Machine.of(settings.compute, settings.threads)
    return Job(settings, partition(settings), machine)


def partition(settings: Settings) -> World:
    """The data of one seed, divided."""
    content = world.content_of(settings.data)
    return run_step(world.make_world, settings, content, world.identity(settings, content))
