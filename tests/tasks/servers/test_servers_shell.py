"""Whose run the flows of another process belong below."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.servers import shell


@pytest.mark.parametrize(("server", "known"), [("http://127.0.0.1:1/api", True), (None, False)])
def test_a_run_is_named_to_those_whose_server_knows_it(
    server: str | None, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "flow_run", SimpleNamespace(id="a-run"))
    with temporary_settings({PREFECT_API_URL: server}):
        assert shell.below_this() == ({shell.PARENT: "a-run"} if known else {})
