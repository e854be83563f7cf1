"""prefect.yaml, the approval before promotion, and who is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.flow_runs import resume_flow_run
from prefect.flows import load_flow_from_entrypoint
from prefect.runtime import flow_run

from flows import deployed, hooks
from flows.weekly import approved
from tasks.run.cached import retried
from tasks.run.errors import SettingsError, StageError
from tasks.settings.fields import read_yaml, yaml_text
from tasks.settings.stages import STAGES
from tasks.tracking.promotion import Decision

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = read_yaml(ROOT / "prefect.yaml")["deployments"]


def test_every_stage_has_a_tier_and_every_tier_a_deployment() -> None:
    entry = "flows/weekly.py:stage"
    named = {d["name"]: d["work_pool"] for d in DEPLOYMENTS if d["entrypoint"] == entry}
    assert set(named) == {stage.tier for stage in STAGES.values()}
    assert all(pool["work_queue_name"] == tier for tier, pool in named.items())


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda d: f"{d['entrypoint']}/{d['name']}")
def test_every_deployment_s_flow_is_there_and_takes_its_parameters(
    deployment: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    found = load_flow_from_entrypoint(deployment["entrypoint"])
    assert set(deployment.get("parameters", {})) <= set(found.parameters.properties)


def test_parameters_are_validated(prefect_home: None) -> None:
    from prefect.exceptions import ParameterTypeError

    from flows.nightly import check_devices
    from flows.weekly import evaluation

    with pytest.raises(ParameterTypeError, match="label_kl"):
        check_devices(limits={"label_kl": -1})  # type: ignore[arg-type]
    with pytest.raises(ParameterTypeError, match="scale"):
        evaluation(scale="huge")  # type: ignore[arg-type]


def test_a_run_of_a_case_works_in_its_folder_and_is_called_so(
    prefect_home: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".dvc").mkdir()
    folder = tmp_path / "cases/digits"
    folder.mkdir(parents=True)
    (folder / "params.yaml").touch()
    monkeypatch.chdir(tmp_path)

    @flow(name="looks", flow_run_name=deployed.named("look at {what}"))
    @deployed.in_case
    def looks(what: str, case: str | None = None) -> tuple[str, Path]:
        return str(flow_run.name), Path.cwd()

    assert looks("a") == ("look at a", tmp_path)
    assert looks("a", case="digits") == ("digits: look at a", folder)
    with pytest.raises(SettingsError, match="no case 'text'"):
        looks("a", case="text")
    assert Path.cwd() == tmp_path


@pytest.mark.parametrize("flow_of", ["customization", "stage", "check_devices", "refine_devices"])
def test_every_scheduled_flow_takes_a_case(flow_of: str) -> None:
    from flows import nightly, weekly

    found = getattr(weekly, flow_of, None) or getattr(nightly, flow_of)
    assert "case" in found.parameters.properties


@pytest.mark.parametrize("answer", [True, False])
def test_a_person_decides_before_the_registry_changes(prefect_home: None, answer: bool) -> None:
    @flow(name="asks")
    def asks() -> bool:
        return approved(60)

    thread = threading.Thread(target=resume, args=(answer,))
    thread.start()
    assert asks() is answer
    thread.join()


def resume(answer: bool) -> None:
    deadline = time.monotonic() + 50
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline:
            for run in client.read_flow_runs():
                if run.state is not None and run.state.is_paused():
                    resume_flow_run(run.id, run_input={"promote": answer})
                    return
            time.sleep(0.2)


def test_a_deployment_that_fails_elsewhere_fails_here(
    prefect_home: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefect.states import Failed

    class Run:
        name, state = "lucky-fox", Failed(message="no space left")

    monkeypatch.setattr(deployed, "run_deployment", lambda *_, **__: Run())
    with pytest.raises(StageError, match=r"stage/edge, run lucky-fox.*no space left"):
        deployed.run_elsewhere("stage/edge", {})


class Listener(BaseHTTPRequestHandler):
    """Keeps what is posted to it."""

    heard: list[str] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.heard.append(json.loads(body)["text"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def heard(prefect_home: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a webhook on this machine hears."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    server = HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    CustomWebhookNotificationBlock(
        name="ops",
        url=f"http://127.0.0.1:{server.server_port}/",
        json_data={"text": "{{subject}}: {{body}}"},
    ).save("ops", overwrite=True)  # type: ignore[unused-coroutine]
    monkeypatch.setenv(hooks.NOTIFY, "custom-webhook/ops")
    Listener.heard.clear()
    yield Listener.heard
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["customization", "check_devices"])
def test_a_webhook_is_told_of_a_scheduled_run_that_fails(
    heard: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows import nightly, weekly
    from tests.tiny import tiny_params

    module = weekly if name == "customization" else nightly
    words = "acme stage partition failed: acme: the manifest breaks: labels are of the classes"

    @retried("bring {stage} up to date")
    def gate(stage: str, *_: Any, **__: Any) -> None:
        raise StageError(words)

    (tmp_path / "params.yaml").write_text(yaml_text(tiny_params()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "reproduce", gate)
    with pytest.raises(StageError):
        getattr(module, name)()
    [told] = heard
    assert "Failed" in told
    assert words in told


def test_a_webhook_is_told_whom_the_promotion_gate_holds(heard: list[str]) -> None:
    better = Decision("acme-device-00", "2", True, "0.9 on validation")
    worse = Decision("acme-device-01", "3", False, "0.4 on validation, the champion has 0.5")
    hooks.tell_held([better])
    assert not heard
    hooks.tell_held([better, worse])
    assert heard == [
        "ACME promotion gate: 1 held as challengers: acme-device-01 version 3: 0.4 on validation, "
        "the champion has 0.5"
    ]


def test_a_dead_webhook_hurts_nobody(prefect_home: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hooks.NOTIFY, "custom-webhook/none")

    @flow(name="works", **hooks.HOOKS)
    def works() -> int:
        return 1

    assert works() == 1


def test_the_cache_report_names_what_was_computed(
    prefect_home: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from prefect import task
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

    from tasks.run.cached import CACHED

    @task(task_run_name="double {number}", **CACHED)
    def double(number: int) -> int:
        return 2 * number

    @flow(name="doubles", **hooks.STAGE_HOOKS)
    def doubles(numbers: list[int]) -> None:
        for number in numbers:
            double(number)

    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path}):
        doubles([1, 2])
        assert "doubles: 0 results reused, 2 computed\n" in capsys.readouterr().out
        doubles([1, 2, 3])
    said = capsys.readouterr().out
    assert "doubles: 2 results reused, 1 computed\n  computed: double 3\n" in said
