"""Training a header together with its backbone: Sec. III-C as printed, where nothing is frozen."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbone.batches import device_of
from models.backbone.family import Backbone
from models.backbone.features import FeatureExtractor, Headed
from models.header.recipe import JointTraining
from models.progress import OnStep, ignore
from models.training import Loop, train


def train_jointly(
    vit: Backbone,
    header: nn.Module,
    data: tuple[Tensor, Tensor],
    recipe: JointTraining,
    generator: torch.Generator,
    on_step: OnStep = ignore,
) -> None:
    """Train both in place on standardised images ``(n, c, h, w)`` and labels ``(n,)``: AdamW with a
    cosine rate. The few shared samples move no batch norm's statistics."""
    (images, labels), place = data, device_of(vit)
    model = Headed(FeatureExtractor(vit), header.to(place))

    def losses(chosen: Tensor) -> Iterator[Tensor]:
        yield F.cross_entropy(model(images[chosen].to(place)), labels[chosen].to(place))

    steps, rate = recipe.unfreeze_steps, recipe.unfreeze_lr
    loop = Loop(steps, recipe.batch_size, rate, fixed_statistics=True)
    train(model, losses, len(labels), loop, generator, on_step)
