"""The attacks of docs/privacy.md, on made-up devices."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from models.header.build import build_header, neurons
from models.header.config import HeaderConfig
from models.header.search import train_header
from models.refinement.basis import fit_basis, tokens_read
from models.refinement.exchange import Received
from models.refinement.recovery import Recovery
from models.refinement.sketches import SKETCHES
from models.training import Loop
from tasks.experiments.privacy.attacker import Attacker
from tasks.experiments.privacy.costs import gains, recovered
from tasks.experiments.privacy.finished import Finished
from tasks.experiments.privacy.measures import Found, found
from tasks.experiments.privacy.messages import ATTACKS, NOISY, described, sketched
from tasks.experiments.privacy.page import MARK, PAGE, page
from tasks.experiments.privacy.people import Raw, Seen, fewer, shadows, words_of
from tasks.experiments.privacy.stand import Stand, settings_of
from tasks.experiments.privacy.table import NOISES, Tables
from tests.models.refinement.made_up import World, world

CONFIG = HeaderConfig("mlp", 8, (2, 2), 4, channels=4, hidden=6)
NAMES = ("here", "there")


def seen(here: World, count: int, context: int | None, classes=(0, 1, 2, 3)) -> Seen:
    """What they look like is what the header reads, and more."""
    data = here.split(count, context, classes)
    return Seen(data, data.features[:, 0, :2].flatten(1))


@cache
def stand() -> Stand:
    """Two edges with three devices each, two of which see alike."""
    here, stream = world(0, apart=1.5), torch.Generator().manual_seed(0)
    public = {name: seen(here, 60, at) for at, name in enumerate(NAMES)}
    known = seen(here, 60, None).data
    header = build_header(CONFIG)
    train_header(header, known, Loop(60, 32, 1e-2), stream)
    state = {name: p.detach().clone() for name, p in header.named_parameters()}
    basis = fit_basis(known, tokens_read(CONFIG), 6)
    received = Received(state, sum(neurons(header).values()), 4, basis)
    tokens = known.features[:, 0, 0]
    real = [
        Raw(NAMES[at % 3 // 2], edge, *(seen(here, n, at % 3 // 2, own) for n in (16, 6, 30)))
        for edge in ("edge-0", "edge-1")
        for at, own in enumerate([(0, 1), (0, 1, 2), (1, 3)])
    ]
    scale = tokens.mean(0), tokens.std(0)
    attacker = Attacker.of(header, received, scale, public, 0, Loop(20, 32, 1e-3))
    return Stand(settings_of(0), real, shadows(public, 16, real, 0), attacker)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_every_kind_is_attacked_of_every_device(attack) -> None:
    result = found(stand(), attack)
    for values in vars(result).values():
        assert len(values) == 6
        assert np.isfinite(values).all()
    assert min(*result.classes, *result.members) >= 0
    assert max(*result.classes, *result.members) <= 1


def test_a_sample_is_found_by_who_has_it_and_a_quantile_is_none() -> None:
    shown, told = (found(stand(), sketched(name)) for name in ("samples", "quantiles"))
    assert np.mean(shown.members) == 1
    assert np.mean(told.members) < 0.8


def test_statistics_tell_the_classes_in_so_many_words() -> None:
    assert np.mean(found(stand(), described()).classes) == 1


def test_shadows_are_like_devices_and_of_nobodys_samples() -> None:
    for raw in stand().imagined:
        assert raw.context in NAMES
        assert len(raw.train.data.labels.unique()) in (2, 3)
        rows = [part.data.features.flatten(1) for part in (raw.train, raw.others)]
        assert torch.cdist(*rows).min() > 0


def test_devices_with_fewer_samples_are_the_same_devices() -> None:
    for raw, less in zip(stand().real, fewer(stand().real, 4), strict=True):
        counts = less.train.data.labels.bincount()
        assert set(counts[counts > 0].tolist()) == {4}
        assert torch.isin(less.train.looks, raw.train.looks).all()


def test_what_is_rebuilt_of_a_text_is_which_words_it_has() -> None:
    texts = torch.tensor([[2, 7, 7, 9], [2, 7, 8, 0], [2, 9, 8, 0], [2, 8, 5, 0], [2, 8, 0, 0]])
    look = words_of(texts, least=2)  # words 7 and 9: 5 is too rare, 0, 2 and 8 are in most texts
    assert look(texts).tolist() == [[1, 1], [1, 0], [0, 1], [0, 0], [0, 0]]
    assert look(torch.tensor([[3, 9, 11, 9]])).tolist() == [[0, 1]]


def test_a_header_without_neurons_says_nothing_of_their_importance() -> None:
    here = stand()
    linear = replace(here.attacker, received=replace(here.attacker.received, neurons=0))
    [importance] = [attack for attack in ATTACKS if attack.kind == "importance_set"]
    assert not found(replace(here, attacker=linear), importance).sent_bytes


def test_noise_costs_what_it_hides() -> None:
    plain, drowned = (recovered(stand(), sketched("quantiles", noise)) for noise in (0, 10))
    assert plain > drowned
    helped, nothing = gains(stand(), [described(), described(10)])
    assert len(helped) == 6
    assert nothing == [0] * 6, "means that are so uncertain are like nobody's"


def test_the_page_has_a_row_a_kind() -> None:
    one = Found([1000], [0.9], [0.5], [0.6], [0.5], [0.7])
    names = [attack.name for attack in (*ATTACKS, *NOISY)]
    contexts = {name: [0.9, 0.8] for name in names if "sketch" in name}
    every = dict.fromkeys(names, one)
    tables = Tables(every, every, contexts, {noise: [0.01, 0.03] for noise in NOISES})
    nobody = Found([], [], [], [], [], [])
    kinds = {a.name: nobody if a.kind == "importance_set" else one for a in ATTACKS}
    run = Finished(kinds, kinds, {name: (80, [Recovery(0.9, 0.5, 4)]) for name in SKETCHES})
    made = page(f"Words.\n\n{MARK}what was", tables, {"cases/some": run}, 60)
    [_, _, texts, *_] = made.split("### ")
    assert texts.startswith("What each kind reveals in `cases/some`\n")
    assert "| `metrics` | 1,000 | 0.90 | 0.50 | 0.50 | 0.60 (0.50; 0.70) |" in texts
    assert "importance_set" not in texts, "nobody sends one"
    assert "| 80 | 0.90 (0.50) |" in made
    assert made.startswith("Words.")
    assert "what was" not in made
    shipped = PAGE.read_text().partition(MARK)[2]
    for attack in (*ATTACKS, *NOISY):
        assert f"\n| {attack.name} | " in made
        assert f"\n| {attack.name} | " in shipped, "out of date: run make privacy"
    assert "gain 2.0 ± " in made
