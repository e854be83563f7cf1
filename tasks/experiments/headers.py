"""Fig. 7b, 8, 12 and 13b: searched and fixed headers on many backbones, trained alike."""

from __future__ import annotations

from typing import Any

import pandas as pd
import torch
from prefect import task

from models.backbone.config import config_of
from models.backbone.features import extract
from models.backbone.size import parameter_count
from models.backbone.training import scores
from models.header.build import SEARCHED, HeaderConfig
from models.header.search import HeaderSearch, Recipe, Split
from models.header.space import Space, describe
from tasks import settings
from tasks.cloud import load_backbone
from tasks.compute import Machine
from tasks.evaluation import load_header
from tasks.experiments import paper
from tasks.experiments.claims import Claim
from tasks.options import CACHED
from tasks.progress import progress
from tasks.samples import DataInfo, read_split
from tasks.store import WORK, Ref, put_tensors

Row = dict[str, Any]
FOLDER = WORK / "experiments"
OURS = "searched"
UNLIMITED = 10**12


@task(task_run_name="headers at width {width}, depth {depth}", **CACHED)
def headers_at(
    backbone: Ref,
    width: float,
    depth: int,
    public: Ref,
    info: DataInfo,
    recipe: settings.Edge,
    train_samples: int,
    val_samples: int,
    seed: int,
    machine: Machine,
    code: str,
) -> list[Row]:
    """A search on one variant and every fixed header of ``recipe.fixed``, all trained with the
    same data and steps; chosen and scored on public validation data alone."""
    vit = load_backbone(backbone).to(machine.prepare())
    parts = {}
    for split, count in (("train", train_samples), ("val", val_samples)):
        images, labels = read_split(public, split, info)
        parts[split] = Split(extract(vit, images[:count]), labels[:count])
    config = config_of(vit)
    search = HeaderSearch(
        HeaderConfig(
            kind="linear",
            dim=config.dim,
            grid=config.grid,
            classes=config.classes,
            channels=recipe.channels,
            hidden=recipe.hidden,
            repeats=recipe.repeats,
        ),
        Space(recipe.blocks, recipe.operations),
        Recipe(**recipe.model_dump(include=set(Recipe.__dataclass_fields__))),
        UNLIMITED,
        cls_head=(vit.head.weight.detach().cpu(), vit.head.bias.detach().cpu()),
        seed=seed,
    )
    with progress(f"headers at width {width}, depth {depth}") as on_step:
        result = search.run(parts["train"], parts["val"], None, recipe.fixed, on_step)
    of_backbone = parameter_count(vit) - parameter_count(vit.head)
    return [
        {
            "width": width,
            "depth": depth,
            "name": h.name,
            "header": h.config.kind,
            "architecture": describe(h.config.architecture) if h.config.architecture else "",
            "winner": i == result.winner,
            "parameters": h.parameters,
            "total_parameters": of_backbone + h.parameters,
            "flops": h.flops,
            "val_loss": h.val_loss,
            "val_accuracy": h.val_accuracy,
            "state": put_tensors(FOLDER, "header", h.state, h.config.to_dict()),
        }
        for i, h in enumerate(result.trained)
    ]


@task(task_run_name="headers on test data", **CACHED)
def headers_on_test(
    backbone: Ref, headers: list[Row], public: Ref, info: DataInfo, machine: Machine, code: str
) -> list[Row]:
    """The rows with their accuracy on the public test split, after every choice."""
    vit = load_backbone(backbone).to(machine.prepare())
    images, labels = read_split(public, "test", info)
    features = extract(vit, images)
    rows = []
    for header in headers:
        module = load_header(header["state"])
        with torch.no_grad():
            logits = torch.cat([module(chunk) for chunk in features.split(1024)])
        rows.append({**header, "test_accuracy": scores(logits, labels)[1]})
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


def against(frame: pd.DataFrame, other: str, points: pd.DataFrame) -> dict[int, float]:
    """By seed, the mean over ``points`` of what the searched header gains over another."""
    kept = frame.merge(points)
    table = kept.pivot_table(
        index=["seed", "width", "depth"], columns="header", values="test_accuracy"
    )
    gain = (table[OURS] - table[other]).groupby("seed").mean()
    return {int(str(s)): float(v) for s, v in gain.items()}


def points_of(frame: pd.DataFrame, half: str) -> pd.DataFrame:
    """The smaller or the larger half of the backbones, by parameters; ``all`` takes both."""
    linear = frame[frame.header == "linear"]
    sizes = linear.groupby(["width", "depth"])["total_parameters"].mean().reset_index()
    sizes = sizes.sort_values(by=["total_parameters"], ignore_index=True)
    middle = len(sizes) // 2
    parts = {"small": sizes[:middle], "large": sizes[middle:], "all": sizes}
    return parts[half][["width", "depth"]]


def fig7b_claims(frame: pd.DataFrame, prefix: str = "fig7b") -> list[Claim]:
    """Searched against the four headers that the paper plots, and against linear alone."""
    plotted = [k for k in ("linear", "mlp", "cnn-project", "mixer") if k in set(frame.header)]
    whole = frame[frame.width == frame.width.max()]

    def over_mean(half: str) -> dict[int, float]:
        gains = [against(whole, k, points_of(whole, half)) for k in plotted]
        return {s: sum(g[s] for g in gains) / len(gains) for s in gains[0]}

    first = prefix == "fig7b"  # else Fig. 13b, on the second data set
    table = paper.FIG7B if first else paper.FIG13B
    numbers = (0.0902, 0.03, None) if first else (None, None, 0.1443)
    words = "searched header over the mean of linear, MLP, CNN-Project and Mixer"
    claims = [
        Claim(f"{prefix}.small", f"{words}, small backbones", numbers[0], over_mean("small")),
        Claim(f"{prefix}.large", f"{words}, large backbones", numbers[1], over_mean("large")),
        Claim(f"{prefix}.all", f"{words}, all sizes", numbers[2], over_mean("all")),
    ]
    for kind in sorted(set(whole.header) - {OURS}):
        claims.append(
            Claim(
                f"{prefix}.over-{kind}",
                f"searched header over {kind}, all sizes",
                paper.mean_gain(table, kind),
                against(whole, kind, points_of(whole, "all")),
            )
        )
    return claims


def fig8_claims(frame: pd.DataFrame) -> list[Claim]:
    """The grid: searched never loses; CNN beats linear on small backbones, not on large ones."""
    kinds = [k for k in sorted(set(frame.header)) if k in paper.FIG8 and k != OURS]
    claims = [
        Claim(
            f"fig8.over-{kind}-{half}",
            f"searched over {kind}, the {half}er half of the grid",
            paper.halves(OURS, kind)[half],
            against(frame, kind, points_of(frame, half)),
        )
        for kind in kinds
        for half in ("small", "large")
    ]
    for half in ("small", "large"):
        linear = against(frame, "linear", points_of(frame, half))
        cnn = against(frame, "cnn-project", points_of(frame, half))
        claims.append(
            Claim(
                f"fig8.cnn-{half}",
                f"CNN-Project over linear, the {half}er half (paper: better on small backbones, "
                "worse on large ones)",
                paper.halves("cnn-project", "linear")[half],
                {s: linear[s] - cnn[s] for s in linear},
                better="higher" if half == "small" else "lower",
            )
        )
    return claims


def fig12_claims(frame: pd.DataFrame) -> list[Claim]:
    """Larger header spaces help the smallest backbone and hurt the largest."""
    claims = []
    for backbone, better in (("smallest", "higher"), ("largest", "lower")):
        table = frame[frame.backbone == backbone].pivot_table(
            index="seed", columns=["blocks", "repeats"], values="test_accuracy"
        )
        first, last = min(table.columns), max(table.columns)
        gain = table[last] - table[first]
        claims.append(
            Claim(
                f"fig12.{backbone}",
                f"accuracy of B, U = {last} less that of {first} on the {backbone} backbone",
                paper.FIG12[backbone][2][2] - paper.FIG12[backbone][0][0],
                {int(str(s)): float(v) for s, v in gain.items()},
                better=better,  # type: ignore[arg-type]
            )
        )
    return claims
