"""Importance of header parameters and neurons (Eq. 16-18)."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from models.header.build import build_header
from models.header.config import HeaderConfig
from models.refinement.importance import layer_names, neuron_importance, normalised

CONFIG = HeaderConfig("cnn-project", dim=4, shape=(2, 2), classes=3, channels=5, hidden=6)


def _case(seed: int = 0) -> tuple[nn.Module, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(20, 2, 5, 4, generator=generator).double()
    labels = torch.randint(3, (20,), generator=generator)
    return build_header(CONFIG, seed).double(), features, labels


def _gradients(header: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    names, values = zip(*header.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(F.cross_entropy(header(x), y), values), strict=True))


@torch.no_grad()
def _exact_change(header: nn.Module, value: Tensor, index: int, x: Tensor, y: Tensor) -> float:
    """Eq. 16, literally: the loss with the parameter less the loss with it at zero."""
    before = F.cross_entropy(header(x), y)
    kept = value.view(-1)[index].item()
    value.view(-1)[index] = 0
    after = F.cross_entropy(header(x), y)
    value.view(-1)[index] = kept
    return (before - after).item()


def test_eq16_eq17_first_order_value_is_what_zeroing_small_parameters_does():
    header, x, y = _case()
    with torch.no_grad():
        for parameter in header.parameters():
            chosen = torch.randperm(parameter.numel(), generator=torch.Generator().manual_seed(1))
            parameter.view(-1)[chosen[:3]] *= 1e-4
    gradients = _gradients(header, x, y)
    checked = 0
    for name, parameter in header.named_parameters():
        for index in (parameter.view(-1).abs() < 1e-4).nonzero().flatten().tolist():
            exact = _exact_change(header, parameter, index, x, y) ** 2
            taylor = (gradients[name] * parameter).view(-1)[index].item() ** 2
            assert taylor == pytest.approx(exact, rel=1e-2, abs=1e-18)
            checked += exact > 1e-16
    assert checked >= 8, "most of the small parameters must matter for the comparison to mean much"


def test_eq16_group_importance_is_what_removing_a_small_neuron_does():
    header, x, y = _case(2)
    layer = header.get_submodule("conv")
    with torch.no_grad():
        layer.weight[1] *= 1e-4
        layer.bias[1] *= 1e-4
    found = neuron_importance(
        dict(header.named_parameters()), _gradients(header, x, y), ["conv"], "group"
    )
    with torch.no_grad():
        before = F.cross_entropy(header(x), y)
        layer.mask[1] = 0
        removed = (before - F.cross_entropy(header(x), y)) ** 2
    assert found[1].item() == pytest.approx(removed.item(), rel=1e-2)
    assert removed > 0


@pytest.mark.parametrize("joint", ["group", "sum"])
def test_eq18_set_against_loops_over_neurons_and_their_parameters(joint: str):
    header, x, y = _case(3)
    gradients, expected = _gradients(header, x, y), []
    for name in ("stem", "conv"):
        layer = header.get_submodule(name)
        for neuron in range(layer.out_features):
            terms = [(gradients[f"{name}.bias"][neuron] * layer.bias[neuron]).item()]
            for g, v in zip(
                gradients[f"{name}.weight"][neuron].flatten().tolist(),
                layer.weight[neuron].flatten().tolist(),
                strict=True,
            ):
                terms.append(g * v)
            expected.append(sum(terms) ** 2 if joint == "group" else sum(t**2 for t in terms))
    found = neuron_importance(
        dict(header.named_parameters()), gradients, layer_names(header), joint
    )
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("joint", ["group", "sum"])
def test_leading_device_dimension_gives_each_device_its_own_set(joint: str):
    cases = [_case(seed) for seed in range(3)]
    weights = [{n: p.detach() for n, p in header.named_parameters()} for header, _, _ in cases]
    gradients = [_gradients(*case) for case in cases]
    layers = layer_names(cases[0][0])
    stacked = neuron_importance(
        {n: torch.stack([w[n] for w in weights]) for n in weights[0]},
        {n: torch.stack([g[n] for g in gradients]) for n in gradients[0]},
        layers,
        joint,
    )
    for row, w, g in zip(stacked, weights, gradients, strict=True):
        torch.testing.assert_close(row, neuron_importance(w, g, layers, joint))


def test_masked_neurons_have_no_importance():
    header, x, y = _case(4)
    header.get_submodule("stem").mask[2] = 0
    found = neuron_importance(
        dict(header.named_parameters()), _gradients(header, x, y), ["stem"], "sum"
    )
    assert found[2] == 0
    assert (found[[0, 1, 3, 4]] > 0).any()


def test_classes_are_not_in_the_set():
    assert layer_names(build_header(CONFIG)) == ["stem", "conv"]
    assert layer_names(build_header(HeaderConfig("linear", 4, (2, 2), 3, 5, 6))) == []


def test_unknown_joint_importance_is_refused():
    with pytest.raises(ValueError, match="unknown joint importance 'max': choose group or sum"):
        neuron_importance({}, {}, [], "max")


@given(st.lists(st.floats(1e-12, 1e3), min_size=1, max_size=8), st.floats(1e-3, 1e3))
def test_normalised_sums_to_one_and_forgets_the_scale(values: list[float], scale: float):
    sets = torch.tensor(values, dtype=torch.float64)
    assert normalised(sets).sum().item() == pytest.approx(1)
    torch.testing.assert_close(normalised(sets * scale), normalised(sets))
    assert not normalised(torch.zeros(2, 3)).any()
