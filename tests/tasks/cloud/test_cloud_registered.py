"""A registered model as reference: our own backbones, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch

from models.backbone.config import build
from models.backbone.families.vit import ViTConfig
from models.customized import standalone
from models.standardise import Standardise
from tasks.cloud.backbone import load_backbone
from tasks.cloud.reference import reference_model
from tasks.cloud.registered import bring
from tasks.data.modality import ImageInfo
from tasks.run.errors import RegistryError, SettingsError
from tasks.run.store import publish, put_tensors
from tasks.settings.params import load
from tasks.tracking.logged import Entry
from tasks.tracking.registry import Registry
from tests.tiny import ROOT

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


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One MLflow store for all tests here, in the current folder."""
    root = tmp_path_factory.mktemp("registered")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield root


def register(root: Path, name: str, config: dict[str, Any], seed: int = 0) -> str:
    """Register a small ViT as the pipeline does, with ``config`` in its file; returns its hash."""
    vit = build(CONFIG, seed).eval()
    ref = put_tensors(name, vit.state_dict(), config)
    registry = Registry(root)
    with mlflow.start_run() as run:
        pass
    entry = Entry(
        module=standalone(vit, Standardise([0.5], [0.5])),
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


def test_an_alias_that_moves_is_another_input(store: Path) -> None:
    """A cluster's backbone is brought as it is."""
    info = ImageInfo("test", ("a", "b", "c"), 8, 1, (0.5,), (0.5,))
    spec, refs = load(ROOT / "params.yaml").backbone.reference, []
    for seed in (1, 2):
        sha256 = register(store, "acme-backbone-north", CONFIG.to_dict(), seed)
        refs.append(bring.fn("models:/acme-backbone-north@challenger", store))
        assert refs[-1].sha256 == sha256
        assert load_backbone(refs[-1]).config == CONFIG
        loaded, vit = reference_model(spec, info, 0, refs[-1]), build(CONFIG, seed)
        assert torch.equal(loaded.blocks[0].attn.qkv.weight, vit.blocks[0].attn.qkv.weight)
        assert loaded.head.out_features == 3
    assert refs[0].sha256 != refs[1].sha256
    assert bring.fn("models:/acme-backbone-north/2", store) == refs[1]
    with pytest.raises(SettingsError, match="takes 1 x 8 x 8 pixels"):
        reference_model(spec, ImageInfo("test", ("a",), 28, 1, (0.5,), (0.5,)), 0, refs[0])


@pytest.mark.parametrize("name", ["my-vit@worst", "acme-backbone-north/9", "yours@best"])
def test_what_the_registry_does_not_have_is_named(store: Path, name: str) -> None:
    with pytest.raises(RegistryError, match=name):
        bring.fn(f"models:/{name}", store)


def test_a_device_s_model_is_refused(store: Path) -> None:
    register(store, "acme-device-00", {"backbone": CONFIG.to_dict(), "header": {}})
    with pytest.raises(SettingsError, match="not a whole ViT") as caught:
        bring.fn("models:/acme-device-00/1", store)
    assert "acme-backbone-<edge>@champion" in str(caught.value)
