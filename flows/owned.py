"""Whose a flow run is: if its process is killed, our next start marks it as crashed."""

from __future__ import annotations

from typing import Any

from tasks.servers.crashed import labels
from tasks.settings.case import Case


def own(flow: Any, run: Any, state: Any) -> None:
    """Say in a flow run's labels which process runs it."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(run.id, labels(Case.here()))


OWNED: dict[str, Any] = {"on_running": [own]}
"""What every flow of ours is given."""
