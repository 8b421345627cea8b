"""What tests share: one real PostgreSQL for the run, one ledger (a schema of its own) for each test."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from psycopg import sql

from api.wiring import Services, open_services
from ledger.settings import Settings
from ledger.store.embedded import EmbeddedPostgres
from ledger.store.migrate import migrate
from tests.waiting import SECONDS_MAX

# Examples here write to a real database with a real fsync: how long one takes says nothing about the rule it tests.
hypothesis_settings.register_profile(
    "keyledger",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
hypothesis_settings.load_profile("keyledger")

MASTER_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Leave how the run ended: `.ci/run` looks again at what failed in a whole run only."""
    cache = getattr(session.config, "cache", None)  # none with -p no:cacheprovider
    if cache is not None and not hasattr(session.config, "workerinput"):
        cache.set("keyledger/exit_status", int(exitstatus))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The conninfo of a real PostgreSQL: the one TEST_DATABASE_URL names, or an embedded one."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        return
    # pytest's own temporary directories are closed to the user that PostgreSQL runs as under root.
    directory = Path(tempfile.mkdtemp(prefix="keyledger-test-"))
    directory.chmod(0o755)
    try:
        with EmbeddedPostgres(directory, settings={"max_connections": "300"}) as server:
            yield server.conninfo
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def within_a_day() -> None:
    """The test begins and ends on the same day in UTC: just before midnight it waits for the next one."""
    now = datetime.now(UTC)
    left = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0) - now
    if left < timedelta(seconds=SECONDS_MAX):
        time.sleep(left.total_seconds())


_schemas = iter(range(1_000_000))


@pytest.fixture
def schema(postgres: str) -> Iterator[str]:
    """The name of a schema that nobody else uses, gone after the test."""
    name = f"test_{os.getpid()}_{next(_schemas)}"
    yield name
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("SET client_min_messages TO warning")
        connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))


@pytest.fixture
def settings(postgres: str, schema: str, tmp_path: Path) -> Settings:
    """The settings of a fresh, migrated ledger."""
    migrate(postgres, schema)
    return Settings(
        database_url=postgres,
        schema=schema,
        data_dir=tmp_path,
        master_key=MASTER_KEY,
        projection_poll=0.1,
        usage_flush=0.2,
    )


OpenServices = Callable[[], Services]


@pytest.fixture
def open_another(settings: Settings) -> Iterator[OpenServices]:
    """Opens the services on this test's ledger once more, as another process would."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(open_services(settings, settings.database_url))


@pytest.fixture
def services(open_another: OpenServices) -> Services:
    """The services on a fresh ledger."""
    return open_another()
