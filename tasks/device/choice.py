"""What a device ships (Alg. 2's end): it compares what it received, the same steps alone and what
it has after the last round with its peers, and discards neurons of the best as long as that loses
nothing. (Steps end the rounds, not what is best on a few samples: which of several rounds that is
would be chance.)

It judges by its validation split. Of classes that it wants and has no samples of, it has none to
judge by either: there virtual samples of its peers' stand in, as many a class as of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from models.answers import answered, restricted
from models.backbone.training import scores
from models.refinement import pruning
from models.refinement.exchange import WITHHELD
from models.refinement.rankings import RANKINGS, Ranked
from models.refinement.recipe import Pruning
from models.refinement.rounds import choose, shipped
from models.refinement.training import DeviceData
from tasks.device.own import Answer, Own
from tasks.device.rounds import Turn, Work, fit, kept_of, virtual
from tasks.device.scores import scored, split_of
from tasks.links.link import Message, send
from tasks.links.records import Receipt, State
from tasks.run.compute import Machine
from tasks.run.modules import load_header
from tasks.run.store import read_tensors

JUDGING = 700
"""Apart from the seeds of training and tuning are those of what models are judged by."""


@dataclass(frozen=True)
class Judged:
    """A state, and how it does on what a device judges by; a candidate of
    :func:`models.refinement.rounds.choose`."""

    state: State
    share: Tensor
    accuracy: float


Judgements = list[list[Judged]]
"""Of a device: after every round, what it received first; and had nobody told it anything."""


@dataclass(frozen=True)
class Judge:
    """The samples that a device judges by, ``virtual`` ones of its peers' among them, and which
    classes its model answers (None: all)."""

    data: DeviceData
    virtual: int
    told: Tensor | None

    @classmethod
    def of(cls, own: Own, turn: Turn) -> Judge:
        """A device's, after the last round."""
        train, val = (split_of(own.adopted[1], split) for split in ("train", "val"))
        told = answered(own.answers, train.labels, train.wanted)
        beside = _of_wanted(own, turn, train, len(val.labels))
        return cls(val.join(beside), len(beside.labels) if beside else 0, told)

    @torch.no_grad()
    def __call__(self, state: State) -> Judged:
        header = load_header(state.header)[0].eval()
        logits, labels = restricted(header(*self.data.inputs), self.told), self.data.labels
        share = logits.softmax(1).gather(1, labels[:, None])[:, 0]
        return Judged(state, share, scores(logits, labels)[1])


def _of_wanted(own: Own, turn: Turn, train: DeviceData, count: int) -> DeviceData | None:
    """Virtual samples of what the device wants and lacks, as many a class as ``count`` of its own
    classes have; None where it wants nothing, or no peer knows it."""
    if train.wanted is None or own.answers == "own":
        return None
    drawn = virtual(own, turn, train, turn.seed_of(own) + JUDGING)
    if drawn is None:
        return None
    each = max(1, round(count / len(train.labels.unique())))
    places = [(drawn.labels == label).nonzero().flatten()[:each] for label in train.wanted]
    return drawn.at(torch.cat(places)) if sum(map(len, places)) else None


def finish(
    owns: list[Own],
    twins: list[Own | None],
    turn: Turn,
    work: Work,
    prune_by: str,
    machine: Machine,
) -> list[Answer]:
    """Every device chooses what it ships, and says what the rounds were worth to it.

    Args:
        twins: what each device has after as many rounds by itself, where something is exchanged.
        prune_by: one of :data:`models.refinement.rankings.RANKINGS`.
    """
    judges = [Judge.of(own, turn) for own in owns]
    judged = [
        [[judge(s) for s in states] for states in (own.rounds, twin.rounds[1:] if twin else ())]
        for own, judge, twin in zip(owns, judges, twins, strict=True)
    ]
    best = [choose(rounds[0], rounds[-1], *twin[-1:]) for rounds, twin in judged]
    smaller = discard(list(zip(owns, best, judges, strict=True)), turn, work, prune_by, machine)
    answers = []
    for own, judge, ways, chosen, small in zip(owns, judges, judged, best, smaller, strict=True):
        own = replace(own, rounds=_ending(own.rounds, chosen.state, small.state))
        own = replace(own, receipt=_receipt(own, judge, ways, small.accuracy))
        answers.append(Answer(own, (_told(own),)))
    return answers


def _ending(rounds: tuple[State, ...], *chosen: State) -> tuple[State, ...]:
    """All states, with what was chosen among them; the last of that ships."""
    found = list(rounds)
    for state in chosen:
        if state not in found:
            found.append(replace(state, round=len(found)))
            last = len(found) - 1
        else:
            last = found.index(state)
    found[last] = replace(found[last], ships=True)
    return tuple(found)


def discard(
    devices: Sequence[tuple[Own, Judged, Judge]],
    turn: Turn,
    work: Work,
    prune_by: str,
    machine: Machine,
) -> list[Judged]:
    """Pruning as a step of its own, where the rounds discarded nothing: some neurons go, the others
    are tuned, and that is kept if it gives no less to what is right; again, until it does, or as
    often as there were rounds. What was received stays as it is."""
    found = [best for _, best, _ in devices]
    going = [i for i, best in enumerate(found) if best.state.importance]
    steps = 0 if turn.how.prunes or not work.pruning.prune_fraction else turn.round
    for now in (replace(turn, round=turn.round + again) for again in range(1, steps + 1)):
        if not going:
            break
        owns = [replace(devices[i][0], state=found[i].state) for i in going]
        headers = [without_least(own, now, work.pruning, prune_by) for own in owns]
        fit("discarding neurons", headers, owns, now, work.tune, machine)
        for i, own, header in zip(list(going), owns, headers, strict=True):
            smaller, before = devices[i][2](_scored(own, now, header)), found[i]
            fewer = smaller.state.neurons < before.state.neurons
            if fewer and smaller.share.mean() >= before.share.mean():
                found[i] = smaller
            else:
                going.remove(i)
    return found


def without_least(own: Own, turn: Turn, amount: Pruning, prune_by: str) -> nn.Module:
    _, features, state = own.adopted
    assert state.importance is not None
    header, data = load_header(state.header)[0], split_of(features, "train")
    told = answered("all" if own.answers == "all" else "own", data.labels)
    importance = read_tensors(state.importance)[0]["importance"]
    given = Ranked(header, data, told, importance, turn.seed_of(own))
    pruning.prune(header, RANKINGS[prune_by](given).numpy(), amount)
    return header


def _scored(own: Own, turn: Turn, header: nn.Module) -> State:
    before = own.adopted[2]
    state = scored(own, turn.round, header, load_header(before.header)[1], own.adopted[1])
    return replace(state, importance=before.importance, kept=before.kept, way="pruned")


def _receipt(own: Own, judge: Judge, rounds: Judgements, accuracy: float) -> Receipt:
    (with_peers, by_itself), ships = rounds, own.rounds[shipped(own.rounds)]
    twins = {of.state.round: of.accuracy for of in by_itself}
    ways = {"received": with_peers[0].accuracy}
    ways |= {of[-1].state.way: of[-1].accuracy for of in (by_itself, with_peers[1:]) if of}
    kept = kept_of(own.adopted[2])
    return Receipt(
        own.device,
        len(judge.data.labels) - judge.virtual,
        judge.virtual,
        ships.way,
        ships.round,
        ways | {"ships": accuracy},
        {t: of.accuracy - twins[t] for of in with_peers[1:] if (t := of.state.round) in twins},
        own.predicted,
        own.silent,
        len(kept[WITHHELD]) if WITHHELD in kept else 0,
    )


def _told(own: Own) -> Message:
    """What goes up of a receipt: numbers that say how well the device does."""
    receipt, ships = own.receipt, own.rounds[shipped(own.rounds)]
    assert receipt is not None
    values = {
        "ships": receipt.ships,
        "gained": list(receipt.gained.values()),
        "val_accuracy": receipt.ways["ships"],
        "parameters": ships.parameters,
    }
    return send("receipt", own.up(own.adopted[2].round), values=values)
