"""Lists and look-ups as credentials grow: each filter's page in a small ledger and in a large one, in turns.

The two hold the same kinds of lives (`api/demo/volume.py`), a year of them. A page is what a caller waits for: the
query and its rows, of which both are asked for as many as the small one has. The large ledger's plans are kept beside
the figures.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

from psycopg import sql

from api.demo import volume
from api.wiring import Services, open_services
from benchmarks.given import organisation
from ledger.settings import Settings
from ledger.store.migrate import migrate
from ledger.values import Environment, Kind, Mode, Status
from projections.credential_list import EVERYTHING, CredentialFilters, list_credentials, list_queries
from projections.credential_status import find_for_verification
from projections.pages import LIMIT_DEFAULT, encode_cursor
from projections.rebuild import rebuild

PAGES = 40  # of each filter in each turn: enough for a median that a checkpoint does not move
LOOK_UPS = 500

_draw = Random(7)


@dataclass(frozen=True, slots=True)
class Subject:
    """A filled ledger."""

    services: Services
    organisation_id: UUID
    now: datetime
    rotation_days: int
    digests: Sequence[str]

    def look_up(self) -> None:
        """What a verification reads, for any of the ledger's secrets."""
        find_for_verification(self.services.store, [], [_draw.choice(self.digests)], None)

    def page(self, filters: CredentialFilters, limit: int = LIMIT_DEFAULT, cursor: str | None = None) -> int:
        """How many rows one page has."""
        found = list_credentials(
            self.services.store,
            self.organisation_id,
            filters,
            now=self.now,
            rotation_days=self.rotation_days,
            cursor=cursor,
            limit=limit,
        )
        return len(found.rows)

    def middle(self, filters: CredentialFilters) -> str:
        """The cursor of a page half a year back."""
        return encode_cursor((self.now - timedelta(days=180), UUID(int=0)), (self.organisation_id, filters))

    def plans(self, filters: CredentialFilters) -> list[str]:
        """How PostgreSQL answers the page."""
        queries, parameters = list_queries(
            self.organisation_id, filters, now=self.now, rotation_days=self.rotation_days, cursor=None, limit=50
        )
        with self.services.store.connect() as connection:
            explained = [
                connection.execute(f"EXPLAIN (COSTS OFF) {query}".encode(), parameters).fetchall() for query in queries
            ]
        return ["\n".join(row[0] for row in plan) for plan in explained]


def filters_at(now: datetime) -> dict[str, CredentialFilters]:
    """Every filter of the list, each with something to find."""
    return {
        "everything": EVERYTHING,
        **{f"status {status}": CredentialFilters(status=status) for status in Status},
        "kind key_pair": CredentialFilters(kind=Kind.KEY_PAIR),
        "mode test": CredentialFilters(mode=Mode.TEST),
        "environment staging": CredentialFilters(environment=Environment.STAGING),
        "contact_email": CredentialFilters(contact_email="data-1@example.com"),
        "q, a common word": CredentialFilters(q="billing"),
        "q, one credential": CredentialFilters(q="0000500"),
        "overdue": CredentialFilters(overdue=True),
        "due_before 14 days": CredentialFilters(due_before=now + timedelta(days=14)),
        "without_owner": CredentialFilters(without_owner=True),
        "unused_since 30 days": CredentialFilters(unused_since=now - timedelta(days=30)),
        "expiring_before 30 days": CredentialFilters(expiring_before=now + timedelta(days=30)),
    }


def measure(conninfo: str, settings: Settings, *, small: int, large: int, rounds: int = 3) -> dict[str, Any]:
    """Milliseconds of a page (medians) in both ledgers, their ratios, and the large one's plans."""
    now = datetime.now(UTC)
    with ExitStack() as stack:
        subjects = {
            size: _filled(stack, conninfo, replace(settings, schema=f"bench_list_{size}"), size, now)
            for size in (small, large)
        }
        compare = partial(_compare, subjects[small], subjects[large], rounds)
        found: dict[str, Any] = {}
        for name, filters in filters_at(now).items():
            rows = max(1, subjects[small].page(filters))
            found[name] = {"rows": rows, **compare(partial(_page, filters, rows), PAGES)}
        found["everything, half a year back"] = compare(_page_of_the_middle, PAGES)
        found["verify, look-up"] = compare(Subject.look_up, LOOK_UPS)
        plans = {name: subjects[large].plans(filters) for name, filters in filters_at(now).items()}
    return {"small": small, "large": large, "rounds": rounds, "pages": found, "plans": plans}


def _page(filters: CredentialFilters, rows: int, subject: Subject) -> None:
    subject.page(filters, rows)


def _page_of_the_middle(subject: Subject) -> None:
    subject.page(EVERYTHING, cursor=subject.middle(EVERYTHING))


def _filled(stack: ExitStack, conninfo: str, settings: Settings, size: int, now: datetime) -> Subject:
    migrate(conninfo, settings.schema)
    services = stack.enter_context(open_services(settings, conninfo))
    tenant = organisation(services)
    volume.fill(services, tenant, size, now=now, seed=7)
    rebuild(services.log, "credential_list")
    with services.store.connect() as connection:
        connection.execute("SET statement_timeout TO 0")
        for table in ("credential_list", "credential_status", "credential_secret", "secret_usage"):
            connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(table)))
    digests = [row["digest"] for row in services.store.rows("SELECT digest FROM credential_secret")]
    return Subject(services, tenant, now, settings.rotation_days, digests)


def _compare(
    small: Subject, large: Subject, rounds: int, ask: Callable[[Subject], Any], times: int
) -> dict[str, float]:
    turns: dict[str, list[float]] = {"small": [], "large": []}
    for subject in (small, large):
        ask(subject)  # plans, pages
    for _ in range(rounds):
        for name, subject in (("small", small), ("large", large)):
            taken = []
            for _ in range(times):
                started = time.perf_counter()
                ask(subject)
                taken.append(time.perf_counter() - started)
            turns[name].append(statistics.median(taken) * 1000)
    medians = {name: statistics.median(found) for name, found in turns.items()}
    return {"small_ms": medians["small"], "large_ms": medians["large"], "ratio": medians["large"] / medians["small"]}
