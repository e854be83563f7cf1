"""The report page: one self-contained HTML file, nothing fetched from a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import mean
from typing import Any

from tasks.data.dataset import ALL
from tasks.links.records import Match, Mixing, Search
from tasks.report import figures, limits, overview
from tasks.report.classes import class_rows, mistakes, together
from tasks.report.columns import Column, between, counted, points, shown
from tasks.report.receipts import shown_receipts
from tasks.run.cached import retried
from tasks.run.files import atomic_write
from tasks.settings.case import Case
from tasks.settings.params import Matching

TEMPLATES = Path(__file__).parent / "templates"
PICTURED = 12
"""Edges whose pictures the page holds, the worst ones; of the others it holds the tables."""
CLASSES = 12
"""Classes that a device's table lists, the worst ones."""
Row = Mapping[str, Any]
ON_SPLITS = "mean accuracy on the devices' test splits"
ACCURACIES = (
    (
        f"{ON_SPLITS}, the reference told each device's classes",
        "accuracy_refined_mean",
        "accuracy_reference_own_classes_mean",
    ),
    (
        "the same, both told",
        "accuracy_refined_own_classes_mean",
        "accuracy_reference_own_classes_mean",
    ),
    (
        "the same, the reference not told (not on like terms)",
        "accuracy_refined_mean",
        "accuracy_reference_mean",
    ),
    (
        "worst device of each, the reference told its classes",
        "accuracy_refined_worst",
        "accuracy_reference_own_classes_worst",
    ),
)
"""Rows of the totals: what is compared, the fleet's figure, the reference's."""


@dataclass(frozen=True)
class Page:
    """What the page shows: the run's summary, and beside it the rows and records it came from
    (one match, search and mixing a cluster, in the fleet's order)."""

    summary: Mapping[str, Any]
    variants: Sequence[Row]
    headers: Sequence[Row]
    matches: Sequence[Match]
    searches: Sequence[Search]
    mixings: Sequence[Mixing]
    matching: Matching


@retried("write the report")
def write_report(case: Case, page: Page) -> None:
    """Write the page: fleet, accuracies, totals, classes, each edge's choices, links."""
    atomic_write(case.report, render(case.name, case.command("ui"), page).encode())


def render(case: str | None, browse: str, page: Page) -> str:
    """The page of a case as HTML; ``browse`` is the command that shows all candidates."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    summary = page.summary
    devices = summary["devices"]
    groups, columns = overview.edges_worst_first(devices), shown(devices, "report")
    confused = together(d["confusion"] for d in devices)
    return environment.get_template("report.html").render(
        case=case,
        browse=browse,
        summary=summary,
        started=datetime.fromisoformat(summary["run"]["started"]).strftime("%Y-%m-%d %H:%M UTC"),
        columns=columns,
        between=between,
        points=points,
        worst=min(devices, key=lambda d: d["accuracy_refined"]),
        latency=mean(d["latency_s"] for d in devices),
        accuracies=ACCURACIES,
        too_large=sum(d["storage_limit"] < summary["reference"]["parameters"] for d in devices),
        groups=[group(edge, own, columns) for edge, own in groups],
        few=overview.FEW,
        lines=overview.LINES,
        accuracy=overview.accuracy(devices),
        contexts=contexts(summary),
        receipts=shown_receipts(devices),
        exchange=summary.get("exchange"),
        classes=class_rows(confused),
        taken_for=overview.taken_for(confused),
        listed=CLASSES,
        pictured=PICTURED,
        links=overview.links(summary["link"]),
        variants=refitted(page),
        clusters=clusters(page, [edge for edge, _ in groups]),
    )


def refitted(page: Page) -> list[dict[str, Any]]:
    """The variants that were chosen among, where headers were fitted to them, and which edges got
    which; smallest first."""
    rows = [
        {**row, "edges": [m.edge for m in page.matches if m.chosen == at]}
        for at, row in enumerate(page.variants)
        if "refit_accuracy" in row
    ]
    return sorted(rows, key=lambda row: row["parameters"])


def contexts(summary: Row) -> list[dict[str, Any]]:
    """What became of the devices of each context, by how it is called."""
    rows = []
    for name, spread in summary["by_context"].items():
        own = [d["confusion"] for d in summary["devices"] if d["context"] == name]
        rows.append({**spread, "name": name, "mistakes": mistakes(together(own), 1)})
    return rows


def group(edge: str, devices: Sequence[Row], columns: Sequence[Column]) -> dict[str, Any]:
    """The devices of an edge, as the tables of the fleet and of classes show them."""
    return {
        "edge": edge,
        "mean": mean(d["accuracy_refined"] for d in devices),
        "first": devices[0],
        "rows": [
            {
                "device": d["device"],
                "context": "" if d["context"] == ALL else d["context"],
                "cells": [{"text": c.text(d), "key": c.key(d)} for c in columns],
                "right": sum(row.get(label, 0) for label, row in d["confusion"].items()),
                "samples": d["test_samples"],
                "classes": class_rows(d["confusion"]),
                "mistakes": mistakes(d["confusion"]),
            }
            for d in devices
        ],
    }


def clusters(page: Page, edges: Sequence[str]) -> list[dict[str, Any]]:
    """The parts of the page that are about one edge each, in the order of ``edges``."""
    records = {
        found[0].edge: found
        for found in zip(page.matches, page.searches, page.mixings, strict=True)
    }
    return [cluster(page, *records[edge], at < PICTURED) for at, edge in enumerate(edges)]


def cluster(
    page: Page, match: Match, search: Search, mixing: Mixing, pictured: bool
) -> dict[str, Any]:
    """One cluster's part of the page; its pictures where it is ``pictured``."""
    devices = [d for d in page.summary["devices"] if d["cluster"] == match.edge]
    return {
        "edge": match.edge,
        "match": match,
        "steps": limits.steps(match, search, page.variants, devices, page.matching),
        "choice": limits.choice(match, page.variants, page.matching),
        "unused": limits.half_unused(
            devices, match, counted(match, page.variants)[match.chosen], page.matching
        ),
        "headers": [h for h in page.headers if h["edge"] == match.edge],
        "searched": bool(search.sampled),
        "search_space": search.search_space,
        "pictures": pictures(page, match, search, mixing) if pictured else None,
    }


def pictures(page: Page, match: Match, search: Search, mixing: Mixing) -> dict[str, str]:
    """What was to choose from, who listens to whom, and the found header."""
    return {
        "front": figures.front(match, page.variants, page.matching.header_budget),
        "similarity": figures.similarity(mixing),
        "dag": figures.dag(match.edge, search.headers[search.winner]),
    }
