"""Backbones from their configurations: the registry of families, and what is built by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from models.backbone.families import bert, stem, vit
from models.backbone.family import VERSION, Backbone, BackboneConfig, Family
from models.backbone.units import Unit
from models.choices import chosen
from models.versions import readable

FAMILIES: dict[str, Family] = {
    "vit": vit.FAMILY,
    "vit-stem": stem.FAMILY,
    "bert": bert.FAMILY,
}
"""By name. A family is added by one file in ``families`` and one line here."""


def family_of(config: BackboneConfig) -> Family:
    """The family that a configuration is of."""
    return FAMILIES[config.family]


def units_of(config: BackboneConfig) -> tuple[Unit, ...]:
    """Which tensors of a backbone of this configuration hold units."""
    return family_of(config).units(config)


def config_from(values: Mapping[str, Any]) -> BackboneConfig:
    """Inverse of ``to_dict``. Values without a version are older: of a ViT.

    Raises:
        ValueError: they are of a newer version or an unknown family, or are no configuration of
            theirs; what is wrong is named.
    """
    rest = dict(values)
    readable("a backbone's configuration", rest, VERSION)
    name = rest.pop("family", "vit")
    rest.pop("version", None)
    kind = chosen("family of backbones", name, FAMILIES).config
    unknown = set(rest) - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"no configuration of a {name}: unknown {', '.join(sorted(unknown))}")
    try:
        return TypeAdapter(kind).validate_python(rest)
    except ValidationError as error:  # something is missing or out of its range
        words = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ValueError(f"no configuration of a {name}: {words}") from None


def build(config: BackboneConfig, seed: int = 0) -> Backbone:
    """A backbone of this configuration, initialised from ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return family_of(config).module(config)


def on_meta(config: BackboneConfig) -> Backbone:
    """A backbone of this configuration without memory: what shapes are read from."""
    with torch.device("meta"):
        return family_of(config).module(config)


def restore(config: BackboneConfig, state: Mapping[str, Tensor]) -> Backbone:
    """The backbone of this configuration with the given weights, ready to evaluate.

    Raises:
        RuntimeError: the weights are not of this configuration.
    """
    backbone = on_meta(config).to_empty(device="cpu")
    backbone.load_state_dict(dict(state))
    return backbone.eval()
