"""Customize a Vision Transformer with `models/` alone: no fleet, no server, no settings file.

One timm ViT goes through the steps that the paper spreads over cloud, edge and device:

    rank heads and neurons -> make elastic -> score the grid -> Pareto front -> cut -> header

From the project's folder, half a minute on a processor's core:

    python examples/customize_a_vit.py
    python examples/customize_a_vit.py --limit 120000    # a device with more room
    python examples/customize_a_vit.py --weights vit.pth # a state_dict of the ViT in `reference`
"""

from __future__ import annotations

import argparse
from pathlib import Path

import timm
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from models.backbone.distillation import Distillation, distill
from models.backbone.elastic import Grid, reorder
from models.backbone.families.from_timm import adopt
from models.backbone.family import Backbone
from models.backbone.features import extract
from models.backbone.importance import importance
from models.backbone.scoring import score_grid
from models.backbone.size import parameter_count
from models.backbone.slicing import slice_variant
from models.backbone.training import Examples, Training, evaluate, fit
from models.customized import customized
from models.header.build import restore
from models.header.config import HeaderConfig
from models.header.operations import OPERATIONS
from models.header.recipe import HeaderSearch
from models.header.search import EdgeSearch, TrainedHeader
from models.header.space import describe
from models.header.split import Split
from models.matching.candidates import Candidate
from models.matching.energy import DeviceProfile, modelled_energy_joule
from models.matching.recipe import Choice, EnergyConstants
from models.matching.selection import Selection, select
from models.standardise import Standardise

Data = dict[str, tuple[Tensor, Tensor]]
"""Pixels ``(n, 1, 8, 8)`` and labels ``(n,)`` by split."""
MEAN, STD = 0.3, 0.35  # of the pixels, which lie in 0..1


def digits() -> Data:
    """scikit-learn's digits. Weights come from train, choices from val; test is read once."""
    found = load_digits()
    pixels = torch.tensor(found.images[:, None] / 16, dtype=torch.float32)
    parts = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    names = ("train", "val", "test")
    labels = torch.tensor(found.target)
    return {
        name: (pixels[part], labels[part])
        for name, part in zip(names, parts.split([1000, 397, 400]), strict=True)
    }


def reference(data: Data, weights: Path | None, generator: torch.Generator) -> Backbone:
    """The large model. Most of timm's VisionTransformers will do (docs/backbones.md), and
    `pretrained=True`; `adopt` takes it over with its weights. The digits need only this one."""
    timm_vit = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=8,
        patch_size=4,
        in_chans=1,
        num_classes=10,
        embed_dim=48,
        depth=4,
        num_heads=4,
        weight_init="moco",
    )
    vit = adopt(timm_vit)
    if weights is None:
        recipe = Training(20, 64, lr=3e-3, weight_decay=0.05)
        fit(vit, Examples(*data["train"]), recipe, generator)  # digits have a left and a right
    else:
        vit.load_state_dict(torch.load(weights, weights_only=True))
    return vit


def make_elastic(vit: Backbone, data: Data, grid: Grid, generator: torch.Generator) -> Backbone:
    """A copy of which every narrower or shallower ViT is a part.

    Importance (Eq. 8) says what the loss would lose without a head or a neuron. Sorted by it once,
    each layer's narrower versions are prefixes of its weights, and the full model teaches them all
    at once (Eq. 9).
    """
    ranked = importance(vit, *data["train"])
    print("importance of each layer's heads:")
    for layer, heads in enumerate(ranked["heads"]):
        print(f"  layer {layer}  " + "  ".join(f"{value:.3f}" for value in heads))
    elastic = reorder(vit, ranked)
    recipe = Distillation(
        width_steps=20,
        depth_steps=120,
        batch_size=64,
        lr=2e-3,
        logits_weight=0.5,
        embeddings_weight=0.1,
        hidden_weight=0.1,
        label_weight=1.0,
    )
    distill(elastic, Examples(*data["train"]), grid, recipe, generator)
    return elastic


def scored(elastic: Backbone, data: Data, grid: Grid) -> list[Candidate]:
    """Every variant with what it is chosen by: validation loss, modelled energy, size (Eq. 10)."""
    device = DeviceProfile(gpu_capacity_watt=5.0, base_latency_s=2.0)
    constants = EnergyConstants(power_growth=0.1, batch_power=0.001, latency_growth=0.3, epochs=10)
    patches = elastic.config.positions
    return [
        Candidate(
            score.width,
            score.depth,
            score.loss,
            score.accuracy,
            parameter_count(slice_variant(elastic, score.width, score.depth)),
            modelled_energy_joule(device, constants, score.width, score.depth, patches),
        )
        for score in score_grid(elastic, data["val"], grid)
    ]


def print_front(candidates: list[Candidate], choice: Selection) -> None:
    """A row a variant, and what became of it."""
    print(f"\n{'width':>6} {'depth':>6} {'parameters':>11} {'joule':>6} {'val accuracy':>13}")
    for i, c in enumerate(candidates):
        fate = "front" if i in choice.front else "" if i in choice.fitting else "too large"
        fate = "chosen" if i == choice.chosen else fate
        print(
            f"{c.width:6.2f} {c.depth:6d} {c.parameters:11,} {c.energy_joule:6.0f} "
            f"{c.accuracy:13.3f}  {fate}"
        )


def search_header(backbone: Backbone, data: Data, budget: int, seed: int) -> TrainedHeader:
    """The best of a searched header (Eq. 14-15) and two fixed ones that `budget` parameters allow,
    each trained on features that the backbone computes once."""
    features = {name: Split.of(extract(backbone, x), y) for name, (x, y) in data.items()}
    recipe = HeaderSearch(
        blocks=2,
        repeats=1,
        operations=tuple(OPERATIONS),
        channels=12,
        hidden=24,
        fixed=("mlp",),
        epochs=5,
        weight_steps=10,
        controller_steps=3,
        children=2,
        finalists=1,
        retrain_steps=150,
        batch_size=64,
        lr=3e-3,
        controller_lr=3e-3,
    )
    base = HeaderConfig.linear(backbone.config, recipe)
    cloud_s = backbone.head.weight.detach(), backbone.head.bias.detach()
    search = EdgeSearch(base, recipe, budget, cloud_s, seed)
    found = search.run(features["train"], features["val"], None)
    print(f"\n{'header':>11} {'parameters':>11} {'val accuracy':>13}")
    for i, row in enumerate(found.trained):
        fate = "chosen" if i == found.winner else ""
        print(f"{row.name:>11} {row.parameters:11,} {row.val_accuracy:13.3f}  {fate}")
        if row.config.architecture:
            print(f"{'':11} {describe(row.config.architecture)}")
    return found.trained[found.winner]


def main(limit: int, weights: Path | None = None, seed: int = 0) -> float:
    """Customize for a device of at most `limit` parameters; the test accuracy of what it gets."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    raw = digits()
    data = {name: ((pixels - MEAN) / STD, labels) for name, (pixels, labels) in raw.items()}
    grid = Grid(widths=(0.25, 0.5, 0.75, 1.0), depths=(1, 2, 3, 4), depth_strategy="first")

    # the cloud's part
    vit = reference(data, weights, generator)
    accuracy = evaluate(vit, *data["val"])[1]
    print(f"reference: {parameter_count(vit):,} parameters, val accuracy {accuracy:.3f}")
    elastic = make_elastic(vit, data, grid, generator)
    candidates = scored(elastic, data, grid)
    for_header = limit // 4
    choice = select(candidates, limit - for_header, Choice("pareto", 0.1))  # Eq. 11-13
    print_front(candidates, choice)

    # what the edge gets is a smaller timm ViT: nothing is masked, what was cut is gone
    chosen = candidates[choice.chosen]
    backbone = slice_variant(elastic, chosen.width, chosen.depth)

    # the edge's part, and one module from pixels to logits as the device gets it
    winner = search_header(backbone, data, limit - chosen.parameters, seed)
    model = customized(backbone, restore(winner.config, winner.state), Standardise([MEAN], [STD]))
    accuracy = evaluate(model, *raw["test"])[1]
    print(f"\ncustomized: {parameter_count(model):,} of {limit:,} parameters", end="")
    print(f", test accuracy {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Customize a Vision Transformer for a device.")
    parser.add_argument("--limit", type=int, default=60_000, help="parameters that fit the device")
    parser.add_argument("--weights", type=Path, help="a state_dict of the ViT in `reference`")
    options = parser.parse_args()
    main(options.limit, options.weights)
