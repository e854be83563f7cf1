"""Ratios of doing work once against doing it again and again, on more than is read, or on threads
that wait for each other, measured in one run.

python benchmarks/shared_work.py
"""

from __future__ import annotations

import copy
import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # see tasks.servers.services

import time
from collections.abc import Callable
from statistics import median

import torch

from models.backbone import scoring, slicing, training
from models.backbone.batches import in_batches
from models.backbone.config import build
from models.backbone.elastic import Grid
from models.backbone.families.bert import BertConfig
from models.backbone.families.vit import ViTConfig
from models.header.build import HeaderConfig, build_header
from models.header.kinds import seen_by
from models.header.space import Space
from models.refinement.recipe import LocalTraining
from models.refinement.training import DeviceData, LocalSteps, fit_devices

CONFIG = ViTConfig(
    image_size=28,
    patch_size=7,
    channels=1,
    classes=10,
    dim=64,
    depth=6,
    heads=4,
    head_dim=16,
    mlp_hidden=128,
)
WIDTHS, DEPTHS = (0.25, 0.5, 0.75, 1.0), (2, 3, 4, 5, 6)
REPEATS = 5


def ratio(name: str, slow: Callable[[], object], fast: Callable[[], object]) -> None:
    """Print the median of paired ratios, slow over fast."""
    slow(), fast()
    ratios = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        slow()
        middle = time.perf_counter()
        fast()
        ratios.append((middle - start) / (time.perf_counter() - middle))
    print(f"{name}: {median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})")


def passes() -> None:
    """Texts through an encoder: each operation on all threads against a batch on each."""
    sizes = {"dim": 384, "depth": 6, "heads": 12, "head_dim": 32, "mlp_hidden": 1536}
    bert = build(BertConfig(classes=12, vocabulary=30_522, length=32, **sizes)).eval()
    texts = torch.randint(1, 30_000, (512, 32))

    @torch.no_grad()
    def in_turn() -> None:
        for batch in texts.split(256):
            bert(batch)

    def side_by_side() -> None:
        in_batches(bert, bert, texts)

    ratio("encoding texts, an operation / a batch on each thread", in_turn, side_by_side)


def grid() -> None:
    """20 variants one by one against one forward pass a width."""
    vit, images, labels = build(CONFIG), torch.randn(1000, 1, 28, 28), torch.randint(10, (1000,))

    def one_by_one() -> None:
        for width in WIDTHS:
            for depth in DEPTHS:
                training.evaluate(slicing.slice_variant(vit, width, depth), images, labels)

    def shared() -> None:
        scoring.score_grid(vit, (images, labels), Grid(WIDTHS, DEPTHS, "first"))

    ratio("scoring the grid, variant by variant / a pass a width", one_by_one, shared)


def tokens() -> None:
    """A linear header of a device with virtual samples: on all tokens against what it reads."""
    config = HeaderConfig("linear", 384, (31,), 12, 24, 64)
    mask = torch.ones(600, 32, dtype=torch.bool)
    data = DeviceData(torch.randn(600, 2, 32, 384), torch.randint(12, (600,)), mask)

    def fit(of: DeviceData) -> None:
        steps = LocalSteps(60, LocalTraining(batch_size=32, lr=1e-3, weight_decay=0.01))
        fit_devices([build_header(config) for _ in range(3)], [of] * 3, steps, [0, 1, 2])

    seen = seen_by(config, data)
    ratio("training linear headers, on all / what they read", lambda: fit(data), lambda: fit(seen))


def devices() -> None:
    """Four devices one by one against one vectorised step."""
    architecture = Space(2).sample(torch.Generator().manual_seed(0))
    config = HeaderConfig("searched", 64, (4, 4), 10, 24, 64, 1, architecture)
    headers = [build_header(config, seed) for seed in range(4)]
    data = [DeviceData(torch.randn(300, 2, 17, 64), torch.randint(10, (300,))) for _ in range(4)]

    def fit(batched: bool) -> None:
        fit_devices(
            copy.deepcopy(headers),
            data,
            LocalSteps(20, LocalTraining(batch_size=32, lr=1e-3, weight_decay=0.01)),
            [0, 1, 2, 3],
            batched=batched,
        )

    ratio("training 4 devices, one by one / batched", lambda: fit(False), lambda: fit(True))


if __name__ == "__main__":
    torch.set_num_threads(2)
    passes()
    grid()
    tokens()
    devices()
