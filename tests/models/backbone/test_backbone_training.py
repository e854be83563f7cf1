"""How long a model is trained, and which of its weights are kept."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.backbone.training import Course, Examples, Training, evaluate, fit

RECIPE = Training(epochs=3, batch_size=4, lr=0.1, weight_decay=0.0)
INPUTS = torch.randn(10, 5, generator=torch.Generator().manual_seed(0))
SHOWN = Examples(INPUTS, torch.arange(10) % 3)


def model() -> nn.Module:
    torch.manual_seed(1)
    return nn.Linear(5, 3)


def test_no_epochs_are_no_training_whatever_the_steps() -> None:
    for none in (replace(RECIPE, epochs=0, steps=9), replace(RECIPE, steps=0)):
        assert none.none
        assert none.total(100) == 0


def test_epochs_follow_the_data_and_steps_do_not() -> None:
    assert [RECIPE.total(n) for n in (3, 10, 400)] == [3, 6, 300]
    steps = replace(RECIPE, steps=7)
    assert [steps.total(n) for n in (3, 10, 400)] == [7, 7, 7]
    assert fit(model(), SHOWN, steps, torch.Generator()) == Course(7, 7)


def run(held_out: tuple[Tensor, Tensor], patience: int) -> tuple[nn.Module, Course, list[float]]:
    """Train for long, and score the same course without patience after every epoch of 2 steps."""
    recipe = Training(40, 4, 0.1, 0.0, patience=patience)
    literal, losses = model(), []

    def score(done: int, total: int, metrics: dict[str, float]) -> None:
        if done % 2 == 0:
            losses.append(evaluate(literal, *held_out)[0])

    unheld = Training(40, 4, 0.1, 0.0)
    fit(literal, SHOWN, unheld, torch.Generator().manual_seed(3), score)
    kept = model()
    course = fit(kept, SHOWN, recipe, torch.Generator().manual_seed(3), held_out=held_out)
    return kept, course, losses


def test_the_best_by_validation_is_kept_and_training_stops_when_none_follows() -> None:
    held_out = (-SHOWN.inputs, SHOWN.labels)  # what is learned is wrong there: soon it gets worse
    kept, course, losses = run(held_out, patience=5)
    best = 1 + min(range(len(losses)), key=losses.__getitem__)
    assert course.kept == 2 * best
    assert course.steps == 2 * (best + 5) < 80
    assert evaluate(kept, *held_out)[0] == pytest.approx(min(losses))
    assert not kept.training


def test_what_gets_better_to_the_end_is_trained_to_the_end() -> None:
    kept, course, losses = run((SHOWN.inputs, SHOWN.labels), patience=30)
    assert course.steps == 80
    assert evaluate(kept, SHOWN.inputs, SHOWN.labels)[0] == pytest.approx(min(losses))


def test_scoring_draws_nothing() -> None:
    """Training by validation takes the same steps as training without."""
    recipe, held_out = Training(2, 4, 0.1, 0.0, patience=9), (SHOWN.inputs, SHOWN.labels)
    one, two = model(), model()
    course = fit(one, SHOWN, recipe, torch.Generator().manual_seed(3), held_out=held_out)
    fit(two, SHOWN, Training(2, 4, 0.1, 0.0), torch.Generator().manual_seed(3))
    assert course.kept == course.steps == 4
    assert torch.equal(one.weight, two.weight)  # type: ignore[arg-type]
    assert not torch.equal(one.weight, copy.deepcopy(model()).weight)  # type: ignore[arg-type]


def test_inputs_are_shown_as_they_may_look() -> None:
    shown = Examples(SHOWN.inputs, SHOWN.labels, lambda x, generator: x + 1)
    x, y = shown.batch(torch.tensor([2, 0]), torch.Generator(), torch.device("cpu"))
    assert torch.equal(x, SHOWN.inputs[[2, 0]] + 1)
    assert y.tolist() == [2, 0]
