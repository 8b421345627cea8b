"""The examples of proxies that ask Keyledger about every request, each in its real program.

What is changed in an example is where things listen and lie, and nothing else.
"""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.programs import program
from tests.running.doors import Installation, Reply, ask, example, running


@dataclass(frozen=True)
class Front:
    """A proxy, and what is behind it."""

    name: str
    port: int
    behind: Installation
    configuration: Path
    log: Path

    def ask(
        self, headers: dict[str, str] | None = None, method: str = "GET", path: str = "/orders?page=2", body: Any = None
    ) -> Reply:
        """One request of a client."""
        return ask(self.port, headers, method, path, body)


@dataclass(frozen=True)
class Program:
    """How a proxy is started: its configuration, the command that checks it, the one that runs it."""

    configuration: Path
    check: list[str]
    run: list[str]
    environment: Mapping[str, str] | None = None


Configure = Callable[[Path, Installation, int, str, Mapping[str, str]], Program]


def _nginx(directory: Path, behind: Installation, port: int, token: str, changes: Mapping[str, str]) -> Program:
    token_file = directory / "token.conf"
    token_file.write_text(f"proxy_set_header X-Gateway-Token {token};\n")
    places = {
        " /tmp/": f" {directory}/",
        "listen 127.0.0.1:8000": f"listen 127.0.0.1:{port}",
        "server 127.0.0.1:8080": f"server 127.0.0.1:{behind.wire.port}",
        "server 127.0.0.1:9000": f"server 127.0.0.1:{behind.service_port}",
        "/etc/nginx/keyledger-gateway-token.conf": str(token_file),
        # As root nginx would give its workers to a user who cannot read here.
        "worker_processes auto;": "worker_processes 1; daemon off; master_process off;",
    }
    configuration = example("nginx/nginx.conf", directory, {**places, **changes})
    run = [program("nginx"), "-p", str(directory), "-e", "/dev/stderr", "-c", str(configuration)]
    return Program(configuration, [*run, "-t"], run)


def _caddy(directory: Path, behind: Installation, port: int, token: str, changes: Mapping[str, str]) -> Program:
    token_file = directory / "token.caddy"
    token_file.write_text(f"header_up X-Gateway-Token {token}\n")
    places = {
        "http://127.0.0.1:8000": f"http://127.0.0.1:{port}",
        "forward_auth 127.0.0.1:8080": f"forward_auth 127.0.0.1:{behind.wire.port}",
        "reverse_proxy 127.0.0.1:9000": f"reverse_proxy 127.0.0.1:{behind.service_port}",
        "/etc/caddy/keyledger-gateway-token.caddy": str(token_file),
    }
    configuration = example("caddy/Caddyfile", directory, {**places, **changes})
    caddy, named = program("caddy"), ["--config", str(configuration), "--adapter", "caddyfile"]
    homes = {"HOME": str(directory), "XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
    return Program(configuration, [caddy, "validate", *named], [caddy, "run", *named], {**os.environ, **homes})


def _haproxy(directory: Path, behind: Installation, port: int, token: str, changes: Mapping[str, str]) -> Program:
    token_file = directory / "token"
    token_file.write_text(f"{token}\n")
    places = {
        "/etc/haproxy/keyledger.lua": str(example("haproxy/keyledger.lua", directory, {})),
        "http://127.0.0.1:8080": behind.url,
        "/etc/haproxy/keyledger-gateway-token": str(token_file),
        "bind 127.0.0.1:8000": f"bind 127.0.0.1:{port}",
        "service 127.0.0.1:9000": f"service 127.0.0.1:{behind.service_port}",
    }
    configuration = example("haproxy/haproxy.cfg", directory, {**places, **changes})
    run = [program("haproxy"), "-f", str(configuration)]
    return Program(configuration, [*run, "-c"], run)


PROXIES: Mapping[str, Configure] = {"nginx": _nginx, "caddy": _caddy, "haproxy": _haproxy}


@contextmanager
def a_front(
    name: str, directory: Path, behind: Installation, token: str | None = None, changes: Mapping[str, str] | None = None
) -> Iterator[Front]:
    """The example of a proxy, running with the gateway's token or another one."""
    port, log = free_port(), directory / "output.log"
    started = PROXIES[name](directory, behind, port, token or behind.token, changes or {})
    checked = subprocess.run(started.check, capture_output=True, text=True, env=started.environment)
    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr.lower()
    with running(started.run, port, started.environment, output=log):
        yield Front(name, port, behind, started.configuration, log)
