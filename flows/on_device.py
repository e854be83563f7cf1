"""A device's plain functions as Prefect tasks."""

from __future__ import annotations

from tasks.data import drift
from tasks.device import drifted, features, pruning, rounds
from tasks.run.cached import cached, retried

describe_data = retried("{device}: remember its data")(drifted.describe)
check_data = retried("{then.device}: check its data for drift")(drift.check)
send_shared = cached("{device}: send the shared samples")(features.send_shared)
embed = cached("{device}: features")(features.embed)
send_sketch = cached("{device}: send a feature sketch")(features.send_sketch)
receive_model = cached("{device}: receive the model")(rounds.receive_model)
train = cached("{turn.edge} devices, round {turn.round}: train")(rounds.train)
send_importance = retried("{state.device}, round {state.round}: send its importance set")(
    rounds.send_importance
)
prune = cached("{turn.edge} devices, round {turn.round}: prune and tune")(pruning.prune)
