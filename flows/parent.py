"""One flow run over the stages of a run, and over what other processes do for one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

from prefect import Task, flow
from prefect.client.orchestration import get_client
from prefect.context import TagsContext
from prefect.flow_engine import run_flow

from flows.hooks import HOOKS
from flows.owned import OWNED
from tasks.servers.shell import PARENT
from tasks.settings.case import Case


def as_one_run(case: Case, work: Callable[[], None]) -> None:
    """Do ``work`` as a flow run; those that it calls are below it."""
    name = f"{case.name}: customization" if case.name else "customization"

    @flow(name="customization", flow_run_name=name, **HOOKS, **OWNED)
    def customization() -> None:
        work()

    customization()


def run_below(flow: Any, parameters: Mapping[str, Any]) -> Any:
    """What a ``flow`` of Prefect's returns; its run becomes a subflow of the one that another
    process names (:func:`tasks.servers.shell.below_this`), if any does."""
    parent, given = os.environ.get(PARENT), dict(parameters)
    if not parent:
        return flow(**given)
    with get_client(sync_client=True) as client:
        stands_for = client.create_task_run(
            Task(flow.fn, name=flow.name), UUID(parent), dynamic_key=uuid4().hex, name=flow.name
        )
        run = client.create_flow_run(
            flow,
            parameters=flow.serialize_parameters(given),
            parent_task_run_id=stands_for.id,
            tags=TagsContext.get().current_tags,
        )
    return run_flow(flow, flow_run=run, parameters=given)
