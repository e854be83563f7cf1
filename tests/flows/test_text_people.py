"""A tiny run on texts: what people see of it, what its devices get, and what happens nightly."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from flows.command.delivery import export_device, find_device, serving_device
from tasks.data import pin
from tasks.data.samples import read_info
from tasks.servers.server import Server
from tasks.servers.services import environment, free_port, mlflow_command
from tasks.settings.case import Case
from tasks.settings.fields import read_yaml, yaml_text
from tasks.settings.params import load
from tasks.tracking.promotion import owners
from tasks.tracking.registry import CHAMPION, Registry, device_model
from tests.conftest import promote_all, run_stages
from tests.texts import TOPICS, sentence
from tests.tiny import ROOT
from tests.tiny_texts import text_project

pytestmark = pytest.mark.slow
PARAMS = Path("params.yaml")


@pytest.fixture(scope="module")
def project(prefect_home: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run, as the working folder."""
    root = tmp_path_factory.mktemp("texts") / "project"
    text_project(root)
    run_stages(root, "partition", "backbone", "customize", "evaluate")
    promote_all(root)
    results = {PREFECT_LOCAL_STORAGE_PATH: root / "artifacts/work/results"}
    with pytest.MonkeyPatch.context() as patch, temporary_settings(results):
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield root


def summary(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "artifacts/summary.json").read_text())
    return content


def test_what_ships_is_the_trimmed_model_and_within_its_limit(project: Path) -> None:
    known = read_info(Case.here().partition).vocabulary  # type: ignore[attr-defined]
    for device in summary(project)["devices"]:
        folder = project / "artifacts/models" / device["device"]
        config = json.loads((folder / "config.json").read_text())
        assert config["backbone"]["vocabulary"] == device["words"] < known
        assert device["params"] <= device["storage_limit"]
    registry = Registry(project)
    for owner in owners(Case.here(), load(PARAMS)):
        assert registry.find(owner.model, CHAMPION) is not None, "a cluster's backbone fits too"
        assert (folder / "tokenizer.json").exists()


def test_the_report_says_languages_topics_and_what_devices_get_wrong(
    page: Any, project: Path, screenshots: Path
) -> None:
    found = summary(project)
    for name, width in (("texts", 1280), ("texts-phone", 390)):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto((project / "artifacts/report.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.screenshot(path=screenshots / f"report-{name}.png", full_page=True)
    for heading in ("Context by context", "What devices get right and wrong"):
        assert page.get_by_role("heading", name=heading, exact=True).is_visible()
    contexts = page.get_by_role("region", name="Accuracies, a row a context")
    assert contexts.locator("tbody td:first-child").all_inner_texts() == ["de", "it"]
    assert page.get_by_text("The cloud's data have none of: it.").is_visible()
    classes = page.get_by_role("region", name="Classes, all devices together")
    assert set(classes.locator("tbody td:first-child").all_inner_texts()) <= {*TOPICS}
    for device in found["devices"]:
        line = page.locator(f"#of-{device['device']} summary").inner_text()
        assert f"{device['device']} ({device['context']}): " in line
        for mistake in device["mistakes"]:
            assert f"{mistake['name']} for {mistake['answer']} (" in line
    shown = page.locator("body").inner_text()
    assert not [word for word in ("image", "pixel", "patches") if word in shown.lower()]


def test_the_card_says_them_too(page: Any, project: Path, screenshots: Path) -> None:
    port = free_port()
    url, uri = f"http://127.0.0.1:{port}", f"sqlite:///{project / 'mlflow/store/mlflow.db'}"
    [device] = [d for d in summary(project)["devices"] if d["device"] == "device-01"]
    log, env = project / ".acme/mlflow.log", environment(Case(project))
    with Server("MLflow", mlflow_command(port, uri), f"{url}/health", log, env):
        page.goto(f"{url}/#/models/acme-device-01/versions/1")
        page.get_by_text("Model of device-01").first.wait_for()
        for words in ("what it takes for what, most often", "words and pieces that it keeps"):
            assert page.get_by_text(words).first.is_visible(), words
        assert page.get_by_role("cell", name="it", exact=True).first.is_visible()
        for mistake in device["mistakes"]:
            assert page.get_by_text(f"{mistake['name']} for {mistake['answer']} (").count()
        page.screenshot(path=screenshots / "texts-card.png", full_page=True)


def test_a_device_s_folder_answers_texts(project: Path) -> None:
    params = read_yaml(PARAMS)
    for cluster in params["fleet"]:
        for device in cluster["devices"]:
            device["storage_limit"] *= 4  # a graph is larger than these tiny models
    raised = project / "raised.yaml"
    raised.write_text(yaml_text(params))
    manifest = export_device("1", "onnx", False, project / "out", raised)
    assert manifest["measured_here"]["max_difference"] <= 1e-4
    both = [manifest["measured_here"][who]["val_accuracy"] for who in ("torch", "delivered")]
    assert both[0] == both[1]
    texts = [sentence(topic, "it", 3) for topic in TOPICS]
    command = [sys.executable, str(project / "out/run.py"), *texts]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.rpartition(": ")[0] for line in lines] == texts
    int8 = export_device("1", "onnx", True, project / "int8", raised)["measured_here"]
    assert int8["max_difference"] < 2
    with serving_device(find_device(load(PARAMS), "1"), free_port()) as server:
        url = f"{server.address}/invocations"
        answers = httpx.post(url, json={"inputs": texts}, timeout=30).json()["predictions"]
        assert httpx.post(url, json={"inputs": []}).status_code == 400
    for line, answer in zip(lines, answers, strict=True):
        assert line.endswith(f": {answer['class']} ({answer['share']:.3f})"), answer


def test_a_device_whose_user_writes_another_language_is_refined_again(project: Path) -> None:
    from flows.nightly import check_devices

    stage = read_yaml(ROOT / "dvc.yaml")["stages"]["partition"]
    stage["deps"] = ["data.sha256"]  # the code is not below this project
    Path("dvc.yaml").write_text(yaml_text({"stages": {"partition": stage}}))
    listed = pd.read_csv("data/manifest.csv")
    mine = listed[(listed["device"] == "device-00")]
    rows = [
        {"text": sentence(topic, "it", number), "label": topic, "context": "de"}
        for topic in mine["label"].unique()
        for number in range(500, 560)
    ]
    more = pd.DataFrame(rows).assign(device="device-00")
    pd.concat([listed, more], ignore_index=True).to_csv("data/manifest.csv", index=False)
    pin.pin(Path("data"), Path("data.dvc"))
    found = {finding.device: finding for finding in check_devices(refine_by=None)}
    assert found["device-00"].status == "drifted", found
    assert "language moved by" in found["device-00"].words
    others = {found[f"device-0{number}"].status for number in (1, 2, 3)}
    assert others == {"unchanged"}
    registry, model = Registry(project), device_model(Case.here(), "device-00")
    number = max(int(v.version) for v in registry.client.search_model_versions(f"name='{model}'"))
    assert number == 2
    assert registry.version(model, "2").tags["acme.reason"]
