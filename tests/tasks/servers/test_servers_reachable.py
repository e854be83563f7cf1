"""Servers that the environment names and that do not answer, or not to us: one line that says which
variable to mend, and no password."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tasks.run.errors import AcmeError, SettingsError, StageError
from tasks.servers import reachable
from tasks.servers.reachable import check_mlflow, check_prefect
from tasks.servers.services import free_port

MALFORMED = ["127.0.0.1:4200/api", "http//x", "http://", "ftp://host/api", "http://h:port/api"]


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """Answers everything with its ``status``, and keeps what it was asked in ``asked``."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            its.asked.append((self.path, self.headers.get("Authorization")))  # type: ignore[attr-defined]
            body = json.dumps("3.8.8").encode()
            self.send_response(its.status)  # type: ignore[attr-defined]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing."""

    its = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    its.status, its.asked = 200, []  # type: ignore[attr-defined]
    Thread(target=its.serve_forever, daemon=True).start()
    yield its
    its.shutdown()
    its.server_close()


def env(address: str) -> dict[str, str]:
    """Both servers at ``address``, with accounts."""
    return {
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_API_AUTH_STRING": "acme:a secret word",
        "MLFLOW_TRACKING_URI": address,
        "MLFLOW_TRACKING_USERNAME": "acme",
        "MLFLOW_TRACKING_PASSWORD": "a secret word",
    }


CHECKS = [(check_prefect, "PREFECT_API_URL"), (check_mlflow, "MLFLOW_TRACKING_URI")]


@pytest.mark.parametrize(("check", "name"), CHECKS)
@pytest.mark.parametrize("address", MALFORMED)
def test_what_is_no_address_is_named(check, name: str, address: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SettingsError, match=rf"{name}=.* is no address.*e\.g\. http://"):
        check({name: address})


@pytest.mark.parametrize("address", ["file:///tmp/mlruns", "mlruns", "/tmp/mlruns"])
def test_mlflow_s_file_store_which_it_refuses_is_no_address(address: str) -> None:
    with pytest.raises(SettingsError, match="MLFLOW_TRACKING_URI"):
        check_mlflow({"MLFLOW_TRACKING_URI": address})


@pytest.mark.parametrize(("check", "name"), CHECKS)
def test_a_server_that_is_down_is_named(check, name: str) -> None:  # type: ignore[no-untyped-def]
    start = time.monotonic()
    with pytest.raises(StageError, match=rf"{name}: no server answers.*Start it"):
        check(env(f"http://127.0.0.1:{free_port()}"))
    assert time.monotonic() - start < 5


def test_a_database_that_is_down_is_named_without_its_password() -> None:
    address = f"postgresql+psycopg2://acme:secret@127.0.0.1:{free_port()}/mlflow"
    with pytest.raises(StageError, match=r"MLFLOW_TRACKING_URI: no server answers") as error:
        check_mlflow({"MLFLOW_TRACKING_URI": address})
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(("check", "name"), CHECKS)
def test_a_server_that_hangs_is_given_up(  # type: ignore[no-untyped-def]
    check, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reachable, "TIMEOUT_S", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(StageError, match=rf"{name}: no server answers.*timed out"):
            check(env(f"http://127.0.0.1:{silent.getsockname()[1]}"))


@pytest.mark.parametrize(("check", "name"), CHECKS)
def test_a_server_is_asked_with_our_account(check, name: str, server) -> None:  # type: ignore[no-untyped-def]
    address = f"http://127.0.0.1:{server.server_port}"
    check(env(address))
    assert server.asked[0][1].startswith("Basic ")
    for status, words in (
        (401, "refuses us"),
        (403, "refuses us"),
        (404, "no .* server"),
        (500, "500"),
    ):
        server.status = status
        with pytest.raises(StageError, match=f"{name}=.*{words}") as error:
            check(env(address))
        assert "secret" not in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("check", "name"), CHECKS)
def test_a_wrong_scheme_is_said(check, name: str, server) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AcmeError, match=f"{name}: no server answers at https://"):
        check(env(f"https://127.0.0.1:{server.server_port}"))


def test_the_store_of_the_project_needs_no_server() -> None:
    check_mlflow({})
    check_mlflow({"MLFLOW_TRACKING_URI": "sqlite:////tmp/mlflow.db"})
