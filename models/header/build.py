"""Headers from their configurations, their neurons, and their physical pruning."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.header.fixed import (
    FIXED,
    CNNHeader,
    LinearHeader,
    MixerHeader,
    MLPHeader,
    ResMLPHeader,
    ViTHeader,
)
from models.header.layers import Prunable
from models.header.network import DagHeader
from models.header.space import Architecture, Block

SEARCHED = "searched"
_PARTS = ("weight", "bias", "out_index", "in_index")


@dataclass(frozen=True)
class HeaderConfig:
    """What it takes to rebuild a header; ``architecture`` is for the kind ``searched`` alone."""

    kind: str
    dim: int
    grid: int
    classes: int
    channels: int
    hidden: int
    repeats: int = 1
    architecture: Architecture | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        values = asdict(self)
        values["architecture"] = self.architecture and [list(b) for b in self.architecture]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HeaderConfig:
        """Inverse of :meth:`to_dict`."""
        blocks = values["architecture"]
        architecture = None if blocks is None else tuple(Block(*b) for b in blocks)
        return cls(**{**values, "architecture": architecture})


def build_header(
    config: HeaderConfig, seed: int = 0, cls_head: tuple[Tensor, Tensor] | None = None
) -> nn.Module:
    """A header of this configuration, initialised from ``seed``.

    Args:
        cls_head: weight ``(classes, dim)`` and bias of a trained linear header; where the header
            has a linear layer on [CLS], it starts from it.

    Raises:
        ValueError: unknown kind, or a ``cls_head`` of another shape.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        header = _construct(config)
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


def _construct(config: HeaderConfig) -> nn.Module:
    common = {"dim": config.dim, "classes": config.classes}
    mapped = {**common, "grid": config.grid}
    match config.kind:
        case "linear":
            return LinearHeader(**common)
        case "mlp":
            return MLPHeader(**common, hidden=config.hidden)
        case "cnn-ignore" | "cnn-add" | "cnn-project":
            mode = config.kind.removeprefix("cnn-")
            return CNNHeader(mode, **mapped, channels=config.channels)
        case "mixer":
            return MixerHeader(**mapped, hidden=config.hidden)
        case "resmlp":
            return ResMLPHeader(**mapped, hidden=config.hidden)
        case "vit":
            return ViTHeader(**common, hidden=config.hidden)
        case "searched":
            if config.architecture is None:
                raise ValueError("a searched header needs its architecture")
            return DagHeader(config.architecture, config)
    raise ValueError(f"unknown header {config.kind!r}: choose {SEARCHED} or {', '.join(FIXED)}")


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
    return torch.zeros(1, 2, 1 + config.grid**2, config.dim)


def state_of(header: nn.Module) -> dict[str, Tensor]:
    """Weights, masks and indices of a header, full or sliced."""
    return {name: tensor.detach().clone() for name, tensor in header.state_dict().items()}


def restore(config: HeaderConfig, state: Mapping[str, Tensor]) -> nn.Module:
    """The header that :func:`state_of` described: sliced layers get their shapes from the state.

    Raises:
        RuntimeError: the state is not of this configuration.
    """
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
    header.load_state_dict(dict(state))
    return header
