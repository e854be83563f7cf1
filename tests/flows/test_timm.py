"""References of timm with registers, layer scale or a pooled mean, through all stages: to a
delivered model that answers the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.models import register_model
from timm.models.vision_transformer import _create_vision_transformer

from flows.command.delivery import export_device
from tasks.data.modality import pixels_of
from tasks.data.samples import samples_ref
from tasks.delivery import formats
from tasks.delivery.shipped import load_shipped
from tasks.run.modules import load_backbone
from tasks.run.store import read_tensors
from tasks.settings.case import Case
from tasks.settings.fields import read_yaml, yaml_text
from tasks.setup.check import check
from tests.conftest import promote_all

pytestmark = pytest.mark.slow
PARAMS = Path("params.yaml")


@register_model
def vit_registers_of_tests(pretrained: bool = False, **arguments: Any) -> Any:
    """A small DINOv2: class token, registers, layer scale, positions for the patches alone."""
    shape = {"patch_size": 2, "embed_dim": 16, "depth": 2, "num_heads": 2, "mlp_ratio": 2}
    kind = {"reg_tokens": 3, "init_values": 0.5, "no_embed_class": True}
    return _create_vision_transformer(
        "vit_registers_of_tests", pretrained=pretrained, **{**shape, **kind, **arguments}
    )


KINDS = {"vit_registers_of_tests": 8, "test_vit2.r160_in1k": 32}
"""Names, and pixels a side that their patches divide."""


@pytest.fixture(scope="module", params=KINDS)
def project(
    pinned: Path,
    run: Callable[..., None],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("timm") / "project"
    shutil.copytree(pinned, root)
    params = read_yaml(root / PARAMS)
    params["data"]["image_size"] = KINDS[request.param]
    params["backbone"]["reference"] |= {"name": request.param, "stem": None}
    params["backbone"]["training"] |= {"steps": 120, "patience": None}
    for device in (d for cluster in params["fleet"] for d in cluster["devices"]):
        device["storage_limit"] *= 200
    (root / PARAMS).write_text(yaml_text(params))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        check(PARAMS)
        run(root, "partition", "backbone", "customize", "evaluate")
        promote_all(root)
        yield root


def pixels() -> torch.Tensor:
    samples = samples_ref("device-01", Case.here().partition)
    return pixels_of(read_tensors(samples)[0]["val_images"])


@pytest.mark.parametrize(
    ("name", "int8"), [("onnx", False), ("onnx", True), ("pt2", False), ("safetensors", False)]
)
def test_what_is_delivered_answers_as_torch_s(project: Path, name: str, int8: bool) -> None:
    manifest = export_device("1", name, int8, None, PARAMS)
    file = project / "artifacts/export/device-01" / name / manifest["file"]
    ours = load_shipped(project / "artifacts/models/device-01/model.safetensors").eval()
    theirs, x = formats.run(name, file), pixels()
    for batch in (1, 3, 11):
        assert torch.allclose(theirs(x[:batch]), ours(x[:batch]), atol=1.0 if int8 else 1e-4)


def test_what_is_cut_has_all_tokens(project: Path) -> None:
    whole = load_backbone(project / "artifacts/backbone/reference.safetensors")
    for edge in ("north", "south"):
        [file, *_] = project.glob(f"artifacts/*/**/{edge}.safetensors")
        cut = load_backbone(file)
        assert cut.reg_token.shape == whole.reg_token.shape
        assert cut.config.prefix == whole.config.prefix
        assert cut.embed(cut.sample()).shape[1] == whole.config.prefix + whole.config.positions
        assert cut.blocks[0].ls1.gamma.shape == (whole.config.dim,)


def test_it_learned(project: Path) -> None:
    summary = json.loads((project / "artifacts/summary.json").read_text())
    assert summary["reference"]["test_accuracy"] > 0.2
