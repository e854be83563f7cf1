"""What an owner asks of the registry first, by the code that the documents and cards show."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from models.backbone.config import build
from models.backbone.families.vit import ViTConfig
from models.header.build import build_header, state_of
from models.header.config import HeaderConfig
from models.header.recipe import HeaderSearch
from tasks.data.modality import ImageInfo
from tasks.delivery.shipped import Made, load_shipped, ship
from tasks.links.records import State
from tasks.run.store import put_tensors
from tasks.settings.params import load
from tasks.tracking.cards import how_to_use
from tasks.tracking.logged import Entry
from tasks.tracking.registry import CHALLENGER, Registry
from tasks.tracking.store import tracking_uri
from tests.tiny import ROOT

INFO = ImageInfo("test", ("a", "b", "c"), 8, 1, (0.5,), (0.5,))
CONFIG = ViTConfig(
    image_size=8,
    patch_size=4,
    channels=1,
    classes=3,
    dim=8,
    depth=1,
    heads=1,
    head_dim=8,
    mlp_hidden=8,
)


def shipped(root: Path) -> Path:
    """A tiny device's model as it ships."""
    recipe = load(ROOT / "params.yaml").edge.part(HeaderSearch)
    config = HeaderConfig.linear(CONFIG, recipe)
    header = put_tensors("header", state_of(build_header(config)), config.to_dict())
    state = State("device-00", 0, header, 1, 1, 1, 0.0, 0.0)
    _, file = ship(root / "device-00", Made(build(CONFIG, seed=0), state, None), INFO)
    return file


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Three devices' champions of different sizes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    registry, file = Registry(tmp_path), shipped(tmp_path)
    experiment = registry.client.create_experiment("acme-3-devices")
    for number, parameters, per_joule in ((0, 90_000, 0.01), (1, 120_000, 0.9), (2, 50_000, 0.02)):
        name = f"acme-device-0{number}"
        scores = {"parameters": parameters, "accuracy_per_joule": per_joule, "test_accuracy": 0.5}
        entry = Entry(
            module=load_shipped(file),
            example=INFO.example(2),
            run_id=registry.client.create_run(experiment).info.run_id,
            sha256=name,
            tags={"device": f"device-0{number}"},
            card="A card",
            files=[file],
            metrics=scores,
        )
        registry.promote(registry.register(name, entry), "the first")
        assert registry.find(name, CHALLENGER) is None
    return registry


def run_code(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(code, "a document", "exec"), names)
    return names


def test_the_documented_query_and_the_card_s_code_run(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = (ROOT / "docs/daily-use.md").read_text()
    asking = document[document.index("## Asking the registry") :]
    [code, *_] = re.findall(r"```python\n(.*?)```", asking, re.S)
    run_code(code)
    assert capsys.readouterr().out.splitlines() == [
        "acme-device-02 50000.0 0.5 0.02",
        "acme-device-00 90000.0 0.5 0.01",
    ]
    card = how_to_use("acme-device-00", tracking_uri(tmp_path), INFO)
    assert card.startswith("```python")
    one, other = (run_code(code) for code in re.findall(r"```python\n(.*?)```", card, re.S))
    assert one["logits"].shape == (2, 3)
    with pytest.raises(NotImplementedError):  # else the card need not say so any more
        one["model"].eval()
    module = other["module"].eval()
    assert torch.allclose(module(one["inputs"]), one["logits"], atol=1e-5)
    assert torch.allclose(one["model"].to("cpu")(one["inputs"][:1]), one["logits"][:1], atol=1e-5)
