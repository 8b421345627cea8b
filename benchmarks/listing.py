"""Lists and look-ups as credentials grow: each filter's page in a small ledger and in a large one, in turns.

The two hold the same kinds of lives (`api/demo/volume.py`), a year of them, and beside these accounts, applications and
their keys. A second organisation has a tenth as many keys and uses all but a few of them, which is the worst case of
looking for the unused. A page is what a caller waits for: the query and its rows, of which both are asked for as many
as the small one has. The large ledger's plans are kept beside the figures.
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
from uuid_utils.compat import uuid7

from api.demo import volume
from api.wiring import Services, open_services
from benchmarks import apart, console_page
from benchmarks.given import a_key, context, many_keys, organisation
from ledger.commands import Command, OpenAccount, RegisterApplication
from ledger.settings import Settings
from ledger.store.migrate import migrate
from ledger.values import AccountKind, Channel, Environment, Kind, Mode, Name, Status
from projections.account_status import EVERY_ACCOUNT, AccountFilters, list_accounts
from projections.application_status import ApplicationFilters, list_applications
from projections.credential_list import EVERYTHING, CredentialFilters, list_credentials, list_queries
from projections.credential_status import find_for_verification
from projections.credentials_as_of import credentials_as_of, list_credentials_as_of
from projections.pages import LIMIT_DEFAULT, encode_cursor
from projections.rebuild import rebuild

PAGES = 40  # of each filter in each turn: enough for a median that a checkpoint does not move
LOOK_UPS = 500
LISTED = LIMIT_DEFAULT + 10  # more than a page, in the small ledger as in the large one
CREDENTIALS_PER_ACCOUNT = 100  # accounts by the thousand where there are credentials by the million
CREDENTIALS_PER_APPLICATION = 1_000
BUSY_SHARE = 10
UNUSED = 10  # the oldest ones, which a list that begins with the newest finds last
UNUSED_AMONG_USED = "unused_since 30 days, nearly all in use"

_TABLES = (
    "credential_list",
    "credential_status",
    "credential_secret",
    "secret_usage",
    "account_status",
    "application_status",
)
_USE_ALL_BUT = (
    "INSERT INTO secret_usage (credential_id, version, last_used_at) SELECT credential_id, 1, %(at)s "
    "FROM credential_status WHERE organisation_id = %(organisation)s ORDER BY credential_id OFFSET %(unused)s"
)

_draw = Random(7)


@dataclass(frozen=True, slots=True)
class Places:
    """What keys of a ledger hang on."""

    master: UUID  # with sub-accounts
    account: UUID  # with as many keys on REST as an account may have
    application: UUID  # with keys


@dataclass(frozen=True, slots=True)
class Subject:
    """A filled ledger."""

    services: Services
    organisation_id: UUID
    busy_organisation_id: UUID
    places: Places
    now: datetime
    digests: Sequence[str]

    def look_up(self) -> None:
        """What a verification reads, for any of the ledger's secrets."""
        find_for_verification(self.services.store, [], [_draw.choice(self.digests)], None)

    def pages(self) -> dict[str, Callable[[int], int]]:
        """Each page by its name: takes a limit, reads that many rows at most, and says how many there were."""
        credentials = {name: partial(self._credentials, filters) for name, filters in self.filters().items()}
        half_a_year_back = encode_cursor(
            (self.now - timedelta(days=180), UUID(int=0)), (self.organisation_id, EVERYTHING)
        )
        return {
            **credentials,
            "everything, half a year back": partial(self._credentials, EVERYTHING, cursor=half_a_year_back),
            UNUSED_AMONG_USED: partial(
                self._credentials, self.filters()["unused_since 30 days"], of=self.busy_organisation_id
            ),
            "accounts": partial(self._accounts, EVERY_ACCOUNT),
            "accounts of one master": partial(self._accounts, AccountFilters(parent=self.places.master)),
            "applications": partial(self._applications, ApplicationFilters()),
            "applications of one account": partial(self._applications, ApplicationFilters(account=self.places.account)),
        }

    def filters(self) -> dict[str, CredentialFilters]:
        """Every filter of the list, and some of them together, each with something to find."""
        month = timedelta(days=30)
        return {
            "everything": EVERYTHING,
            **{f"status {status}": CredentialFilters(status=status) for status in Status},
            "kind key_pair": CredentialFilters(kind=Kind.KEY_PAIR),
            "mode test": CredentialFilters(mode=Mode.TEST),
            "environment staging": CredentialFilters(environment=Environment.STAGING),
            "channel rest": CredentialFilters(channel=Channel.REST),
            "account": CredentialFilters(account=self.places.account),
            "application": CredentialFilters(application=self.places.application),
            "contact_email": CredentialFilters(contact_email="data-1@example.com"),
            "q, a common word": CredentialFilters(q="billing"),
            "q, one credential": CredentialFilters(q="0000500"),
            "overdue": CredentialFilters(overdue=True),
            "due_before 14 days": CredentialFilters(due_before=self.now + timedelta(days=14)),
            "without_owner": CredentialFilters(without_owner=True),
            "unused_since 30 days": CredentialFilters(unused_since=self.now - month),
            "expiring_before 30 days": CredentialFilters(expiring_before=self.now + month),
            "kind, mode, environment, status": CredentialFilters(
                kind=Kind.OAUTH_CLIENT, mode=Mode.TEST, environment=Environment.STAGING, status=Status.ACTIVE
            ),
            "account, channel, status": CredentialFilters(
                account=self.places.account, channel=Channel.REST, status=Status.ACTIVE
            ),
            "application, unused_since": CredentialFilters(
                application=self.places.application, unused_since=self.now - month
            ),
            "contact_email, overdue": CredentialFilters(contact_email="data-1@example.com", overdue=True),
            "q, mode, status": CredentialFilters(q="billing", mode=Mode.LIVE, status=Status.REVOKED),
            "overdue, without_owner": CredentialFilters(overdue=True, without_owner=True),
        }

    def plans(self) -> dict[str, list[str]]:
        """How PostgreSQL answers each filter's page."""
        return {name: self._plans(filters) for name, filters in self.filters().items()}

    def _plans(self, filters: CredentialFilters) -> list[str]:
        queries, parameters = list_queries(
            self.organisation_id, filters, now=self.now, rotation_days=self._rotation_days, cursor=None, limit=50
        )
        with self.services.store.connect() as connection:
            explained = [
                connection.execute(f"EXPLAIN (COSTS OFF) {query}".encode(), parameters).fetchall() for query in queries
            ]
        return ["\n".join(row[0] for row in plan) for plan in explained]

    def _credentials(
        self, filters: CredentialFilters, limit: int, cursor: str | None = None, of: UUID | None = None
    ) -> int:
        found = list_credentials(
            self.services.store,
            of or self.organisation_id,
            filters,
            now=self.now,
            rotation_days=self._rotation_days,
            cursor=cursor,
            limit=limit,
        )
        return len(found.rows)

    def _accounts(self, filters: AccountFilters, limit: int) -> int:
        store = self.services.store
        return len(list_accounts(store, self.organisation_id, filters, now=self.now, limit=limit).rows)

    def _applications(self, filters: ApplicationFilters, limit: int) -> int:
        return len(list_applications(self.services.store, self.organisation_id, filters, limit=limit).rows)

    @property
    def _rotation_days(self) -> int:
        return self.services.settings.rotation_days


def measure(conninfo: str, settings: Settings, *, small: int, large: int, rounds: int = 3) -> dict[str, Any]:
    """Milliseconds of a page (medians) in both ledgers, their ratios, and the large one's plans."""
    now = datetime.now(UTC)
    with ExitStack() as stack:
        few, many = (
            _filled(stack, conninfo, replace(settings, schema=f"bench_list_{size}"), size, now)
            for size in (small, large)
        )
        found: dict[str, Any] = {}
        for (name, small_page), large_page in zip(few.pages().items(), many.pages().values(), strict=True):
            rows = max(1, small_page(LIMIT_DEFAULT))
            asks = partial(small_page, rows), partial(large_page, rows)
            found[name] = {"rows": rows, **_compare(*asks, rounds, PAGES)}
        found["verify, look-up"] = _compare(few.look_up, many.look_up, rounds, LOOK_UPS)
        plans = many.plans()
        past = _past(conninfo, replace(settings, schema=f"bench_list_{large}"), many)
        console = console_page.measure(many.services, many.organisation_id, now)  # what it records, no view has
    return {
        "small": small,
        "large": large,
        "rounds": rounds,
        "pages": found,
        "console": console,
        "past": past,
        "plans": plans,
    }


def _past(conninfo: str, settings: Settings, subject: Subject) -> dict[str, Any]:
    """What the whole list costs as it was half a year ago, and as it is now: each credential folded from its events."""
    moments = {"half a year ago": subject.now - volume.YEAR / 2, "now": subject.now}
    found: dict[str, Any] = {}
    for name, at in moments.items():
        credentials, cost = apart.cost(_everything_then, conninfo, settings, subject.organisation_id, at)
        page = partial(list_credentials_as_of, subject.services.log, subject.organisation_id, at)
        found[name] = {
            "credentials": credentials,
            "seconds": cost.seconds,
            **cost.of_each(credentials),
            "page_ms": _milliseconds(page),
        }
    return found


def _everything_then(conninfo: str, settings: Settings, organisation_id: UUID, at: datetime) -> int:
    with open_services(settings, conninfo) as services:
        return sum(1 for _ in credentials_as_of(services.log, organisation_id, at))


def _filled(stack: ExitStack, conninfo: str, settings: Settings, size: int, now: datetime) -> Subject:
    migrate(conninfo, settings.schema)
    services = stack.enter_context(open_services(settings, conninfo))
    tenant, busy = organisation(services), organisation(services)
    places = _places(services, tenant, size, now - volume.YEAR)
    volume.fill(services, tenant, size, now=now, seed=7)
    many_keys(services, busy, size // BUSY_SHARE, now - volume.YEAR)
    with services.store.connect() as connection:
        connection.execute(_USE_ALL_BUT, {"organisation": busy, "at": now, "unused": UNUSED})
    rebuild(services.log, "credential_list")
    with services.store.connect() as connection:
        connection.execute("SET statement_timeout TO 0")
        for table in _TABLES:
            connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(table)))
    digests = [row["digest"] for row in services.store.rows("SELECT digest FROM credential_secret")]
    return Subject(services, tenant, busy, places, now, digests)


def _places(services: Services, tenant: UUID, size: int, at: datetime) -> Places:
    """Accounts and applications of that time, a key of each, and of each kind one that has many."""
    masters = [_account(tenant, at, AccountKind.MASTER) for _ in range(max(LISTED, size // CREDENTIALS_PER_ACCOUNT))]
    accounts = [*masters, *(_account(tenant, at, AccountKind.SUB, masters[0].account_id) for _ in range(LISTED))]
    applications = [
        RegisterApplication(
            context=context(at),
            application_id=uuid7(),
            organisation_id=tenant,
            account_id=masters[-1].account_id if number < LISTED else None,
            title=Name(f"Ledger sync {number}"),
        )
        for number in range(max(2 * LISTED, size // CREDENTIALS_PER_APPLICATION))
    ]
    places = Places(masters[0].account_id, masters[-1].account_id, applications[-1].application_id)
    on_rest = [places.account] * (services.settings.channel_keys_max.rest - 1) + [a.account_id for a in accounts]
    of_applications = [places.application] * LISTED + [a.application_id for a in applications]
    commands: list[Command] = [
        *accounts,
        *applications,
        *(a_key(services, tenant, at, channel="rest", account_id=account)[0] for account in on_rest),
        *(a_key(services, tenant, at, application_id=application)[0] for application in of_applications),
    ]
    for start in range(0, len(commands), volume.COMMIT_COMMANDS):
        services.ledger.handle_all(commands[start : start + volume.COMMIT_COMMANDS])
    return places


def _account(tenant: UUID, at: datetime, kind: AccountKind, parent_id: UUID | None = None) -> OpenAccount:
    return OpenAccount(
        context=context(at),
        account_id=uuid7(),
        organisation_id=tenant,
        kind=kind,
        parent_id=parent_id,
        name=Name("Acme Messaging"),
    )


def _milliseconds(ask: Callable[[], object]) -> float:
    ask()  # plans, pages
    taken = []
    for _ in range(PAGES):
        started = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken) * 1000


def _compare(small: Callable[[], object], large: Callable[[], object], rounds: int, times: int) -> dict[str, float]:
    asks = {"small": small, "large": large}
    turns: dict[str, list[float]] = {name: [] for name in asks}
    for ask in asks.values():
        ask()  # plans, pages
    for _ in range(rounds):
        for name, ask in asks.items():
            taken = []
            for _ in range(times):
                started = time.perf_counter()
                ask()
                taken.append(time.perf_counter() - started)
            turns[name].append(statistics.median(taken) * 1000)
    medians = {name: statistics.median(found) for name, found in turns.items()}
    return {"small_ms": medians["small"], "large_ms": medians["large"], "ratio": medians["large"] / medians["small"]}
