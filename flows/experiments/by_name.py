"""The flow of an experiment, by its name."""

from __future__ import annotations

from importlib import import_module

from prefect import Flow

from flows.experiments.bench import Bench, Row
from tasks.experiments.registry import EXPERIMENTS


def flow_of(name: str) -> Flow[[Bench], list[Row]]:
    """The flow that makes an experiment's rows: ``<name>`` in the module of its room."""
    module = import_module(f"flows.experiments.{EXPERIMENTS[name].room}")
    found: Flow[[Bench], list[Row]] = getattr(module, name)
    return found
