"""The model path of ``acme evaluate --scale paper`` at ViT-B/16's size, on a handful of images:
what each step takes and how much memory. Weights are random unless --pretrained fetches them.

python benchmarks/paper_scale.py
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # see tasks.servers.services

import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch

from models.backbone import elastic, importance, scoring, slicing
from models.backbone.elastic import Grid
from models.backbone.features import extract
from models.backbone.size import parameter_count
from models.customized import customized
from models.header.build import restore
from models.header.config import HeaderConfig
from models.header.recipe import HeaderSearch
from models.header.search import EdgeSearch, TrainedHeader
from models.header.split import Split
from models.standardise import Standardise
from tasks.cloud.reference import reference_model
from tasks.data.modality import ImageInfo
from tasks.experiments.scale import load_scale, settings_of
from tasks.run.files import atomic_write
from tasks.run.store import encode, read_tensors

IMAGES, WIDTH, DEPTH = 8, 0.25, 3
SCRATCH = {
    "fixed": (),
    "epochs": 1,
    "weight_steps": 2,
    "controller_steps": 2,
    "children": 1,
    "finalists": 1,
    "retrain_steps": 4,
    "batch_size": 4,
}
Result = TypeVar("Result")


def timed(step: str, work: Callable[[], Result]) -> Result:
    """Do one step and print its line; memory is the process's largest so far."""
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{step:<44} {seconds:8.1f} s {peak_mib:8.0f} MiB", flush=True)
    return result


def main(pretrained: bool) -> None:
    """Every step once."""
    torch.manual_seed(0)
    settings = settings_of(load_scale("paper", Path("evaluation")), 0, Path("params.yaml"))
    spec, data = settings.backbone, settings.data
    names = tuple(map(str, range(100)))
    info = ImageInfo(data.source, names, data.image_size, 3, (0.5,) * 3, (0.25,) * 3)
    images = torch.rand(IMAGES, 3, data.image_size, data.image_size)
    labels = torch.arange(IMAGES) * 12
    named = spec.reference.model_copy(update={"pretrained": pretrained})
    print(f"{named.name}, {IMAGES} images of {data.image_size} pixels; peak memory so far")

    vit = timed("reference model", lambda: reference_model(named, info, 0))
    print(f"  {parameter_count(vit):,} parameters")
    scores = timed(
        "importance of heads and neurons", lambda: importance.importance(vit, images, labels)
    )
    ranked = timed("reorder by importance", lambda: elastic.reorder(vit, scores))
    small = timed(
        f"slice width {WIDTH}, depth {DEPTH}", lambda: slicing.slice_variant(ranked, WIDTH, DEPTH)
    )
    print(f"  {parameter_count(small):,} parameters")
    [score] = timed(
        "score that variant by the grid's pass",
        lambda: scoring.score_grid(ranked, (images, labels), Grid((WIDTH,), (DEPTH,), "first")),
    )
    print(f"  loss {score.loss:.3f}")
    features = timed("features of its last two layers", lambda: extract(small, images))
    recipe = replace(settings.edge.part(HeaderSearch), **SCRATCH)
    search = EdgeSearch(HeaderConfig.linear(small.config, recipe), recipe, 10**9, None, 0)
    split = Split.of(features, labels)
    found = timed("search and train a header", lambda: search.run(split, split, None))
    winner = found.trained[found.winner]
    print(f"  {winner.name}, {winner.parameters:,} parameters")
    header = timed("rebuild it", lambda: _header(winner))
    model = customized(small, header, Standardise(info.mean, info.std))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        timed("export", lambda: atomic_write(file, encode(model.state_dict())))
        again, _ = read_tensors(file)
        same = all(torch.equal(again[k], v) for k, v in model.state_dict().items())
        print(
            f"  {file.stat().st_size / 1e6:.0f} MB, read back {'the same' if same else 'ALTERED'}"
        )
    with torch.no_grad():
        print(f"  logits {tuple(model(images).shape)}")


def _header(trained: TrainedHeader) -> torch.nn.Module:
    return restore(trained.config, trained.state)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pretrained", action="store_true", help="fetch hub weights")
    main(parser.parse_args().pretrained)
