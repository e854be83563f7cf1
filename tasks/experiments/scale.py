"""How large the evaluation is: one YAML file a scale in ``evaluation/``, on top of params.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from models.ranges import Count, Fraction, Positive, PositiveFloat, Rate
from tasks.experiments.registry import SCALES
from tasks.run.errors import SettingsError
from tasks.settings.fields import Frozen, in_words, read_yaml
from tasks.settings.params import Settings, load, merged


class Point(Frozen):
    """A variant of the grid."""

    width: float
    depth: Positive


class Headers(Frozen):
    """Of Fig. 7b, 8 and 12: cells of the grid, and how headers are trained there."""

    widths: tuple[float, ...]
    depths: tuple[Positive, ...]
    everywhere: tuple[str, ...]  # fixed headers on the whole grid
    full_width: tuple[str, ...]  # and the others, where the width is 1
    train_samples: Positive
    val_samples: Positive
    blocks: tuple[Positive, ...]
    repeats: tuple[Positive, ...]
    edge: dict[str, Any] = Field(default_factory=dict)  # on top of params.yaml's edge


class Corner(Frozen):
    """How much data a device has to learn from, how hard it is pruned, and which of the headers of
    Fig. 8 it received."""

    samples: Positive  # of its train split
    strength: Fraction  # of the header's neurons, gone after all rounds
    header: str = "searched"


class Refining(Frozen):
    """Of Fig. 10 and 11: one cluster, its groups of devices with alike data, and the loop."""

    groups: tuple[Count, ...]
    partition: dict[str, Any] = Field(default_factory=dict)  # on top of params.yaml's partition
    levels: tuple[str, ...]
    corners: Annotated[tuple[Corner, ...], Field(min_length=1)]  # the first is the paper's
    variant: Point  # a cell of ``headers``' grid
    sketches: tuple[Positive, ...]
    loop: dict[str, Any] = Field(default_factory=dict)  # on top of params.yaml's refinement


class Lightweight(Frozen):
    """Of Fig. 7a and 13a: baselines of at most ``parameters`` each, families that are scaled to
    that size or models of timm by name (``pretrained``: these with hub weights)."""

    families: tuple[str, ...]
    parameters: Positive
    lr: Rate
    pretrained: bool = False
    longer: Count = 0  # times the reference's epochs, in a control that is not at equal training


class Draws(Frozen):
    """Of ``contexts`` and ``languages``: how many samples of a class a device has, and how many of
    its classes it has none of. ``settings`` lie on top of ``run``; by them the edges search, once.
    What devices have is drawn from larger parts of the data, as ``pool`` divides them."""

    settings: dict[str, Any] = Field(default_factory=dict)
    pool: dict[str, Any]  # on top of the settings' partition
    samples: Annotated[tuple[Positive, ...], Field(min_length=1)]
    unseen: Annotated[tuple[Count, ...], Field(min_length=1)]
    val_samples: Positive  # of a class, at least; else as many to a train sample as in a partition


class Scale(Frozen):
    """``settings``, the paper's regime, lies on top of params.yaml; ``digits`` on top of that for
    Fig. 13. ``run`` lies on params.yaml instead, for the default fleet and for the draws."""

    seeds: Positive
    cheap_seeds: Positive  # of experiments that need little more than the backbones
    settings: dict[str, Any]
    run: dict[str, Any] = Field(default_factory=dict)
    digits: dict[str, Any]
    headers: Headers
    refining: Refining
    lightweight: Lightweight
    windows: tuple[PositiveFloat, ...]  # gamma_p of the ablation
    contexts: Draws
    languages: Draws

    def draws(self, name: str) -> Draws:
        """Of an experiment."""
        found: Draws = getattr(self, name)
        return found


def load_scale(name: str, folder: Path) -> Scale:
    """Read and validate ``<name>.yaml`` of a folder.

    Raises:
        SettingsError: no such scale, or a value is impossible.
    """
    if name not in SCALES:
        raise SettingsError(f"unknown scale {name!r}: choose {', '.join(SCALES)}")
    path = folder / f"{name}.yaml"
    try:
        return Scale.model_validate(read_yaml(path))
    except ValidationError as error:
        raise SettingsError(f"{path}: {in_words(error)}") from None


def settings_of(scale: Scale, seed: int, params: Path, **overlay: Any) -> Settings:
    """The settings of one seed; ``overlay`` lies on top of the scale's."""
    return load(params, merged(merged(scale.settings, overlay), {"seed": seed}))


def run_of(scale: Scale, seed: int, params: Path, **overlay: Any) -> Settings:
    """The settings of the default fleet, of one seed; ``overlay`` lies on top of the scale's."""
    return load(params, merged(merged(scale.run, overlay), {"seed": seed}))
