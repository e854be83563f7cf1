"""The shared servers: their ports, account and variables, and the command that starts each."""

from __future__ import annotations

import csv
import io
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tasks.run.errors import SettingsError
from tasks.servers.services import mlflow_command, prefect_command

SERVICES = ("prefect", "mlflow", "postgres", "s3", "worker")
PORTS = (*SERVICES, "supervisor")
"""Each listens on the base port plus its place here (the worker: only its health)."""

BASE_PORT = 24200
BUCKETS = ("mlflow", "dvc")
POOL = "acme"
QUEUES = ("cloud", "edge", "device")
PYTHON = (sys.executable, "-m")
REGION = "us-east-1"  # S3 clients insist on one


@dataclass(frozen=True)
class Topology:
    """The account and the ports of one stack; everything listens on loopback."""

    user: str
    password: str = field(repr=False)
    base_port: int = BASE_PORT

    @classmethod
    def of(cls, variables: Mapping[str, str], base_port: int = BASE_PORT) -> Topology:
        """With ACME_USER and ACME_PASSWORD of ``variables``.

        Raises:
            SettingsError: no password, or one that a server would refuse.
        """
        user, password = variables.get("ACME_USER") or "acme", variables.get("ACME_PASSWORD", "")
        if not re.fullmatch(r"[!-+\--~]{12,}", password):
            raise SettingsError(
                f"ACME_PASSWORD is {'unfit' if password else 'not set'}: the stack's servers "
                "need one of at least 12 ASCII characters without spaces and commas, e.g. "
                "export ACME_PASSWORD=$(openssl rand -hex 16), the same one each time"
            )
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", user):
            raise SettingsError(f"ACME_USER {user!r}: give small letters, digits and _")
        return cls(user, password, base_port)

    def port(self, service: str) -> int:
        return self.base_port + PORTS.index(service)

    def address(self, service: str) -> str:
        scheme = "postgresql" if service == "postgres" else "http"
        return f"{scheme}://127.0.0.1:{self.port(service)}"

    def database(self, driver: str, name: str) -> str:
        """The address of a database; who asks and the password come from :attr:`account`."""
        return f"postgresql+{driver}://127.0.0.1:{self.port('postgres')}/{name}"

    @property
    def account(self) -> dict[str, str]:
        """What a client of PostgreSQL needs in its environment."""
        return {"PGUSER": self.user, "PGPASSWORD": self.password}

    @property
    def variables(self) -> dict[str, str]:
        """What a client of the stack needs in its environment."""
        return {
            "PREFECT_API_URL": f"{self.address('prefect')}/api",
            "PREFECT_API_AUTH_STRING": f"{self.user}:{self.password}",
            "MLFLOW_TRACKING_URI": self.address("mlflow"),
            "MLFLOW_TRACKING_USERNAME": self.user,
            "MLFLOW_TRACKING_PASSWORD": self.password,
            "MLFLOW_S3_ENDPOINT_URL": self.address("s3"),
            "AWS_ENDPOINT_URL_S3": self.address("s3"),
            "AWS_ACCESS_KEY_ID": self.user,
            "AWS_SECRET_ACCESS_KEY": self.password,
            "AWS_DEFAULT_REGION": REGION,
        }


@dataclass(frozen=True)
class Service:
    """A server: its command, what it needs beyond the clients' variables, and what to do once it
    answers at ``health`` (be it that it does not know us)."""

    name: str
    command: list[str]
    health: str
    env: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], None] = lambda: None


def services(topology: Topology, folder: Path) -> list[Service]:
    """Every server but PostgreSQL, in the order in which they start; ``folder`` is private."""
    return [_s3(topology, folder), _mlflow(topology, folder), _prefect(topology), _worker(topology)]


def _s3(topology: Topology, folder: Path) -> Service:
    command = ["rclone", "serve", "s3", "--addr", f"127.0.0.1:{topology.port('s3')}"]
    env = {"RCLONE_CONFIG": "", "RCLONE_AUTH_KEY": s3_keys(topology)}
    return Service(
        "s3",
        [*command, str(folder / "s3")],
        topology.address("s3"),
        env,
        partial(make_buckets, topology.variables),
    )


def s3_keys(topology: Topology) -> str:
    """The one account of S3, as rclone reads it: a list of "user,password" as CSV."""
    line = io.StringIO()
    csv.writer(line).writerow([f"{topology.user},{topology.password}"])
    return line.getvalue().strip()


def _mlflow(topology: Topology, folder: Path) -> Service:
    artifacts = ["--serve-artifacts", "--artifacts-destination", "s3://mlflow"]
    command = [*PYTHON, *mlflow_command(topology.port("mlflow"))]
    env = topology.account | {
        "MLFLOW_BACKEND_STORE_URI": topology.database("psycopg2", "mlflow"),
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "mlflow.ini"),
        "MLFLOW_AUTH_ADMIN_USERNAME": topology.user,
        "MLFLOW_AUTH_ADMIN_PASSWORD": topology.password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(32),
    }
    health = f"{topology.address('mlflow')}/health"
    return Service("mlflow", [*command, "--app-name", "basic-auth", *artifacts], health, env)


def mlflow_ini(topology: Topology) -> str:
    """The settings of MLflow's accounts, which it reads only from a file."""
    database = topology.database("psycopg2", "mlflow_auth")
    settings = {
        "default_permission": "READ",
        "database_uri": database,
        # a check takes tens of milliseconds, several times a call: minutes where thousands are made
        "auth_cache_ttl_seconds": "60",
    }
    return "[mlflow]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items())


def _prefect(topology: Topology) -> Service:
    api = topology.variables["PREFECT_API_URL"]
    env = topology.account | {
        "PREFECT_API_DATABASE_CONNECTION_URL": topology.database("asyncpg", "prefect"),
        "PREFECT_SERVER_API_AUTH_STRING": topology.variables["PREFECT_API_AUTH_STRING"],
        "PREFECT_SERVER_UI_API_URL": api,
    }
    command, health = prefect_command(topology.port("prefect")), f"{api}/health"
    prepare = partial(make_queues, topology.variables)
    return Service("prefect", [*PYTHON, *command], health, env, prepare)


def _worker(topology: Topology) -> Service:
    what = ["--pool", POOL, "--type", "process", "--name", "acme-worker", "--with-healthcheck"]
    env = {
        "PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1",
        "PREFECT_WORKER_WEBSERVER_PORT": str(topology.port("worker")),
    }
    command = [*PYTHON, "prefect", "worker", "start", *what]
    return Service("worker", command, f"{topology.address('worker')}/health", env)


def make_buckets(variables: Mapping[str, str]) -> None:
    """The buckets that are missing on the S3 server that ``variables`` name."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_DEFAULT_REGION"],
    )
    known = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for bucket in set(BUCKETS) - known:
        client.create_bucket(Bucket=bucket)


def make_queues(variables: Mapping[str, str]) -> None:
    """The worker's pool and its queues, if missing, on the Prefect server of ``variables``."""
    import httpx

    user, _, password = variables["PREFECT_API_AUTH_STRING"].partition(":")
    pools = f"{variables['PREFECT_API_URL']}/work_pools/"
    with httpx.Client(auth=(user, password), timeout=30) as client:
        wanted = [(pools, {"name": POOL, "type": "process"})]
        wanted += [(f"{pools}{POOL}/queues", {"name": name}) for name in QUEUES]
        for url, what in wanted:
            answer = client.post(url, json=what)
            if answer.status_code != httpx.codes.CONFLICT:  # there already
                answer.raise_for_status()
