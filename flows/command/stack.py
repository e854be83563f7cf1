"""`acme stack`."""

from __future__ import annotations

import click

from tasks.settings.case import Case


@click.group()
def stack() -> None:
    """The shared servers, as processes of this machine on loopback (docs/stack.md)."""


@stack.command()
@click.option("--base-port", default=24200, show_default=True, help="The first of six ports.")
def up(base_port: int) -> None:
    """Start PostgreSQL, S3, MLflow, Prefect and a worker; the password is ACME_PASSWORD."""
    from tasks.servers.stack import up as start

    start(Case.here().project, base_port)
    print("\nTo use them: . .acme/stack/env")


@stack.command()
@click.option("--delete-data", is_flag=True, help="Also delete the databases.")
def down(delete_data: bool) -> None:
    """Stop them; the databases stay."""
    from tasks.servers.stack import down as stop

    stop(Case.here().project, delete_data)


@stack.command()
def status() -> None:
    """Print the address of each, and whether it is up."""
    from tasks.servers.stack import status as show

    show(Case.here().project)


@stack.command()
def prepare() -> None:
    """Make buckets and queues on servers that the environment names (deploy/compose.yaml does)."""
    from tasks.servers.stack import prepare as make

    make()
