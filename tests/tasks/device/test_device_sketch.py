"""What a device shows of its data to be compared by."""

from __future__ import annotations

import pytest
import torch

from models.header.split import Split
from models.refinement.recipe import Sketching
from models.refinement.sketches import LEVELS, SKETCHES
from tasks.device.features import sketch
from tasks.device.own import Own
from tasks.links.link import Route, receive, send
from tasks.links.records import State
from tasks.run.store import put_tensors

pytestmark = pytest.mark.usefixtures("in_tmp")

MEAN, STD = torch.full((6,), 2.0), torch.full((6,), 0.5)


def device(count: int) -> Own:
    """With so many train samples."""
    features = 2 + 0.5 * torch.randn(count, 2, 5, 6, generator=torch.Generator().manual_seed(0))
    data = Split(features, torch.zeros(count, dtype=torch.long))
    scale = {"scale.mean": MEAN, "scale.std": STD}
    model = send("customized_model", Route("edge-0", "device-07"), scale, {"config": {}})
    kept = put_tensors("features", data.named("train_"))
    state = State("device-07", 0, put_tensors("header", {}), 1, 1, 1, 0.0, 0.0)
    return Own("edge-0", "device-07", 7, None, model, kept, state)


def shown(own: Own, how: Sketching) -> torch.Tensor:
    [message] = sketch(own, how, 0).messages
    assert message.kind == "feature_sketch"
    return receive(message)[0]["features"]


@pytest.mark.parametrize("kind", SKETCHES)
def test_it_is_of_what_is_asked_for_and_standardised(kind: str) -> None:
    found = shown(device(200), Sketching(32, sketch=kind)).float()
    assert found.shape == (SKETCHES[kind].rows or 32, 6)
    assert found.mean().abs() < 0.2
    assert 0.5 < found.std() < 1.2


def test_by_default_no_sample_is_in_it() -> None:
    own = device(200)
    rows = shown(own, Sketching(32))
    samples = shown(own, Sketching(200, sketch="samples"))
    assert len(rows) == 2 * LEVELS
    assert not (rows[:, None] == samples).all(-1).any()
    assert torch.cdist(rows.float(), samples.float()).min() > 0.1


def test_too_few_samples_are_not_sketched_and_it_says_so(capsys: pytest.CaptureFixture[str]):
    answer = sketch(device(5), Sketching(32), 0)
    assert answer.messages == ()
    said = capsys.readouterr().err
    assert "edge-0: device-07 is left out: its 5 train samples are too few for a sketch" in said
    assert len(shown(device(5), Sketching(32, sketch="samples"))) == 5


def test_noise_is_added_where_it_is_asked_for() -> None:
    own = device(200)
    plain, noisy = shown(own, Sketching(32)), shown(own, Sketching(32, noise=0.5))
    assert (noisy.float() - plain.float()).std() == pytest.approx(0.5, rel=0.3)
