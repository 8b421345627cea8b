"""A million events of an organisation taken out, as a bundle and as tables, and the bundle verified.

Each is written to a file by a process of its own, in turns with its limit: the same events and leaves by PostgreSQL's
binary COPY, to a file as well. The bundle is verified as an auditor does it, by the program that needs no database, on
one processor and on all; the limit of that is SHA-256 over the bytes of the file.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from hashlib import file_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.exporting.files import EventFormat, EventsFile
from api.exporting.manifests import Tally
from api.policies import auditors_policy
from api.wiring import Services, open_services
from benchmarks.apart import Cost, cost
from benchmarks.given import context, copied_events, organisation
from benchmarks.sealing import sealing
from ledger import auditing
from ledger.commands import RequestExport
from ledger.export import Export
from ledger.service import EXPORT
from ledger.settings import Settings
from ledger.store.migrate import migrate
from ledger.tlog import policy
from projections.sealed.exporting import SealedExport, find_sealed, write_bundle
from projections.sealed.integrating import ROUND_EVENTS_MAX, integrate
from projections.sealed.trees import ROOT

TABLES = (EventFormat.CSV, EventFormat.PARQUET)
SPARSE_EVENTS = 30_000  # a minute or two, to seal them one by one


@dataclass(frozen=True, slots=True)
class Source:
    """Where an export is, for processes that are to make it: nothing in it is of one process."""

    conninfo: str
    settings: Settings
    export_id: UUID


def measure(conninfo: str, settings: Settings, *, events: int, rounds: int = 3) -> dict[str, Any]:
    """Of each way events a second (medians of the rounds), processor time for each and peak memory; and the ratios."""
    with TemporaryDirectory(prefix="keyledger-bench-") as scratch:
        directory = Path(scratch)
        source, leaves = _exportable(conninfo, replace(settings, schema="bench_exporting"), events, directory)
        bundle, believed = directory / "bundle.ndjson", directory / "policy.txt"
        ways: dict[str, Callable[[], tuple[None, Cost]]] = {
            "copy": lambda: cost(_copy, source, directory / "copy.bin"),
            "bundle": lambda: cost(_bundle, source, bundle),
            **{form: partial(cost, _table, source, form, directory / form) for form in TABLES},
            "sha256": lambda: cost(_digest, bundle),
            "verify": lambda: cost(_verify, bundle, believed, 1),
            "verify_on_all": lambda: cost(_verify, bundle, believed, len(os.sched_getaffinity(0))),
        }
        turns = _in_turns(ways, leaves, rounds)
        size = bundle.stat().st_size
        sparse = _sparse(
            conninfo, replace(settings, schema="bench_sparse"), min(events, SPARSE_EVENTS), directory, rounds
        )
    found = {name: _median(some) for name, some in turns.items()}
    limits = {
        **dict.fromkeys(("bundle", *TABLES), "copy"),
        "verify": "sha256",
        "verify_on_all": "sha256",
    }
    return {
        "events": leaves,
        "bundle_mb": round(size / 1e6),
        "cores": len(os.sched_getaffinity(0)),
        "ways": found,
        "sparse": sparse,
        "ratios": {f"{name}/{limit}": _ratio(turns[name], turns[limit]) for name, limit in limits.items()},
    }


def _sparse(conninfo: str, settings: Settings, events: int, directory: Path, rounds: int) -> dict[str, Any]:
    """The same of a ledger in which little happens: every event was sealed by itself, and so has a head of its own."""
    source, leaves = _exportable(conninfo, settings, events, directory, round_events=1)
    bundle, believed = directory / "sparse.ndjson", directory / "policy.txt"
    ways = {
        "bundle": lambda: cost(_bundle, source, bundle),
        "verify": lambda: cost(_verify, bundle, believed, 1),
        "verify_on_all": lambda: cost(_verify, bundle, believed, len(os.sched_getaffinity(0))),
    }
    found = _in_turns(ways, leaves, rounds)
    return {"events": leaves, "ways": {name: _median(some) for name, some in found.items()}}


def _in_turns(
    ways: Mapping[str, Callable[[], tuple[None, Cost]]], leaves: int, rounds: int
) -> dict[str, list[dict[str, float]]]:
    """What each way cost in each round."""
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            _, spent = way()
            turns[name].append(spent.of_each(leaves))
    return turns


def _median(turns: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: statistics.median(one[name] for one in turns) for name in turns[0]}


def _ratio(ours: Sequence[Mapping[str, float]], limit: Sequence[Mapping[str, float]]) -> float:
    return statistics.median(a["per_second"] / b["per_second"] for a, b in zip(ours, limit, strict=True))


def _exportable(
    conninfo: str, settings: Settings, events: int, directory: Path, round_events: int = ROUND_EVENTS_MAX
) -> tuple[Source, int]:
    """A ledger sealed in rounds of so many events, an export of all that is in it, and how many leaves that has; the
    auditor's policy in a file.
    """
    migrate(conninfo, settings.schema)
    with open_services(settings, conninfo) as services:
        tenant = organisation(services)
        copied_events(services, tenant, events)
        with sealing(services) as by_hand:
            state = _requested(services, tenant)
            while integrate(services.log, by_hand.integrating, by_hand.state.base, round_events) == round_events:
                pass
            by_hand.everything()  # of which nothing is left but to sign it
            believed = auditors_policy(services, by_hand.connection, by_hand.state, [ROOT, tenant])
            (directory / "policy.txt").write_bytes(policy.encode(believed))
            by_hand.connection.execute("VACUUM ANALYZE sealed_leaf")
        return Source(conninfo, settings, state.id), _sealed(services, state).manifest.size


def _requested(services: Services, tenant: UUID) -> Export:
    command = RequestExport(context=context(), export_id=uuid7(), organisation_id=tenant)
    state: Export = services.ledger.handle(command).state
    return state


# --- each in a process of its own ------------------------------------------------------------------------------------


def _copy(source: Source, file: Path) -> None:
    with open_services(source.settings, source.conninfo) as services, services.store.connect() as connection:
        connection.execute("SET statement_timeout TO 0")
        with (
            file.open("wb") as out,
            connection.cursor() as curs,
            curs.copy(
                "COPY (SELECT l.leaf_index, l.entry, l.salt, e.state FROM sealed_leaf l JOIN ledger_events e "
                "ON e.notification_id = l.position WHERE l.tree = %s ORDER BY l.leaf_index) TO STDOUT (FORMAT BINARY)",
                (services.ledger.load(EXPORT, source.export_id).organisation_id,),
            ) as copy,
        ):
            for piece in copy:
                out.write(piece)


def _bundle(source: Source, file: Path) -> None:
    with _opened(source) as (services, _, sealed), file.open("wb") as out:
        out.writelines(write_bundle(services.log, sealed))


def _table(source: Source, form: EventFormat, file: Path) -> None:
    with _opened(source) as (services, state, sealed), file.open("wb") as out:
        table = EventsFile(services.log, state, sealed, form)
        out.writelines(table.pieces(table.tag(), Tally()))


@contextmanager
def _opened(source: Source) -> Iterator[tuple[Services, Export, SealedExport]]:
    with open_services(source.settings, source.conninfo) as services:
        state: Export = services.ledger.load(EXPORT, source.export_id)
        yield services, state, _sealed(services, state)


def _sealed(services: Services, state: Export) -> SealedExport:
    with services.store.connect() as connection:
        sealed = find_sealed(services.log, connection, state)
    if sealed is None:
        raise SystemExit("the export is not sealed")
    return sealed


def _digest(file: Path) -> None:
    with file.open("rb") as read:
        file_digest(read, "sha256")


def _verify(file: Path, believed: Path, jobs: int) -> None:
    program = [sys.executable, "-m", auditing.__name__, str(file), "--policy", str(believed), "--jobs", str(jobs)]
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
