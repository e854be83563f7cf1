"""The whole run and its parts, as the command line offers them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from os.path import relpath
from pathlib import Path
from typing import Any

from flows.command.answer import told
from flows.command.handed import call
from flows.logs import prefect_on_its_page
from tasks.run.errors import DataError, StageError
from tasks.run.files import atomic_write
from tasks.servers.server import Server, mark, until_interrupted
from tasks.servers.services import environment, mlflow_command, use_environment, use_registry
from tasks.servers.shared import prefect_on, prefect_server, watched
from tasks.settings.case import SETTINGS, Case
from tasks.settings.declared import checked
from tasks.settings.params import Settings, load
from tasks.settings.stages import STAGES, stage_command
from tasks.setup.check import check
from tasks.tracking.candidates import TRIAL


def run_all(params: Path) -> None:
    """Data, then every stage that is out of date, then the fleet table.

    Raises:
        AcmeError: bad settings or data, or a stage failed (its own message came before).
    """
    from flows.command.table import print_fleet
    from tasks.data.pin import content_id

    case, settings = Case.here(), check(params).settings
    whole = case.reads(params)
    if whole:
        require_project(case)
    fetch_data(params)
    content_id(_pin())  # says how to pin the data, before anything is started
    start = time.monotonic()
    waits = case.work / "promotion-waits"  # here until the challengers of a run are decided on
    done = whole and not settings.backbone.reference.moves and up_to_date(case)
    if done and not waits.exists():
        print("All stages are up to date.")
    else:
        from tasks.tracking.store import check as check_store

        check_store(case.project)  # before the minutes at whose end it is written to
        if done:
            decide(case, params, waits)
        else:
            with prefect_server(case) as env, watched(env):
                os.environ.update(env)  # before anything imports Prefect, which reads it once
                with prefect_on_its_page():
                    run_stages(case, params, settings, waits)
        print(f"\nDone in {time.monotonic() - start:.0f} s.")
    print_fleet(case.summary)
    report, browse = case.shown(case.report), case.command("ui")
    print(f"\nReport: {report}   Browse every candidate and run: {browse}")


def run_stages(case: Case, params: Path, settings: Settings, waits: Path) -> None:
    """Every stage that is out of date, then the registry's decisions, as one run on Prefect's page;
    ``waits`` is there until these are made. The ``settings`` were looked at.

    Raises:
        StageError: a stage failed.
    """
    from flows.parent import as_one_run

    def work() -> None:
        if not case.reads(params):
            try_stages(case, params, settings)
            return
        atomic_write(waits, b"")
        bring_up_to_date(case, settings)
        decide(case, params, waits)

    as_one_run(case, work)


def decide(case: Case, params: Path, waits: Path) -> None:
    """Decide on the challengers of a run, so that none waits any more."""
    from flows.command.promotion import promote_fleet
    from flows.hooks import tell_held

    use_environment(case)
    tell_held(promote_fleet(params, ()))
    waits.unlink(missing_ok=True)


def require_project(case: Case) -> None:
    """Raises StageError where DVC could not run: it says what is missing before a server starts."""
    root = case.folder
    if case.name and not (root / ".dvc").is_dir():
        raise StageError(f"{root} is no DVC project. Try: (cd {root} && dvc init --subdir)")
    if not any((folder / ".dvc").is_dir() for folder in (root, *root.parents)):
        raise StageError(f"{root} is no DVC project. Try: git init && dvc init")
    if not case.pipeline.is_file():
        raise StageError(f"{root} has no dvc.yaml. acme init writes one beside new settings")


def up_to_date(case: Case) -> bool:
    """Whether DVC finds nothing to do, so that no server need be started."""
    status = [sys.executable, "-m", "dvc", "status", "--quiet"]
    if not case.summary.exists():
        return False
    return subprocess.run(status, cwd=case.folder, check=False).returncode == 0


def try_stages(case: Case, params: Path, settings: Settings) -> None:
    """Every stage without DVC, which knows other settings than these."""
    print(
        f"{params} is not the {SETTINGS} that DVC knows: a trial. Every stage runs, without "
        "DVC; its candidates are logged, and none becomes a challenger"
    )
    os.environ[TRIAL] = str(params)
    for stage in STAGES:
        run_flow(case, stage, settings)


def bring_up_to_date(case: Case, settings: Settings) -> None:
    """`dvc repro`, whose stages are done in this process; the ``settings`` were looked at.

    A reference that is an alias runs the backbone's stage whatever DVC says of it, which compares
    names.

    Raises:
        StageError: a stage failed.
    """

    def do(stage: str, params: Path) -> int:
        try:
            now = checked(params)
            run_flow(case, stage, now if now == settings else check(params).settings)
        except Exception as error:
            return told(error)
        return 0

    restore(case)
    commands = [[sys.executable, "-m", "dvc", "repro"]]
    if settings.backbone.reference.moves:
        again = stage_command("backbone", case.params, again=True)
        commands = [stage_command("partition", case.params), again, *commands]
    if any(call(command, case.folder, do) for command in commands):
        raise StageError("a stage failed (see above); finished steps are kept: mend and run again")


def restore(case: Case) -> None:
    """Have DVC put back what its lock knows and a trial or an accident changed; what it cannot put
    back, its stage makes anew."""
    command = [sys.executable, "-m", "dvc", "checkout", "--force", "--quiet", *STAGES]
    subprocess.run(command, cwd=case.folder, capture_output=True, check=False)


def run_stage(name: str, params: Path) -> None:
    """One stage's flow, in this process.

    With other settings than DVC's it is a trial (:func:`tasks.tracking.candidates.trial`).
    """
    case, settings = Case.here(), check(params).settings
    if not case.reads(params):
        os.environ[TRIAL] = str(params)
    with prefect_server(case) as env, watched(env):
        os.environ.update(env)  # before anything imports Prefect, which reads it once
        with prefect_on_its_page():
            run_flow(case, name, settings)


def run_flow(case: Case, stage: str, settings: Settings) -> None:
    """The flow of a stage, with only its imports; Prefect knows its run by the case's name too."""
    from prefect import tags

    from flows.owned import OWNED
    from flows.parent import run_below

    flow = stage_flow(stage).with_options(**OWNED)
    if case.name:
        flow = flow.with_options(flow_run_name=f"{case.name}: {flow.flow_run_name}")
    with tags(*([case.name] if case.name else [])):
        run_below(flow, {"case": case, "settings": settings})


def stage_flow(name: str) -> Any:
    """The flow of a stage."""
    from importlib import import_module

    return getattr(import_module(f"flows.{name}"), name)


def fetch_data(params: Path, strict: bool = False) -> None:
    """Fetch what is missing, check it, and let DVC's cache know it.

    Raises:
        DataError: no place has it, it is not what is pinned, or, where ``strict``, not what this
            project's pages are about.
    """
    from tasks.data import encoder, pin, sources

    data, case = load(params).data, Case.here()
    sources.fetch(data.source, data.folder, origin=data.origin)
    if data.encoder is not None:
        encoder.fetch(data.encoder, data.folder)
    if strict or not case.pin.exists():  # what is pinned is accepted as it is
        words = sources.moved_on(data.source, data.folder)
        if words and strict:
            raise DataError(words)
        if words:
            print(words)
    if not case.pin.exists():
        print(f"{data.folder} is there, but not pinned. To accept it: {case.command('data pin')}")
        return
    pin.verify(data.folder, _pin())
    pin.cache(data.folder, _pin())


def verify_data(params: Path) -> None:
    """Print the content id of data that are as pinned."""
    from tasks.data import pin

    print(f"{_pin()}: {pin.verify(load(params).data.folder, _pin())} as pinned")


def pin_data(params: Path) -> None:
    """Accept the data as they are."""
    from tasks.data import pin

    path = _pin()
    pin.pin(load(params).data.folder, path)
    print(f"{path}: pinned {pin.content_id(path)}; commit it and {pin.checksums_path(path)}")


def _pin() -> Path:
    """The pin of the case here, as short as errors should say it."""
    return Path(relpath(Case.here().pin))


def serve_pages(prefect_port: int, mlflow_port: int) -> None:
    """Both pages, until interrupted."""
    from tasks.tracking.candidates import (
        BACKBONES,
        DEVICES,
        HEADERS,
        REGISTRY_PAGE,
        candidates_page,
    )
    from tasks.tracking.store import connect, tracking_uri

    case = Case.here()
    use_registry(case)
    client = connect(case.project)
    mlflow = f"http://127.0.0.1:{mlflow_port}"
    command = mlflow_command(mlflow_port, tracking_uri(case.project))
    health, log = f"{mlflow}/health", case.servers / "mlflow.log"
    env = environment(case) | mark(case.servers, "mlflow")
    with (
        prefect_on(prefect_port, case) as api,
        watched({"PREFECT_API_URL": api}),
        Server("MLflow", command, health, log, env) as server,
    ):
        prefect = api.removesuffix("/api")
        print(f"Prefect: {prefect}\nMLflow:  {mlflow}")
        print(f"  models: {mlflow}/{REGISTRY_PAGE}")
        for name in (BACKBONES, HEADERS, DEVICES):
            print(f"  {name}, best first: {mlflow}/{candidates_page(client, case, name)}")
        until_interrupted(server)
