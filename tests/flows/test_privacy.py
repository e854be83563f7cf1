"""What messages of a run that is done reveal."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.refinement.sketches import SKETCHES
from tasks.experiments.privacy import finished as attacks
from tasks.experiments.privacy.finished import Finished
from tasks.experiments.privacy.messages import ATTACKS
from tasks.settings.case import Case


@pytest.mark.usefixtures("working")
def test_a_run_that_is_done_is_attacked_by_what_it_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attacks, "SHADOWS", 12)
    found = Finished.of(Case(Path()), 1)
    for attack in ATTACKS:
        many, few = found.many[attack.name], found.few[attack.name]
        assert len(many.members) == len(few.members) == 4, attack.name
        assert all(0 <= area <= 1 for area in (*many.members, *many.classes))
    assert all(not shares for _, shares in found.recovered.values()), "all are of one context"
    assert list(found.recovered) == list(SKETCHES)
