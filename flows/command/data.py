"""`acme data`."""

from __future__ import annotations

from pathlib import Path

import click

from flows.command.options import params_option


@click.group()
def data() -> None:
    """The raw data and its pin, data.dvc."""


@data.command()
@click.option("--strict", is_flag=True, help="Refuse data of a place that has moved on.")
@params_option
def fetch(strict: bool, params: Path) -> None:
    """Fetch the raw data that are missing, and check all of them against data.dvc."""
    from flows.command.run import fetch_data

    fetch_data(params, strict)


@data.command()
@params_option
def verify(params: Path) -> None:
    """Check the raw data against data.dvc; name each file that differs."""
    from flows.command.run import verify_data

    verify_data(params)


@data.command()
@params_option
def pin(params: Path) -> None:
    """Accept the raw data as it lies now: write its checksums and data.dvc."""
    from flows.command.run import pin_data

    pin_data(params)
