"""The ceiling: a device's header with many more samples of its classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.backbone.config import build as build_backbone
from models.backbone.families.vit import ViTConfig, small
from models.header.build import build_header, state_of
from models.header.config import HeaderConfig
from models.refinement.recipe import LocalTraining
from models.refinement.training import LocalSteps
from tasks.data.modality import ImageInfo
from tasks.report.ceiling import Circle, Learner, score_ceilings
from tasks.run.compute import Machine
from tasks.run.modules import put_backbone
from tasks.run.store import Ref, put_tensors, read_tensors

CLASSES = ("left", "right", "top")
INFO = ImageInfo("test", CLASSES, 4, 1, (0.5,), (0.25,))
VIT = ViTConfig(
    image_size=4, patch_size=2, channels=1, classes=3, dim=32, depth=1, heads=2, head_dim=16,
    mlp_hidden=32,
)  # fmt: skip


def pictures(labels: list[int], seed: int) -> torch.Tensor:
    """Bright on the side that the class is called."""
    noise = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 60, (len(labels), 1, 4, 4), generator=noise, dtype=torch.uint8)
    places = (slice(None), slice(0, 2)), (slice(None), slice(2, 4)), (slice(0, 2), slice(None))
    for image, label in zip(images, labels, strict=True):
        image[0][places[label]] += 150
    return images


def samples(seed: int, **splits: list[int]) -> Ref:
    tensors = {}
    for split, labels in splits.items():
        tensors[f"{split}_images"] = pictures(labels, seed)
        tensors[f"{split}_labels"] = torch.tensor(labels, dtype=torch.uint8)
    return put_tensors("samples", tensors)


@pytest.fixture
def circle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Circle:
    monkeypatch.chdir(tmp_path)
    config = HeaderConfig("mlp", VIT.dim, VIT.shape, len(CLASSES), channels=4, hidden=16)
    torch.manual_seed(0)
    header = put_tensors("header", state_of(build_header(config)), config.to_dict())
    unused = samples(9, unused=[0, 1, 2] * 60)
    two = samples(1, train=[0, 1, 0, 1], val=[0, 1], test=[0, 1] * 20)
    all_three = samples(2, train=[0, 1, 2], val=[2], test=[0, 1, 2] * 20)
    learners = [
        Learner("device-00", 0, header, two, unused),
        Learner("device-01", 1, header, all_three, unused),
    ]
    backbone = build_backbone(VIT)
    torch.manual_seed(1)
    small(backbone)  # positions that tell the sides apart
    return Circle("edge", put_backbone(backbone), learners)


def test_it_learns_the_classes_that_a_device_wants_too(circle: Circle) -> None:
    steps = LocalSteps(150, LocalTraining(16, 1e-2, 0.0), answers="wanted")
    one = circle.learners[0]
    labels = {"train": [0, 1, 0, 1], "val": [0, 1], "test": [0, 1, 2] * 20}
    tensors, _ = read_tensors(samples(1, **labels))
    wants = put_tensors("samples", {**tensors, "wanted": torch.tensor([2])})
    learner = replace(one, samples=wants)
    alone = replace(circle, learners=[learner])
    found = score_ceilings.fn(alone, INFO, steps, 0, Machine("cpu", 1))
    assert found["devices"]["device-00"]["ceiling_samples"] == 180
    assert found["devices"]["device-00"]["accuracy_ceiling"] > 0.8


def test_it_learns_from_what_is_left_of_the_device_s_own_classes(circle: Circle) -> None:
    steps = LocalSteps(150, LocalTraining(16, 1e-2, 0.0))
    found = score_ceilings.fn(circle, INFO, steps, 0, Machine("cpu", 1))
    assert found["seconds"] > 0
    assert [d["ceiling_samples"] for d in found["devices"].values()] == [120, 180]
    untrained = score_ceilings.fn(circle, INFO, LocalSteps(0, steps.training), 0, Machine("cpu", 1))
    for name, device in found["devices"].items():
        assert device["accuracy_ceiling"] > untrained["devices"][name]["accuracy_ceiling"]
        assert device["accuracy_ceiling"] > 0.8
    again = score_ceilings.fn(circle, INFO, steps, 0, Machine("cpu", 1))
    assert again["devices"] == found["devices"]
