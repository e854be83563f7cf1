"""Local training: all devices at once as one by one."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.header.build import build_header, neurons, slim
from models.header.config import HeaderConfig
from models.header.space import Block
from models.ranges import Answerable
from models.refinement.importance import layer_names, neuron_importance
from models.refinement.pruning import alive_of, apply_masks
from models.refinement.recipe import LocalTraining
from models.refinement.training import (
    EPS,
    DeviceData,
    LocalSteps,
    evaluate_devices,
    fit_devices,
)
from models.training import endless

DIM, GRID, CLASSES = 8, 2, 3
RECIPE = LocalTraining(batch_size=8, lr=5e-3, weight_decay=0.1)
UNREAD_STEM = (Block(0, 0, "conv3", "identity"), Block(2, 0, "downsample", "maxpool"))
BOTH_STEMS = (Block(0, 1, "conv1", "conv5"), Block(2, 1, "avgpool", "conv3"))


def batches(count: int, batch_size: int, seed: int) -> Iterator[torch.Tensor]:
    return endless(count, batch_size, torch.Generator().manual_seed(seed), joined=True)


def _config(kind: str, architecture: tuple[Block, ...] | None = None) -> HeaderConfig:
    return HeaderConfig(kind, DIM, (GRID, GRID), CLASSES, 5, 6, architecture=architecture)


CONFIGS = {
    "unread stem": _config("searched", UNREAD_STEM),
    "both stems": _config("searched", BOTH_STEMS),
    "cnn": _config("cnn-project"),
    "mixer": _config("mixer"),
    "linear": _config("linear"),
}


def _data(counts: list[int]) -> list[DeviceData]:
    """Devices of different sample counts, some below the batch size."""
    generator = torch.Generator().manual_seed(0)
    return [
        DeviceData(
            torch.randn(n, 2, 1 + GRID**2, DIM, generator=generator),
            torch.randint(CLASSES, (n,), generator=generator),
        )
        for n in counts
    ]


def _headers(config: HeaderConfig, count: int, masked: bool) -> list[nn.Module]:
    headers = [build_header(config, seed) for seed in range(count)]
    if masked:
        for i, header in enumerate(headers):
            alive = np.random.default_rng(i).random(sum(neurons(header).values())) < 0.7
            apply_masks(header, alive)
    return headers


@pytest.mark.parametrize(("joint", "answers"), [("group", "all"), ("sum", "all"), ("group", "own")])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", CONFIGS)
def test_batched_is_one_by_one(name: str, masked: bool, joint: str, answers: Answerable):
    data, results = _data([5, 20, 33]), []
    data[1].labels.clamp_(max=1)  # a device without the last class
    for batched in (True, False):
        headers = _headers(CONFIGS[name], 3, masked)
        steps = LocalSteps(12, RECIPE, joint, answers)
        sets = fit_devices(headers, data, steps, [4, 5, 6], batched=batched)
        results.append((headers, sets))
    (together, sets), (alone, expected) = results
    torch.testing.assert_close(sets, expected, atol=1e-5, rtol=0)
    for a, b in zip(together, alone, strict=True):
        for (parameter, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
            torch.testing.assert_close(x, y, atol=1e-5, rtol=0, msg=lambda m, p=parameter: p + m)
    trained = dict(together[0].named_parameters())
    fresh = dict(_headers(CONFIGS[name], 1, masked)[0].named_parameters())
    assert any((trained[n] - fresh[n]).abs().max() > 1e-2 for n in fresh), "nothing was trained"


def test_one_by_one_is_adamw_written_out_with_the_mean_importance_before_each_step():
    config, [own] = CONFIGS["cnn"], _data([11])
    [header] = _headers(config, 1, masked=True)
    reference, steps = copy.deepcopy(header), 4
    sets = fit_devices([header], [own], LocalSteps(steps, RECIPE), [7], batched=False)
    lr, decay = RECIPE.lr, RECIPE.weight_decay
    state = {n: (torch.zeros_like(p), torch.zeros_like(p)) for n, p in reference.named_parameters()}
    total = torch.zeros(sum(neurons(reference).values()))
    for step, chosen in enumerate(itertools.islice(batches(11, 8, 7), steps), start=1):
        loss = F.cross_entropy(reference(own.features[chosen]), own.labels[chosen])
        names, values = zip(*reference.named_parameters(), strict=True)
        gradients = dict(zip(names, torch.autograd.grad(loss, values), strict=True))
        detached = {n: p.detach() for n, p in reference.named_parameters()}
        total += neuron_importance(detached, gradients, layer_names(reference))
        for name, p in detached.items():
            m, v = state[name]
            m.mul_(0.9).add_(0.1 * gradients[name])
            v.mul_(0.999).add_(0.001 * gradients[name] ** 2)
            p.mul_(1 - lr * decay)
            p.sub_(lr * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + EPS))
    torch.testing.assert_close(sets[0], total / total.sum(), atol=1e-5, rtol=1e-4)
    for x, y in zip(header.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=0)


def test_what_answers_its_own_classes_learns_nothing_of_the_others():
    config, [own] = CONFIGS["linear"], _data([16])
    own.labels.clamp_(max=1)
    own = replace(own, wanted=torch.tensor([2]))
    answerable: list[tuple[Answerable, bool]] = [("own", False), ("wanted", False), ("all", True)]
    for answers, moved in answerable:
        [header] = _headers(config, 1, masked=False)
        before = {n: p.detach().clone() for n, p in header.named_parameters()}
        steps = LocalSteps(5, LocalTraining(8, 5e-3, 0.0), answers=answers)
        fit_devices([header], [own], steps, [0])
        for name, parameter in header.named_parameters():
            assert not torch.equal(parameter[0], before[name][0])
            assert torch.equal(parameter[2], before[name][2]) is not moved, name


def test_what_answers_its_own_classes_is_scored_so():
    headers, [one, two] = _headers(CONFIGS["mixer"], 2, masked=False), _data([40, 40])
    told = [torch.tensor([0, 2]), None]
    found = evaluate_devices(headers, [one, two], told)
    logits = headers[0](one.features).detach()
    logits[:, 1] = -1e4
    right = (logits.argmax(1) == one.labels).float().mean().item()
    assert found[0] == pytest.approx((F.cross_entropy(logits, one.labels).item(), right))
    assert found[1] == evaluate_devices(headers[1:], [two])[0]


@pytest.mark.parametrize("batched", [True, False])
def test_importance_sets_sum_to_one_and_masked_neurons_stay_out(batched: bool):
    headers = _headers(CONFIGS["both stems"], 2, masked=True)
    masks = [alive_of(header) for header in headers]
    sets = fit_devices(
        headers, _data([9, 16]), LocalSteps(3, RECIPE), [0, 1], batched=batched
    ).numpy()
    np.testing.assert_allclose(sets.sum(1), 1, rtol=1e-5)
    for header, alive, values in zip(headers, masks, sets, strict=True):
        assert (alive_of(header) == alive).all()
        assert not values[~alive].any()
        assert (values[alive] > 0).any()


@pytest.mark.parametrize("batched", [True, False])
def test_a_device_is_trained_on_its_own_data_and_stream_alone(batched: bool):
    data, results = _data([9, 16, 12]), []
    for others in ([0, 1], [0, 2]):
        headers = _headers(CONFIGS["cnn"], 3, masked=False)
        fit_devices(
            [headers[i] for i in others],
            [data[i] for i in others],
            LocalSteps(5, RECIPE),
            [10 + i for i in others],
            batched=batched,
        )
        results.append(list(headers[0].parameters()))
    for x, y in zip(*results, strict=True):
        torch.testing.assert_close(x, y, atol=1e-6, rtol=0)


def test_training_lowers_the_loss_and_evaluate_agrees_with_a_loop():
    headers, data = _headers(CONFIGS["mixer"], 2, masked=False), _data([12, 15])
    before = evaluate_devices(headers, data)
    fit_devices(headers, data, LocalSteps(60, RECIPE), [0, 1])
    after = evaluate_devices(headers, data)
    for i, (header, own) in enumerate(zip(headers, data, strict=True)):
        logits = [header(x[None])[0] for x in own.features]
        losses = [
            -F.log_softmax(row, 0)[y].item() for row, y in zip(logits, own.labels, strict=True)
        ]
        hits = [int(row.argmax()) == int(y) for row, y in zip(logits, own.labels, strict=True)]
        expected = pytest.approx((np.mean(losses), np.mean(hits)), abs=1e-5)
        assert after[i] == expected
        assert after[i][0] < before[i][0] / 2


@pytest.mark.parametrize(("count", "batch_size"), [(5, 8), (8, 8), (20, 8), (1, 3)])
def test_batches_have_one_size_and_every_sample_comes_once_before_any_comes_again(
    count: int, batch_size: int
):
    drawn = list(itertools.islice(batches(count, batch_size, 3), 3 * count))
    assert all(len(batch) == batch_size for batch in drawn)
    stream = torch.cat(drawn)
    for start in range(0, len(stream) - count + 1, count):
        assert sorted(stream[start : start + count].tolist()) == list(range(count))
    again = torch.cat(list(itertools.islice(batches(count, batch_size, 3), 3 * count)))
    assert torch.equal(stream, again)


@pytest.mark.parametrize(("batched", "total"), [(True, 4), (False, 8)])
def test_progress_counts_to_the_end(batched: bool, total: int):
    seen: list[tuple[int, int]] = []
    fit_devices(
        _headers(CONFIGS["linear"], 2, masked=False),
        _data([9, 9]),
        LocalSteps(4, RECIPE),
        [0, 1],
        batched=batched,
        on_step=lambda done, of, metrics: seen.append((done, of)),
    )
    assert seen == [(i + 1, total) for i in range(total)]


def test_what_cannot_be_trained_together_is_refused_with_the_reason():
    def fit(headers: list[nn.Module], counts: list[int]) -> None:
        seeds = list(range(len(headers)))
        fit_devices(headers, _data(counts), LocalSteps(1, RECIPE), seeds)

    cnn, mixer = build_header(CONFIGS["cnn"]), build_header(CONFIGS["mixer"])
    with pytest.raises(ValueError, match="2 headers, 1 data sets, 2 seeds"):
        fit([cnn, cnn], [4])
    with pytest.raises(ValueError, match="0 headers"):
        fit([], [])
    with pytest.raises(ValueError, match="device 1 has 0 features and 0 labels"):
        fit([cnn, cnn], [4, 0])
    with pytest.raises(ValueError, match="header 1 has other parameters than header 0"):
        fit([cnn, mixer], [4, 4])
    cnn.get_submodule("conv").mask[0] = 0
    with pytest.raises(ValueError, match="header 0 is sliced: train it at full shape, with masks"):
        fit([slim(cnn, CONFIGS["cnn"])], [4])
