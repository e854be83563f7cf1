"""The backbone stage, without what it computes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flows import backbone
from flows.job import Job
from tasks.links.asking import Ask
from tasks.run.errors import LinkError
from tasks.run.store import Ref
from tasks.settings.fields import yaml_text
from tasks.settings.params import load
from tests.tiny import tiny_params


class Silent:
    """Devices that say nothing of themselves."""

    def ask(self, asks: Sequence[Ask], deadline_s: float | None) -> list[str]:
        return ["its battery is empty"] * len(asks)


@pytest.mark.parametrize("quorum", [0.25, 1.0])
def test_a_cluster_without_its_quorum_gets_no_backbone(
    quorum: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params: dict[str, Any] = tiny_params()
    params["matching"]["quorum"] = quorum
    (tmp_path / "params.yaml").write_text(yaml_text(params))
    settings = load(tmp_path / "params.yaml")
    monkeypatch.setattr(backbone, "LocalCarrier", lambda job, owns: Silent())
    job, cluster = cast(Job, SimpleNamespace(settings=settings)), settings.fleet[0]
    with pytest.raises(LinkError, match=f"0 of 2 devices answered, quorum is {quorum:.0%}"):
        backbone.cluster_backbone(job, cluster, Ref("elastic", "0" * 64), [])
