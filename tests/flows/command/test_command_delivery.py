"""What a device gets is what was trained, runs without this project, and fits."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from flows.command.delivery import (
    export_device,
    find_device,
    serving_device,
    which_to_take,
)
from tasks.data.modality import pixels_of
from tasks.data.samples import samples_ref
from tasks.delivery import formats, measure
from tasks.delivery.shipped import load_shipped
from tasks.run.errors import DeliveryError, RegistryError, SettingsError
from tasks.run.store import read_tensors
from tasks.servers.services import free_port
from tasks.settings.case import Case
from tasks.settings.fields import read_yaml, yaml_text
from tasks.settings.params import load

PARAMS = Path("params.yaml")


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of a finished project, as the current folder."""
    root = tmp_path / "project"
    shutil.copytree(finished, root)
    monkeypatch.chdir(root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root


def val_images() -> torch.Tensor:
    samples = samples_ref("device-01", Case.here().partition)
    return read_tensors(samples)[0]["val_images"]


def pixels() -> torch.Tensor:
    return pixels_of(val_images())


def raised_limit(factor: int) -> None:
    """pt2 files hold a graph that is larger than these tiny models."""
    params = read_yaml(PARAMS)
    for cluster in params["fleet"]:
        for device in cluster["devices"]:
            device["storage_limit"] *= factor
    PARAMS.write_text(yaml_text(params))


@pytest.mark.parametrize("name", ["onnx", "pt2", "safetensors"])
def test_a_delivered_model_answers_as_torch_s_for_any_batch(project: Path, name: str) -> None:
    raised_limit(10)
    manifest = export_device("1", name, False, None, PARAMS)
    folder = project / f"artifacts/export/device-01/{name}"
    assert manifest == json.loads((folder / "manifest.json").read_text())
    ours = load_shipped(project / "artifacts/models/device-01/model.safetensors").eval()
    theirs = formats.run(name, folder / manifest["file"])
    for batch in (1, 3, 11):
        assert torch.allclose(theirs(pixels()[:batch]), ours(pixels()[:batch]), atol=1e-4)
    assert manifest["measured_here"]["max_difference"] <= 1e-4
    both = [manifest["measured_here"][who] for who in ("torch", "delivered")]
    assert both[0]["val_accuracy"] == both[1]["val_accuracy"]
    assert all(0 < m["p50_batch32_s"] <= m["p90_batch32_s"] for m in both)
    assert manifest["classes"] == [str(i) for i in range(10)]
    assert sorted(p.name for p in folder.parent.iterdir()) == [name]


def test_the_runner_needs_only_onnxruntime_and_says_what_is_wrong(project: Path) -> None:
    raised_limit(4)
    export_device("device-01", "onnx", False, Path("out"), PARAMS)
    image = val_images()[0].numpy()
    np.save("image.npy", image)
    np.save("wrong.npy", image[:, :5])
    Path("torn.png").write_bytes(b"\x89PNG not really")
    blocked = (
        "import sys, runpy; sys.modules['torch'] = sys.modules['tasks'] = None; "
        "sys.argv = ['run.py', *sys.argv[1:]]; runpy.run_path('out/run.py', run_name='__main__')"
    )

    def run(*paths: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", blocked, *paths]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    done = run("image.npy")
    logits = load_shipped(Path("artifacts/models/device-01/model.safetensors"))(pixels()[:1])
    assert done.stdout.startswith(f"image.npy: {int(logits.argmax())} ("), done.stderr
    assert "shape (1, 5, 8), the model takes (1, 8, 8)" in run("wrong.npy").stderr
    assert "torn.png: cannot read" in run("torn.png").stderr
    model = Path("out/model.onnx")
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    assert "model.onnx is damaged" in run("image.npy").stderr


def test_quantised_weights_cost_what_is_measured(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raised_limit(10)
    plain = export_device("1", "onnx", False, None, PARAMS)["measured_here"]["delivered"]["bytes"]
    manifest = export_device("1", "onnx", True, None, PARAMS)
    assert manifest["int8"]
    quantised = manifest["measured_here"]["delivered"]["bytes"]
    assert manifest["measured_here"]["float_bytes"] == plain
    assert which_to_take(plain, quantised) in capsys.readouterr().out
    assert 0 < manifest["measured_here"]["max_difference"] < 1
    with pytest.raises(DeliveryError, match="--int8 is for --format onnx"):
        export_device("1", "pt2", True, None, PARAMS)


def test_what_does_not_fit_or_differs_is_not_delivered(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DeliveryError, match=r"model\.pt2 has [\d,]+ bytes.*limit is 34,000"):
        export_device("1", "pt2", False, Path("out"), PARAMS)
    monkeypatch.setattr(measure, "largest_difference", lambda *_: 2e-3)
    with pytest.raises(DeliveryError, match=r"differs from torch's by 2\.00e-03"):
        export_device("1", "safetensors", False, Path("out"), PARAMS)
    assert not [p for p in project.iterdir() if "out" in p.name]


def test_an_unknown_device_or_one_without_champion_is_named(project: Path) -> None:
    with pytest.raises(SettingsError, match=r"9: no such device.*device-00, device-01"):
        export_device("9", "onnx", False, None, PARAMS)
    shutil.rmtree("mlflow")
    with pytest.raises(RegistryError, match="acme-device-01 has no champion"):
        export_device("1", "onnx", False, None, PARAMS)


def test_both_sizes_are_said_with_which_to_take() -> None:
    assert which_to_take(1000, 1500).startswith("INT8 1,500 bytes, float 1,000: take the float one")
    assert "INT8 is 60% smaller" in which_to_take(1000, 400)


@pytest.mark.slow
def test_a_served_champion_answers_over_http(project: Path) -> None:
    with serving_device(find_device(load(PARAMS), "1"), free_port()) as server:
        url = server.address
        answer = httpx.post(f"{url}/invocations", json={"inputs": pixels()[:3].tolist()})
        wrong = httpx.post(f"{url}/invocations", json={"inputs": [[0.0]]})
    assert answer.status_code == 200, answer.text
    ours = load_shipped(Path("artifacts/models/device-01/model.safetensors"))(pixels()[:3])
    assert np.allclose(answer.json()["predictions"], ours.detach().numpy(), atol=1e-4)
    assert wrong.status_code == 400
