"""The report page: one self-contained HTML file, nothing fetched from a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from prefect import task

from tasks import figures
from tasks.options import RETRIED
from tasks.records import Match, Mixing, Search
from tasks.store import atomic_write
from tasks.summary import table

TEMPLATE = Path(__file__).parent / "templates/report.html"
Row = dict[str, Any]


@task(task_run_name="write the report", **RETRIED)
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
