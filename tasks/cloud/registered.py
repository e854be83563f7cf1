"""A registered MLflow model as the reference that the cloud starts from."""

from __future__ import annotations

import tempfile
from pathlib import Path

from models.backbone.config import config_from
from tasks.run.cached import retried
from tasks.run.errors import SettingsError
from tasks.run.store import Ref, adopt, put_tensors, read_tensors
from tasks.tracking.registry import MODELS, Registry, Version


def is_registered(name: str | None) -> bool:
    """Whether a reference's name is one of the registry's, e.g. ``models:/my-vit@champion``."""
    return bool(name and name.startswith(MODELS))


@retried("cloud: bring {uri}")
def bring(uri: str, root: Path) -> Ref:
    """A registered model's state with its configuration, as one file named by its content, so that
    an alias that moves is a new input of what is cached.

    It may be a cluster's backbone of ours, or any timm ViT that MLflow can load as a module.

    Raises:
        SettingsError: it is not a ViT that can be sliced.
        RegistryError: the registry has no such version.
    """
    registry = Registry(root)
    version = registry.named(uri)
    with tempfile.TemporaryDirectory() as scratch:
        state = registry.state_file(version, Path(scratch))
        if state is None:
            return _from_module(registry, version, uri)
        _, config = read_tensors(state)
        try:
            config_from(config)
        except ValueError:
            raise SettingsError(
                f"backbone.reference.name: {uri} is not a whole ViT (a device's model has lost its "
                "reference header). Try a backbone: models:/acme-backbone-<edge>@champion"
            ) from None
        return adopt("backbone", state)


def _from_module(registry: Registry, version: Version, uri: str) -> Ref:
    from models.backbone.families.from_timm import adopt

    try:
        vit = adopt(registry.load(version))
    except (AttributeError, TypeError, ValueError) as error:
        raise SettingsError(
            f"backbone.reference.name: {uri} is no timm ViT that can be sliced ({error}). Log it "
            "with mlflow.pytorch.log_model(vit, serialization_format='pickle')"
        ) from None
    return put_tensors("backbone", vit.state_dict(), vit.config.to_dict())
