"""The whole stack, for real, where PostgreSQL is installed."""

from __future__ import annotations

import io
import os
import random
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tasks.run.errors import StageError
from tasks.servers import postgres, stack
from tasks.servers.reachable import check_mlflow, check_prefect
from tasks.servers.server import marked
from tasks.servers.services import environment
from tasks.servers.topology import SERVICES
from tasks.settings.case import Case
from tasks.settings.stages import ACME
from tests.tasks.servers.test_servers_server import until
from tests.tasks.servers.test_servers_stack import base_port
from tests.tiny import copy_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git knows of this project, where PostgreSQL is installed."""
    if not postgres.installed() and not shutil.which("initdb"):
        pytest.skip("no PostgreSQL here")
    root = tmp_path_factory.mktemp("stack") / "project"
    copy_project(root)
    return root


@pytest.fixture(scope="module")
def servers(project: Path) -> Iterator[dict[str, str]]:
    """The variables of a running stack."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACME_PASSWORD", f"%40:/'{secrets.token_hex(12)}")
        with stack.stack(project, base_port()) as variables:
            for name, value in variables.items():
                patch.setenv(name, value)
            yield variables


def of_stack(root: Path) -> list[str]:
    """The command lines of all processes that run in ``root`` or over its databases."""
    data = str(postgres.folder(root))
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if process.pid != os.getpid() and (process.cwd() == str(root) or data in command):
                found.append(command)
        except psutil.Error:
            continue
    return found


def queues(servers: dict[str, str]) -> list[dict[str, Any]]:
    """Of the pool that tiers work from, by name."""
    account = tuple(servers["PREFECT_API_AUTH_STRING"].split(":", 1))
    url = f"{servers['PREFECT_API_URL']}/work_pools/acme/queues/filter"
    found = httpx.post(url, json={}, auth=account).raise_for_status().json()
    return sorted(found, key=lambda queue: queue["name"])


@pytest.mark.slow
def test_mlflow_and_prefect_answer_only_with_the_password(servers: dict[str, str]) -> None:
    user, password = servers["PREFECT_API_AUTH_STRING"].split(":", 1)
    experiments = f"{servers['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/experiments/search"
    for url in (experiments, f"{servers['PREFECT_API_URL']}/flows/filter"):
        assert httpx.post(url, json={"max_results": 5}).status_code == 401, url
        assert httpx.post(url, json={}, auth=(user, "wrong-password")).status_code == 401, url
        limit = {"max_results": 5} if url == experiments else {}
        assert httpx.post(url, json=limit, auth=(user, password)).status_code == 200, url
    check_mlflow(servers)
    check_prefect(servers)
    with pytest.raises(StageError, match="mend MLFLOW_TRACKING_USERNAME and"):
        check_mlflow({**servers, "MLFLOW_TRACKING_PASSWORD": "wrong-password"})
    with pytest.raises(StageError, match="mend PREFECT_API_AUTH_STRING"):
        check_prefect({**servers, "PREFECT_API_AUTH_STRING": f"{user}:wrong-password"})


@pytest.mark.slow
def test_the_worker_serves_the_queues_of_the_tiers(servers: dict[str, str]) -> None:
    account = tuple(servers["PREFECT_API_AUTH_STRING"].split(":", 1))
    pool = f"{servers['PREFECT_API_URL']}/work_pools/acme"
    assert {queue["name"] for queue in queues(servers)} >= {"cloud", "edge", "device"}
    deadline = time.monotonic() + 30
    workers: list[dict[str, str]] = []
    while not workers and time.monotonic() < deadline:  # until its first heartbeat
        workers = httpx.post(f"{pool}/workers/filter", json={}, auth=account).json()
    assert [worker["status"] for worker in workers] == ["ONLINE"]


@pytest.mark.slow
def test_preparing_again_changes_nothing(servers: dict[str, str]) -> None:
    before = queues(servers)
    stack.prepare()
    assert [queue["id"] for queue in queues(servers)] == [queue["id"] for queue in before]


@pytest.mark.slow
def test_both_servers_keep_their_records_in_postgres(servers: dict[str, str]) -> None:
    import psycopg2

    user, password = servers["PREFECT_API_AUTH_STRING"].split(":", 1)
    port = int(servers["PREFECT_API_URL"].split(":")[2].split("/")[0]) + 2
    for database, table in (("prefect", "flow_run"), ("mlflow", "runs"), ("mlflow_auth", "users")):
        where = {"host": "127.0.0.1", "port": port, "user": user, "dbname": database}
        server = psycopg2.connect(**where, password=password)
        with server.cursor() as cursor:
            cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            assert table in {name for (name,) in cursor.fetchall()}
        server.close()
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(**where, password="wrong-password")


@pytest.mark.slow
def test_an_artifact_logged_through_mlflow_lies_in_the_bucket(servers: dict[str, str]) -> None:
    import boto3
    from mlflow import MlflowClient

    client = MlflowClient(servers["MLFLOW_TRACKING_URI"])
    run = client.create_run(client.create_experiment("stack"))
    client.log_text(run.info.run_id, "kept", "note.txt")
    s3 = boto3.client("s3")
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="mlflow")["Contents"]]
    (key,) = [key for key in keys if key.endswith(f"{run.info.run_id}/artifacts/note.txt")]
    assert s3.get_object(Bucket="mlflow", Key=key)["Body"].read() == b"kept"


@pytest.mark.slow
def test_dvc_pushes_here_and_pulls_in_another_clone(
    servers: dict[str, str], tmp_path: Path
) -> None:
    def run(where: Path, *command: str) -> None:
        done = subprocess.run(command, cwd=where, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    here, there, dvc = tmp_path / "here", tmp_path / "there", (sys.executable, "-m", "dvc")
    run(tmp_path, "git", "init", "-q", str(here))
    run(here, *dvc, "init", "-q")
    run(here, *dvc, "remote", "add", "-q", "-d", "stack", "s3://dvc/files")
    run(here, *dvc, "remote", "modify", "stack", "endpointurl", servers["AWS_ENDPOINT_URL_S3"])
    (here / "tiny.txt").write_text("eight devices")
    run(here, *dvc, "add", "-q", "tiny.txt")
    run(here, *dvc, "push", "-q")
    run(here, "git", "add", "-A")
    run(here, "git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "a file")
    run(tmp_path, "git", "clone", "-q", str(here), str(there))
    run(there, *dvc, "pull", "-q")
    assert (there / "tiny.txt").read_text() == "eight devices"


@pytest.mark.slow
def test_no_secret_is_in_a_log_or_on_a_command_line(project: Path, servers: dict[str, str]) -> None:
    password = servers["MLFLOW_TRACKING_PASSWORD"]
    unquoted = password[-24:]  # has no character that an address would escape
    logs = list((project / ".acme/stack").glob("*.log"))
    assert len(logs) == 5
    assert not [log for log in logs if unquoted in log.read_text()]
    assert not [command for command in of_stack(project) if unquoted in command]
    env = project / ".acme/stack/env"
    assert env.stat().st_mode & 0o777 == 0o600
    shown = ["sh", "-c", '. "$0"; printf %s "$MLFLOW_TRACKING_PASSWORD"', str(env)]
    assert subprocess.run(shown, capture_output=True, text=True, env={}).stdout == password


@pytest.mark.slow
def test_the_stack_outlives_its_command_recovers_and_goes(project: Path, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(project, root, ignore=shutil.ignore_patterns(".acme"))
    env = {**os.environ, "PYTHONPATH": str(root), "ACME_PASSWORD": secrets.token_hex(16)}

    def acme(*arguments: str) -> str:
        command = [*ACME, "stack", *arguments]
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = base_port()
    try:
        assert f"http://127.0.0.1:{first + 1}" in acme("up", "--base-port", str(first))
        before = stack.states(root)
        assert set(before.values()) == {"up"}
        running = sorted(of_stack(root))
        assert len(running) >= 5
        assert "nothing is changed" in acme("up")
        assert sorted(of_stack(root)) == running
        client = s3_client(first, env["ACME_PASSWORD"])
        big = random.Random(0).randbytes(20 << 20)  # boto3 sends it in parts
        client.upload_fileobj(io.BytesIO(big), "dvc", "a/big")
        kill_group(marked(root / ".acme/stack", stack.KIND))
        assert "s3        ended" in acme("status")
        acme("up", "--base-port", str(first))
        assert set(stack.states(root).values()) == {"up"}
        assert client.get_object(Bucket="dvc", Key="a/big")["Body"].read() == big
        assert "is stopped" in acme("down")
        assert of_stack(root) == []
        acme("up", "--base-port", str(first))
        assert client.get_object(Bucket="dvc", Key="a/big")["Body"].read() == big
        acme("down")
        assert (postgres.folder(root) / "data").exists()
    finally:
        acme("down", "--delete-data")
    assert not postgres.folder(root).exists()
    assert not (root / ".acme/stack/s3").exists()


def kill_group(processes: list[psutil.Process]) -> None:
    """End processes as a machine that goes down does."""
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, 10)


def s3_client(first: int, password: str) -> Any:
    """A client of the S3 of the stack with this base port."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{first + SERVICES.index('s3')}",
        aws_access_key_id="acme",
        aws_secret_access_key=password,
        region_name="us-east-1",
    )


@pytest.mark.slow
def test_s3_refuses_who_does_not_know_the_key(servers: dict[str, str]) -> None:
    import boto3
    from botocore import UNSIGNED
    from botocore.client import Config
    from botocore.exceptions import ClientError

    port = int(servers["AWS_ENDPOINT_URL_S3"].rpartition(":")[2])
    first = port - SERVICES.index("s3")
    wrong = s3_client(first, "wrong-password")
    nobody = boto3.client("s3", config=Config(signature_version=UNSIGNED))
    for client in (wrong, nobody):
        for ask in (client.list_buckets, lambda c=client: c.list_objects_v2(Bucket="mlflow")):
            with pytest.raises(ClientError):
                ask()
    s3_client(first, servers["AWS_SECRET_ACCESS_KEY"]).list_buckets()


@pytest.mark.slow
def test_a_flow_run_of_the_worker_ends_with_the_stack(
    project: Path, servers: dict[str, str], tmp_path: Path
) -> None:
    """Its process has a group of its own; the worker ends it, else its mark gives it away."""
    (tmp_path / "sleepy.py").write_text(SLEEPY)
    env = {**environment(Case(project)), **servers}
    python = [sys.executable, str(tmp_path / "sleepy.py"), str(tmp_path)]
    done = subprocess.run(python, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    def sleeping() -> list[psutil.Process]:
        found = marked(project / ".acme/stack", stack.KIND)
        return [p for p in found if "time.sleep(601)" in p.cmdline()[-1]]

    assert until(sleeping, within_s=120)
    of_worker = sleeping()
    base = int(servers["PREFECT_API_URL"].split(":")[2].split("/")[0])
    kill_group([p for p in marked(project / ".acme/stack", stack.KIND) if "worker" in p.cmdline()])
    assert of_worker[0].is_running()
    stack.stop_all(project)
    assert not of_worker[0].is_running()
    stack.up(project, base)


SLEEPY = """
import subprocess, sys
from prefect import flow

@flow
def sleepy():
    subprocess.run([sys.executable, "-c", "import time; time.sleep(601)"])

if __name__ == "__main__":
    from prefect.deployments.runner import RunnerDeployment
    at = sleepy.from_source(source=sys.argv[1], entrypoint="sleepy.py:sleepy")
    at.deploy(name="s", work_pool_name="acme", print_next_steps=False)
    from prefect.deployments import run_deployment
    run_deployment("sleepy/s", timeout=0)
"""
