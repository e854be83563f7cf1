"""What a person finds on MLflow's page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.settings.case import Case
from tasks.tracking.candidates import (
    DEVICES,
    Candidate,
    Group,
    Lineage,
    Tracker,
    candidates_page,
)


def test_runs_have_names_no_empty_tags_and_a_view_with_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    case = Case(tmp_path)
    lineage = Lineage("digits", "d", "c", "s", "batches of 32 on a CPU")
    tracker = Tracker(case, lineage)
    client = tracker.client
    assert candidates_page(client, case, DEVICES).startswith("#/experiments?")
    rounds = [Candidate("round 1", {}, {"val_accuracy": 0.5}, {"why": ""}, "device-00 round 1")]
    tracker.log_group(DEVICES, Group("key", "device-00", rounds))
    found = client.get_experiment_by_name("acme-3-devices")
    assert found is not None
    runs = client.search_runs([found.experiment_id])
    assert {run.info.run_name for run in runs} == {"device-00", "device-00 round 1"}
    assert all(run.data.tags["latency_measured_on"] == "batches of 32 on a CPU" for run in runs)
    [one] = [run for run in runs if run.info.run_name == "device-00 round 1"]
    assert "why" not in one.data.tags
    view = json.loads(found.tags["mlflow.sharedViewState.acme"])
    assert "tags.`device`" in view["selectedColumns"]
    assert candidates_page(client, case, DEVICES) == (
        f"#/experiments/{found.experiment_id}/runs"
        "?viewStateShareKey=acme&workflowType=machine_learning"
    )
