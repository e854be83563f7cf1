"""Training a header together with its backbone: Sec. III-C as printed, where nothing is frozen."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbone.config import ViT
from models.backbone.features import FeatureExtractor
from models.backbone.training import device_of
from models.header.recipe import JointTraining
from models.progress import OnStep, ignore
from models.training import endless


def train_jointly(
    vit: ViT,
    header: nn.Module,
    data: tuple[Tensor, Tensor],
    recipe: JointTraining,
    generator: torch.Generator,
    on_step: OnStep = ignore,
) -> None:
    """Train both in place on standardised images ``(n, c, h, w)`` and labels ``(n,)``: AdamW with a
    cosine rate."""
    (images, labels), steps = data, recipe.unfreeze_steps
    model, place = nn.Sequential(FeatureExtractor(vit), header), device_of(vit)
    header.to(place)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.unfreeze_lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    source = endless(len(labels), recipe.batch_size, generator)
    model.train()
    for step in range(steps):
        chosen = next(source)
        loss = F.cross_entropy(model(images[chosen].to(place)), labels[chosen].to(place))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        on_step(step + 1, steps, {"loss": loss.item()})
    model.eval()
