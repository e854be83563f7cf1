"""Kills where a kill once did harm (`make crash` has more), and that the comparison sees."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import crash, outcome


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project that is ready to run."""
    base = tmp_path_factory.mktemp("crash") / "base"
    crash.make_project(base)
    yield base
    crash.end(crash.US)


@pytest.fixture(scope="module")
def expected(base: Path) -> outcome.Outcome:
    """What a run comes to that nothing disturbs."""
    return crash.undisturbed(base)[0]


@pytest.mark.slow
@pytest.mark.parametrize("place", crash.PLACES)
def test_after_a_kill_the_same_command_leaves_what_an_undisturbed_run_leaves(
    base: Path, expected: outcome.Outcome, place: str
) -> None:
    number = list(crash.PLACES).index(place) + 1
    kill = crash.kill_once(base, number, crash.PLACES[place](), expected)
    assert kill.during in ("customize", "evaluate"), "it was killed at that place"
    assert kill.differences == []


def test_the_comparison_sees_what_is_lost_doubled_or_half_done(
    finished: Path, tmp_path: Path
) -> None:
    import mlflow

    before = outcome.read(finished)
    assert not any("cannot be read" in line for line in before["summary"] + before["MLflow"])
    root = tmp_path / "project"
    shutil.copytree(finished, root)
    client = mlflow.MlflowClient(f"sqlite:///{root / 'mlflow/store/mlflow.db'}")
    mlflow.set_tracking_uri(client.tracking_uri)  # where a version looks for its model
    assert outcome.differences(before, outcome.read(root)) == []
    experiment = client.get_experiment_by_name("acme-3-devices").experiment_id
    client.create_run(experiment)
    version = client.get_model_version_by_alias("acme-device-00", "champion")
    client.delete_registered_model_alias("acme-device-00", "champion")
    client.create_model_version("acme-device-00", version.source, version.run_id)
    (root / "artifacts/models/device-01/config.json").unlink()
    said = "\n".join(outcome.differences(before, outcome.read(root)))
    for words in (
        "MLflow: more run of no group/no key: is RUNNING",
        "MLflow: lost acme-device-00@champion is 1",
        "MLflow: more acme-device-00 version 2",
        "file: lost artifacts/models/device-01/config.json",
    ):
        assert words in said


def test_the_moments_are_spread_over_the_run_and_the_same_again() -> None:
    def at(kills: int, seed: int) -> list[int]:
        found = crash.moments(kills, seed, 100.0)[len(crash.PLACES) :]
        return [next(s for s in range(101) if now(Path(), s)) for now in found]

    drawn = at(13, 0)
    assert drawn == sorted(drawn)
    assert all(10 * i <= second <= 10 * i + 10 for i, second in enumerate(drawn))
    assert drawn == at(13, 0)
    assert drawn != at(13, 1)
    assert len(crash.moments(2, 0, 100.0)) == 2
