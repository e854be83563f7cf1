"""Table I: ACME against a centralised system, both really run, both timed from nothing."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from prefect import flow
from prefect.settings import PREFECT_TASKS_REFRESH_CACHE, temporary_settings

from flows.backbone import cluster_backbone, elastic_backbone, given_reference, scored_grid
from flows.customize import owned, refine_on_devices, search_at_edge
from flows.experiments.bench import OPTIONS, Bench, Row, job_of
from flows.job import Job
from flows.on_device import LocalCarrier
from tasks.data.samples import CLOUD, World
from tasks.experiments.central import cells as central
from tasks.links.asking import Link
from tasks.links.link import Message
from tasks.run.cached import KEY, cached
from tasks.run.step import run_step
from tasks.run.store import Ref
from tasks.settings.params import Cluster, Grid, HeaderSearch


@flow(name="table1", **OPTIONS)
def table1(bench: Bench) -> list[Row]:
    """Search space, bytes up, computing time and accuracy of both systems."""
    rows = []
    for seed in bench.costly():
        settings = bench.settings(seed)
        job, given = job_of(settings), given_reference(settings)
        for system in (acme, centralised):
            rows.append({"seed": seed, **system(job, given, key_of(job))})
    return rows


@contextmanager
def clock(seconds: dict[str, float], tier: str) -> Iterator[None]:
    """Add the time spent inside to a tier's seconds. Tasks inside run, whatever is cached."""
    start = time.perf_counter()
    with temporary_settings({PREFECT_TASKS_REFRESH_CACHE: True}):
        yield
    seconds[tier] = seconds.get(tier, 0.0) + time.perf_counter() - start


def key_of(job: Job) -> str:
    """Of all that decides a job, wherever its files lie."""
    paths: Any = {"data": {"folder", "origin"}, "backbone": {"reference": {"checkpoint"}}}
    parts = [job.settings.model_dump_json(exclude=paths), repr(job.world), repr(job.machine)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@cached("ACME, from nothing", cache_policy=KEY - "job")  # `key` stands for it
def acme(job: Job, given: Ref | None, key: str) -> Row:
    """The three tiers, one after the other on this machine."""
    data, messages, seconds = job.world, list[Message](), dict[str, float]()
    rows, sizes, chosen = [], [], []
    with clock(seconds, "cloud_s"):
        elastic = elastic_backbone(job, given)
        variants = scored_grid(job, elastic)
    for cluster in job.settings.fleet:
        with clock(seconds, "cloud_s"):
            fitted = cluster_backbone(job, cluster, elastic, variants)
        carrier = LocalCarrier(job, owned(job, cluster))
        link = Link(cluster.edge, carrier)
        with clock(seconds, "edge_s"):
            found = search_at_edge(job, cluster, fitted.backbone, link)
        with clock(seconds, "device_s"):
            refine_on_devices(job, found, link)
        messages += [*fitted.messages, *found.messages, *link.sent]
        sizes.append(found.search.search_space)
        chosen.append(f"{fitted.match.width:g}x{fitted.match.depth}")
        headers = central.kept_headers(list(carrier.rounds.values()))
        own = own_data(data, cluster)
        place = (found.coarse, headers, own, data.info, job.machine)
        scored = run_step(central.score_devices, *place)
        rows += scored
    about = {"system": "ACME", "chosen": " ".join(chosen), "search_space": max(sizes)}
    return about | row_of(rows, messages, seconds)


@cached("centralised, from nothing", cache_policy=KEY - "job")
def centralised(job: Job, given: Ref | None, key: str) -> Row:
    """All raw data go up; one server trains, searches backbone and header together for every
    cluster's limit, and tunes for every device."""
    settings, data, machine, info = job.settings, job.world, job.machine, job.world.info
    recipe = central.Joint(
        settings.backbone.part(Grid),
        settings.edge.part(HeaderSearch),
        settings.edge.public_features,
    )
    seconds: dict[str, float] = {}
    rows, chosen = [], []
    messages = [run_step(central.upload, name, ref, info) for name, ref in data.devices.items()]
    with clock(seconds, "cloud_s"):
        pooled = run_step(central.pool, data.cloud, messages, info)
        everything = replace(job, world=World(info, {**data.samples, CLOUD: pooled.samples}))
        elastic = elastic_backbone(everything, given)
    for cluster in settings.fleet:
        own = own_data(data, cluster)
        with clock(seconds, "cloud_s"):
            coarse = run_step(
                central.search_jointly,
                elastic,
                pooled,
                recipe,
                cluster.storage_limit,
                settings.seed,
                machine,
            )
            headers = run_step(
                central.tune_centrally,
                coarse,
                own,
                info,
                settings.refinement,
                settings.seed,
                machine,
            )
        scored = run_step(central.score_devices, coarse, headers, own, info, machine)
        rows += scored
        chosen.append(coarse.edge)
    about = {"system": "centralised", "chosen": " ".join(chosen), "search_space": recipe.size()}
    return about | row_of(rows, messages, seconds)


def own_data(data: World, cluster: Cluster) -> dict[str, Ref]:
    """The samples of a cluster's devices, by name."""
    return {device.name: data.samples[device.name] for device in cluster.devices}


def row_of(rows: list[Row], messages: list[Message], seconds: dict[str, float]) -> Row:
    """Means over all devices, bytes by the messages that were sent, seconds by tier."""
    means = {k: sum(r[k] for r in rows) / len(rows) for k in rows[0] if k != "device"}
    up = [m for m in messages if m.direction == "up"]
    shared = sum(m.bytes for m in up if m.kind == "shared_samples")
    return {
        **means,
        "uplink_bytes": sum(m.bytes for m in up) - shared,
        "shared_bytes": shared,
        "compute_s": sum(seconds.values()),
        **seconds,
    }
