"""Alg. 2 as it is shipped, against the same steps written out one device after the other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from prefect import flow

from flows.customize import Circle, refine
from flows.job import Job
from flows.on_device import LocalCarrier
from models.header.build import HeaderConfig, build_header, neurons, state_of
from models.refinement import pruning
from models.refinement.basis import fit_basis, tokens_read
from models.refinement.exchanges import EXCHANGES
from models.refinement.training import DeviceData, LocalSteps, evaluate_devices, fit_devices
from tasks.data.samples import World
from tasks.device.own import Own
from tasks.device.scores import metrics, scored
from tasks.links.asking import Answers, Link
from tasks.links.link import Message, Route, receive, send
from tasks.links.records import Mixing, State
from tasks.run.compute import Machine
from tasks.run.engine import ENGINE
from tasks.run.errors import LinkError
from tasks.run.modules import load_header
from tasks.run.store import Ref, put_tensors
from tasks.settings.params import LocalTraining, Settings, load
from tests.tiny import ROOT

pytestmark = pytest.mark.usefixtures("flows_in_tmp")

CONFIG = HeaderConfig("mlp", 6, (2, 2), 3, channels=4, hidden=10)
IDS = (4, 2, 9)  # a device draws by its id, wherever it stands
NAMES = ("device-04", "device-02", "device-09")
WEIGHTS = ((0.5, 0.5, 0.0), (0.2, 0.8, 0.0), (0.0, 0.0, 1.0))
SHIPPED = load(ROOT / "params.yaml")
SHIPPED_INFO: Any = None  # no sample is read
STEPS, TUNING, ROUNDS = 4, 3, 2
OF_ROUNDS = {"received", "peers", "alone"}
KEEPS = {"weights", "statistics", "both"}


def settings(prune_fraction: float) -> Settings:
    changed = {"rounds": ROUNDS, "steps": STEPS, "tuning_steps": TUNING, "batch_size": 8}
    changed |= {"exchange": "importance", "answers": "all"}
    recipe = replace(SHIPPED.refinement, **changed, prune_fraction=prune_fraction, min_per_layer=2)
    return SHIPPED.model_copy(update={"seed": 7, "refinement": recipe})


def samples(count: int, seed: int) -> DeviceData:
    """Labels that a header can learn from the features, so that every round is worth something."""
    stream = torch.Generator().manual_seed(seed)
    features = torch.randn(count, 2, 5, 6, generator=stream)
    return DeviceData(features, features[:, 0, 0, :3].argmax(1))


DATA = [(samples(20, i), samples(60, 10 + i)) for i in range(3)]


def of(recipe: Settings) -> tuple[Link, Circle]:
    """A link to three devices that received the same header, and who listens to whom."""
    config, state = CONFIG.to_dict(), state_of(build_header(CONFIG, seed=1))
    tensors = {f"header.{name}": value for name, value in state.items()}
    basis = fit_basis(samples(200, 99), tokens_read(CONFIG), 4)
    tensors |= basis.compact.named("basis.")
    values = {"config": {"header": config}}
    model = send("customized_model", Route("north", NAMES[0]), tensors, values)
    owns, adopted = [], {}
    for number, name, data in zip(IDS, NAMES, DATA, strict=True):
        features = kept(*data)
        own = Own("north", name, number, None, model, features)
        first = scored(own, 0, build_header(CONFIG, seed=1), CONFIG, features)
        owns.append(own.after(first))
        adopted[name] = (metrics(owns[-1]),)
    job = Job(recipe, World(SHIPPED_INFO, {}), Machine("cpu", 1))
    circle = Circle(NAMES, Mixing("north", NAMES, WEIGHTS, WEIGHTS), model, Answers.read(adopted))
    return Link("north", LocalCarrier(job, owns)), circle


def run(recipe: Settings) -> tuple[list[list[State]], list[Message]]:
    """The rounds of the shipped loop, the first with what was received; and all messages."""
    link, circle = of(recipe)
    assert isinstance(link.carrier, LocalCarrier)
    refine(recipe.refinement, link, circle)
    rounds = [
        [state for state in states if state.way in OF_ROUNDS][: ROUNDS + 1]
        for states in link.carrier.rounds.values()
    ]
    return [*map(list, zip(*rounds, strict=True))], link.sent


def kept(train: DeviceData, val: DeviceData) -> Ref:
    splits = {"train": train, "val": val}.items()
    tensors = {f"{split}_features": data.features for split, data in splits}
    return put_tensors("features", tensors | {f"{s}_labels": d.labels for s, d in splits})


def literal(recipe: Settings) -> list[list[torch.nn.Module]]:
    """Every device's header after each round."""
    local, seed = recipe.refinement.part(LocalTraining), recipe.seed
    headers, rounds = [build_header(CONFIG, seed=1) for _ in NAMES], []
    for t in range(1, ROUNDS + 1):
        sets = []
        for i, (train, _) in enumerate(DATA):
            steps = LocalSteps(STEPS, local, recipe.refinement.joint)
            own = fit_devices(
                [headers[i]], [train], steps, [seed + 1000 * t + IDS[i]], batched=False
            )
            sets.append(own[0].numpy())
        for i, (train, _) in enumerate(DATA):
            mixed = sum(WEIGHTS[i][j] * sets[j].astype(np.float64) for j in range(len(NAMES)))
            count = int(recipe.refinement.prune_fraction * len(sets[i]))
            alive, sizes = pruning.alive_of(headers[i]), list(neurons(headers[i]).values())
            pruning.apply_masks(headers[i], pruning.choose(mixed, alive, count, sizes, 2))
            steps = LocalSteps(TUNING, local)
            fit_devices(
                [headers[i]], [train], steps, [seed + 1000 * t + 500 + IDS[i]], batched=False
            )
        rounds.append([build_header(CONFIG, seed=1) for _ in NAMES])
        for copy, header in zip(rounds[-1], headers, strict=True):
            copy.load_state_dict(header.state_dict())
    return rounds


@pytest.mark.parametrize("prune_fraction", [0.2, 0.0])
def test_it_is_train_mix_prune_tune(prune_fraction: float) -> None:
    recipe = settings(prune_fraction)
    rounds, messages = run(recipe)
    assert len(rounds) == ROUNDS + 1, "every round helped somebody"
    for states, headers in zip(rounds[1:], literal(recipe), strict=True):
        for state, header, (_, val) in zip(states, headers, DATA, strict=True):
            got = load_header(state.header)[0].state_dict()
            for name, value in header.state_dict().items():
                assert torch.allclose(value, got[name], atol=1e-5), name
            [expected] = evaluate_devices([header], [val])
            assert (state.val_loss, state.val_accuracy) == pytest.approx(expected, abs=1e-4)
    left = round(10 * (1 - prune_fraction * ROUNDS))
    assert {state.neurons for state in rounds[-1]} == {left}
    assert [m.kind for m in messages].count("importance_set") == len(NAMES) * ROUNDS


def test_it_ends_when_no_device_gains() -> None:
    recipe = settings(0.0)
    still = replace(recipe.refinement, lr=1e-12, weight_decay=0.0)
    rounds, _ = run(recipe.model_copy(update={"refinement": still}))
    assert len(rounds) == 2


def test_all_rounds_are_run_where_that_is_wanted() -> None:
    recipe = settings(0.0)
    still = replace(recipe.refinement, lr=1e-12, weight_decay=0.0)
    link, circle = of(recipe.model_copy(update={"refinement": still}))
    refine(still, link, replace(circle, all_rounds=True))
    assert isinstance(link.carrier, LocalCarrier)
    assert [len(states) for states in link.carrier.rounds.values()] == [ROUNDS + 1] * len(NAMES)
    assert "receipt" not in {message.kind for message in link.sent}, "and none is chosen"


def test_without_an_exchange_each_tunes_by_itself_and_tells_nobody() -> None:
    recipe = settings(0.2)
    alone = replace(recipe.refinement, exchange="none")
    rounds, messages = run(recipe.model_copy(update={"refinement": alone}))
    assert {m.kind for m in messages} == {"metrics", "receipt"}
    assert {state.neurons for state in rounds[-1]} == {10}, "they discard once all is done"


def test_a_device_that_fails_is_left_out_of_its_round_by_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    link, circle = of(settings(0.2))
    carrier = link.carrier
    assert isinstance(carrier, LocalCarrier)
    broken = carrier.owns[NAMES[1]]
    carrier.owns[NAMES[1]] = replace(broken, features=Ref("features", "0" * 64))
    refine(settings(0.2).refinement, link, circle)
    said = capsys.readouterr().err
    assert f"north, round 1: {NAMES[1]} is left out: " in said
    assert "No such file" in said
    assert [name for name, states in carrier.rounds.items() if len(states) == 1] == [NAMES[1]]
    of_first = next(m for m in link.sent if m.kind == "mixed_importance" and m.receiver == NAMES[0])
    own = next(m for m in link.sent if m.kind == "importance_set" and m.sender == NAMES[0])
    assert torch.equal(receive(of_first)[0]["importance"], receive(own)[0]["importance"]), (
        "whom it would have listened to is not there"
    )


def test_who_is_late_is_left_out_by_name() -> None:
    recipe = settings(0.2)
    late = replace(recipe.refinement, deadline_s=1e-9)
    link, circle = of(recipe)
    with pytest.raises(LinkError, match="answered after 0 s, the deadline is 1e-09 s"):
        refine(late, link, circle)


def test_steps_that_are_submitted_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    here, _ = run(settings(0.2))
    monkeypatch.setenv(ENGINE, "submitted")

    @flow(validate_parameters=False)
    def elsewhere() -> list[list[State]]:
        return run(settings(0.2))[0]

    assert elsewhere() == here


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_every_exchange_goes_all_rounds_and_sends_what_it_says(exchange: str) -> None:
    recipe = settings(0.1)
    recipe = recipe.model_copy(update={"refinement": replace(recipe.refinement, exchange=exchange)})
    rounds, messages = run(recipe)
    assert len(rounds) == ROUNDS + 1
    how, sent = EXCHANGES[exchange], [message.kind for message in messages]
    for parcel in (how.up, how.down):
        if parcel is not None:
            assert sent.count(parcel.kind) == len(NAMES) * (1 if how.rounds == "first" else ROUNDS)
    assert all((state.kept is not None) == (exchange in KEEPS) for state in rounds[-1])


def finished(recipe: Settings) -> dict[str, Own]:
    """What the devices have after the shipped loop."""
    link, circle = of(recipe)
    refine(recipe.refinement, link, circle)
    assert isinstance(link.carrier, LocalCarrier)
    return link.carrier.owns


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_one_state_of_each_device_ships_and_its_receipt_says_which(exchange: str) -> None:
    recipe = settings(0.2)
    recipe = recipe.model_copy(update={"refinement": replace(recipe.refinement, exchange=exchange)})
    for own, (_, val) in zip(finished(recipe).values(), DATA, strict=True):
        [ships] = [state for state in own.rounds if state.ships]
        assert own.receipt is not None
        assert (own.receipt.ships, own.receipt.round) == (ships.way, ships.round)
        assert [state.round for state in own.rounds] == list(range(len(own.rounds)))
        header = load_header(ships.header)[0]
        [(_, accuracy)] = evaluate_devices([header], [val])
        assert own.receipt.ways["ships"] == pytest.approx(accuracy)
        assert (own.receipt.samples, own.receipt.virtual) == (len(val.labels), 0)
        if ships.way == "pruned":
            assert ships.neurons < own.rounds[0].neurons


def test_a_receipt_says_what_peers_gained_over_the_same_steps_alone() -> None:
    recipe = settings(0.2)
    none = recipe.model_copy(update={"refinement": replace(recipe.refinement, exchange="none")})
    link, circle = of(none)
    refine(none.refinement, link, replace(circle, all_rounds=True))
    alone = link.carrier.rounds  # type: ignore[attr-defined]
    for name, own in finished(recipe).items():
        assert own.receipt is not None
        after = {s.round: s.val_accuracy for s in own.rounds if s.way == "peers"}
        twins = {s.round: s.val_accuracy for s in alone[name][1:]}
        expected = {t: after[t] - twins[t] for t in after}
        assert own.receipt.gained == pytest.approx(expected, abs=1e-6)
        assert own.receipt.predicted is not None


def test_nobody_is_asked_what_messages_gained_where_none_are_exchanged() -> None:
    recipe = settings(0.2)
    none = recipe.model_copy(update={"refinement": replace(recipe.refinement, exchange="none")})
    for own in finished(none).values():
        assert own.receipt is not None
        assert (own.receipt.gained, own.receipt.predicted) == ({}, None)


def test_who_expects_too_little_says_nothing_and_is_not_missed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = settings(0.2)
    asks = replace(recipe.refinement, exchange="statistics", ask_first=True, quorum=1.0)
    recipe = recipe.model_copy(update={"refinement": asks})
    monkeypatch.setattr("tasks.device.rounds.PAYS", 1.0)
    link, circle = of(recipe)
    refine(asks, link, circle)
    assert {m.kind for m in link.sent} == {"metrics", "receipt"}
    assert "left out" not in capsys.readouterr().err
    for own in link.carrier.owns.values():  # type: ignore[attr-defined]
        assert own.receipt.silent
