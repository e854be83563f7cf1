"""What happens when a flow run ends: how much came from the cache, and who is told."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tasks.run.cached import take_ended
from tasks.run.log import LOG
from tasks.run.words import counted

if TYPE_CHECKING:
    from tasks.tracking.promotion import Decision

NOTIFY = "ACME_NOTIFY_BLOCK"
"""The Prefect notification block that is told, e.g. ``slack-webhook/ops``; unset: nobody is."""


def tell(flow: Any, run: Any, state: Any) -> None:
    """Send the outcome of a flow run to the notification block, if one is named."""
    outcome = f"{run.name}: {state.name}" + (f": {state.message}" if state.message else "")
    _send(f"ACME {flow.name}", outcome)


def tell_held(decisions: Sequence[Decision]) -> None:
    """Send which challengers the promotion gate held, and why."""
    for decision in decisions:
        now = "champion" if decision.promoted else "held as challenger"
        LOG.info("%s version %s: %s: %s", decision.model, decision.challenger, now, decision.reason)
    held = [f"{d.model} version {d.challenger}: {d.reason}" for d in decisions if not d.promoted]
    if held:
        _send("ACME promotion gate", f"{len(held)} held as challengers: {'; '.join(held)}")


def _send(subject: str, body: str) -> None:
    block = os.environ.get(NOTIFY)
    if not block:
        return
    from prefect.blocks.core import Block

    try:
        Block.load(block).notify(body=body, subject=subject)  # type: ignore[union-attr, attr-defined]
    except Exception as error:  # a dead webhook must not fail a run that did its work
        LOG.warning("%s was not told: %s", block, error)


def report_cache(flow: Any, run: Any, state: Any) -> None:
    """Say which cacheable tasks of a flow run were computed, and how many were reused."""
    ended = take_ended(run.id)
    computed = sorted(name for name, reused in ended if not reused)
    reused = counted(len(ended) - len(computed), "result")
    words = f"{flow.name}: {reused} reused, {len(computed)} computed"
    print(words)
    LOG.info(words, extra={"flow_run_id": str(run.id)})  # hooks run after the flow
    for name in computed if len(computed) < len(ended) else []:
        print(f"  computed: {name}")


STAGE_HOOKS: dict[str, Any] = {"on_completion": [report_cache]}
HOOKS: dict[str, Any] = {"on_completion": [tell], "on_failure": [tell], "on_crashed": [tell]}
