"""What happens when a flow run ends: how much came from the cache, and who is told."""

from __future__ import annotations

import logging
import os
from typing import Any

from tasks.options import CACHEABLE

NOTIFY = "ACME_NOTIFY_BLOCK"
"""The Prefect notification block that is told, e.g. ``slack-webhook/ops``; unset: nobody is."""


def tell(flow: Any, run: Any, state: Any) -> None:
    """Send the outcome of a flow run to the notification block, if one is named."""
    block = os.environ.get(NOTIFY)
    if not block:
        return
    from prefect.blocks.core import Block

    outcome = f"{run.name}: {state.name}" + (f": {state.message}" if state.message else "")
    try:
        Block.load(block).notify(body=outcome, subject=f"ACME {flow.name}")  # type: ignore[union-attr, attr-defined]
    except Exception as error:  # a dead webhook must not fail a run that did its work
        logging.getLogger("prefect.flow_runs").warning("%s was not told: %s", block, error)


def report_cache(flow: Any, run: Any, state: Any) -> None:
    """Print which cacheable tasks of a flow run were computed, and how many were reused."""
    tasks = [t for t in _task_runs(run.id) if CACHEABLE in t.tags]
    computed = sorted(t.name for t in tasks if t.state_name != "Cached")
    reused = len(tasks) - len(computed)
    print(f"{flow.name}: {reused} results from the cache, {len(computed)} computed")
    for name in computed if reused else []:
        print(f"  computed: {name}")


def _task_runs(flow_run_id: Any) -> list[Any]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    found: list[Any] = []
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    with get_client(sync_client=True) as client:
        while True:
            page = client.read_task_runs(flow_run_filter=chosen, limit=PAGE, offset=len(found))
            found += page
            if len(page) < PAGE:
                return found


PAGE = 200  # the most that Prefect's API gives at once
STAGE_HOOKS: dict[str, Any] = {"on_completion": [report_cache]}
HOOKS: dict[str, Any] = {"on_completion": [tell], "on_failure": [tell], "on_crashed": [tell]}
