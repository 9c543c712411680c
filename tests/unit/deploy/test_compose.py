"""Does the compose file start what `make stack` starts? It cannot be run where there is no Docker, so it is held to what is run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.config import Settings, unknown_names
from deploy.stack import topology
from workers.broker import worker_arguments

FILE = Path(__file__).resolve().parents[3] / "deploy" / "compose" / "compose.yaml"
SERVICES: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"]
COMMANDS = {
    "postgres": topology.POSTGRES,
    "redis": topology.REDIS,
    "elasticsearch": topology.ELASTICSEARCH,
    "prepare": topology.PREPARE,
    **{name: topology.worker_command(name) for name in topology.WORKERS},
    **dict.fromkeys(topology.WEBS, topology.WEB),
}


def test_it_is_a_valid_compose_file() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", FILE], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_its_services_are_the_processes_of_the_stack() -> None:
    assert sorted(SERVICES) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_service_runs_the_command_of_the_stack(name: str) -> None:
    assert tuple(SERVICES[name]["command"]) == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_service_waits_for_what_the_stack_waits_for(name: str) -> None:
    conditions = {other: wait["condition"] for other, wait in SERVICES[name].get("depends_on", {}).items()}
    assert conditions == {
        other: "service_completed_successfully" if other == "prepare" else "service_healthy" for other in topology.NEEDS.get(name, ())
    }


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"prepare"}))
def test_a_service_that_stays_has_a_health_check_and_is_started_again(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ["prepare", *topology.WORKERS, *topology.WEBS])
def test_a_service_is_given_settings_that_exist(name: str) -> None:
    given = SERVICES[name]["environment"]
    assert unknown_names(given) == []
    backends = topology.LOCAL_MODELS if name == "prepare" else topology.REMOTE_MODELS
    assert {setting: given[setting] for setting in (*backends, *topology.ELASTIC_INDEXES)} == {**backends, **topology.ELASTIC_INDEXES}


def test_the_worker_command_says_what_workers_need() -> None:
    needed = {word for word in worker_arguments(Settings()) if not word.startswith(("--concurrency", "--queues"))}
    assert needed <= set(topology.WORKER)  # concurrency and queues come from the settings themselves
