"""A device's pruning: it discards its least important neurons, and tunes what is left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.header.build import state_of
from models.refinement import pruning
from models.refinement.recipe import LocalTraining, Pruning
from tasks.device.rounds import TUNING, Turn, fit, scored
from tasks.links.link import Message, receive
from tasks.links.records import State
from tasks.run.compute import Machine
from tasks.run.modules import load_header
from tasks.run.store import Ref, put_tensors


def prune(
    turn: Turn,
    states: list[State],
    mixed: list[Message],
    features: list[Ref],
    amount: Pruning,
    recipe: LocalTraining,
    machine: Machine,
) -> list[State]:
    """Every device discards its least important neurons by the set that it got back, and tunes
    what is left. A device that got none keeps its neurons this round."""
    received = {m.receiver: receive(m)[0]["importance"].numpy() for m in mixed}
    pruned = [_prune_one(s, received.get(s.device), amount) for s in states]
    apart = replace(turn, seed=turn.seed + TUNING)
    headers, configs, _ = fit("tuning", apart, pruned, features, recipe, machine)
    return [
        scored(s.device, turn.round, header, config, feature)
        for s, header, config, feature in zip(states, headers, configs, features, strict=True)
    ]


def _prune_one(state: State, importance: np.ndarray | None, amount: Pruning) -> State:
    if importance is None:
        return state
    header, config = load_header(state.header)
    pruning.prune(header, importance, amount)
    ref = put_tensors("header", state_of(header), config.to_dict())
    return replace(state, header=ref)
