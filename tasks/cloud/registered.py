"""A registered MLflow model as the reference that the cloud starts from."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tasks.run.cached import retried
from tasks.run.errors import RegistryError, SettingsError
from tasks.run.modules import load_backbone
from tasks.run.store import Ref, adopt
from tasks.tracking.registry import MODELS, Registry
from tasks.tracking.state import state_file


def is_registered(name: str | None) -> bool:
    """Whether a reference's name is one of the registry's, e.g. ``models:/my-vit@champion``."""
    return bool(name and name.startswith(MODELS))


@retried("cloud: bring {uri}")
def bring(uri: str, root: Path) -> Ref:
    """A registered model's state with its configuration, as one file named by its content, so that
    an alias that moves is a new input of what is cached.

    It is a cluster's backbone of ours: nothing else is opened (see :mod:`tasks.tracking.state`).

    Raises:
        SettingsError: it is not a ViT that can be sliced.
        RegistryError: the registry has no such version, or acme did not register it.
    """
    registry = Registry(root)
    version = registry.named(uri)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            state = state_file(version, Path(scratch))
        except RegistryError as error:
            raise RegistryError(
                f"backbone.reference.name: {error}. For a model of your own, give its weights as a "
                "file: backbone.reference.checkpoint"
            ) from None
        try:
            load_backbone(state)
        except (ValueError, RuntimeError):
            raise SettingsError(
                f"backbone.reference.name: {uri} is not a whole ViT (a device's model has lost its "
                "reference header). Try a backbone: models:/acme-backbone-<edge>@champion"
            ) from None
        return adopt("backbone", state)
