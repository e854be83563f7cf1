"""Models of timm by name: which there are, and whether they can be sliced."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch

from models.backbone.families.vit import ViTConfig
from tasks.run.errors import SettingsError

WHERE = "backbone.reference.name"


def require_known(name: str, where: str = WHERE, pretrained: bool = False) -> None:
    """Raises SettingsError if timm has no such model, no such weights of it (behind a dot), or, to
    be ``pretrained``, none at all."""
    from timm.models import get_arch_pretrained_cfgs

    architecture, dot, tag = name.partition(".")
    if architecture not in _models():
        raise SettingsError(
            f"{where}: timm has no model {name!r}: leave it out for one of your own"
        )
    tags = [known.partition(".")[2] for known in get_arch_pretrained_cfgs(architecture)]
    if dot and tag not in tags:
        there = f"choose one of {', '.join(tags)}" if tags else "there are none"
        raise SettingsError(f"{where}: timm has no weights {tag!r} of {architecture}: {there}")
    if pretrained and not has_weights(name):
        raise SettingsError(
            f"{where}: timm has no weights of {name}: set pretrained to false, or name another"
        )


def has_weights(name: str | None) -> bool:
    """Whether timm knows weights of a model, or those that a name with a tag means."""
    from timm.models import is_model_pretrained

    return name is not None and bool(is_model_pretrained(name))


def vits() -> list[str]:
    """The models of timm that are VisionTransformers, or might be: all whose module has the
    class."""
    import timm
    from timm.models.vision_transformer import VisionTransformer

    places = {name: sys.modules[timm.model_entrypoint(name).__module__] for name in _models()}
    return [name for name, place in places.items() if VisionTransformer in vars(place).values()]


def config_of(name: str, where: str = WHERE, **arguments: Any) -> ViTConfig:
    """The configuration of a model by name, made with ``arguments`` of timm's, e.g. ``img_size``.

    Raises:
        SettingsError: there is no such model, or it has parts that cannot be sliced.
    """
    return _told(name, where, look, arguments)


def proven(name: str, where: str = WHERE, **arguments: Any) -> ViTConfig:
    """The same, and ours of this configuration computes what timm's does. Takes no memory for the
    whole of it.

    Raises:
        SettingsError: as above, or it computes something else.
    """
    return _told(name, where, prove, arguments)


def look(name: str, **arguments: Any) -> tuple[Any, ViTConfig]:
    """A model of timm's without memory, and its configuration.

    Raises:
        RefusedError: it has parts that cannot be sliced, or cannot be made so.
    """
    import timm

    from models.backbone.families import from_timm

    try:
        with torch.device("meta"):
            vit = timm.create_model(name, **arguments)
        return vit, from_timm.config_of(vit)
    except from_timm.RefusedError:
        raise
    except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise from_timm.RefusedError(f"timm does not make it: {str(error)[:200]}") from None


def prove(name: str, **arguments: Any) -> tuple[Any, ViTConfig]:
    """The same, where ours of this configuration computes what timm's does.

    Raises:
        RefusedError: as above, or it computes something else.
    """
    from models.backbone.families import from_timm

    vit, config = look(name, **arguments)
    from_timm.prove(vit, config)
    return vit, config


def _told(
    name: str,
    where: str,
    looked: Callable[..., tuple[Any, ViTConfig]],
    arguments: Mapping[str, Any],
) -> ViTConfig:
    from models.backbone.families.from_timm import RefusedError

    require_known(name, where)
    try:
        return looked(name, **arguments)[1]
    except RefusedError as error:
        raise SettingsError(f"{where}: {name} cannot be used: {error.part}") from None


def _models() -> list[str]:
    import timm

    return list(timm.list_models())
