"""A device that wants classes of which it has no sample: what it adopts, scores and ships."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.answers import restricted
from models.backbone.config import build as build_backbone
from models.backbone.families.vit import ViTConfig
from models.header.build import build_header, state_of
from models.header.config import HeaderConfig
from models.matching.recipe import EnergyConstants
from models.ranges import Answerable
from models.refinement.training import evaluate_devices
from tasks.data.modality import ImageInfo
from tasks.delivery.shipped import load_shipped
from tasks.device.features import adopt
from tasks.device.own import Own
from tasks.device.scores import split_of
from tasks.edge.header import send_model
from tasks.experiments.tuning import mean_accuracy
from tasks.links.link import Message
from tasks.links.records import Coarse, Match
from tasks.report.evaluation import Outcome, score_device
from tasks.run.compute import Machine
from tasks.run.modules import load_header, put_backbone
from tasks.run.store import Ref, put_tensors
from tasks.settings.fleet import Device

NAMES = ("bag", "boot", "shoe")
INFO = ImageInfo("test", NAMES, 4, 1, (0.5,), (0.25,))
VIT = ViTConfig(
    image_size=4, patch_size=2, channels=1, classes=3, dim=16, depth=1, heads=2, head_dim=8,
    mlp_hidden=16,
)  # fmt: skip
CONFIG = HeaderConfig("linear", VIT.dim, VIT.shape, len(NAMES), channels=4, hidden=8)
MACHINE = Machine("cpu", 1)
DEVICE = Device(id=0, storage_limit=9000, gpu_capacity_watt=5, base_latency_s=1)


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ref:
    """A device with bags and shoes, which will meet boots."""
    monkeypatch.chdir(tmp_path)
    stream, tensors = torch.Generator().manual_seed(0), dict[str, Tensor]()
    for split, classes in {"train": [0, 2], "val": [0, 2], "test": [0, 1, 2]}.items():
        labels = torch.tensor(classes * 12, dtype=torch.uint8)
        images = torch.randint(0, 256, (len(labels), 1, 4, 4), generator=stream)
        tensors |= {f"{split}_images": images.to(torch.uint8), f"{split}_labels": labels}
    return put_tensors("samples", tensors | {"wanted": torch.tensor([1])})


@pytest.fixture
def coarse(samples: Ref) -> Coarse:
    torch.manual_seed(3)
    backbone, header = build_backbone(VIT), build_header(CONFIG)
    return Coarse(
        "edge", put_backbone(backbone), put_tensors("header", state_of(header), CONFIG.to_dict())
    )


def sent(coarse: Coarse) -> Message:
    shared = put_tensors("features", {"train_features": torch.randn(4, 2, 5, VIT.dim)})
    return send_model.fn(coarse, ("device-00",), shared)[0]


@pytest.mark.parametrize(
    ("answers", "told"), [("own", [0, 2]), ("wanted", [0, 1, 2]), ("all", [0, 1, 2])]
)
def test_it_is_scored_and_ships_as_it_answers(
    samples: Ref, coarse: Coarse, answers: Answerable, told: list[int]
) -> None:
    own = Own("edge", "device-00", 0, samples, answers=answers)
    model = sent(coarse)
    own = adopt(own, model, INFO, MACHINE).own
    assert own.state is not None
    assert own.features is not None
    train, val = split_of(own.features, "train"), split_of(own.features, "val")
    assert train.wanted is not None
    assert train.wanted.tolist() == [1]
    header = load_header(own.state.header)[0]
    [score] = evaluate_devices([header], [val], [torch.tensor(told)])
    assert (own.state.val_loss, own.state.val_accuracy) == pytest.approx(score)

    match = Match("edge", 1.0, 1, 9000, (1.0,), 0, (0,), (0,), (0,))
    ships = [replace(own.state, ships=True)]
    outcome = Outcome(DEVICE, "all", match, coarse.backbone, "linear", ships, answers)
    energy = EnergyConstants(0.1, 0.005, 0.1, 10)
    row = score_device.fn(outcome, samples, INFO, energy, MACHINE, Path("shipped"))
    assert (row["classes"], row["wanted"]) == (["bag", "shoe"], ["boot"])
    counts = row["confusion"]
    assert {answer for of in counts.values() for answer in of} <= {NAMES[at] for at in told}
    right = sum(of.get(name, 0) for name, of in counts.items())
    assert row["accuracy_refined"] == pytest.approx(right / row["test_samples"])
    assert row["wanted_test_samples"] == sum(counts["boot"].values()) == 12
    assert row["accuracy_refined_wanted"] == counts["boot"].get("boot", 0) / 12
    assert row["accuracy_received_own_classes"] == row["accuracy_refined_own_classes"]
    [shown] = row["rounds"]
    assert shown["test_accuracy_wanted"] == row["accuracy_received_wanted"]
    if answers != "own":
        assert row["accuracy_refined"] == row["accuracy_received_own_classes"]
        assert row["accuracy_refined_wanted"] == row["accuracy_received_wanted"]
    shares = load_shipped(Path("shipped/model.safetensors"))(torch.rand(5, 1, 4, 4)).softmax(1)
    assert {*shares.sum(0).nonzero().flatten().tolist()} == {*told}


def test_what_wants_nothing_answers_its_own_classes_alone(samples: Ref, coarse: Coarse) -> None:
    tensors = {
        f"{split}_{what}": torch.zeros((6, 1, 4, 4) if what == "images" else 6, dtype=torch.uint8)
        for split in ("train", "val", "test")
        for what in ("images", "labels")
    }
    own = Own("edge", "device-00", 0, put_tensors("samples", tensors), answers="wanted")
    own = adopt(own, sent(coarse), INFO, MACHINE).own
    assert own.state is not None
    assert own.features is not None
    assert split_of(own.features, "train").wanted is None
    assert (own.state.val_loss, own.state.val_accuracy) == (0.0, 1.0), "it answers its one class"


def test_who_is_told_a_device_s_classes_is_told_those_that_it_wants(
    samples: Ref, coarse: Coarse
) -> None:
    own = Own("edge", "device-00", 0, samples, answers="wanted")
    own = adopt(own, sent(coarse), INFO, MACHINE).own
    assert own.features is not None
    header, train = load_header(coarse.header)[0], split_of(own.features, "train")
    met = replace(train, labels=torch.full_like(train.labels, 1), wanted=None)
    answers = restricted(header(*met.inputs), torch.tensor([0, 1, 2])).argmax(1)
    assert mean_accuracy([header], [met], [train]) == pytest.approx((answers == 1).float().mean())
    assert mean_accuracy([header], [met], [train], "own") == 0
