"""Over HTTP: verifying and creating, against Flask's hello and against what others verify and create with.

All applications run on this machine with the same workers and threads, all of them up, loaded in turns by wrk; only
ratios within one run mean anything. What the server adds to each is told by one without any framework, and what is left
by calling the applications without a server. Each verifies keys drawn evenly from all there are: ours from PostgreSQL
at every request, and from memory; Django REST framework with djangorestframework-api-key, on the same server; Better
Auth's API-key plugin, on Node. Keys are created by ours and by the eventsourcing library.
"""

import json
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from api.schemas.verification import QUESTIONS_MAX
from api.wiring import open_services
from benchmarks.given import administrator, organisation, some_keys, verifier
from benchmarks.in_process import answering
from benchmarks.loading import (
    CONNECTIONS,
    THREADS,
    WORKERS,
    Target,
    drawing_script,
    in_turns,
    load,
    script,
    served,
    served_by_node,
)
from benchmarks.peers.filling import better_auth_environment, drf_environment, fill_better_auth, fill_drf
from ledger.settings import Settings

WARMING_SECONDS = 10.0
IN_PROCESS_KEYS = 2_000  # of which a worker remembers many more by default
JSON = {"Content-Type": "application/json"}


def measure(
    conninfo: str, settings: Settings, *, keys: int = 100_000, seconds: float = 5.0, rounds: int = 3
) -> dict[str, Any]:
    """Requests a second of each (medians of the rounds) and their ratios to hello."""
    with open_services(settings, conninfo) as services:
        tenant = organisation(services)
        admin, gateway = administrator(services), verifier(services)
        secrets = some_keys(services, tenant, keys)
    django = drf_environment(conninfo)
    django_keys = fill_drf(django, keys)
    with TemporaryDirectory(prefix="keyledger-bench-") as scratch, ExitStack() as stack:
        directory = Path(scratch)
        hello = stack.enter_context(served("benchmarks.peers.hello:app", {}))
        bare = stack.enter_context(served("benchmarks.peers.bare:app", {}))
        environment = environment_of(conninfo, settings)
        # One that keeps every key in memory, as a worker does that has seen them all, and one that keeps none. For as
        # long as the run takes, so that what was filled before it is not asked for again within it.
        keeping = {"KEYLEDGER_VERIFICATION_CACHE_MAX": str(keys), "KEYLEDGER_VERIFICATION_CACHE_SECONDS": "3600"}
        cached = stack.enter_context(served("api.wsgi:build", {**environment, **keeping}, factory=True))
        ours = stack.enter_context(
            served("api.wsgi:build", {**environment, "KEYLEDGER_VERIFICATION_CACHE_MAX": "0"}, factory=True)
        )
        vanilla = stack.enter_context(
            served("benchmarks.peers.vanilla:build", _vanilla_environment(conninfo), factory=True)
        )
        drf = stack.enter_context(served("benchmarks.peers.drf:build", django, factory=True))
        better_auth = stack.enter_context(served_by_node("better_auth.mjs", better_auth_environment(conninfo)))
        better_auth_keys = fill_better_auth(conninfo, keys)
        verify = verify_script(directory / "verify.lua", gateway, secrets)
        targets = [
            Target("hello", hello, script(directory / "hello.lua", "GET", "/", {})),
            Target("bare", bare, script(directory / "bare.lua", "GET", "/", {})),
            Target("verify", ours, verify),
            Target("cached_verify", cached, verify),
            Target("cached_authorize", cached, _authorize_script(directory / "authorize.lua", gateway, secrets)),
            Target(
                "drf_verify",
                drf,
                drawing_script(directory / "drf.lua", "GET", "/", {"Authorization": "Api-Key %s"}, None, django_keys),
            ),
            Target(
                "better_auth_verify",
                better_auth,
                drawing_script(directory / "better_auth.lua", "POST", "/", JSON, '{"key":"%s"}', better_auth_keys),
            ),
            Target("create", ours, _create_script(directory / "create.lua", admin, str(tenant))),
            Target("vanilla_create", vanilla, _vanilla_script(directory / "vanilla.lua")),
        ]
        _fill(cached, gateway, secrets)
        for target in targets:
            load(target, WARMING_SECONDS)  # connections, caches, pages
        medians = in_turns(targets, seconds, rounds)
    in_process = answering(environment, gateway, secrets[:IN_PROCESS_KEYS])
    per_second = {name: found["per_second"] for name, found in medians.items()}
    return {
        "workers": WORKERS,
        "threads": THREADS,
        "connections": CONNECTIONS,
        "keys": keys,
        "seconds": seconds,
        "rounds": rounds,
        "medians": medians,
        "in_process_us": in_process,
        "ratios": {
            "bare/hello": per_second["bare"] / per_second["hello"],
            "verify/hello": per_second["verify"] / per_second["hello"],
            "verify/drf": per_second["verify"] / per_second["drf_verify"],
            "verify/better_auth": per_second["verify"] / per_second["better_auth_verify"],
            "cached_verify/hello": per_second["cached_verify"] / per_second["hello"],
            "cached_verify/drf": per_second["cached_verify"] / per_second["drf_verify"],
            "cached_verify/better_auth": per_second["cached_verify"] / per_second["better_auth_verify"],
            "cached_authorize/hello": per_second["cached_authorize"] / per_second["hello"],
            "cached_authorize/drf": per_second["cached_authorize"] / per_second["drf_verify"],
            "cached_authorize/better_auth": per_second["cached_authorize"] / per_second["better_auth_verify"],
            "create/hello": per_second["create"] / per_second["hello"],
            "create/vanilla": per_second["create"] / per_second["vanilla_create"],
        },
    }


def environment_of(conninfo: str, settings: Settings) -> dict[str, str]:
    """How a worker of ours finds its ledger."""
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


def verify_script(path: Path, token: str, secrets: Sequence[str]) -> str:
    """wrk's script for a gateway that verifies any of these."""
    headers = {"Authorization": f"Bearer {token}", **JSON}
    return drawing_script(path, "POST", "/v1/verify", headers, '{"secret":"%s"}', secrets)


def _authorize_script(path: Path, token: str, secrets: Sequence[str]) -> str:
    """wrk's script for a proxy that has any of these verified, each in the header in which it came."""
    return drawing_script(path, "GET", "/v1/authorize", {"X-Gateway-Token": token, "X-API-Key": "%s"}, None, secrets)


def _fill(port: int, token: str, secrets: Sequence[str]) -> None:
    """Have the server look up every key once, a batch at a time, so that it finds them in memory from there on."""
    headers = {"Authorization": f"Bearer {token}", **JSON}
    for first in range(0, len(secrets), QUESTIONS_MAX):
        questions = [{"secret": secret} for secret in secrets[first : first + QUESTIONS_MAX]]
        body = json.dumps({"questions": questions}).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/v1/verify/batch", body, headers)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            answer.read()


def _create_script(path: Path, token: str, tenant: str) -> str:
    body = {
        "kind": "api_key",
        "mode": "live",
        "name": "bench",
        "contact_email": "dev@example.com",
        "scopes": ["customer:view", "payment_route:view"],
    }
    headers = {"Authorization": f"Bearer {token}", **JSON}
    return script(path, "POST", f"/v1/organisations/{tenant}/credentials", headers, json.dumps(body))


def _vanilla_script(path: Path) -> str:
    body = {"name": "bench", "contact_email": "dev@example.com", "scopes": ["customer:view", "payment_route:view"]}
    return script(path, "POST", "/keys", JSON, json.dumps(body))
