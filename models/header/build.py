"""Headers from their configurations, their neurons, and their physical pruning."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from models.choices import chosen
from models.header.config import HeaderConfig
from models.header.kinds import HEADERS
from models.header.layers import Prunable

_PARTS = ("weight", "bias", "out_index", "in_index")


def build_header(
    config: HeaderConfig, seed: int = 0, cls_head: tuple[Tensor, Tensor] | None = None
) -> nn.Module:
    """A header of this configuration, initialised from ``seed``.

    Args:
        cls_head: weight ``(classes, dim)`` and bias of a trained linear header; where the header
            has a linear layer on [CLS], it starts from it.

    Raises:
        ValueError: unknown kind, one without its architecture, or a ``cls_head`` of another shape.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        header = chosen("header", config.kind, HEADERS).build(config)
    start_from(header, cls_head)
    return header


def start_from(header: nn.Module, cls_head: tuple[Tensor, Tensor] | None) -> None:
    """Let the linear layer on [CLS], where there is one, start from a trained linear header.

    Raises:
        ValueError: that header is for other classes or another dimension.
    """
    skip = getattr(header, "skip", None)
    if cls_head is None or skip is None:
        return
    for part, value in zip(("weight", "bias"), cls_head, strict=True):
        own = getattr(skip, part)
        if own.shape != value.shape:
            raise ValueError(
                f"the reference header's {part} is {tuple(value.shape)}, needed {tuple(own.shape)}"
            )
        with torch.no_grad():
            own.copy_(value)


def prunable_layers(header: nn.Module) -> Iterator[tuple[str, Prunable]]:
    """The layers whose neurons devices may remove, in module order."""
    for name, module in header.named_modules():
        if isinstance(module, Prunable) and not module.classifier:
            yield name, module


def neurons(header: nn.Module) -> dict[str, int]:
    """How many neurons each prunable layer has at full width, in module order."""
    return {name: layer.out_features for name, layer in prunable_layers(header)}


def header_flops(header: nn.Module, config: HeaderConfig) -> int:
    """Floating-point operations for one sample (a multiply-add counts as 2), of its layers as
    they are: removed neurons cost nothing."""
    total = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, Prunable)
        positions = output.numel() // output.shape[layer.channel_dim]
        total += 2 * layer.weight.numel() * positions

    hooks = [m.register_forward_hook(count) for m in header.modules() if isinstance(m, Prunable)]
    with torch.no_grad():
        header(_sample(config))
    for hook in hooks:
        hook.remove()
    return total


def slim(header: nn.Module, config: HeaderConfig) -> nn.Module:
    """A copy without the masked neurons and without the inputs that only they fed.

    Which inputs are dead is found by running a copy of the header on ones, with every live weight
    at 1: nothing can cancel, so an input is dead exactly if it is 0 everywhere. That holds for any
    header built from prunable layers and maps that keep zeros zero.
    """
    live = _live_inputs(header, config)
    slimmed = copy.deepcopy(header)
    for name, layer in slimmed.named_modules():
        if not isinstance(layer, Prunable):
            continue
        with torch.no_grad():
            mask = layer.mask[layer.out_index] if layer.sliced else layer.mask
            layer.bias.mul_(mask)
            layer.weight.mul_(mask.view(-1, *[1] * (layer.weight.dim() - 1)))
        if layer.sliced:
            continue  # already small: what is masked since then is 0 but stays
        # one row and one column stay even where all are dead: no layer can be empty
        rows, columns = _at_least_one(layer.mask > 0), _at_least_one(live[name])
        if len(rows) < layer.out_features or len(columns) < layer.in_features:
            layer.slice_(rows, columns)
    return slimmed


def _live_inputs(header: nn.Module, config: HeaderConfig) -> dict[str, Tensor]:
    probe = copy.deepcopy(header).double()
    live: dict[str, Tensor] = {}
    hooks = []
    for name, layer in probe.named_modules():
        if isinstance(layer, Prunable):
            nn.init.ones_(layer.weight)
            nn.init.ones_(layer.bias)
            hooks.append(layer.register_forward_pre_hook(_note(live, name, layer)))
    with torch.no_grad():
        probe(torch.ones_like(_sample(config)).double())
    return live


def _note(live: dict[str, Tensor], name: str, layer: Prunable):  # type: ignore[no-untyped-def]
    def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        live[name] = (inputs[0] != 0).movedim(layer.channel_dim, 0).flatten(1).any(1)

    return hook


def _at_least_one(alive: Tensor) -> Tensor:
    index = alive.nonzero().flatten()
    return index if len(index) else torch.zeros(1, dtype=torch.long)


def _sample(config: HeaderConfig) -> Tensor:
    return torch.zeros(1, 2, 1 + math.prod(config.shape), config.dim)


def state_of(header: nn.Module) -> dict[str, Tensor]:
    """Weights, masks and indices of a header, full or sliced."""
    return {name: tensor.detach().clone() for name, tensor in header.state_dict().items()}


def restore(config: HeaderConfig, state: Mapping[str, Tensor]) -> nn.Module:
    """The header that :func:`state_of` described: sliced layers get their shapes from the state.

    Raises:
        RuntimeError: the state is not of this configuration.
    """
    with torch.device("meta"):  # memory is taken for what the state holds, not for what it says
        header = build_header(config)
    for name, layer in header.named_modules():
        if isinstance(layer, Prunable):
            missing = [k for k in _PARTS if f"{name}.{k}" not in state]
            if missing:
                raise RuntimeError(f"the state has no {missing} of {name}: another header's")
            for part in ("weight", "bias"):
                setattr(layer, part, nn.Parameter(torch.empty_like(state[f"{name}.{part}"])))
            for part in ("out_index", "in_index"):
                setattr(layer, part, torch.empty_like(state[f"{name}.{part}"]))
    header.to_empty(device="cpu").load_state_dict(dict(state))
    return header
