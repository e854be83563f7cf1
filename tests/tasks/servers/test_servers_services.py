"""What our servers run with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tasks.servers import services
from tasks.settings.case import Case


def test_results_stay_with_the_files_that_they_refer_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_LOCAL_STORAGE_PATH", "/elsewhere")
    env = services.environment(Case(tmp_path))
    assert env["PREFECT_LOCAL_STORAGE_PATH"] == str(tmp_path / "artifacts/work/results")
    assert env["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_cases_share_servers_and_not_their_results(tmp_path: Path) -> None:
    own, digits = (services.environment(Case(tmp_path, name)) for name in (None, "digits"))
    assert {name for name in own if own[name] != digits[name]} == {"PREFECT_LOCAL_STORAGE_PATH"}
    results = str(tmp_path / "cases/digits/artifacts/work/results")
    assert digits["PREFECT_LOCAL_STORAGE_PATH"] == results
