"""`make bench`: every comparison in one run, on an embedded PostgreSQL of its own; results and a table of them.

Writes benchmarks/results/<date>.json and docs/performance.md. `--quick` takes minutes and proves only that all of
it runs; its figures go nowhere.
"""

import argparse
import base64
import importlib.metadata
import json
import os
import platform
import secrets
import subprocess
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from api.wiring import open_services
from benchmarks import append, exporting, growing, listing, replaying, revoking, sealing, serving, tokens
from benchmarks.given import organisation, some_keys, some_lives
from benchmarks.loading import PEERS, require_programs
from benchmarks.report import write_report
from ledger.settings import Settings
from ledger.store.embedded import EmbeddedPostgres
from ledger.store.migrate import migrate

PARTS = ("append", "serving", "tokens", "growing", "revoking", "replaying", "sealing", "exporting", "listing")
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Measure, and write down what was measured with what; each part as soon as it is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true", help="a few minutes, for trying; writes nothing")
    parser.add_argument("--only", choices=PARTS, help="one comparison, in the place of the one made earlier today")
    parser.add_argument("--large", type=int, default=1_000_000, help="credentials, or events, of the largest ledger")
    options = parser.parse_args()
    require_programs()
    directory = Path(tempfile.mkdtemp(prefix="keyledger-bench-"))
    directory.chmod(0o755)
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    settings = Settings(schema="bench", master_key=key, data_dir=directory, pool_size_max=40)
    with EmbeddedPostgres(directory / "data", settings={"max_connections": "300"}) as server:
        migrate(server.conninfo, settings.schema)
        conditions = _conditions(server.conninfo)
        for part in [options.only] if options.only else PARTS:
            found = _measure(part, server.conninfo, settings, quick=options.quick, large=options.large)
            print(json.dumps(found, indent=2), flush=True)
            if not options.quick:
                _write({"conditions": conditions, **found})


def _measure(part: str, conninfo: str, settings: Settings, *, quick: bool, large: int) -> dict[str, Any]:
    """What one part found, by its name or names."""
    keys, seconds, rounds = (2_000, 1.0, 1) if quick else (100_000, 5.0, 3)
    match part:
        case "append":
            found = append.measure(conninfo, seconds=min(seconds, 3.0), rounds=rounds)
        case "serving":
            found = serving.measure(conninfo, settings, keys=keys, seconds=seconds, rounds=rounds)
        case "tokens":
            found = tokens.measure(conninfo, settings, seconds=seconds, rounds=rounds)
        case "growing":
            sizes = (1_000, 5_000) if quick else (1_000, 30_000, large)
            found = growing.measure(conninfo, settings, sizes=sizes, seconds=seconds, rounds=rounds)
        case "revoking":
            times, times_cut = (20, 3) if quick else (300, 30)
            found = revoking.measure(conninfo, settings, times=times, times_cut=times_cut)
        case "replaying":
            return _replaying(conninfo, settings, keys=keys, rounds=rounds)
        case "sealing":
            found = sealing.measure(conninfo, settings, events=20_000 if quick else large, rounds=rounds)
        case "exporting":
            found = exporting.measure(conninfo, settings, events=20_000 if quick else large, rounds=rounds)
        case _:
            size = 20_000 if quick else large
            found = listing.measure(conninfo, settings, small=1_000, large=size, rounds=rounds)
    return {part: found}


def _replaying(conninfo: str, settings: Settings, *, keys: int, rounds: int) -> dict[str, Any]:
    """What a rebuild costs depends on how long the histories are: credentials that were used for a year, and, as its
    worst case, ones that were created and nothing more.
    """
    found = {}
    for name, fill, count in (("replaying", some_lives, keys // 4), ("replaying_creations", some_keys, keys)):
        of_its_own = replace(settings, schema=f"bench_{name}")
        migrate(conninfo, of_its_own.schema)
        with open_services(of_its_own, conninfo) as services:
            fill(services, organisation(services), count)
            found[name] = replaying.measure(services, rounds=rounds)
    return found


def _write(found: dict[str, Any]) -> None:
    """Beside what was measured earlier today, and in its place."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}.json"
    earlier = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**earlier, **found}, indent=2) + "\n")
    write_report({day.stem: json.loads(day.read_text()) for day in sorted(RESULTS.glob("*.json"))})


def _conditions(conninfo: str) -> dict[str, Any]:
    """What it was measured with: versions, settings, hardware."""
    with psycopg.connect(conninfo) as connection:
        shown = {
            name: str(connection.execute(f"SHOW {name}").fetchone()[0])  # type: ignore[index]  # SHOW gives one row
            for name in ("server_version", "fsync", "synchronous_commit", "shared_buffers", "full_page_writes")
        }
    packages = (
        *("keyledger", "eventsourcing", "flask", "granian", "psycopg", "msgspec", "orjson"),
        *("authlib", "django", "djangorestframework", "djangorestframework-api-key"),
    )
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "postgresql": shown,
        "node": subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip(),
        "peers": json.loads((PEERS / "package.json").read_text())["dependencies"],
    }


if __name__ == "__main__":
    main()
