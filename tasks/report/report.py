"""The report page: one self-contained HTML file, nothing fetched from a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from tasks.links.records import Match, Mixing, Search
from tasks.report import figures
from tasks.report.summary import table
from tasks.run.cached import retried
from tasks.run.files import atomic_write
from tasks.settings.case import Case

TEMPLATE = Path(__file__).parent / "templates/report.html"
Row = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """What the page shows: the run's summary, and beside it the rows and records it came from
    (one match, search and mixing a cluster, in the fleet's order)."""

    summary: Mapping[str, Any]
    variants: Sequence[Row]
    headers: Sequence[Row]
    devices: Sequence[Row]
    matches: Sequence[Match]
    searches: Sequence[Search]
    mixings: Sequence[Mixing]
    header_budget: int


@retried("write the report")
def write_report(case: Case, page: Page) -> None:
    """Write the page: fleet, fronts, headers, similarity, accuracy before and after, links."""
    from jinja2 import Environment

    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text()
    )
    started = datetime.fromisoformat(page.summary["run"]["started"])
    html = template.render(
        case=case.name,
        browse=case.command("ui"),
        summary=page.summary,
        started=started.strftime("%Y-%m-%d %H:%M UTC"),
        fleet=table(page.summary),
        accuracy=figures.accuracy(page.devices),
        links=figures.links(page.summary["link"]),
        clusters=[
            cluster(page, *found)
            for found in zip(page.matches, page.searches, page.mixings, strict=True)
        ],
    )
    atomic_write(case.report, html.encode())


def cluster(page: Page, match: Match, search: Search, mixing: Mixing) -> dict[str, Any]:
    """One cluster's part of the page."""
    return {
        "edge": match.edge,
        "match": match,
        "front": figures.front(match, page.variants, page.header_budget),
        "dag": figures.dag(search.headers[search.winner]),
        "similarity": figures.similarity(mixing),
        "headers": [h for h in page.headers if h["edge"] == match.edge],
        "search_space": search.search_space,
    }
