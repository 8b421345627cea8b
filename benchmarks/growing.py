"""Verification over HTTP, read from PostgreSQL, in ledgers of a thousand credentials and up to a million.

All ledgers stand in the same PostgreSQL, each behind a worker of its own, loaded in turns by wrk with keys drawn evenly
from all there are: as many draws for each, so that wrk, which shares the cores, has as much to do.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from psycopg import sql

from api.wiring import open_services
from benchmarks.given import many_keys, organisation, verifier
from benchmarks.loading import CONNECTIONS, THREADS, WORKERS, Target, in_turns, load, served
from benchmarks.serving import environment_of, verify_script
from ledger.settings import Settings
from ledger.store.migrate import migrate

DRAWS = 100_000  # of a million keys more than wrk asks for in all its turns; a list of all of them slows it down
WARMING_SECONDS = 10.0  # a million look-ups take longer; what PostgreSQL reads most is in memory by then

_draw = Random(7)


def measure(
    conninfo: str, settings: Settings, *, sizes: Sequence[int], seconds: float = 5.0, rounds: int = 3
) -> dict[str, Any]:
    """Answers a second at each size (medians of the rounds), and their ratios to the smallest."""
    with TemporaryDirectory(prefix="keyledger-bench-") as scratch, ExitStack() as stack:
        targets = [_target(stack, Path(scratch), conninfo, settings, size) for size in sizes]
        for target in targets:
            load(target, min(2 * seconds, WARMING_SECONDS))
        medians = in_turns(targets, seconds, rounds)
    smallest = medians[str(sizes[0])]["per_second"]
    return {
        "workers": WORKERS,
        "threads": THREADS,
        "connections": CONNECTIONS,
        "seconds": seconds,
        "rounds": rounds,
        "sizes": {size: {**found, "ratio": found["per_second"] / smallest} for size, found in medians.items()},
    }


def _target(stack: ExitStack, directory: Path, conninfo: str, settings: Settings, size: int) -> Target:
    """A worker before a ledger of its own that holds so many keys."""
    settings = replace(settings, schema=f"bench_grow_{size}")
    migrate(conninfo, settings.schema)
    with open_services(settings, conninfo) as services:
        gateway = verifier(services)
        drawn = _draw.choices(many_keys(services, organisation(services), size), k=DRAWS)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for table in ("credential_status", "credential_secret"):
            connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(settings.schema, table)))
    environment = {**environment_of(conninfo, settings), "KEYLEDGER_VERIFICATION_CACHE_MAX": "0"}
    port = stack.enter_context(served("api.wsgi:build", environment, factory=True))
    return Target(str(size), port, verify_script(directory / f"{size}.lua", gateway, drawn))
