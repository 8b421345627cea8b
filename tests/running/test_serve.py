"""`keyledger serve` as its user meets it: started, used, stopped, killed and started again."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port

START_SECONDS_MAX = 150  # a first start runs initdb, on a machine that runs other tests beside it
STOP_SECONDS_MAX = 45  # workers may take 40 to finish what they took

pytestmark = pytest.mark.timeout(480)


@dataclass
class Installation:
    """A data directory and the servers that ran on it, one after the other."""

    directory: Path
    port: int
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KEYLEDGER_")}
        return kept | {"KEYLEDGER_DATA_DIR": str(self.directory / "data"), "KEYLEDGER_PORT": str(self.port)}

    def serve(self, **more: str) -> subprocess.Popen[str]:
        """Start a server; what it says goes to files, as it would to a terminal."""
        number = len(self.started)
        with (self.directory / f"out{number}").open("w") as out, (self.directory / f"err{number}").open("w") as err:
            server = subprocess.Popen(
                [sys.executable, "-m", "api.cli", "serve"],
                env=self.environment() | more,
                stdout=out,
                stderr=err,
                text=True,
                start_new_session=True,
            )
        self.started.append(server)
        return server

    def said(self) -> list[str]:
        """The lines of the last server's standard output."""
        return (self.directory / f"out{len(self.started) - 1}").read_text().splitlines()

    def complained(self) -> str:
        """The last server's standard error."""
        return (self.directory / f"err{len(self.started) - 1}").read_text()

    def await_url(self) -> None:
        """Until the URL stands on a line of its own, which says that it answers."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while self.url not in self.said():
            assert self.started[-1].poll() is None, self.complained()
            assert time.monotonic() < deadline, self.complained()
            time.sleep(0.05)

    def ask(self, method: str, path: str, token: str, body: Any = None) -> tuple[int, Any]:
        """The status and the JSON of one request."""
        asked = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)

    def post_form(self, path: str, form: str, basic: str) -> dict[str, Any]:
        """The JSON that a form with Basic is answered with."""
        asked = urllib.request.Request(self.url + path, form.encode(), {"Authorization": f"Basic {basic}"})
        with urllib.request.urlopen(asked, timeout=20) as answer:
            found: dict[str, Any] = json.load(answer)
        return found


@pytest.fixture
def installation() -> Iterator[Installation]:
    """A fresh one. Its directory is open to the user that PostgreSQL runs as under root."""
    directory = Path(tempfile.mkdtemp(prefix="keyledger-serve-"))
    directory.chmod(0o755)
    found = Installation(directory, free_port())
    yield found
    for server in found.started:
        if server.poll() is None:
            server.send_signal(signal.SIGINT)
            server.wait(STOP_SECONDS_MAX)
    shutil.rmtree(directory, ignore_errors=True)


def a_credential(installation: Installation, token: str) -> tuple[str, str, str]:
    """Through HTTP: an organisation's id, a credential's id, and its secret."""
    _, organisation = installation.ask("POST", "/v1/organisations", token, {"name": "Acme"})
    path = f"/v1/organisations/{organisation['id']}/credentials"
    status, credential = installation.ask(
        "POST", path, token, {"kind": "api_key", "mode": "live", "preset": "read_only"}
    )
    assert status == 201, credential
    return organisation["id"], credential["id"], credential["secret"]


def a_gateway(installation: Installation, token: str) -> str:
    _, gateway = installation.ask("POST", "/v1/operators", token, {"name": "gateway", "roles": ["verifier"]})
    secret: str = gateway["secret"]
    return secret


def the_token(installation: Installation) -> str:
    (token,) = [line for line in installation.said() if line.startswith("kl_operator_")]
    return token


def _runs(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("ending", "to_all"),
    [(signal.SIGINT, False), (signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGTERM, True)],
)
def test_it_serves_until_a_signal_and_leaves_nothing_running(
    installation: Installation, ending: signal.Signals, to_all: bool
) -> None:
    server = installation.serve()
    installation.await_url()
    assert the_token(installation)

    if to_all:  # as a terminal does at Ctrl-C, and systemd at a stop
        os.killpg(server.pid, ending)
    else:
        server.send_signal(ending)
    server.wait(STOP_SECONDS_MAX)
    complained = installation.complained()
    assert "Killing" not in complained, complained  # a worker that did not heed it

    # Python's own keeper of shared resources ends a moment after the process it kept them for.
    deadline = time.monotonic() + 10
    while _runs(server.pid):
        assert time.monotonic() < deadline, "something of its process group still runs"
        time.sleep(0.05)
    with socket.socket() as again:
        assert again.connect_ex(("127.0.0.1", installation.port)) != 0


def test_connections_that_are_kept_hold_nobody_up(installation: Installation) -> None:
    installation.serve()
    installation.await_url()
    with ExitStack() as kept:
        for number in range(100):  # as nginx's `keepalive 64` and two pools of clients keep them
            connection = http.client.HTTPConnection("127.0.0.1", installation.port, timeout=20)
            kept.enter_context(closing(connection))
            connection.request("GET", "/healthz")
            answer = connection.getresponse()
            assert (answer.status, json.load(answer)) == (200, {"status": "ok"}), number


def test_the_token_is_shown_once_and_nothing_acknowledged_is_gone_after_kill_9(installation: Installation) -> None:
    server = installation.serve()
    installation.await_url()
    token = the_token(installation)
    organisation, credential, secret = a_credential(installation, token)
    gateway = a_gateway(installation, token)

    server.kill()
    server.wait(STOP_SECONDS_MAX)
    installation.serve()
    installation.await_url()

    assert not any("kl_operator_" in line for line in installation.said())
    path = f"/v1/organisations/{organisation}/credentials/{credential}"
    assert installation.ask("GET", path, token)[1]["status"] == "active"
    assert installation.ask("POST", "/v1/verify", gateway, {"secret": secret})[1]["code"] == "VALID"
    assert installation.ask("POST", f"{path}/revoke", token, {})[0] == 200
    assert installation.ask("POST", "/v1/verify", gateway, {"secret": secret})[1]["code"] == "REVOKED"


def test_what_hangs_on_a_closed_account_is_revoked_by_the_next_server_where_one_was_killed(
    installation: Installation,
) -> None:
    server = installation.serve(KEYLEDGER_PROJECTOR="no")  # which does not sweep either: as if killed before it could
    installation.await_url()
    token = the_token(installation)
    _, organisation = installation.ask("POST", "/v1/organisations", token, {"name": "Acme"})
    accounts = f"/v1/organisations/{organisation['id']}/accounts"
    old = {"kind": "master", "name": "Acme", "opened_on": "2020-01-01"}
    _, account = installation.ask("POST", accounts, token, old)
    status, _ = installation.ask("POST", f"{accounts}/{account['id']}/close", token, {"reason": "contract ended"})
    assert status == 200

    server.kill()
    server.wait(STOP_SECONDS_MAX)
    installation.serve()
    installation.await_url()

    deadline = time.monotonic() + START_SECONDS_MAX
    for login in account["credentials"]:
        path = f"/v1/organisations/{organisation['id']}/credentials/{login['id']}"
        while installation.ask("GET", path, token)[1]["status"] != "revoked":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        last = installation.ask("GET", f"{path}/events", token)[1]["data"][-1]
        assert (last["topic"], last["via"], last["reason"]) == (
            "credential.revoked",
            "system",
            "account closed: contract ended",
        )


def test_the_logs_of_a_whole_run_hold_no_secret_and_are_json(installation: Installation) -> None:
    installation.serve(KEYLEDGER_LOG_LEVEL="DEBUG")
    installation.await_url()
    token = the_token(installation)
    organisation, credential, secret = a_credential(installation, token)
    gateway = a_gateway(installation, token)
    path = f"/v1/organisations/{organisation}/credentials"
    _, rotated = installation.ask("POST", f"{path}/{credential}/rotate", token, {"overlap_seconds": 60})
    password = "plum-Tractor-osmosis-41"
    login = {"kind": "channel_login", "mode": "live", "channel": "ftp", "login": "ada", "preset": "write"}
    assert installation.ask("POST", path, token, login | {"secret": password})[0] == 201
    wrong = "pear-Lathe-entropy-12345"
    for asked in ({"secret": secret}, {"secret": wrong, "public_id": "ada", "channel": "ftp"}, {"secret": secret[:-1]}):
        assert installation.ask("POST", "/v1/verify", gateway, asked)[0] == 200
    assert installation.ask("POST", path, token, login | {"secret": "short"})[0] == 422
    assert installation.ask("GET", path, secret)[0] == 401  # a credential's secret where a token belongs
    client = {"kind": "oauth_client", "mode": "live", "preset": "read_only"}
    _, client = installation.ask("POST", path, token, client)
    basic = b64encode(f"{client['public_id']}:{client['secret']}".encode()).decode()
    access_token = installation.post_form("/oauth2/token", "grant_type=client_credentials", basic)["access_token"]
    installation.started[-1].send_signal(signal.SIGINT)
    installation.started[-1].wait(STOP_SECONDS_MAX)

    logged = installation.complained()
    lines = [json.loads(line) for line in logged.splitlines()]
    assert {"keyledger.requests", "_granian"} <= {line["logger"] for line in lines}
    for never in (token, gateway, secret, rotated["secret"], password, wrong, client["secret"], access_token):
        assert never not in logged
        assert never[-12:] not in logged
    assert [line for line in installation.said() if token in line] == [token]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"KEYLEDGER_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "PostgreSQL"),
        ({"KEYLEDGER_WORKERS": "none"}, "KEYLEDGER_WORKERS"),
        ({"KEYLEDGER_DATA_DIR": "/proc/keyledger"}, "KEYLEDGER_DATA_DIR"),
        ({"KEYLEDGER_BOOTSTRAP_TOKEN": "kl_operator_live_1"}, "KEYLEDGER_BOOTSTRAP_TOKEN"),
    ],
    ids=["database", "setting", "directory", "token"],
)
def test_what_keeps_it_from_starting_is_one_line(
    installation: Installation, setting: dict[str, str], words: str
) -> None:
    server = installation.serve(**setting)
    assert server.wait(START_SECONDS_MAX) != 0
    (line,) = [line for line in installation.complained().splitlines() if line.startswith("error: ")]
    assert words in line
    assert "Traceback" not in installation.complained()


def test_a_second_server_on_the_same_port_says_so(installation: Installation) -> None:
    installation.serve()
    installation.await_url()
    second = installation.serve(KEYLEDGER_DATA_DIR=str(installation.directory / "other"))
    assert second.wait(START_SECONDS_MAX) != 0
    assert f"port {installation.port} of 127.0.0.1 is in use" in installation.complained()
