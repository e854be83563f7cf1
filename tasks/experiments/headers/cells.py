"""Fig. 7b, 8, 12 and 13b: searched and fixed headers on many backbones, trained alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.backbone.features import extract
from models.backbone.size import parameter_count
from models.header.config import SEARCHED, HeaderConfig
from models.header.search import EdgeSearch, evaluate
from models.header.space import describe
from models.header.split import Split
from tasks.data.modality import DataInfo
from tasks.data.samples import read_split
from tasks.report.heldout import test_split
from tasks.run.cached import cached
from tasks.run.compute import Machine
from tasks.run.modules import load_backbone, load_header
from tasks.run.progress import progress
from tasks.run.store import Ref, put_tensors
from tasks.settings import params as settings

Row = dict[str, Any]
UNLIMITED = 10**12


@dataclass(frozen=True)
class Cell:
    """A variant of the grid, and the module that was cut for it."""

    backbone: Ref
    width: float
    depth: int


@dataclass(frozen=True)
class Recipe:
    """How headers are searched and trained, and on how many public samples."""

    search: settings.HeaderSearch
    train_samples: int
    val_samples: int


@cached("headers at width {cell.width}, depth {cell.depth}")
def headers_at(
    cell: Cell, public: Ref, info: DataInfo, recipe: Recipe, seed: int, machine: Machine
) -> list[Row]:
    """A search on one variant and every fixed header of the recipe, all trained with the same data
    and steps; chosen and scored on public validation data alone."""
    vit = load_backbone(cell.backbone).to(machine.prepare())
    parts = {}
    for split, count in (("train", recipe.train_samples), ("val", recipe.val_samples)):
        images, labels = read_split(public, split, info)
        parts[split] = Split.of(extract(vit, images[:count]), labels[:count])
    cls_head = (vit.head.weight.detach().cpu(), vit.head.bias.detach().cpu())
    base = HeaderConfig.linear(vit.config, recipe.search)
    search = EdgeSearch(base, recipe.search, UNLIMITED, cls_head, seed)
    with progress(f"headers at width {cell.width}, depth {cell.depth}") as on_step:
        result = search.run(parts["train"], parts["val"], None, on_step)
    of_backbone = parameter_count(vit) - parameter_count(vit.head)
    return [
        {
            "width": cell.width,
            "depth": cell.depth,
            "name": h.name,
            "header": h.config.kind,
            "architecture": describe(h.config.architecture) if h.config.architecture else "",
            "winner": i == result.winner,
            "parameters": h.parameters,
            "total_parameters": of_backbone + h.parameters,
            "flops": h.flops,
            "val_loss": h.val_loss,
            "val_accuracy": h.val_accuracy,
            "state": put_tensors("header", h.state, h.config.to_dict()),
        }
        for i, h in enumerate(result.trained)
    ]


@cached("headers on test data")
def headers_on_test(
    backbone: Ref, headers: list[Row], public: Ref, info: DataInfo, machine: Machine
) -> list[Row]:
    """The rows with their accuracy on the public test split, after every choice."""
    vit = load_backbone(backbone).to(machine.prepare())
    images, labels = test_split(public, info)
    data = Split.of(extract(vit, images), labels)
    rows = []
    for header in headers:
        module = load_header(header["state"])[0].eval()
        rows.append({**header, "test_accuracy": evaluate(module, data)[1]})
    return rows


def best_searched(rows: list[Row]) -> Row:
    """The searched header that validation prefers; ties: lower loss."""
    searched = [r for r in rows if r["header"] == SEARCHED]
    return min(searched, key=lambda r: (-r["val_accuracy"], r["val_loss"]))


def compared(rows: list[Row]) -> list[Row]:
    """One row a kind: the finalist that validation chose stands for the search."""
    fixed = [r for r in rows if r["header"] != SEARCHED]
    return [
        {k: v for k, v in row.items() if k not in ("state", "name")}
        for row in [best_searched(rows), *fixed]
    ]
