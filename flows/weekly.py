"""The scheduled customization: every stage that is out of date, then the registry's decisions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from prefect import flow, pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from flows.deployed import in_case, named, run_elsewhere
from flows.hooks import HOOKS, tell_held
from flows.owned import OWNED
from flows.shown import show_table
from tasks.run.compute import Machine
from tasks.run.step import run_step
from tasks.servers.services import environment
from tasks.servers.shell import reproduce, run_acme
from tasks.settings.case import SETTINGS, Case
from tasks.settings.params import Settings
from tasks.settings.stages import STAGES
from tasks.setup.check import check
from tasks.tracking.promotion import Decision, any_known, owners, promote

if TYPE_CHECKING:
    StageName = str
else:
    StageName = Literal[tuple(STAGES)]  # a choice in Prefect's form


class Approval(RunInput):
    """What a person says of the waiting challengers."""

    promote: bool = Field(True, description="Decide on the challengers now; else they wait")


@flow(name="customization", flow_run_name=named("weekly customization"), **OWNED, **HOOKS)
@in_case
def customization(
    params: Path = Path(SETTINGS),
    by_tier: bool = False,
    approval_s: Annotated[int, Field(gt=0)] | None = None,
    case: str | None = None,
) -> list[Decision]:
    """Bring every stage up to date, and decide on the challengers.

    Args:
        params: the settings file; another than DVC's is a trial, whose models are not registered.
        by_tier: run each stage through its tier's deployment, on its tier's queue; else here.
        approval_s: how many seconds to wait for a person before the registry changes; none: it
            changes by itself.
        case: of cases/; none: the project's own.
    """
    settings = check(params).settings
    Machine.of(settings.compute, settings.threads).prepare()  # the registry's decisions too
    here = Case.here()
    for name, its in STAGES.items():
        if by_tier:
            given = {"name": name, "params": str(params), "case": case}
            run_elsewhere(f"stage/{its.tier}", given)
        else:
            run_step(reproduce, name, params, environment(here), again=is_again(name, settings))
    if not here.reads(params):
        print(f"{params} is not {SETTINGS}: a trial, of which nothing is registered")
        return []
    models = list(owners(here, settings))
    if not any_known(here.project, models):  # a new server: nothing was logged there yet
        run_step(reproduce, "evaluate", params, environment(here), again=True)
    if approval_s and not approved(approval_s):
        return []
    decisions = [d for owner in models if (d := run_step(promote, here, owner))]
    show_table(
        here.key("promotion"),
        [vars(decision) for decision in decisions],
        "What became of the challengers.",
    )
    tell_held(decisions)
    return decisions


def approved(timeout_s: int) -> bool:
    """Pause until a person resumes the run in Prefect's page; whether they said yes."""
    words = "New challengers wait in the registry. Decide on them now?"
    answer = pause_flow_run(Approval.with_initial_data(description=words), timeout=timeout_s)
    return bool(answer.promote)


@flow(name="stage", flow_run_name=named("stage {name}"), **OWNED, **HOOKS)
@in_case
def stage(name: StageName, params: Path = Path(SETTINGS), case: str | None = None) -> None:
    """One stage of a case's dvc.yaml, and what it depends on, where this queue's worker runs."""
    again = is_again(name, check(params).settings)
    run_step(reproduce, name, params, environment(Case.here()), again=again)


def is_again(stage: StageName, settings: Settings) -> bool:
    """Whether a stage must be run though DVC finds it up to date: DVC compares the names of
    references, and an alias may mean another model than before."""
    return stage == "backbone" and settings.backbone.reference.moves


@flow(name="evaluation", flow_run_name="the paper's experiments, {scale}", **OWNED, **HOOKS)
def evaluation(
    only: list[str] | None = None,
    scale: Literal["quick", "default", "paper"] = "quick",
    seeds: Annotated[int, Field(ge=1)] | None = None,
) -> None:
    """Run experiments of the paper and judge its claims.

    Args:
        only: names of experiments; none: all of them.
        scale: sizes, evaluation/<scale>.yaml.
        seeds: how many, instead of the scale's.
    """
    words = ["evaluate", "--scale", scale]
    words += [word for name in only or [] for word in ("--only", name)]
    words += ["--seeds", str(seeds)] if seeds else []
    run_step(run_acme, words, environment(Case.here()))
