"""The commands about a device's champion in the registry."""

from __future__ import annotations

from pathlib import Path

import click

from flows.command.options import params_option
from tasks.delivery.formats import FORMATS
from tasks.settings.case import Case


@click.command()
@click.argument("devices", metavar="[DEVICE]...", nargs=-1)
@click.option("--force", is_flag=True, help="Whatever the scores say; a limit is kept.")
@params_option
def promote(devices: tuple[str, ...], force: bool, params: Path) -> None:
    """Make challengers champions where they fit and are not worse; all of them, or DEVICEs'."""
    from flows.command.promotion import promote_fleet
    from tasks.servers.services import use_registry

    use_registry(Case.here())
    promote_fleet(params, devices, force)


@click.command()
@click.argument("device", metavar="DEVICE")
@params_option
def rollback(device: str, params: Path) -> None:
    """Make the champion before the present one champion again."""
    from flows.command.promotion import roll_back
    from tasks.servers.services import use_registry

    use_registry(Case.here())
    roll_back(params, device)


@click.command()
@click.argument("device", metavar="DEVICE")
@click.option("--format", "name", type=click.Choice(FORMATS), default="onnx", show_default=True)
@click.option("--int8", is_flag=True, help="Quantise dynamically (onnx); measures what it costs.")
@click.option("--out", type=click.Path(path_type=Path), help="A folder; artifacts/export/...")
@params_option
def export(device: str, name: str, int8: bool, out: Path | None, params: Path) -> None:
    """Write the folder that a device needs to run its champion."""
    from flows.command.delivery import export_device
    from tasks.servers.services import use_registry

    use_registry(Case.here())
    export_device(device, name, int8, out, params)


@click.command()
@click.argument("device", metavar="DEVICE")
@click.option("--port", default=5001, show_default=True)
@params_option
def serve(device: str, port: int, params: Path) -> None:
    """Answer HTTP requests with a device's champion (MLflow's server) until Ctrl-C."""
    from flows.command.delivery import serve_device
    from tasks.servers.services import use_registry

    use_registry(Case.here())
    serve_device(device, port, params)
