"""The command line. Heavy imports happen inside the commands: ``acme --help`` is instant."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

import click

from flows.command.answer import answer
from flows.command.champions import export, promote, rollback, serve
from flows.command.data import data
from flows.command.options import params_option
from flows.command.stack import stack
from tasks.experiments.registry import SCALES
from tasks.run.errors import SettingsError
from tasks.run.words import counted
from tasks.settings.case import Case
from tasks.settings.sources import SOURCES
from tasks.settings.stages import STAGES


@click.group(context_settings={"max_content_width": 100})
@click.version_option(package_name="acme-customization")
@click.option("--case", "name", metavar="NAME", help="Work in cases/NAME, as if called there.")
@click.pass_context
def cli(context: click.Context, name: str | None) -> None:
    """Give every device of a fleet its own model, cut from one large Transformer."""
    if name and context.invoked_subcommand == "init":
        enter_new(name, context)
    elif name:
        os.chdir(Case.here().existing(name).folder)


def enter_new(name: str, context: click.Context) -> None:
    """Make a case's folder, and the working folder of it: relative paths, DVC and the pin are the
    case's. If the command leaves nothing in it, it is gone again.

    Raises:
        SettingsError: there cannot be such a case.
    """
    here = Case.here()
    if not (here.project / ".dvc").is_dir():
        raise SettingsError(f"{here.project} is no DVC project. Try: git init && dvc init")
    folder = here.sibling(name).folder
    made = [place for place in (folder, folder.parent) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)

    @context.call_on_close
    def _remove_if_empty() -> None:
        for place in made:
            if not any(place.iterdir()):
                os.chdir(here.project)
                place.rmdir()


def before_loading() -> None:
    """The variables that torch and numpy read once, when they are loaded."""
    from tasks.servers.services import use_environment

    use_environment(Case.here())


@cli.command()
@params_option
def run(params: Path) -> None:
    """Fetch the data, run every stage that is out of date, print the fleet table."""
    before_loading()
    from flows.command.run import run_all

    run_all(params)


@cli.command()
@click.option(
    "--only", multiple=True, metavar="NAME", help="Experiments, e.g. fig9,fig10; repeatable."
)
@click.option("--seeds", type=click.IntRange(1), help="How many seeds, instead of the scale's.")
@click.option(
    "--scale",
    type=click.Choice(SCALES),
    default="quick",
    show_default=True,
    help="Sizes: evaluation/<scale>.yaml.",
)
@params_option
def evaluate(only: tuple[str, ...], seeds: int | None, scale: str, params: Path) -> None:
    """Run the paper's experiments and judge its claims; goes on where it was stopped."""
    before_loading()
    from flows.command.evaluation import evaluate_paper

    evaluate_paper(only, scale, seeds, params)


@cli.command()
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path),
    help="What acme evaluate --scale default left; artifacts/evaluation.",
)
def results(folder: Path | None) -> None:
    """Write docs/results.md and the tables of other pages from an evaluation."""
    from tasks.experiments.document import publish_page
    from tasks.settings.case import Case

    left = publish_page(folder or Case.here().evaluation)
    print("docs/results.md is written" + (f"; unchanged: {', '.join(left)}" if left else ""))


@cli.command()
@click.argument("name", metavar="NAME", type=click.Choice(STAGES))
@params_option
def stage(name: str, params: Path) -> int:
    """Run one stage, up to date or not (what `dvc repro` calls)."""
    from flows.command.handed import handed_over

    code = handed_over(name, params)
    if code is None:
        before_loading()
        from flows.command.run import run_stage

        run_stage(name, params)
    return code or 0


@cli.command()
@click.option(
    "--summary",
    type=click.Path(path_type=Path),
    help="A run's summary; else that of the last.",
)
def fleet(summary: Path | None) -> None:
    """Print the fleet table of the last run."""
    from flows.command.table import print_fleet

    print_fleet(summary or Case.here().summary)


@cli.command()
@click.option(
    "--id", "number", type=click.IntRange(0), default=0, show_default=True, help="The device's id."
)
@click.option("--storage-limit", "limit", required=True, help='Parameters, or e.g. "2 MB".')
@click.option("--power-watt", type=click.FloatRange(0, min_open=True), help="If no counter tells.")
@click.option("--out", type=click.Path(path_type=Path), help="A fleet file to add the device to.")
@params_option
def profile(
    number: int, limit: str, power_watt: float | None, out: Path | None, params: Path
) -> None:
    """Measure this machine, and print it as a device of the fleet."""
    before_loading()
    from flows.command.profiling import profile_machine

    profile_machine(params, number, limit, power_watt, out)


@cli.command()
@click.option("--case", "name", metavar="NAME", help="Of a further case, in cases/NAME.")
@click.option("--source", type=click.Choice(SOURCES), help="The data set.")
@click.option("--data", type=click.Path(path_type=Path), help="Its folder.")
@click.option("--image-size", type=click.IntRange(4), help="Else as the model or images are.")
@click.option("--channels", type=click.Choice(["1", "3"]), help="Else as the first image is.")
@click.option("--model", help="A timm ViT or DeiT, models:/NAME@ALIAS, none, or texts' encoder.")
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Weights for --model.")
@click.option("--fleet", type=click.Path(path_type=Path), help="A YAML or CSV file of devices.")
@click.option("--devices", type=click.IntRange(1), help="Or make up so many.")
@click.option("--clusters", type=click.IntRange(1), help="Clusters of the devices.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--force", is_flag=True, help="Write over params.yaml.")
@click.option("--yes", is_flag=True, help="Ask nothing; take what is usual.")
@click.pass_context
def init(
    context: click.Context,
    name: str | None,
    channels: str | None,
    force: bool,
    yes: bool,
    **given: Any,
) -> None:
    """Write params.yaml for your data, model and fleet."""
    from flows.command.init import asked
    from flows.command.init import init as write

    if name:
        enter_new(name, context)
    wishes = asked({**given, "channels": int(channels) if channels else None}, yes)
    write(Case.here(), wishes, force)


@cli.command()
@params_option
def check(params: Path) -> None:
    """Validate the settings file, and whether the data are enough."""
    from tasks.setup.check import check as look
    from tasks.setup.texts import prove
    from tasks.tracking.store import check as check_store

    found = look(params)
    prove(found.settings)
    check_store(Case.here().project)
    edges = counted(len(found.settings.fleet), "edge server")
    devices = counted(len(found.settings.devices), "device")
    print(f"{params}: {edges}, {devices}, all settings valid")
    for words in found.unseen:
        print(f"Not checked: {words}")
    for words in found.notes:
        print(words)


@cli.command()
def cases() -> None:
    """List the kinds of data here, and whether their stages are up to date."""
    from flows.command.cases import print_cases

    print_cases()


@cli.command()
@click.option("--prefect-port", default=4200, show_default=True, help="Port of Prefect's page.")
@click.option("--mlflow-port", default=5000, show_default=True, help="Port of MLflow's page.")
def ui(prefect_port: int, mlflow_port: int) -> None:
    """Serve the Prefect and MLflow pages on loopback until Ctrl-C."""
    from flows.command.run import serve_pages

    serve_pages(prefect_port, mlflow_port)


for known in (promote, rollback, export, serve, stack, data):
    cli.add_command(known)


def main() -> NoReturn:
    """Run the command line."""
    answer(cli)


if __name__ == "__main__":
    main()
