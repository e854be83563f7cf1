"""A plain CNN beside the reference: trained, compared, and named where it is better."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from models.backbone.config import build
from models.backbone.families.vit import ViTConfig
from models.backbone.training import Schedule
from tasks.cloud.plain import compare_cnn, train_cnn
from tasks.cloud.public import Public
from tasks.data.modality import ImageInfo
from tasks.links.records import ReferenceScore
from tasks.run.cnn import load_cnn
from tasks.run.compute import Machine
from tasks.run.errors import StageError
from tasks.run.modules import put_backbone
from tasks.run.store import put_tensors

pytestmark = pytest.mark.usefixtures("in_tmp")
INFO = ImageInfo("test", ("left", "right"), 8, 1, (0.5,), (0.5,))
RECIPE = Schedule(epochs=6, batch_size=16, lr=1e-2, weight_decay=0.0)
MACHINE = Machine("cpu", 1)


def public(flip: bool = False) -> Public:
    """Images that are bright at one side."""
    stream = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (160,), generator=stream)
    images = torch.randint(60, (160, 1, 8, 8), generator=stream, dtype=torch.uint8)
    for image, label in zip(images, labels, strict=True):
        image[0, :, 4 * label : 4 * label + 4] += 150
    parts = {"train": slice(0, 100), "val": slice(100, 160)}
    tensors = {f"{name}_images": images[part] for name, part in parts.items()}
    tensors |= {f"{name}_labels": labels[part].short() for name, part in parts.items()}
    return Public(put_tensors("samples", tensors, {}), INFO, flip)


def test_it_learns_and_is_said_to_be_better_than_a_reference_that_did_not() -> None:
    data = public()
    cnn = train_cnn.fn(data, RECIPE, 0, MACHINE)
    assert cnn == train_cnn.fn(data, RECIPE, 0, MACHINE)
    config = ViTConfig.of(
        SimpleNamespace(patch_size=4, dim=8, depth=1, heads=2, mlp_ratio=2.0), 8, 1, 2
    )
    score = compare_cnn.fn(cnn, put_backbone(build(config)), data, MACHINE)
    assert (score.parameters, score.samples) == (74_594, 60)
    assert score.accuracy > 0.95
    assert score.warning is not None
    assert score.warning.startswith(
        f"a plain CNN of {score.parameters:,} parameters is better than the reference"
    )
    assert "backbone.reference.initialisation" in score.warning


def test_a_mirrored_side_is_no_lesson() -> None:
    """What flips do where a class is a direction."""
    seen, unseen = (load_cnn(train_cnn.fn(public(f), RECIPE, 0, MACHINE)) for f in (False, True))
    images, labels = public().split("val")
    right = [(m(images).argmax(1) == labels).float().mean().item() for m in (seen, unseen)]
    assert right[0] > 0.95
    assert right[1] < 0.8


@pytest.mark.parametrize("at_chance", ["stop", "warn"])
def test_a_reference_at_chance_stops_the_run_unless_told_to_go_on(at_chance: str) -> None:
    from flows.backbone import require_learned

    known: Any = ReferenceScore(0.1, 100, 0.1, "the reference is not shown to be better")
    require_learned(replace(known, warning=None), at_chance)
    if at_chance == "warn":
        require_learned(known, at_chance)
        return
    with pytest.raises(StageError, match=r"better\. Nothing was cut.*backbone.at_chance: warn"):
        require_learned(known, at_chance)
