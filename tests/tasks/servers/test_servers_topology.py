"""What each server of the stack is started with."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from tasks.run.errors import SettingsError
from tasks.servers.topology import SERVICES, Topology, mlflow_ini, s3_keys, services

PASSWORD = "p@ss:w/rd%40'\"$x"


@pytest.mark.parametrize(
    "password",
    ["", "short", "a pass word with spaces", "a,pass,word,with,commas", "pässwörter-lang"],
)
def test_a_password_that_will_not_do_is_one_line_that_says_how(password: str) -> None:
    with pytest.raises(SettingsError, match=r"ACME_PASSWORD is .*export ACME_PASSWORD=") as error:
        Topology.of({"ACME_PASSWORD": password})
    assert "\n" not in str(error.value)
    assert not password or password not in str(error.value).split(":")[0]


def test_an_account_that_postgres_would_fold_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"ACME_USER 'Big Boss'"):
        Topology.of({"ACME_USER": "Big Boss", "ACME_PASSWORD": PASSWORD})


def test_the_password_is_on_no_command_line_and_in_no_address() -> None:
    topology = Topology.of({"ACME_PASSWORD": PASSWORD})
    started = services(topology, Path("private"))
    words = [word for service in started for word in service.command]
    written = [mlflow_ini(topology), topology.database("asyncpg", "prefect"), repr(topology)]
    assert not [text for text in [*words, *written] if PASSWORD in text]
    assert {s.name for s in started} == set(SERVICES) - {"postgres"}


def test_every_server_listens_on_loopback_on_a_port_of_its_own() -> None:
    topology = Topology("acme", PASSWORD, 30000)
    assert [topology.port(name) for name in SERVICES] == [30000, 30001, 30002, 30003, 30004]
    for service in services(topology, Path("private")):
        said = " ".join([*service.command, *service.env.values()])
        assert re.search(rf"127\.0\.0\.1\b.*\b{topology.port(service.name)}\b", said)


def test_the_keys_of_s3_are_read_as_they_were_given() -> None:
    keys = next(csv.reader([s3_keys(Topology("acme", PASSWORD))]))
    assert [key.split(",") for key in keys] == [["acme", PASSWORD]]
