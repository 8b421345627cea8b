"""What docker-compose.yml starts, started in its order with its commands and variables, without the containers."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from uuid import uuid4

import pytest

from tests.deploy.test_compose import OURS
from tests.ports import free_port
from tests.programs import program
from tests.waiting import until

ROOT = Path(__file__).parents[2]
START_SECONDS_MAX = 100  # a process takes two; the machine may be busy
STOP_SECONDS_MAX = 45  # stop_grace_period in docker-compose.yml


@pytest.fixture
def directory(tmp_path: Path, postgres: str) -> Path:
    """Where the secrets and logs are, and an empty data directory."""
    program("openssl")
    subprocess.run([ROOT / "deploy/make-secrets", tmp_path / "secrets"], check=True, capture_output=True)
    (tmp_path / "secrets/database_url").write_text(postgres)
    (tmp_path / "data").mkdir()
    return tmp_path


@pytest.fixture
def api(directory: Path, schema: str) -> Iterator[str]:
    """The URL of a migrated API with a projector beside it; all of them end well."""
    here = {
        "PATH": os.environ["PATH"],
        "KEYLEDGER_SCHEMA": schema,
        "KEYLEDGER_DATA_DIR": f"{directory}/data",
        "KEYLEDGER_HOST": "127.0.0.1",
        "KEYLEDGER_PORT": str(free_port()),
    }

    def start(service: str) -> subprocess.Popen[bytes]:
        given = {k: v.replace("/run/secrets", f"{directory}/secrets") for k, v in OURS[service]["environment"].items()}
        name, *arguments = OURS[service]["command"]
        command = [Path(sys.executable).with_name(name), *arguments]
        with (directory / f"{service}.log").open("wb") as log:
            return subprocess.Popen(command, env=given | here, stdout=log, stderr=log, cwd="/")

    with start("migrate") as migrating:
        assert migrating.wait(START_SECONDS_MAX) == 0, (directory / "migrate.log").read_text()
    with ExitStack() as stack:
        running = {name: stack.enter_context(start(name)) for name in ("api", "projector")}
        try:
            url = f"http://127.0.0.1:{here['KEYLEDGER_PORT']}"
            _wait_until_healthy(url, directory / "api.log")
            yield url
        finally:
            for process in running.values():
                process.terminate()
            codes = {name: process.wait(STOP_SECONDS_MAX) for name, process in running.items()}
    assert codes == {"api": 0, "projector": 0}, (directory / "projector.log").read_text()


def _wait_until_healthy(url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/healthz", timeout=5).close()
        except OSError:  # nobody listens, or a worker that is to answer is still on its way
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the API does not answer: {log.read_text()}")


def ask(url: str, token: str, body: dict[str, Any] | None = None) -> Any:
    """The JSON that an operator's request is answered with."""
    content = None if body is None else json.dumps(body).encode()
    sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, content, sent), timeout=30) as answer:
        return json.load(answer)


def test_the_first_administrator_issues_a_credential_and_the_projector_follows(api: str, directory: Path) -> None:
    token = (directory / "secrets/bootstrap_token").read_text().strip()

    acme = ask(f"{api}/v1/organisations", token, {"name": f"Acme {uuid4()}"})
    credentials = f"{api}/v1/organisations/{acme['id']}/credentials"
    issued = ask(credentials, token, {"kind": "api_key", "mode": "live", "name": "Billing", "preset": "read_only"})

    assert ask(f"{credentials}/{issued['id']}", token)["name"] == "Billing"
    until(lambda: not _behind(api))
    logs = "".join((directory / f"{name}.log").read_text() for name in ("migrate", "api", "projector"))
    assert token not in logs
    assert issued["secret"] not in logs
    # What was signed and what was erased is remembered outside the database; nothing else is kept there.
    kept = {file.name for file in (directory / "data").iterdir()}
    assert kept <= {"signer.sqlite", "signer.sqlite-journal", "erasures.sqlite", "erasures.sqlite-journal"}


def _behind(api: str) -> dict[str, Any]:
    """The views that have not yet come to the log's head."""
    try:
        views = ask(f"{api}/readyz", "")["projections"]
    except HTTPError as late:  # so far behind that the API is not ready
        views = json.load(late)["projections"]
    return {name: view for name, view in views.items() if view["position"] < view["head"]}
