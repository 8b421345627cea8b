"""From a revocation to its refusal on every worker, with four workers under load; and the same with them cut off.

Twice: under a steady load, which leaves the machine something, and under as much as it takes, where every answer waits
in a queue, a refusal too.

Each worker is asked over a connection of its own, again and again, for a key that it has in memory. The key is revoked
over HTTP, and what is measured begins with the answer to that: until each worker has given its first refusal, and until
the last moment at which one was asked and still said yes. Of each revocation the slowest worker counts.

To cut the workers off, the backends through which they follow the log are stopped right before the revocation, without
anybody being told: the worst that can happen to a stream of notifications. Then the bound of
`projections/verification_cache.py` is what holds.
"""

import http.client
import json
import os
import signal
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import psutil
import psycopg

from api.wiring import open_services
from benchmarks.given import a_key, administrator, many_keys, organisation, verifier
from benchmarks.loading import Target, finish, load, loaded, paused, served
from benchmarks.serving import JSON, environment_of, verify_script
from ledger.settings import Settings
from ledger.store.migrate import migrate
from projections.verification_cache import CONFIRMED_SECONDS_MAX

WORKERS = 4
LOAD_CONNECTIONS = 8  # two for each worker: all are at work, and what is measured is not how long a queue is
STEADY_PAUSE_MS = 8  # between an answer and the connection's next question: some 800 questions a second
LOAD_KEYS = 1_000
LOAD_SECONDS_MAX = 900
WARMING_SECONDS = 3.0
CONNECTIONS_MAX = 400  # the kernel draws which worker gets one; a worker is left out of as many once in 10^50
PAUSE_SECONDS = 0.001  # between two questions, so that asking is not most of the load
REFUSED_SECONDS_MAX = 10.0
RECOVERY_SECONDS = 1.5  # a follower that was stopped looks at once, and one more notices that it was
# What a follower asks, by which its backend is known (`EventLog.changes` and `list_revoked_tokens`).
_FOLLOWERS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND "
    "(query LIKE 'SELECT h.position, %' OR query LIKE 'SELECT jti FROM revoked_token %')"
)


@dataclass(frozen=True, slots=True)
class Seen:
    """How one worker took a revocation: when it was last asked and said yes, and when its first refusal came."""

    believed_at: float
    refused_at: float


class Gateway:
    """A connection that is kept open, so that one worker answers all that it asks."""

    def __init__(self, port: int, token: str) -> None:
        self._headers = {"Authorization": f"Bearer {token}", **JSON}
        self._port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REFUSED_SECONDS_MAX)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        """Post it; the answer's JSON. An answer that is not 200 ends the run."""
        self._connection.request("POST", path, json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        if answer.status != http.client.OK:
            raise SystemExit(f"{path} was answered {answer.status}: {said!r}")
        return json.loads(said)

    def believes(self, secret: str) -> bool:
        """Whether the worker says that the secret is good."""
        return bool(self.ask("/v1/verify", {"secret": secret})["valid"])

    def watch(self, secret: str) -> Seen:
        """Ask until it is refused."""
        believed_at, deadline = 0.0, time.monotonic() + REFUSED_SECONDS_MAX
        while time.monotonic() < deadline:
            begun = time.perf_counter()
            if not self.believes(secret):
                return Seen(believed_at, time.perf_counter())
            believed_at = begun
            time.sleep(PAUSE_SECONDS)
        raise SystemExit(f"a worker still took a key {REFUSED_SECONDS_MAX} seconds after its revocation")

    def worker(self) -> int:
        """The process at the other end: one of ours that has a connection to this one's port."""
        ours = self._connection.sock.getsockname()[1]
        for process in psutil.Process().children(recursive=True):
            for one in process.net_connections("tcp"):
                if one.raddr and one.raddr.port == ours and one.laddr.port == self._port:
                    return process.pid
        raise SystemExit("no process of this benchmark answers a connection to it")


def measure(conninfo: str, settings: Settings, *, times: int, times_cut: int) -> dict[str, Any]:
    """Milliseconds until every worker refuses, of so many revocations under either load, and of so many cut off."""
    settings = replace(settings, schema="bench_revoking")
    migrate(conninfo, settings.schema)
    with open_services(settings, conninfo) as services:
        tenant = organisation(services)
        admin, token = administrator(services), verifier(services)
        load_keys = many_keys(services, tenant, LOAD_KEYS)
        victims = []
        for _ in range(2 * times + times_cut):
            command, issued = a_key(services, tenant)
            services.ledger.handle(command)
            victims.append((command.credential_id, issued.plaintext))
    with TemporaryDirectory(prefix="keyledger-bench-") as scratch, ExitStack() as stack:
        environment = environment_of(conninfo, settings)
        port = stack.enter_context(served("api.wsgi:build", environment, factory=True, workers=WORKERS))
        operator = stack.enter_context(closing(Gateway(port, admin)))
        gateways = _one_for_each_worker(stack, port, token, load_keys[0])
        pool = stack.enter_context(ThreadPoolExecutor(WORKERS))
        script = verify_script(Path(scratch) / "verify.lua", token, load_keys)
        most = Target("most", port, script)
        steady = Target("steady", port, paused(script, STEADY_PAUSE_MS))
        load(most, WARMING_SECONDS)

        def revoke(credential_id: UUID, secret: str, *, cut: bool) -> tuple[float, float]:
            """Milliseconds until the slowest worker refuses, and for which one went on believing."""
            for gateway in gateways * 2:  # asked once it is kept, asked twice it comes from memory
                if not gateway.believes(secret):
                    raise SystemExit("a worker refuses a key that is good")
            with _followers_stopped(conninfo) if cut else nullcontext():
                watching = [pool.submit(gateway.watch, secret) for gateway in gateways]
                operator.ask(
                    f"/v1/organisations/{tenant}/credentials/{credential_id}/revoke",
                    {"revocation_reason": "compromised"},
                )
                acknowledged_at = time.perf_counter()
                seen = [watched.result() for watched in watching]
            if cut:
                time.sleep(RECOVERY_SECONDS)
            return (
                max(0.0, *(one.refused_at - acknowledged_at for one in seen)) * 1000,
                max(0.0, *(one.believed_at - acknowledged_at for one in seen)) * 1000,
            )

        found: dict[str, Any] = {"workers": WORKERS, "connections": LOAD_CONNECTIONS, "keys": LOAD_KEYS}
        for target, some in ((steady, victims[:times]), (most, victims[times : 2 * times])):
            with loaded(target, LOAD_SECONDS_MAX, LOAD_CONNECTIONS) as process:
                followed = [revoke(*victim, cut=False) for victim in some]
                found[target.name] = {**_summary(followed), "load": finish(target, process)}
        with loaded(most, LOAD_SECONDS_MAX, LOAD_CONNECTIONS) as process:
            cut_off = [revoke(*victim, cut=True) for victim in victims[2 * times :]]
            found["cut"] = {**_summary(cut_off), "load": finish(most, process)}
    bound_ms = CONFIRMED_SECONDS_MAX * 1000
    return {**found, "bound_ms": bound_ms, "held": all(believed_ms <= bound_ms for _, believed_ms in cut_off)}


def _one_for_each_worker(stack: ExitStack, port: int, token: str, secret: str) -> list[Gateway]:
    found: dict[int, Gateway] = {}
    for _ in range(CONNECTIONS_MAX):
        gateway = Gateway(port, token)
        gateway.believes(secret)  # by then somebody has accepted it
        worker = gateway.worker()
        if worker in found:
            gateway.close()
        else:
            found[worker] = stack.enter_context(closing(gateway))
        if len(found) == WORKERS:
            return list(found.values())
    raise SystemExit(f"{CONNECTIONS_MAX} connections reached {len(found)} of {WORKERS} workers")


@contextmanager
def _followers_stopped(conninfo: str) -> Iterator[None]:
    """The backends that tell the workers of the log fall silent for the length of the block; their connections stay."""
    backends = _followers(conninfo)
    try:
        for pid in backends:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in backends:
            os.kill(pid, signal.SIGCONT)


def _followers(conninfo: str) -> list[int]:
    """The processes of PostgreSQL through which the workers follow the log, once all of them have asked."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    with psycopg.connect(conninfo, autocommit=True) as connection:
        while len(found := [pid for (pid,) in connection.execute(_FOLLOWERS)]) != WORKERS:
            if time.monotonic() > deadline:
                raise SystemExit(f"{len(found)} connections follow the log, and not those of {WORKERS} workers")
            time.sleep(PAUSE_SECONDS)
    return found


def _summary(taken: Sequence[tuple[float, float]]) -> dict[str, Any]:
    refused, believed = (sorted(times) for times in zip(*taken, strict=True))
    return {"revocations": len(taken), "refused": _percentiles(refused), "believed": _percentiles(believed)}


def _percentiles(ordered: Sequence[float]) -> dict[str, float]:
    return {
        "p50_ms": round(statistics.median(ordered), 1),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 1),
        "max_ms": round(ordered[-1], 1),
    }
