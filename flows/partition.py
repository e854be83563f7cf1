"""Stage 1: who owns which sample, validated before anything trains."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_table_artifact

from tasks.data.partitioning import partition_data
from tasks.run.step import run_step
from tasks.settings.case import Case
from tasks.settings.params import Settings


@flow(name="partition", flow_run_name="partition, seed {settings.seed}", validate_parameters=False)
def partition(case: Case, settings: Settings) -> None:
    """Public, private and shared sets, by seed."""
    rows = run_step(partition_data, case, settings)
    create_table_artifact(
        key=case.key("partition"),
        table=[{"tier": tier, "rows of the manifest": count} for tier, count in rows.items()],
        description="Samples by tier; an edge's rows repeat what its devices share.",
    )
