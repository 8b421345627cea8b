"""Over HTTP: verifying and creating, against Flask's hello and the eventsourcing library behind the same server.

All applications run on the same server with the same workers and threads, all of them up, loaded in turns by wrk from
the same machine; only ratios within one run mean anything. Verification reads PostgreSQL at every request, for keys
drawn evenly from all there are.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from api.wiring import open_services
from benchmarks.given import administrator, organisation, some_keys, verifier
from ledger.settings import Settings

CONNECTIONS = 32
WARMING_SECONDS = 10.0
WORKERS = 1
THREADS = Settings().threads
PORTS = iter(range(18_200, 18_300))


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to load: a name, its port, and wrk's script."""

    name: str
    port: int
    script: str


def measure(
    conninfo: str, settings: Settings, *, keys: int = 100_000, seconds: float = 5.0, rounds: int = 3
) -> dict[str, Any]:
    """Requests a second of each (medians of the rounds) and their ratios to hello. Needs wrk."""
    if shutil.which("wrk") is None:
        raise SystemExit("the HTTP benchmarks load the servers with wrk: install it (Debian: apt-get install wrk)")
    with open_services(settings, conninfo) as services:
        tenant = organisation(services)
        admin, gateway = administrator(services), verifier(services)
        secrets = some_keys(services, tenant, keys)
    with TemporaryDirectory(prefix="keyledger-bench-") as scratch, ExitStack() as stack:
        directory = Path(scratch)
        hello = stack.enter_context(_served("benchmarks.peers.hello:app", {}))
        environment = _environment(conninfo, settings)
        # One that keeps every key in memory, as a worker does that has seen them all, and one that keeps none.
        cached = stack.enter_context(
            _served("api.wsgi:build", {**environment, "KEYLEDGER_VERIFICATION_CACHE_MAX": str(keys)}, factory=True)
        )
        ours = stack.enter_context(
            _served("api.wsgi:build", {**environment, "KEYLEDGER_VERIFICATION_CACHE_MAX": "0"}, factory=True)
        )
        vanilla = stack.enter_context(
            _served("benchmarks.peers.vanilla:build", _vanilla_environment(conninfo), factory=True)
        )
        targets = [
            Target("hello", hello, _script(directory / "hello.lua", "GET", "/", {}, None)),
            Target("verify", ours, _verify_script(directory, gateway, secrets)),
            Target("cached_verify", cached, _verify_script(directory, gateway, secrets)),
            Target("create", ours, _create_script(directory, admin, str(tenant))),
            Target("vanilla_create", vanilla, _vanilla_script(directory)),
        ]
        turns: dict[str, list[dict[str, float]]] = {target.name: [] for target in targets}
        for target in targets:
            _load(target, WARMING_SECONDS)  # connections, caches, pages
        for _ in range(rounds):
            for target in targets:
                turns[target.name].append(_load(target, seconds))
    medians = {
        name: {figure: statistics.median(turn[figure] for turn in found) for figure in found[0]}
        for name, found in turns.items()
    }
    per_second = {name: found["per_second"] for name, found in medians.items()}
    return {
        "workers": WORKERS,
        "threads": THREADS,
        "connections": CONNECTIONS,
        "keys": keys,
        "seconds": seconds,
        "rounds": rounds,
        "medians": medians,
        "ratios": {
            "verify/hello": per_second["verify"] / per_second["hello"],
            "cached_verify/hello": per_second["cached_verify"] / per_second["hello"],
            "create/hello": per_second["create"] / per_second["hello"],
            "create/vanilla": per_second["create"] / per_second["vanilla_create"],
        },
    }


@contextmanager
def _served(target: str, environment: dict[str, str], *, factory: bool = False) -> Iterator[int]:
    """The target on granian, as the service runs it; yields its port."""
    port = next(PORTS)
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--port", str(port), "--no-access-log"]
    command += ["--workers", str(WORKERS), "--blocking-threads", str(THREADS), "--log-level", "error"]
    command += ["--factory"] if factory else []
    process = subprocess.Popen([*command, target], env={**os.environ, **environment})
    try:
        _await(port)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _await(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1)
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _environment(conninfo: str, settings: Settings) -> dict[str, str]:
    return {
        "KEYLEDGER_DATABASE_URL": conninfo,
        "KEYLEDGER_SCHEMA": settings.schema,
        "KEYLEDGER_MASTER_KEY": settings.master_key,
        "KEYLEDGER_LOG_LEVEL": "ERROR",
    }


def _vanilla_environment(conninfo: str) -> dict[str, str]:
    given = conninfo_to_dict(conninfo)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS bench_vanilla_http CASCADE")
        connection.execute("CREATE SCHEMA bench_vanilla_http")
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": str(given["dbname"]),
        "POSTGRES_HOST": str(given["host"]),
        "POSTGRES_PORT": str(given.get("port", 5432)),
        "POSTGRES_USER": str(given["user"]),
        "POSTGRES_PASSWORD": str(given.get("password", "-")),
        "POSTGRES_SCHEMA": "bench_vanilla_http",
        "POSTGRES_POOL_SIZE": "8",
        "POSTGRES_MAX_OVERFLOW": str(THREADS),
    }


def _script(path: Path, method: str, url: str, headers: dict[str, str], body: str | None) -> str:
    lines = [f"wrk.method = {json.dumps(method)}", f"wrk.path = {json.dumps(url)}"]
    lines += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"wrk.body = {json.dumps(body)}")
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def _verify_script(directory: Path, token: str, secrets: Sequence[str]) -> str:
    listed = directory / "secrets.txt"
    listed.write_text("\n".join(secrets))
    path = directory / "verify.lua"
    path.write_text(
        f"""
local secrets = {{}}
for line in io.lines({json.dumps(str(listed))}) do secrets[#secrets + 1] = line end
math.randomseed(os.time())
wrk.method = "POST"
wrk.headers["Authorization"] = "Bearer {token}"
wrk.headers["Content-Type"] = "application/json"
function request()
  return wrk.format(nil, "/v1/verify", nil, '{{"secret":"' .. secrets[math.random(#secrets)] .. '"}}')
end
"""
    )
    return str(path)


def _create_script(directory: Path, token: str, tenant: str) -> str:
    body = {"kind": "api_key", "mode": "live", "name": "bench", "contact_email": "dev@example.com"}
    body |= {"scopes": ["customer:view", "payment_route:view"]}  # type: ignore[dict-item]  # one list among texts
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return _script(
        directory / "create.lua", "POST", f"/v1/organisations/{tenant}/credentials", headers, json.dumps(body)
    )


def _vanilla_script(directory: Path) -> str:
    body = {"name": "bench", "contact_email": "dev@example.com", "scopes": ["customer:view", "payment_route:view"]}
    return _script(directory / "vanilla.lua", "POST", "/keys", {"Content-Type": "application/json"}, json.dumps(body))


def _load(target: Target, seconds: float) -> dict[str, float]:
    """One bounded turn of wrk: answers a second, and the share that was not 2xx, which must be none."""
    duration = max(1, round(seconds))
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{duration}s", "--latency", "-s", target.script]
    done = subprocess.run(
        [*command, f"http://127.0.0.1:{target.port}"], capture_output=True, text=True, timeout=duration + 30, check=True
    )
    if "Non-2xx" in done.stdout:
        raise SystemExit(f"{target.name} answered errors:\n{done.stdout}")
    return {
        "per_second": float(_found(r"Requests/sec:\s+([\d.]+)", done.stdout)),
        "p50_ms": _milliseconds(_found(r"\n +50% +([\d.]+[a-z]+)", done.stdout)),
        "p99_ms": _milliseconds(_found(r"\n +99% +([\d.]+[a-z]+)", done.stdout)),
    }


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise SystemExit(f"wrk's report has no {pattern!r}:\n{text}")
    return match.group(1)


def _milliseconds(text: str) -> float:
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise SystemExit(f"wrk printed the time {text!r}")
