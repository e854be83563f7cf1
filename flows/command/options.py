"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

from tasks.settings.case import SETTINGS

params_option = click.option(
    "--params",
    type=click.Path(path_type=Path),
    default=Path(SETTINGS),
    show_default=True,
    help="The settings file.",
)
