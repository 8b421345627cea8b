"""`make bench`: every comparison in one run, on an embedded PostgreSQL of its own; results and a table of them.

Writes benchmarks/results/<date>.json and docs/performance.md. `--quick` takes seconds and proves only that all of it
runs; its figures go nowhere.
"""

import argparse
import base64
import importlib.metadata
import json
import os
import platform
import secrets
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from api.wiring import open_services
from benchmarks import append, listing, replaying, serving
from benchmarks.given import organisation, some_keys, some_lives
from benchmarks.report import write_report
from ledger.settings import Settings
from ledger.store.embedded import EmbeddedPostgres
from ledger.store.migrate import migrate

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure, and write down what was measured with what."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true", help="seconds, for trying; writes nothing")
    parser.add_argument(
        "--only",
        choices=["append", "serving", "replaying", "listing"],
        help="one comparison, in the place of the one made earlier today",
    )
    parser.add_argument("--large", type=int, default=1_000_000, help="credentials of the large ledger in listing")
    options = parser.parse_args()
    keys, seconds, rounds = (2_000, 1.0, 1) if options.quick else (100_000, 5.0, 3)
    directory = Path(tempfile.mkdtemp(prefix="keyledger-bench-"))
    directory.chmod(0o755)
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    settings = Settings(schema="bench", master_key=key, data_dir=directory, pool_size_max=40)
    with EmbeddedPostgres(directory / "data", settings={"max_connections": "300"}) as server:
        migrate(server.conninfo, settings.schema)
        found: dict[str, Any] = {"conditions": _conditions(server.conninfo)}
        if options.only in (None, "append"):
            found["append"] = append.measure(server.conninfo, seconds=min(seconds, 3.0), rounds=rounds)
        if options.only in (None, "serving"):
            found["serving"] = serving.measure(server.conninfo, settings, keys=keys, seconds=seconds, rounds=rounds)
        if options.only in (None, "replaying"):
            # What a rebuild costs depends on how long the histories are: credentials that were used for a year, and,
            # as its worst case, ones that were created and nothing more.
            for name, fill, count in (("replaying", some_lives, keys // 4), ("replaying_creations", some_keys, keys)):
                of_its_own = replace(settings, schema=f"bench_{name}")
                migrate(server.conninfo, of_its_own.schema)
                with open_services(of_its_own, server.conninfo) as services:
                    fill(services, organisation(services), count)
                    found[name] = replaying.measure(services, rounds=rounds)
        if options.only in (None, "listing"):
            large = 20_000 if options.quick else options.large
            found["listing"] = listing.measure(server.conninfo, settings, small=1_000, large=large, rounds=rounds)
    print(json.dumps(found, indent=2))
    if not options.quick:
        RESULTS.mkdir(exist_ok=True)
        file = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}.json"
        earlier = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps({**earlier, **found}, indent=2) + "\n")
        write_report({**earlier, **found})


def _conditions(conninfo: str) -> dict[str, Any]:
    """What it was measured with: versions, settings, hardware."""
    with psycopg.connect(conninfo) as connection:
        shown = {
            name: str(connection.execute(f"SHOW {name}").fetchone()[0])  # type: ignore[index]  # SHOW gives one row
            for name in ("server_version", "fsync", "synchronous_commit", "shared_buffers", "full_page_writes")
        }
    packages = ("keyledger", "eventsourcing", "flask", "granian", "psycopg", "msgspec", "orjson")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "postgresql": shown,
    }


if __name__ == "__main__":
    main()
