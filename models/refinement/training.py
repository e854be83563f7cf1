"""Local training of all devices of a cluster at once, and their importance sets on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from models.answers import SILENT, answered, restricted, silent
from models.backbone.batches import device_of
from models.backbone.training import scores
from models.header.build import neurons, prunable_layers
from models.header.split import Split
from models.progress import OnStep, ignore
from models.ranges import Answerable
from models.refinement.importance import layer_names, neuron_importance, normalised
from models.refinement.recipe import LocalTraining
from models.training import endless

# AdamW's default 1e-8 turns rounding noise on vanishing gradients into whole steps: batched and one
# by one then drift apart by 1e-4 in 60 steps, with 1e-6 by 6e-8
EPS = 1e-6


DeviceData = Split
"""A device's cached features and labels, and the classes that it wants beside these."""


@dataclass(frozen=True)
class LocalSteps:
    """How many steps a device takes, by which optimizer, how a neuron's importance is made of its
    parameters' (``group`` or ``sum``: :func:`neuron_importance`), and which classes its model is
    to answer: unless that is all, it learns to tell those apart that it has samples of."""

    count: int
    training: LocalTraining
    joint: str = "group"
    answers: Answerable = "all"

    def optimizer(self, parameters: Mapping[str, Tensor]) -> torch.optim.Optimizer:
        """AdamW over named parameters, which may be stacked."""
        recipe = self.training
        return torch.optim.AdamW(
            parameters.values(), lr=recipe.lr, weight_decay=recipe.weight_decay, eps=EPS
        )


def fit_devices(
    headers: Sequence[nn.Module],
    data: Sequence[DeviceData],
    steps: LocalSteps,
    seeds: Sequence[int],
    *,
    batched: bool = True,
    on_step: OnStep = ignore,
) -> Tensor:
    """Train the headers in place, each on its own data; returns their importance sets.

    All headers have the same configuration; masks may differ. ``batched`` takes one vectorised
    step for all devices; one by one gives the same result. Each device draws its batches, all of
    the same size, from its own stream.

    Returns:
        ``(devices, neurons)`` on the CPU: Eq. 18 per neuron, averaged over the steps, each row
        summing to 1.

    Raises:
        ValueError: the arguments do not match each other, a device has no samples, the headers'
            parameters differ in shape, or a header is physically sliced.
    """
    _check(headers, data, seeds)
    streams = [torch.Generator().manual_seed(seed) for seed in seeds]
    sources = [
        endless(len(d.labels), steps.training.batch_size, stream, joined=True)
        for d, stream in zip(data, streams, strict=True)
    ]
    fit = _batched if batched else _one_by_one
    return normalised(fit(headers, data, sources, steps, on_step).cpu() / steps.count)


def _check(headers: Sequence[nn.Module], data: Sequence[DeviceData], seeds: Sequence[int]) -> None:
    if not len(headers) == len(data) == len(seeds) > 0:
        raise ValueError(f"{len(headers)} headers, {len(data)} data sets, {len(seeds)} seeds")
    shapes = [[(n, p.shape) for n, p in header.named_parameters()] for header in headers]
    for i, header in enumerate(headers):
        if not len(data[i].labels) == len(data[i].features) > 0:
            raise ValueError(
                f"device {i} has {len(data[i].features)} features and {len(data[i].labels)} labels"
            )
        if any(layer.sliced for _, layer in prunable_layers(header)):
            raise ValueError(f"header {i} is sliced: train it at full shape, with masks")
        if shapes[i] != shapes[0]:
            raise ValueError(f"header {i} has other parameters than header 0")


def _batched(
    headers: Sequence[nn.Module],
    data: Sequence[DeviceData],
    sources: Sequence[Iterator[Tensor]],
    steps: LocalSteps,
    on_step: OnStep,
) -> Tensor:
    template, layers, place = headers[0], layer_names(headers[0]), device_of(headers[0])
    parameters, buffers = stack_module_state(list(headers))

    def loss_of(
        weights: dict[str, Tensor],
        others: dict[str, Tensor],
        x: tuple[Tensor, ...],
        y: Tensor,
        silent: Tensor,
    ) -> Tensor:
        logits = functional_call(template, (weights, others), x)
        return F.cross_entropy(logits.masked_fill(silent, SILENT), y)

    gradients_of = vmap(grad_and_value(loss_of))
    # AdamW works element by element, so one optimizer on stacked leaves is one for each device
    optimizer = steps.optimizer(parameters)
    total = torch.zeros(len(headers), _count(headers[0]), device=place)
    unanswered = _unanswered(template, data, steps).to(place)
    for step in range(steps.count):
        batches = [d.at(next(source)) for d, source in zip(data, sources, strict=True)]
        each = zip(*(batch.inputs for batch in batches), strict=True)
        x = tuple(torch.stack(parts).to(place) for parts in each)
        y = torch.stack([batch.labels for batch in batches]).to(place)
        values = {name: p.detach() for name, p in parameters.items()}
        gradients, losses = gradients_of(values, buffers, x, y, unanswered)
        if layers:
            total += neuron_importance(values, gradients, layers, steps.joint)
        for name, parameter in parameters.items():
            parameter.grad = gradients[name]
        optimizer.step()
        on_step(step + 1, steps.count, {"loss": losses.mean().item()})
    for i, header in enumerate(headers):
        header.load_state_dict({n: p.detach()[i] for n, p in parameters.items()}, strict=False)
    return total


def _one_by_one(
    headers: Sequence[nn.Module],
    data: Sequence[DeviceData],
    sources: Sequence[Iterator[Tensor]],
    steps: LocalSteps,
    on_step: OnStep,
) -> Tensor:
    done, total_steps = 0, len(headers) * steps.count
    sets = []
    for header, own, source in zip(headers, data, sources, strict=True):
        layers, place = layer_names(header), device_of(header)
        parameters, told = dict(header.named_parameters()), _told(own, steps)
        optimizer = steps.optimizer(parameters)
        total = torch.zeros(_count(header), device=place)
        for _ in range(steps.count):
            batch = own.at(next(source)).to(place)
            loss = F.cross_entropy(restricted(header(*batch.inputs), told), batch.labels)
            gradients = _gradients(loss, parameters)
            values = {name: p.detach() for name, p in parameters.items()}
            if layers:
                total += neuron_importance(values, gradients, layers, steps.joint)
            for name, parameter in parameters.items():
                parameter.grad = gradients[name]
            optimizer.step()
            done += 1
            on_step(done, total_steps, {"loss": loss.item()})
        header.zero_grad()
        sets.append(total)
    return torch.stack(sets)


def _gradients(loss: Tensor, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # zeros, not None, where a header does not use a parameter (a stem no block reads): AdamW
    # would skip None but decays zeros, as it does in the batched step
    found = torch.autograd.grad(loss, list(parameters.values()), materialize_grads=True)
    return dict(zip(parameters, found, strict=True))


def _told(own: DeviceData, steps: LocalSteps) -> Tensor | None:
    """The classes that it learns to tell apart: those of its samples. (Of another it would learn
    never to answer it: in 40 steps the accuracy on wanted classes fell from .69 to .10; to .64 so.)
    """
    return answered("all" if steps.answers == "all" else "own", own.labels)


@torch.no_grad()
def _unanswered(header: nn.Module, data: Sequence[DeviceData], steps: LocalSteps) -> Tensor:
    """``(devices, classes)``: true at those that a device's model does not answer."""
    classes = header(*data[0].at(slice(1)).to(device_of(header)).inputs).shape[1]
    told = [_told(own, steps) for own in data]
    return torch.stack(
        [silent(torch.arange(classes) if which is None else which, classes) for which in told]
    )


def _count(header: nn.Module) -> int:
    return sum(neurons(header).values())


@torch.no_grad()
def evaluate_devices(
    headers: Sequence[nn.Module],
    data: Sequence[DeviceData],
    classes: Sequence[Tensor | None] | None = None,
) -> list[tuple[float, float]]:
    """Each header's mean cross-entropy and accuracy on its own device's data; with ``classes`` it
    answers only those (None: all)."""
    return [
        scores(restricted(header(*own.to(device_of(header)).inputs).cpu(), told), own.labels)
        for header, own, told in zip(headers, data, classes or [None] * len(data), strict=True)
    ]
