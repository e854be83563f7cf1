"""What a device remembers of the data that its model was trained on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tasks.data.modality import ImageInfo
from tasks.device.drifted import REMEMBERED, describe, remember, trained_on
from tasks.run.files import write_json
from tasks.run.store import put_tensors
from tasks.run.written import rewriting

pytestmark = pytest.mark.usefixtures("in_tmp")

INFO = ImageInfo("test", ("a", "b", "c"), 2, 1, (0.5,), (0.5,))


def test_histograms_are_of_train_and_val_alone_and_never_zero() -> None:
    images = {"train": torch.zeros(3, 1, 2, 2), "val": torch.full((1, 1, 2, 2), 255.0)}
    tensors = {f"{split}_images": x.to(torch.uint8) for split, x in images.items()}
    tensors |= {"train_labels": torch.tensor([0, 0, 1]), "val_labels": torch.tensor([1])}
    alone = describe("device-00", put_tensors("samples", tensors), INFO)
    tensors |= {"test_images": torch.zeros(9, 1, 2, 2), "test_labels": torch.full((9,), 2)}
    with_test = describe("device-00", put_tensors("samples", tensors), INFO)
    assert (alone.labels, alone.looks) == (with_test.labels, with_test.looks)
    assert alone.labels == pytest.approx((2.1 / 4.3, 2.1 / 4.3, 0.1 / 4.3))
    assert alone.looks[0] == pytest.approx(3.1 / 4.8)
    assert alone.looks[-1] == pytest.approx(1.1 / 4.8)
    assert sum(alone.looks) == pytest.approx(1)


def test_it_knows_the_last_customization_and_when_it_was_refined_alone() -> None:
    tensors = {f"{s}_images": torch.zeros(2, 1, 2, 2) for s in ("train", "val")}
    tensors |= {f"{s}_labels": torch.tensor([0, 1]) for s in ("train", "val")}
    facts = describe("device-03", put_tensors("samples", tensors), INFO)
    later = replace(facts, samples_sha256="later")
    assert trained_on(Path("nightly"), "device-03", facts.samples_sha256, [facts]) == facts
    assert trained_on(Path("nightly"), "device-03", "later", [facts]) is None
    assert trained_on(Path("nightly"), "device-04", facts.samples_sha256, [facts]) is None
    with rewriting(Path("nightly/device-03")) as new:
        remember(new, later)
    assert trained_on(Path("nightly"), "device-03", "later", [facts]) == later
    assert trained_on(Path("nightly"), "device-04", "later", [facts]) is None
    older = Path("nightly/device-03") / REMEMBERED
    values = json.loads(older.read_text())
    with rewriting(Path("nightly/device-03")) as new:
        write_json(new / REMEMBERED, {**values, "brightness": values.pop("looks")})
    assert trained_on(Path("nightly"), "device-03", "later", []) == later
