"""What happens when a flow run ends: how much came from the cache, and who is told."""

from __future__ import annotations

import logging
import os
from typing import Any

from tasks.run.cached import take_ended

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
    ended = take_ended(run.id)
    computed = sorted(name for name, reused in ended if not reused)
    print(f"{flow.name}: {len(ended) - len(computed)} results reused, {len(computed)} computed")
    for name in computed if len(computed) < len(ended) else []:
        print(f"  computed: {name}")


STAGE_HOOKS: dict[str, Any] = {"on_completion": [report_cache]}
HOOKS: dict[str, Any] = {"on_completion": [tell], "on_failure": [tell], "on_crashed": [tell]}
