"""The pages that people look at, in a real browser: MLflow, Prefect and the report.

Screenshots are left in the folder that ACME_SCREENSHOTS names (``conftest.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.servers.server import Server
from tasks.servers.services import environment, free_port, mlflow_command
from tasks.servers.shared import prefect_on
from tasks.settings.case import Case
from tasks.tracking.candidates import BACKBONES, DEVICES, REGISTRY_PAGE, candidates_page
from tasks.tracking.store import connect

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mlflow_page(finished: Path) -> Iterator[str]:
    port = free_port()
    url, uri = f"http://127.0.0.1:{port}", f"sqlite:///{finished / 'mlflow/store/mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(finished)
        env = environment(Case(finished))
        log = finished / ".acme/mlflow.log"
        with Server("MLflow", mlflow_command(port, uri), f"{url}/health", log, env):
            yield url


REPORT = {
    "headings": (
        "The fleet",
        "Accuracy per device, before and after refinement",
        "Against giving everyone the reference",
        "What devices get right and wrong",
        "Where the limit goes",
        "Pareto front grid",
        "Who listens to whom",
        "The found header",
        "Headers trained with the same budget",
        "Bytes per link",
    ),
    "columns": (
        *("received", "received, own classes", "refined", "95 %", "reference, own classes"),
        *("given up", "plain CNN, own classes", "ceiling", "latency s*", "measured ms", "used"),
        *("class", "samples", "right", "share right", "most confused with"),
        *("this fleet", "everyone the reference", "step", "which rule"),
    ),
    "words": (
        "what the reference reaches on the same data, told each device's classes",
        "the same, the reference not told (not on like terms)",
        "what refining gains over that",
        "what there would be without ACME: a plain CNN of",
        "which nobody got, beside its own",
        "Measured latency: median of a batch of 32 on",
        "Student's t over the devices of this fleet and this seed",
        "of the modelled energy of giving everyone the reference",
        "bytes of model files",
        "matching.header_budget keeps",
    ),
}
"""What the page must say, as a person reads it."""


def test_the_report(page: Any, finished: Path, screenshots: Path) -> None:
    page.goto((finished / "artifacts/report.html").as_uri())
    assert page.locator("svg").count() == 3 + 3 * 2
    for heading in REPORT["headings"]:
        assert page.get_by_role("heading", name=heading, exact=True).first.is_visible(), heading
    for column in REPORT["columns"]:
        assert page.get_by_role("columnheader", name=column, exact=True).count(), column
    for words in REPORT["words"]:
        assert page.get_by_text(words).first.is_visible(), words
    fleet = page.get_by_role("region", name="The fleet, a row a device")
    for device in range(4):
        assert fleet.get_by_role("cell", name=f"device-0{device}", exact=True).is_visible()
    page.screenshot(path=screenshots / "report.png", full_page=True)
    page.get_by_role("link", name="device-02", exact=True).click()
    opened = page.locator("details[open]")
    assert "most confused with" in opened.inner_text()
    assert "; took " in opened.locator("summary").inner_text()
    assert opened.get_attribute("data-device") == "device-02"


@pytest.mark.parametrize(("name", "width"), [("phone", 390), ("desktop", 1280)])
def test_the_report_fits_a_screen(
    page: Any, finished: Path, screenshots: Path, name: str, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto((finished / "artifacts/report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.screenshot(path=screenshots / f"report-{name}.png", full_page=True)
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert not page.locator("#search").is_visible()


def test_a_report_of_200_devices_is_searched_and_sorted(
    page: Any, tmp_path: Path, screenshots: Path
) -> None:
    from tasks.report.report import render
    from tests.fleets import made_up

    file = tmp_path / "report.html"
    file.write_text(render("", "acme ui", made_up(200, 5)))
    page.goto(file.as_uri())
    rows = page.locator("#fleet tbody tr:visible")
    assert rows.count() == 205
    page.screenshot(path=screenshots / "report-200.png")
    page.get_by_role("searchbox").fill("edge-3 device-3")
    assert page.locator("#found").inner_text() == "2 of 200 devices"
    assert sorted(rows.locator("td:first-child").all_inner_texts()) == ["device-33", "device-38"]
    page.get_by_role("searchbox").fill("")
    page.get_by_role("button", name="refined", exact=True).click()
    refined = page.locator("#fleet thead th").all_inner_texts().index("refined")
    cells = page.locator(f"#fleet td:nth-child({refined + 1})")
    shown = [float(text) for text in cells.all_inner_texts()]
    assert shown == sorted(shown)
    assert len(shown) == rows.count() == 200
    page.get_by_role("button", name="Group by edge").click()
    assert rows.count() == 205


def test_every_candidate_of_an_experiment_can_be_compared(
    page: Any, mlflow_page: str, finished: Path, screenshots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    page.goto(f"{mlflow_page}/#/experiments")
    for name in ("acme-1-backbones", "acme-2-headers", "acme-3-devices"):
        page.get_by_role("link", name=name).first.wait_for()
    page.screenshot(path=screenshots / "mlflow-experiments.png")
    client, case = connect(finished), Case(finished)
    page.goto(f"{mlflow_page}/{candidates_page(client, case, BACKBONES)}")
    for name in ("w0.5-d1", "w0.5-d2", "w1.0-d1", "w1.0-d2"):
        page.get_by_text(name, exact=True).first.wait_for()
    assert page.get_by_text("backbone", exact=False).count()
    page.screenshot(path=screenshots / "mlflow-candidates.png")


def test_a_device_s_rounds_are_named_with_accuracy_size_energy_and_device(
    page: Any, mlflow_page: str, finished: Path, screenshots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    page.goto(f"{mlflow_page}/{candidates_page(connect(finished), Case(finished), DEVICES)}")
    page.get_by_text("device-00 round 1", exact=True).first.wait_for()
    page.get_by_role("link", name="Model registry").first.wait_for()
    for column in ("val_accuracy", "parameters", "modelled_energy_joule", "device"):
        page.get_by_role("columnheader", name=column).first.wait_for()
    page.screenshot(path=screenshots / "mlflow-devices.png")


def test_the_registry_lists_every_device_s_model(
    page: Any, mlflow_page: str, screenshots: Path
) -> None:
    page.goto(f"{mlflow_page}/{REGISTRY_PAGE}")
    for device in range(4):
        page.get_by_role("link", name=f"acme-device-0{device}").first.wait_for()
    page.screenshot(path=screenshots / "mlflow-registry.png")


def test_the_group_of_an_experiment_has_a_chart_to_look_at(
    page: Any, mlflow_page: str, finished: Path, screenshots: Path
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{finished / 'mlflow/store/mlflow.db'}")
    experiment = client.get_experiment_by_name("acme-1-backbones")
    assert experiment is not None
    where = [experiment.experiment_id]
    [group] = client.search_runs(where, filter_string="tags.`acme.kind` = 'group'")
    chart = "accuracy-size-energy.svg"
    assert chart in [file.path for file in client.list_artifacts(group.info.run_id)]
    page.goto(f"{mlflow_page}/#/experiments/{where[0]}/runs/{group.info.run_id}/artifacts/{chart}")
    page.get_by_text("modelled energy (J)").or_(page.locator("img[src^='blob:']")).first.wait_for()
    page.screenshot(path=screenshots / "mlflow-chart.png")


def test_a_device_s_card_leads_to_its_header_search_and_backbone(
    page: Any, mlflow_page: str, screenshots: Path
) -> None:
    page.goto(f"{mlflow_page}/#/models/acme-device-01/versions/1")
    page.get_by_text("Model of device-01").first.wait_for()
    page.screenshot(path=screenshots / "mlflow-model.png", full_page=True)
    link = page.get_by_role("link", name="Header search").first
    target = link.get_attribute("href")
    page.goto(f"{mlflow_page}/{target}" if target.startswith("#") else target)
    page.get_by_text("north: header search").first.wait_for()
    page.screenshot(path=screenshots / "mlflow-header-search.png")


def test_prefect_shows_the_deployments_and_their_form(
    page: Any, finished: Path, screenshots: Path, tmp_path: Path
) -> None:
    import subprocess
    import sys

    from tests.tiny import ROOT

    with prefect_on(free_port(), Case(tmp_path)) as api:
        env = {**environment(Case(tmp_path)), "PREFECT_API_URL": api, "PYTHONPATH": str(ROOT)}
        prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
        for words in (["work-pool", "create", "acme", "--type", "process"], ["deploy", "--all"]):
            subprocess.run([*prefect, *words], cwd=ROOT, env=env, check=True, capture_output=True)
        site = api.removesuffix("/api")
        page.goto(f"{site}/deployments")
        page.get_by_text("nightly").first.wait_for()
        page.screenshot(path=screenshots / "prefect-deployments.png")
        [nightly] = [
            d
            for d in httpx.post(f"{api}/deployments/filter", json={}).json()
            if d["name"] == "nightly"
        ]
        page.goto(f"{site}/deployments/deployment/{nightly['id']}/run")
        for words in ("how far the data may have moved", "Label Kl", "Brightness Kl", "refine_by"):
            page.get_by_text(words).first.wait_for()
        page.screenshot(path=screenshots / "prefect-form.png")


RUN = """
from pathlib import Path
from flows.logs import prefect_on_its_page
with prefect_on_its_page():
    from prefect import flow
    from flows.parent import as_one_run
    from flows.shown import show_table
    from tasks.run.log import LOG
    from tasks.settings.case import Case

    @flow(name="evaluate", flow_run_name="evaluate, seed 0")
    def evaluate():
        LOG.info("device-00 gets a header")
        row = {"device": "device-00", "header": "searched-3", "refined": "0.9"}
        show_table("fleet", [row], "One model a device.")

    as_one_run(Case(Path.cwd()), evaluate)
"""


def test_prefect_shows_one_run_over_its_stages_their_logs_and_tables_with_heads(
    page: Any, screenshots: Path, tmp_path: Path
) -> None:
    import subprocess
    import sys

    from tests.tiny import ROOT

    case = Case(tmp_path)
    with prefect_on(free_port(), case) as api:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("PREFECT_LOGGING_LEVEL", raising=False)  # the tests' is CRITICAL
            env = {**environment(case), "PREFECT_API_URL": api, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", RUN], cwd=tmp_path, env=env, check=True)
        runs = {r["name"]: r["id"] for r in httpx.post(f"{api}/flow_runs/filter", json={}).json()}
        site = api.removesuffix("/api")
        page.goto(f"{site}/runs/flow-run/{runs['evaluate, seed 0']}")
        page.get_by_text("device-00 gets a header").first.wait_for()
        page.get_by_role("link", name="customization").first.wait_for()
        page.screenshot(path=screenshots / "prefect-run.png")
        [table] = httpx.post(f"{api}/artifacts/filter", json={}).json()
        page.goto(f"{site}/artifacts/artifact/{table['id']}")
        for head in ("device", "its header", "refined"):
            page.get_by_role("columnheader", name=head, exact=True).first.wait_for()
        page.screenshot(path=screenshots / "prefect-fleet.png")
