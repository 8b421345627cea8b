"""The provable log: events sealed and signed in durable rounds of a thousand, and proofs from a tree of a million.

Sealing takes turns with its limit: the very rows of leaves that it wrote, copied in binary into a table with the same
indexes, in as many commits. A proof is measured where it is made, from two tiles and a few hashes, and over HTTP.
"""

import http.client
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any
from uuid import UUID

import psycopg

from api.sealing import open_sealed_log
from api.wiring import Services, open_services
from benchmarks.given import administrator, copied_events, organisation
from benchmarks.loading import served
from benchmarks.serving import environment_of
from ledger.sealed_log import SealedLog
from ledger.settings import Settings
from ledger.store.migrate import migrate
from projections.sealed import reading
from projections.sealed.integrating import ROUND_EVENTS_MAX
from projections.sealed.memory import SignerMemory
from projections.sealed.sealer import ROUNDS_MAX, begin, seal, sealed_log
from projections.sealed.signing import Signer

TURN_ROUNDS = 20  # of a thousand events: a second or less, in which a checkpoint of PostgreSQL's falls on either alike
ORGANISATIONS = 100  # that events are of at once where many are at work: some ten of each in a round
PROOFS = 1_000
HTTP_PROOFS = 300

_draw = Random(7)


@dataclass(frozen=True, slots=True)
class Sealing:
    """What seals one ledger by hand, as the sealer does on its thread."""

    services: Services
    integrating: psycopg.Connection[Any]
    connection: psycopg.Connection[Any]
    signer: Signer
    state: SealedLog

    def rounds(self, count: int) -> int:
        """Seal that many rounds; returns how many events were sealed."""
        return seal(self.services.log, self.integrating, self.connection, self.signer, self.state, count)

    def everything(self) -> int:
        """Seal what is left."""
        sealed = 0
        while some := self.rounds(ROUNDS_MAX):
            sealed += some
        return sealed


@contextmanager
def sealing(services: Services) -> Iterator[Sealing]:
    """Open the sealed log of a ledger that nobody else seals."""
    open_sealed_log(services.log, services.ledger)
    state = sealed_log(services.log)
    if state is None:
        raise SystemExit("the sealed log was opened, and is not there")
    with (
        services.store.connect() as integrating,
        services.store.connect() as connection,
        SignerMemory(services.settings.signer_memory_file) as memory,
    ):
        connection.execute("SET statement_timeout TO 0")
        signer = Signer(memory, services.keyring)
        begin(connection, signer, state)
        yield Sealing(services, integrating, connection, signer, state)


def measure(conninfo: str, settings: Settings, *, events: int, rounds: int = 3) -> dict[str, Any]:
    """Events a second sealed and copied (medians of the rounds), and milliseconds of a proof in a tree of `events`."""
    found: dict[str, Any] = {"round_events": ROUND_EVENTS_MAX, "events": events, "organisations": ORGANISATIONS}
    few = (rounds + 1) * TURN_ROUNDS * ROUND_EVENTS_MAX
    with _filled(conninfo, settings, "bench_sealing_many", few, ORGANISATIONS) as (_, by_hand):
        found["many"] = _turns(by_hand, rounds)
    with _filled(conninfo, settings, "bench_sealing", max(events, few), 1) as (tenant, by_hand):
        found["one"] = _turns(by_hand, rounds)
        by_hand.everything()
        found["proofs"] = _proofs(conninfo, by_hand, tenant)
    return found


@contextmanager
def _filled(
    conninfo: str, settings: Settings, schema: str, events: int, organisations: int
) -> Iterator[tuple[UUID, Sealing]]:
    """A ledger of so many events, which nobody sealed yet, and its first organisation."""
    settings = replace(settings, schema=schema)
    migrate(conninfo, schema)
    with open_services(settings, conninfo) as services:
        tenant = organisation(services)
        copied_events(services, tenant, events, organisations)
        with sealing(services) as by_hand:
            yield tenant, by_hand


def _turns(by_hand: Sealing, rounds: int) -> dict[str, Any]:
    by_hand.rounds(2)  # statements prepared, pages extended
    by_hand.connection.execute("CREATE TABLE bench_leaf (LIKE sealed_leaf INCLUDING ALL)")
    seal_turns, copy_turns, cpu_turns = list[float](), list[float](), list[float]()
    for _ in range(rounds):
        begun = _sealed_up_to(by_hand)
        cpu, started = time.process_time(), time.perf_counter()
        sealed = by_hand.rounds(TURN_ROUNDS)
        seal_turns.append(sealed / (time.perf_counter() - started))
        cpu_turns.append((time.process_time() - cpu) / sealed * 1e6)
        copy_turns.append(_copied(by_hand.connection, begun, sealed))
    return {
        "per_second": {"seal": statistics.median(seal_turns), "copy": statistics.median(copy_turns)},
        "cpu_us": statistics.median(cpu_turns),
        "ratio": statistics.median(a / b for a, b in zip(seal_turns, copy_turns, strict=True)),
    }


def _sealed_up_to(by_hand: Sealing) -> int:
    row = by_hand.connection.execute("SELECT max(position) FROM sealed_leaf").fetchone()
    return int(row[0]) if row and row[0] else 0


def _copied(connection: psycopg.Connection[Any], begun: int, count: int) -> float:
    """Copy what was sealed after a position again, a round to a commit; how many leaves a second."""
    pieces = []
    for start in range(begun, begun + count, ROUND_EVENTS_MAX):
        with (
            connection.cursor() as curs,
            curs.copy(
                "COPY (SELECT * FROM sealed_leaf WHERE position > %s AND position <= %s) TO STDOUT (FORMAT BINARY)",
                (start, start + ROUND_EVENTS_MAX),
            ) as copy,
        ):
            pieces.append(b"".join(copy))
    started = time.perf_counter()
    for piece in pieces:
        with connection.cursor() as curs, curs.copy("COPY bench_leaf FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(piece)
    return count / (time.perf_counter() - started)


# --- proofs ----------------------------------------------------------------------------------------------------------


def _proofs(conninfo: str, by_hand: Sealing, tenant: UUID) -> dict[str, Any]:
    tree = reading.find_tree(by_hand.connection, tenant)
    if tree is None:
        raise SystemExit("the organisation has no tree")
    drawn = [_draw.randrange(tree.size) for _ in range(PROOFS)]
    rows = by_hand.connection.execute(
        "SELECT leaf_index, aggregate_id, aggregate_version FROM sealed_leaf WHERE tree = %s AND leaf_index = ANY(%s)",
        (tenant, drawn),
    ).fetchall()
    of_leaf: dict[int, tuple[UUID, int]] = {index: (aggregate_id, version) for index, aggregate_id, version in rows}

    def prove(index: int) -> None:
        if reading.find_event(by_hand.connection, *of_leaf[index]) is None:
            raise SystemExit(f"leaf {index} is no event")
        reading.inclusion_proof(by_hand.connection, tenant, index, tree.size)

    found = {"size": tree.size, "made": _milliseconds(prove, drawn)}
    token = administrator(by_hand.services)
    with ExitStack() as stack:
        environment = environment_of(conninfo, by_hand.services.settings)
        port = stack.enter_context(served("api.wsgi:build", environment, factory=True))
        connection = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10.0)))

        def ask(index: int) -> None:
            aggregate_id, version = of_leaf[index]
            path = f"/v1/organisations/{tenant}/ledger/proofs/event?aggregate_id={aggregate_id}&version={version}"
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != http.client.OK:
                raise SystemExit(f"{path} was answered {answer.status}: {said!r}")

        found["http"] = _milliseconds(ask, drawn[:HTTP_PROOFS])
    return found


def _milliseconds(prove: Callable[[int], None], drawn: list[int]) -> dict[str, float]:
    for index in drawn[:20]:
        prove(index)  # statements prepared
    taken = []
    for index in drawn:
        started = time.perf_counter()
        prove(index)
        taken.append((time.perf_counter() - started) * 1000)
    taken.sort()
    return {"p50_ms": taken[len(taken) // 2], "p99_ms": taken[int(len(taken) * 0.99)]}
