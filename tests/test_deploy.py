"""The compose file: valid, closed to the outside, and the same servers as `acme stack`."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from compose_pydantic.models import ComposeSpecification
from pydantic import ValidationError

from tasks.servers.postgres import DATABASES
from tasks.servers.topology import POOL, SERVICES, Topology, mlflow_ini, services
from tasks.settings.fields import read_yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = read_yaml(DEPLOY / "compose.yaml")
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
LASTING = [name for name in CONTAINERS if name != "prepare"]


def specification() -> dict[str, Any]:
    """The file without the extensions, which the specification leaves open."""
    return {key: value for key, value in COMPOSE.items() if not key.startswith("x-")}


def test_the_file_is_valid_by_the_specification() -> None:
    read = ComposeSpecification(**specification())
    assert set(read.services or {}) == set(COMPOSE["services"])


@pytest.mark.parametrize("wrong", [{"port": ["1:1"]}, {"depends_on": {"s3": {"condition": "up"}}}])
def test_the_check_would_notice(wrong: dict[str, Any]) -> None:
    content = specification() | {"services": {"s3": {"image": "i:1"} | wrong}}
    with pytest.raises(ValidationError):
        ComposeSpecification(**content)


def has_compose() -> bool:
    command = [shutil.which("docker") or "false", "compose", "version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_compose(), reason="no docker compose here")
def test_compose_itself_accepts_the_file() -> None:
    command = ["docker", "compose", "-f", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    env = {**os.environ, "ACME_PASSWORD": "x", "ACME_FLASK_SECRET": "y"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_same_servers_as_from_processes() -> None:
    assert set(LASTING) == set(SERVICES)
    topology = Topology("acme", "")
    for service in services(topology, Path()):
        clients = {} if service.name == "s3" else topology.variables
        assert {*clients, *service.env} <= set(CONTAINERS[service.name]["environment"])
    ran = next(s.command for s in services(topology, Path()) if s.name == "s3")
    assert ran[:3] == CONTAINERS["s3"]["command"][:3]
    assert f"--pool={POOL}" in CONTAINERS["worker"]["command"]
    created = re.findall(r"CREATE DATABASE (\w+);", (DEPLOY / "databases.sql").read_text())
    assert set(created) == set(DATABASES)
    ours, theirs = configparser.ConfigParser(), configparser.ConfigParser()
    ours.read(DEPLOY / "mlflow.ini")
    theirs.read_string(mlflow_ini(topology))
    assert set(ours["mlflow"]) == set(theirs["mlflow"])


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for c in CONTAINERS.values() for port in c.get("ports", [])]
    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert "ports" not in CONTAINERS["postgres"]


def test_images_are_pinned() -> None:
    base = re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.M)
    for image in [*base, *(c["image"] for c in CONTAINERS.values())]:
        assert re.search(r":[A-Za-z]*\.?\d+\S*$", image), image


def test_what_waits_for_a_healthy_server_waits_for_a_check() -> None:
    for name, container in CONTAINERS.items():
        for other, how in container.get("depends_on", {}).items():
            healthy = how["condition"] == "service_healthy"
            assert healthy == ("healthcheck" in CONTAINERS[other]), (name, other)
    assert all("healthcheck" in CONTAINERS[name] for name in LASTING)
    assert all(CONTAINERS[name]["restart"] == "unless-stopped" for name in LASTING)


def test_data_lie_in_named_volumes() -> None:
    mounted = [volume for c in CONTAINERS.values() for volume in c.get("volumes", [])]
    named = {volume.split(":")[0] for volume in mounted if not volume.startswith("./")}
    assert named == set(COMPOSE["volumes"])


def test_secrets_come_from_the_environment_and_must_be_set() -> None:
    secret = re.compile(r"PASSWORD|SECRET|AUTH_STRING|AUTH_KEY")
    for container in CONTAINERS.values():
        for name, value in container["environment"].items():
            assert not secret.search(name) or re.search(r"\$\{\w+:\?", value), name
    required = set(re.findall(r"\$\{(\w+):\?", TEXT))
    example = dict(
        line.split("=", 1)
        for line in (DEPLOY / ".env.example").read_text().splitlines()
        if not line.startswith("#")
    )
    assert required == {name for name, value in example.items() if not value}
    ignored = subprocess.run(["git", "check-ignore", "-q", "deploy/.env"], cwd=ROOT, check=False)
    assert ignored.returncode == 0


def test_a_server_that_does_not_know_us_is_healthy_and_one_that_is_down_is_not() -> None:
    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(self.path[1:]))
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    Thread(target=server.serve_forever, daemon=True).start()
    for status, healthy in ((200, True), (403, True), (503, False)):
        where = f"http://127.0.0.1:{server.server_port}/{status}"
        done = subprocess.run([sys.executable, str(DEPLOY / "healthy.py"), where], check=False)
        assert (done.returncode == 0) == healthy, status
    server.shutdown()
    server.server_close()
    done = subprocess.run([sys.executable, str(DEPLOY / "healthy.py"), where], capture_output=True)
    assert done.returncode
