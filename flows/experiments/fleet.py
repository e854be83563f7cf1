"""The default run, over several seeds."""

from __future__ import annotations

from prefect import flow

from flows.backbone import cluster_backbone
from flows.customize import customize_cluster
from flows.experiments.bench import OPTIONS, Base, Bench, Row, base
from tasks.experiments.central import cells as central
from tasks.experiments.fleet.cells import costs
from tasks.run.step import run_step
from tasks.settings.fleet import Cluster


@flow(name="fleet", **OPTIONS)
def fleet(bench: Bench) -> list[Row]:
    """A row a seed and device: accuracy on its own test split, and the bytes it sent."""
    rows = []
    for seed in bench.cheap():
        b = base(bench.settings(seed))
        for cluster in b.settings.fleet:
            rows += [{"seed": seed, **row} for row in of_cluster(b, cluster)]
    return rows


def of_cluster(b: Base, cluster: Cluster) -> list[Row]:
    """Both phases for one cluster; its devices' rows."""
    data, info = b.world, b.world.info
    fitted = cluster_backbone(b.job, cluster, b.elastic, b.variants)
    done = customize_cluster(b.job, cluster, fitted.backbone)
    messages = [*fitted.messages, *done.messages]
    own = {device.name: data.samples[device.name] for device in cluster.devices}
    headers = central.kept_headers(done.rounds)
    scored = run_step(central.score_devices, done.coarse, headers, own, info, b.machine)
    return [
        {
            "cluster": cluster.edge,
            **row,
            **costs(row["device"], own[row["device"]], messages, info),
        }
        for row in scored
    ]
