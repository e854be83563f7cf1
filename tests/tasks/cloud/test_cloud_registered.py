"""A registered model as reference: our own backbones, and what is no whole ViT."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
import torch

from models.backbone.config import build
from models.backbone.families.vit import ViTConfig
from models.customized import standalone
from tasks.cloud.backbone import load_backbone
from tasks.cloud.registered import bring
from tasks.run.errors import SettingsError
from tasks.run.store import publish, put_tensors
from tasks.tracking.registry import Entry, Registry

CONFIG = ViTConfig(
    image_size=8,
    patch_size=4,
    channels=1,
    classes=5,
    dim=12,
    depth=1,
    heads=2,
    head_dim=6,
    mlp_hidden=24,
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def register(root: Path, name: str, config: dict) -> str:
    """Register a small ViT as the pipeline does, with ``config`` in its file; returns its hash."""
    vit = build(CONFIG).eval()
    ref = put_tensors(name, vit.state_dict(), config)
    registry = Registry(root)
    with mlflow.start_run() as run:
        pass
    entry = Entry(
        module=standalone(vit, [0.5], [0.5]),
        example=torch.rand(2, 1, 8, 8),
        run_id=run.info.run_id,
        sha256=ref.sha256,
        tags={},
        card="",
        files=[publish(ref, root / "edge-0.safetensors")],
        metrics={},
    )
    registry.register(name, entry)
    return ref.sha256


def test_a_cluster_s_backbone_is_brought_as_it_is(store: Path) -> None:
    sha256 = register(store, "acme-backbone-north", CONFIG.to_dict())
    ref = bring.fn("models:/acme-backbone-north@challenger", store)
    assert ref.sha256 == sha256
    assert load_backbone(ref).config == CONFIG


def test_a_device_s_model_is_refused(store: Path) -> None:
    register(store, "acme-device-00", {"backbone": CONFIG.to_dict(), "header": {}})
    with pytest.raises(SettingsError, match="not a whole ViT") as caught:
        bring.fn("models:/acme-device-00/1", store)
    assert "acme-backbone-<edge>@champion" in str(caught.value)
