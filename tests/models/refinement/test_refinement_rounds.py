"""Which round a device keeps."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from models.refinement.rounds import best_round


@dataclass(frozen=True)
class Round:
    val_accuracy: float
    parameters: int = 10
    val_loss: float = 1.0


def test_best_validation_accuracy_then_fewer_parameters_then_lower_loss():
    assert best_round([Round(0.5), Round(0.7), Round(0.6)]) == 1
    assert best_round([Round(0.7), Round(0.7, 8), Round(0.7, 9)]) == 1
    assert best_round([Round(0.7), Round(0.7, 8, 0.9), Round(0.7, 8, 0.8)]) == 2


def test_an_equal_round_keeps_the_earlier():
    assert best_round([Round(0.7), Round(0.7)]) == 0


@given(
    st.lists(
        st.builds(Round, st.sampled_from([0.4, 0.5, 0.6]), st.integers(1, 3), st.floats(0, 2)),
        min_size=1,
    )
)
def test_never_worse_on_validation_than_what_was_received(rounds: list[Round]):
    kept = rounds[best_round(rounds)]
    assert kept.val_accuracy == max(r.val_accuracy for r in rounds)
    assert not any(
        r.val_accuracy == kept.val_accuracy and r.parameters < kept.parameters for r in rounds
    )
