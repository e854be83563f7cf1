"""The report page: one self-contained HTML file, nothing fetched from a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from tasks.links.records import Match, Mixing, Search
from tasks.report import figures
from tasks.report.summary import table
from tasks.run.cached import retried
from tasks.run.files import atomic_write

TEMPLATE = Path(__file__).parent / "templates/report.html"
Row = dict[str, Any]


@retried("write the report")
def write_report(
    path: Path,
    summary: Mapping[str, Any],
    variants: Sequence[Row],
    matches: Sequence[Match],
    searches: Sequence[Search],
    headers: Sequence[Row],
    mixings: Sequence[Mixing],
    devices: Sequence[Row],
    header_budget: int,
) -> None:
    """Write the page: fleet, fronts, headers, similarity, accuracy before and after, links."""
    from jinja2 import Environment

    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        TEMPLATE.read_text()
    )
    html = page.render(
        summary=summary,
        started=datetime.fromisoformat(summary["run"]["started"]).strftime("%Y-%m-%d %H:%M UTC"),
        fleet=table(summary),
        accuracy=figures.accuracy(devices),
        links=figures.links(summary["link"]),
        clusters=[
            {
                "edge": match.edge,
                "match": match,
                "front": figures.front(match, variants, header_budget),
                "dag": figures.dag(search.headers[search.winner]),
                "similarity": figures.similarity(mixing),
                "headers": [h for h in headers if h["edge"] == match.edge],
                "search_space": search.search_space,
            }
            for match, search, mixing in zip(matches, searches, mixings, strict=True)
        ],
    )
    atomic_write(path, html.encode())
