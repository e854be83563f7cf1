"""The whole run and its parts, as the command line offers them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from flows.command.names import STAGES
from tasks.run.errors import StageError, is_ours
from tasks.run.stages import PARAMS, PIPELINE, is_pipelines, stage_command
from tasks.servers.services import (
    environment,
    mlflow_command,
    prefect_on,
    prefect_server,
    serving,
    until_interrupted,
    use_environment,
)
from tasks.settings.declared import checked, paths, stages_of
from tasks.settings.params import Settings, load
from tasks.tracking.candidates import TRIAL

PIN = Path("data.dvc")
SUMMARY = Path("artifacts/summary.json")
REPORT = Path("artifacts/report.html")


def run_all(params: Path) -> None:
    """Data, then every stage that is out of date, then the fleet table.

    Raises:
        AcmeError: bad settings or data, or a stage failed (its own message came before).
    """
    from flows.command.table import print_fleet

    moves = checked(params).backbone.reference.moves
    if is_pipelines(params):
        require_project(Path.cwd())
    fetch_data(params)
    root = Path.cwd()
    start = time.monotonic()
    if is_pipelines(params) and not moves and up_to_date(root):
        print("All stages are up to date.")
    else:
        with prefect_server(root) as env:
            bring_up_to_date(root, params, env, moves)
        if is_pipelines(params):
            from flows.command.promotion import promote_fleet

            use_environment(root)
            promote_fleet(params, ())
        print(f"\nDone in {time.monotonic() - start:.0f} s.")
    print_fleet(SUMMARY)
    print(f"\nReport: {REPORT}   Browse every candidate and run: acme ui")


def require_project(root: Path) -> None:
    """Raises StageError where DVC could not run: it says what is missing before a server starts."""
    if not any((folder / ".dvc").is_dir() for folder in (root, *root.parents)):
        raise StageError(f"{root} is no DVC project. Try: git init && dvc init")
    if not (root / PIPELINE).is_file():
        raise StageError(f"{root} has no {PIPELINE}. acme init writes one beside new settings")


def up_to_date(root: Path) -> bool:
    """Whether DVC finds nothing to do, so that no server need be started."""
    status = [sys.executable, "-m", "dvc", "status", "--quiet"]
    return _call(root, environment(root), status) == 0 and SUMMARY.exists()


def bring_up_to_date(root: Path, params: Path, env: dict[str, str], moves: bool = False) -> None:
    """`dvc repro`; with other settings than those DVC knows, each stage in turn without DVC.

    ``moves``: the reference is an alias, so the backbone's stage is run whatever DVC says of it,
    which compares names.

    Raises:
        StageError: a stage failed.
    """
    commands = [[sys.executable, "-m", "dvc", "repro"]]
    if moves:
        again = stage_command("backbone", params, again=True)
        commands = [stage_command("partition", params), again, *commands]
    if not is_pipelines(params):
        print(
            f"{params} is not the {PARAMS} that DVC knows: a trial. Every stage runs, without DVC; "
            "its candidates are logged, and none becomes a challenger"
        )
        commands = [stage_command(stage, params) for stage in STAGES]
    if any(_call(root, env, command) for command in commands):
        raise StageError("a stage failed (see above); finished steps are kept: mend and run again")


def run_stage(name: str, params: Path) -> None:
    """One stage's flow, in this process.

    With other settings than DVC's it is a trial (:func:`tasks.tracking.candidates.trial`), and what
    the stage left before goes first, as DVC would have it: a device that is no longer of the fleet
    must not stay behind.
    """
    settings = checked(params)
    if not is_pipelines(params):
        os.environ[TRIAL] = str(params)
        for place in outputs_of(name) if PIPELINE.exists() else []:
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    with prefect_server(Path.cwd()) as env:
        os.environ.update(env)  # before anything imports Prefect, which reads it once
        stage_flow(name)(settings)


def outputs_of(stage: str) -> list[Path]:
    """What a stage of dvc.yaml leaves: outputs, metrics and plots."""
    declared = stages_of(PIPELINE).get(stage, {})
    return [Path(out) for out in paths(declared, "outs", "metrics", "plots")]


def stage_flow(name: str) -> Callable[[Settings], None]:
    """The flow of a stage; only that stage's imports are paid for."""
    from importlib import import_module

    quiet_expected_errors()
    flow: Callable[[Settings], None] = getattr(import_module(f"flows.{name}"), name)
    return flow


def fetch_data(params: Path) -> None:
    """Fetch what is missing, check it, and let DVC's cache know it."""
    from tasks.data import pin, sources

    data = load(params).data
    sources.fetch(data.source, data.folder, origin=data.origin)
    if not PIN.exists():
        print(f"{data.folder} is there, but not pinned. To accept it: acme data pin")
        return
    pin.verify(data.folder, PIN)
    pin.cache(data.folder, PIN)


def verify_data(params: Path) -> None:
    """Print the content id of data that are as pinned."""
    from tasks.data import pin

    print(f"{PIN}: {pin.verify(load(params).data.folder, PIN)} as pinned")


def pin_data(params: Path) -> None:
    """Accept the data as they are."""
    from tasks.data import pin

    pin.pin(load(params).data.folder, PIN)
    print(f"{PIN}: pinned {pin.content_id(PIN)}; commit it and {pin.checksums_path(PIN)}")


def serve_pages(prefect_port: int, mlflow_port: int) -> None:
    """Both pages, until interrupted."""
    from tasks.tracking.candidates import (
        BACKBONES,
        DEVICES,
        HEADERS,
        candidates_page,
        connect,
        tracking_uri,
    )

    use_environment(Path.cwd())
    root = Path.cwd()
    client = connect(root)
    mlflow = f"http://127.0.0.1:{mlflow_port}"
    command, log = mlflow_command(mlflow_port, tracking_uri(root)), root / ".acme/mlflow.log"
    with (
        prefect_on(prefect_port, root) as api,
        serving("MLflow", command, f"{mlflow}/health", log, environment(root)),
    ):
        prefect = api.removesuffix("/api")
        print(f"Prefect: {prefect}\nMLflow:  {mlflow}")
        for name in (BACKBONES, HEADERS, DEVICES):
            print(f"  {name}, best first: {mlflow}/{candidates_page(client, name)}")
        until_interrupted()


def _call(root: Path, env: dict[str, str], command: list[str]) -> int:
    return subprocess.run(command, cwd=root, env=env, check=False).returncode


def quiet_expected_errors() -> None:
    """Leave tracebacks of errors meant for a person out of the console; Prefect's page has them."""
    import logging

    import prefect.main  # noqa: F401 - sets up the loggers that are filtered here; prefect is lazy

    def unexpected(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, Exception) and is_ours(error))

    for name in ("", "prefect", "prefect.task_runs", "prefect.flow_runs"):
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(unexpected)
