"""The paper's experiments, a flow each: what is computed, in which order. Every piece of work is a
cached task, so experiments share backbones, features and headers, and a killed run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import flow

from flows.backbone import elastic_backbone
from tasks import cloud
from tasks.compute import Machine
from tasks.experiments import grid, headers, lightweight, refining, world
from tasks.experiments.scale import Scale, settings_of
from tasks.experiments.second import second_folder
from tasks.options import code_version
from tasks.records import Variant
from tasks.settings import Settings
from tasks.store import Ref

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


@dataclass(frozen=True)
class Base:
    """What one seed's experiments start from: data, the elastic backbone, its scored grid."""

    settings: Settings
    world: world.World
    elastic: Ref
    variants: list[Variant]
    machine: Machine
    code: str

    def cut(self, width: float, depth: int) -> Ref:
        """One variant."""
        strategy = self.settings.backbone.depth_strategy
        return world.cut(self.elastic, width, depth, strategy, self.code)


def base(settings: Settings) -> Base:
    """Train once a seed; every experiment finds it in the cache."""
    machine = Machine(settings.compute, settings.threads)
    code = code_version("models.backbone", "tasks.cloud", "tasks.samples")
    data, spec = partition(settings), settings.backbone
    elastic = elastic_backbone(settings, data.cloud, data.info, machine, code)
    variants = cloud.score(elastic, data.cloud, data.info, spec, machine, code)
    return Base(settings, data, elastic, variants, machine, code)


def partition(settings: Settings) -> world.World:
    """The data of one seed, divided."""
    content = world.content_of(settings.data.folder, settings.data.source)
    code = code_version("tasks.data", "tasks.partitioning", "tasks.samples")
    return world.make_world(settings, content, world.identity(settings, content), code)


def grid_on_test(b: Base) -> list[float]:
    """The test accuracy of every variant; nothing is chosen by it."""
    return grid.grid_on_test(
        b.elastic, b.world.cloud, b.world.info, b.settings.backbone, b.machine, b.code
    )


@flow(name="fig1", **OPTIONS)
def fig1(bench: Bench) -> list[Row]:
    """Accuracy and modelled energy against depth; the spread among variants of one size."""
    rows = []
    for seed in bench.cheap():
        b = base(bench.settings(seed))
        middle = b.settings.fleet[len(b.settings.fleet) // 2]
        energy = grid.energies(
            b.variants, middle, b.settings.matching.energy, grid.patches_of(b.elastic)
        )
        found = grid.grid_rows(b.variants, grid_on_test(b), energy)
        rows += [{"seed": seed, **row} for row in found]
    return rows


@flow(name="fig9", **OPTIONS)
def fig9(bench: Bench) -> list[Row]:
    """ACME's choice against three simple rules, for every cluster."""
    rows = []
    for seed in bench.cheap():
        b = base(bench.settings(seed))
        rules, spec = b.settings.matching, b.settings.backbone
        test = grid_on_test(b)
        seconds = grid.scoring_seconds(b.elastic, b.world.cloud, b.world.info, spec, b.machine)
        for cluster in b.settings.fleet:
            energy = grid.energies(b.variants, cluster, rules.energy, grid.patches_of(b.elastic))
            limit = cluster.storage_limit - rules.header_budget
            found = grid.matching_rows(
                b.variants, test, energy, limit, rules, cluster.edge, seconds
            )
            rows += [{"seed": seed, **row} for row in found]
    return rows


def header_cell(
    b: Base, bench: Bench, width: float, depth: int, fixed: tuple[str, ...], **edge: Any
) -> tuple[Ref, list[Row]]:
    """A backbone and all headers trained on it, with their test accuracies."""
    spec = bench.scale.headers
    recipe = b.settings.edge.model_copy(update={**spec.edge, **edge, "fixed": fixed})
    code = code_version("models.header", "models.backbone", "tasks.experiments.headers")
    backbone = b.cut(width, depth)
    trained = headers.headers_at(
        backbone,
        width,
        depth,
        b.world.cloud,
        b.world.info,
        recipe,
        spec.train_samples,
        spec.val_samples,
        b.settings.seed,
        b.machine,
        code,
    )
    scored = headers.headers_on_test(
        backbone, trained, b.world.cloud, b.world.info, b.machine, code
    )
    return backbone, scored


def grid_cells(b: Base, bench: Bench, widths: tuple[float, ...]) -> Iterator[tuple[Ref, list[Row]]]:
    """The cells of Fig. 8's grid at some widths."""
    spec = bench.scale.headers
    for width in widths:
        extra = spec.full_width if width == max(spec.widths) else ()
        for depth in spec.depths:
            yield header_cell(b, bench, width, depth, (*spec.everywhere, *extra))


def header_rows(bench: Bench, widths: tuple[float, ...], **overlay: Any) -> list[Row]:
    """One row a header kind, backbone and seed."""
    rows = []
    for seed in bench.costly():
        b = base(bench.settings(seed, **overlay))
        for _, cell in grid_cells(b, bench, widths):
            rows += [{"seed": seed, **row} for row in headers.compared(cell)]
    return rows


@flow(name="fig7b", **OPTIONS)
def fig7b(bench: Bench) -> list[Row]:
    """Searched against every fixed header, at full width."""
    return header_rows(bench, (max(bench.scale.headers.widths),))


@flow(name="fig8", **OPTIONS)
def fig8(bench: Bench) -> list[Row]:
    """Searched, linear and CNN headers over the whole grid."""
    kept = {"searched", *bench.scale.headers.everywhere, "linear"}
    return [r for r in header_rows(bench, bench.scale.headers.widths) if r["header"] in kept]


@flow(name="fig12", **OPTIONS)
def fig12(bench: Bench) -> list[Row]:
    """Blocks times repeats on the smallest and the largest backbone."""
    spec, rows = bench.scale.headers, []
    ends = {
        "smallest": (min(spec.widths), min(spec.depths)),
        "largest": (max(spec.widths), max(spec.depths)),
    }
    for seed in bench.costly():
        b = base(bench.settings(seed))
        for name, (width, depth) in ends.items():
            for blocks in spec.blocks:
                for repeats in spec.repeats:
                    _, cell = header_cell(
                        b, bench, width, depth, (), blocks=blocks, repeats=repeats
                    )
                    found = headers.compared(cell)[0]
                    size = {"backbone": name, "blocks": blocks, "repeats": repeats}
                    rows.append({"seed": seed, **size, **found})
    return rows


@dataclass(frozen=True)
class Cluster:
    """One cluster of Fig. 10 and 11 at one level: its devices' features under one backbone."""

    backbone: Ref
    features: list[Ref]
    scale: Ref
    code: str


def cluster(b: Base, bench: Bench, level: str) -> Cluster:
    """Devices in known groups, their data at one level of heterogeneity."""
    spec = bench.scale.refining
    fleet = [
        {
            "edge": "cluster",
            "devices": [
                {"id": i, "group": g, "storage_limit": 10**9, "gpu_capacity_watt": 1}
                | {"base_latency_s": 1}
                for i, g in enumerate(spec.groups)
            ],
        }
    ]
    partitioned = partition(
        bench.settings(b.settings.seed, partition={"heterogeneity": level}, fleet=fleet)
    )
    code = code_version("models.backbone", "models.header", "models.refinement", "models")
    backbone = b.cut(spec.variant.width, spec.variant.depth)
    features = [
        world.embed(name, backbone, ref, b.world.info, b.machine, b.code)
        for name, ref in partitioned.devices.items()
    ]
    scale = refining.feature_scale(backbone, b.world.cloud, b.world.info, 1000, b.machine, b.code)
    return Cluster(backbone, features, scale, code)


@flow(name="fig10", **OPTIONS)
def fig10(bench: Bench) -> list[Row]:
    """How well two distances recover which devices are alike."""
    spec, rows = bench.scale.refining, []
    for seed in bench.cheap():
        b = base(bench.settings(seed))
        for level in spec.levels:
            c = cluster(b, bench, level)
            for samples in spec.sketches:
                found = refining.similarity_rows(
                    c.features, c.scale, list(spec.groups), level, samples, c.code
                )
                rows += [{"seed": seed, **row} for row in found]
    return rows


@flow(name="fig11", **OPTIONS)
def fig11(bench: Bench) -> list[Row]:
    """What each way of mixing importance sets is worth."""
    spec, rows = bench.scale.refining, []
    for seed in bench.cheap():
        b = base(bench.settings(seed))
        everywhere = bench.scale.headers.everywhere
        _, cell = header_cell(b, bench, spec.variant.width, spec.variant.depth, everywhere)
        header = headers.best_searched(cell)["state"]
        for level in spec.levels:
            c = cluster(b, bench, level)
            for samples in spec.samples:
                for strength in spec.strengths:
                    found = refining.refined_rows(
                        c.features,
                        c.scale,
                        header,
                        b.settings.refinement,
                        level,
                        samples,
                        strength,
                        seed,
                        b.machine,
                        c.code,
                    )
                    rows += [{"seed": seed, **row} for row in found]
    return rows


def lightweight_rows(bench: Bench, parameters: int, **overlay: Any) -> list[Row]:
    """ACME's best within the limit, and every baseline."""
    spec, rows = bench.scale.lightweight, []
    for seed in bench.costly():
        b = base(bench.settings(seed, **overlay))
        data, refinement = b.world, b.settings.refinement
        cells = list(grid_cells(b, bench, bench.scale.headers.widths))
        best = lightweight.acme_row(cells, parameters)
        code = code_version("models.baselines", "models.refinement", "models.backbone")
        if best is not None:
            backbone, row = best
            features = [
                world.embed(name, backbone, ref, data.info, b.machine, b.code)
                for name, ref in data.devices.items()
            ]
            on_devices = lightweight.acme_on_devices(
                row["state"], features, refinement, seed, b.machine, code
            )
            shape = {k: row[k] for k in ("width", "depth", "val_accuracy", "test_accuracy")}
            size = {"model": lightweight.ACME, "parameters": row["total_parameters"]}
            rows.append({"seed": seed, **size, **shape, **on_devices})
        steps = lightweight.equal_steps(b.settings, b.settings.partition.public_train)
        for family in spec.families:
            found = lightweight.baseline(
                family,
                parameters,
                data.cloud,
                list(data.devices.values()),
                data.info,
                b.settings.backbone.reference.patch_size,
                steps,
                b.settings.backbone.training,
                spec.lr,
                refinement,
                seed,
                b.machine,
                code,
            )
            rows.append({"seed": seed, **found})
    return rows


@flow(name="fig7a", **OPTIONS)
def fig7a(bench: Bench) -> list[Row]:
    """ACME against lightweight models of its size."""
    return lightweight_rows(bench, bench.scale.lightweight.parameters)


@flow(name="fig13a", **OPTIONS)
def fig13a(bench: Bench) -> list[Row]:
    """The same on a second data set."""
    return lightweight_rows(bench, bench.scale.lightweight.parameters, **second(bench))


@flow(name="fig13b", **OPTIONS)
def fig13b(bench: Bench) -> list[Row]:
    """Headers on a second data set."""
    return header_rows(bench, (max(bench.scale.headers.widths),), **second(bench))


def second(bench: Bench) -> dict[str, Any]:
    """The settings of the second data set."""
    return second_folder(bench.scale.digits)


FLOWS = {f.name: f for f in (fig1, fig7a, fig7b, fig8, fig9, fig10, fig11, fig12, fig13a, fig13b)}
