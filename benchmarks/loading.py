"""Servers under load: started on ports of their own, asked by wrk in bounded turns, and ended with the block."""

import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from ledger.settings import Settings

CONNECTIONS = 32
WORKERS = 1
THREADS = Settings().threads
START_SECONDS_MAX = 60.0  # Node reads hundreds of files, and everything else starts beside it
STOP_SECONDS_MAX = 60.0
PEERS = Path(__file__).parent / "peers"

_PORTS = iter(range(18_200, 18_300))


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to load: a name, its port, and wrk's script."""

    name: str
    port: int
    script: str


def require_programs() -> None:
    """End with what to install where something is missing, before an hour was spent on the rest."""
    for program, packages in (("wrk", "wrk"), ("node", "nodejs npm")):
        if shutil.which(program) is None:
            raise SystemExit(f"the benchmarks need {program}: install it (Debian: apt-get install {packages})")
    if not (PEERS / "node_modules").is_dir():
        raise SystemExit("the peers on Node are not installed: npm ci --prefix benchmarks/peers --ignore-scripts")


# --- servers ---------------------------------------------------------------------------------------------------------


@contextmanager
def served(
    target: str, environment: Mapping[str, str], *, factory: bool = False, workers: int = WORKERS
) -> Iterator[int]:
    """A WSGI application on granian, as the service runs it; yields its port."""
    port = next(_PORTS)
    command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--port", str(port), "--no-access-log"]
    command += ["--workers", str(workers), "--blocking-threads", str(THREADS), "--log-level", "error"]
    command += ["--factory"] if factory else []
    with _running([*command, target], environment, port):
        yield port


@contextmanager
def served_by_node(script: str, environment: Mapping[str, str]) -> Iterator[int]:
    """A peer that runs on Node; yields its port."""
    port = next(_PORTS)
    mode = {"NODE_ENV": "production", "PORT": str(port)}
    with _running(["node", str(PEERS / script)], {**environment, **mode}, port):
        yield port


@contextmanager
def _running(command: Sequence[str], environment: Mapping[str, str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        _await(process, port)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1)
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"what was to be measured did not start: {' '.join(process.args)}") from None  # type: ignore[arg-type]
            time.sleep(0.1)
        else:
            return


def libpq_variables(conninfo: str, schema: str) -> dict[str, str]:
    """The connection as drivers read it that know libpq's variables, with a schema of its own."""
    given = conninfo_to_dict(conninfo)
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    variables = {names[name]: str(value) for name, value in given.items() if name in names}
    return {**variables, "PGOPTIONS": f"-c search_path={schema}"}


# --- wrk -------------------------------------------------------------------------------------------------------------


def script(path: Path, method: str, url: str, headers: Mapping[str, str], body: str | None = None) -> str:
    """A script for wrk that asks this again and again."""
    lines = [f"wrk.method = {_lua(method)}", f"wrk.path = {_lua(url)}"]
    lines += [f"wrk.headers[{_lua(name)}] = {_lua(value)}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"wrk.body = {_lua(body)}")
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def drawing_script(
    path: Path, method: str, url: str, headers: Mapping[str, str], body: str | None, drawn: Sequence[str]
) -> str:
    """The same with one of `drawn` where the body, or else a header, says `%s`; evenly chosen each time.

    Only that one text is put together for each request: wrk shares the cores with whom it measures.
    """
    script(path, method, url, headers, body)
    listed = path.with_suffix(".txt")
    listed.write_text("\n".join(drawn))
    if body is not None and "%s" in body:
        before, after = body.split("%s")
        asking = f"return wrk.format(nil, nil, nil, {_lua(before)} .. value .. {_lua(after)})"
    else:
        (name,) = (name for name, value in headers.items() if "%s" in value)
        before, after = headers[name].split("%s")
        asking = f"wrk.headers[{_lua(name)}] = {_lua(before)} .. value .. {_lua(after)}; return wrk.format()"
    with path.open("a") as file:
        file.write(_DRAWING.format(listed=_lua(str(listed)), asking=asking))
    return str(path)


def paused(script: str, milliseconds: int) -> str:
    """The same script, with a pause of each connection between an answer and its next question."""
    path = Path(script)
    slower = path.with_stem(f"{path.stem}-paused")
    slower.write_text(f"{path.read_text()}function delay() return {milliseconds} end\n")
    return str(slower)


_DRAWING = """
local drawn = {{}}
for line in io.lines({listed}) do drawn[#drawn + 1] = line end
math.randomseed(os.time())
function request()
  local value = drawn[math.random(#drawn)]
  {asking}
end
"""


def _lua(text: str) -> str:
    return json.dumps(text)  # a JSON string of ASCII is one of Lua's


def load(target: Target, seconds: float) -> dict[str, float]:
    """One bounded turn of wrk: answers a second and how long they took. An answer that is not 2xx ends the run."""
    duration = max(1, round(seconds))
    with loaded(target, duration) as process:
        said, _ = process.communicate(timeout=duration + STOP_SECONDS_MAX)
    if process.returncode:
        raise SystemExit(f"wrk failed on {target.name}:\n{said}")
    return _figures(target, said)


@contextmanager
def loaded(target: Target, seconds: int, connections: int = CONNECTIONS) -> Iterator[subprocess.Popen[str]]:
    """wrk at work for the length of the block, and at most that many seconds."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", target.script]
    process = subprocess.Popen(
        [*command, f"http://127.0.0.1:{target.port}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def finish(target: Target, process: subprocess.Popen[str]) -> dict[str, float]:
    """End wrk before its time; what it saw until then."""
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=STOP_SECONDS_MAX)
    return _figures(target, said)


def in_turns(targets: Sequence[Target], seconds: float, rounds: int) -> dict[str, dict[str, float]]:
    """Each target's figures, the medians of rounds in which all had their turn."""
    turns: dict[str, list[dict[str, float]]] = {target.name: [] for target in targets}
    for _ in range(rounds):
        for target in targets:
            turns[target.name].append(load(target, seconds))
    return {
        name: {figure: statistics.median(turn[figure] for turn in found) for figure in found[0]}
        for name, found in turns.items()
    }


def _figures(target: Target, said: str) -> dict[str, float]:
    if "Non-2xx" in said:
        raise SystemExit(f"{target.name} answered errors:\n{said}")
    return {
        "per_second": float(_found(r"Requests/sec:\s+([\d.]+)", said)),
        "p50_ms": _milliseconds(_found(r"\n +50% +([\d.]+[a-z]+)", said)),
        "p99_ms": _milliseconds(_found(r"\n +99% +([\d.]+[a-z]+)", said)),
    }


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise SystemExit(f"wrk's report has no {pattern!r}:\n{text}")
    return match.group(1)


def _milliseconds(text: str) -> float:
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise SystemExit(f"wrk printed the time {text!r}")
