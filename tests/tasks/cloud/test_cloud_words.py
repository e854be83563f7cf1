"""What a variant weighs with the words that devices keep: from their attributes to what an edge has
left for a header."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.backbone import elastic, size
from models.backbone.config import build
from models.backbone.families.bert import BertConfig
from models.backbone.slicing import slice_variant, trimmed
from models.matching.recipe import EnergyConstants
from tasks.cloud.backbone import send_backbone
from tasks.cloud.matching import match
from tasks.data.modality import TextInfo
from tasks.device.attributes import attributes
from tasks.device.own import Own
from tasks.edge.header import Material, fits, search_header
from tasks.edge.statistics import send_statistics
from tasks.links.link import Message, receive
from tasks.links.records import Match, Variant
from tasks.report.columns import counted
from tasks.run.compute import Machine
from tasks.run.modules import put_backbone
from tasks.run.store import Ref, put_tensors
from tasks.settings.fleet import Device
from tasks.settings.params import HeaderSearch, Matching, load
from tests.tiny import ROOT

pytestmark = pytest.mark.usefixtures("in_tmp")
FULL = BertConfig(
    classes=3,
    dim=16,
    depth=2,
    heads=2,
    head_dim=8,
    mlp_hidden=32,
    vocabulary=400,
    length=8,
)
ROW = 16
RULES = Matching(
    method="greedy-accuracy",
    performance_window=0.1,
    header_budget=100,
    energy=EnergyConstants(0.1, 0.005, 0.1, 10),
)


def said(words: dict[str, int | None], limit: int = 10_000) -> list[Message]:
    """The attributes of devices that keep so many words."""
    messages = []
    for number, (name, count) in enumerate(words.items()):
        device = Device(
            id=number, group=0, storage_limit=limit, gpu_capacity_watt=5.0, base_latency_s=1.0
        )
        messages += attributes(Own("edge", name, number), device, count).messages
    return messages


def variants() -> list[Variant]:
    found = []
    for depth, loss in ((1, 0.9), (2, 0.5)):
        config = elastic.variant_config(FULL, 1.0, depth)
        own = size.backbone_parameters(config)
        found.append(Variant(1.0, depth, loss, 1 - loss / 2, own, 1.0, 1))
    return found


def matched(words: dict[str, int | None], limit: int) -> Match:
    statistics = send_statistics.fn("edge", said(words, limit))
    return match.fn(put_backbone(build(FULL)), variants(), statistics, RULES, 0)


def test_a_device_says_how_many_words_it_keeps_and_its_edge_the_most() -> None:
    first, second = said({"device-00": 120, "device-01": 90})
    assert receive(first)[1]["vocabulary"] == 120
    assert receive(send_statistics.fn("edge", [first, second]))[1]["vocabulary"] == 120
    [silent] = said({"device-02": None})
    assert "vocabulary" not in receive(silent)[1], "of images nothing is said"
    assert "vocabulary" not in receive(send_statistics.fn("edge", [first, silent]))[1], (
        "who does not tell may keep all"
    )


def test_what_fits_depends_on_the_words() -> None:
    """The deeper variant fits a limit exactly with so many words, and not with one more."""
    few = size.backbone_parameters(replace(FULL, vocabulary=120))
    enough = few + RULES.header_budget
    found = matched({"device-00": 120, "device-01": 90}, enough)
    assert (found.depth, found.vocabulary) == (2, 120)
    assert found.parameters == tuple(v.parameters - (400 - 120) * ROW for v in variants())
    assert matched({"device-00": 121, "device-01": 90}, enough).depth == 1
    whole = matched({"device-00": None}, enough + (400 - 120) * ROW)
    assert (whole.depth, whole.vocabulary, whole.parameters) == (2, None, None)
    rows = [{"parameters": v.parameters} for v in variants()]
    assert counted(found, rows) == found.parameters
    assert counted(whole, rows) == [v.parameters for v in variants()]


def test_that_is_what_ships() -> None:
    """The count of a variant with a device's words is that of the module trimmed to them."""
    words = torch.arange(0, 400, 4)
    small = trimmed(slice_variant(build(FULL), 0.5, 1), words)
    config = elastic.variant_config(FULL, 0.5, 1)
    expected = size.parameter_count(small) - size.parameter_count(small.head)
    assert size.backbone_parameters(config.with_vocabulary(100)) == expected
    assert config.with_vocabulary(None) == config


def test_an_edge_may_spend_what_the_words_leave() -> None:
    cut, stream = put_backbone(build(FULL)), torch.Generator().manual_seed(0)
    features: dict[str, torch.Tensor] = {}
    for split in ("train", "val"):
        features[f"{split}_features"] = torch.randn(12, 2, 8, 16, generator=stream)
        features[f"{split}_labels"] = torch.arange(12) % 3
        features[f"{split}_mask"] = torch.arange(8) < torch.arange(2, 14)[:, None]
    shared = put_tensors("features", features)
    few = {"epochs": 1, "weight_steps": 1, "controller_steps": 1, "retrain_steps": 2}
    recipe = replace(load(ROOT / "params.yaml").edge.part(HeaderSearch), **few, finalists=1)
    recipe = replace(recipe, fixed=("mean-pool",), operations=("identity",), blocks=1)
    budgets = [
        search_header.fn(
            Material("edge", send_backbone.fn("edge", cut), None, shared, 50_000, words),
            recipe,
            0,
            Machine("cpu", 1),
        ).budget_parameters
        for words in (None, 120)
    ]
    assert budgets[0] == 50_000 - size.backbone_parameters(FULL)
    assert budgets[1] - budgets[0] == (400 - 120) * ROW


@pytest.mark.parametrize(
    ("tokens", "why"),
    [
        (torch.full((2, 8), 399), None),
        (torch.full((2, 8), 400), "has token 400; the vocabulary is 0 to 399"),
        (torch.zeros(2, 9), r"has samples of (9,), expected (8,)"),
        (None, "has no tokens"),
    ],
)
def test_shared_texts_that_an_edge_cannot_use(tokens: torch.Tensor | None, why: str | None) -> None:
    info = TextInfo("test", ("a", "b", "c"), 8, 400, 0)
    tensors = {"labels": torch.zeros(2, dtype=torch.int16)}
    if tokens is None:
        tensors["images"] = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    else:
        tensors["tokens"] = tokens.int()
    assert fits(info)("shared_samples", tensors) == why


def test_texts_are_shared(tmp_path_factory: pytest.TempPathFactory) -> None:
    from tasks.device.features import share

    info = TextInfo("test", ("a", "b", "c"), 8, 400, 0)
    tokens = torch.randint(400, (5, 8)).int()
    index = {"shared_train": torch.tensor([3, 0]), "shared_val": torch.tensor([1])}
    samples: Ref = put_tensors(
        "samples", {"train_tokens": tokens, "train_labels": torch.arange(5) % 3, **index}
    )
    [message] = share(Own("edge", "device-00", 0, samples), info).messages
    tensors, values = receive(message)
    assert torch.equal(tensors["tokens"], tokens[[3, 0, 1]])
    assert values == {"train_count": 2}
