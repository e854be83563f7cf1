"""Stage 1: who owns which sample, validated before anything trains."""

from __future__ import annotations

from prefect import flow

from flows.shown import show_table
from tasks.data.partitioning import partition_data
from tasks.run.log import LOG
from tasks.run.step import run_step
from tasks.settings.case import Case
from tasks.settings.params import Settings


@flow(name="partition", flow_run_name="partition, seed {settings.seed}", validate_parameters=False)
def partition(case: Case, settings: Settings) -> None:
    """Public, private and shared sets, by seed."""
    rows = run_step(partition_data, case, settings)
    show_table(
        case.key("partition"),
        [{"tier": tier, "rows of the manifest": count} for tier, count in rows.items()],
        "Samples by tier; an edge's rows repeat what its devices share.",
    )
    LOG.info("The manifest is valid; rows by tier: %s", rows)
