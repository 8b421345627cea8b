"""A PostgreSQL of a test's own, to be stopped, killed and filled up."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.settings import Settings
from ledger.store.embedded import EmbeddedPostgres
from ledger.store.migrate import migrate


@pytest.fixture
def own_directory() -> Iterator[Path]:
    """Where such a server lives; not pytest's own, which is closed to the user that PostgreSQL runs as under root."""
    directory = Path(tempfile.mkdtemp(prefix="keyledger-fault-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def own_server(own_directory: Path) -> Iterator[str]:
    """The conninfo of a server that nobody else uses."""
    with EmbeddedPostgres(own_directory, settings={"max_connections": "30"}) as server:
        yield server.conninfo


@pytest.fixture
def own_settings(own_server: str, settings: Settings) -> Settings:
    """The settings of a fresh ledger there, with timeouts that a test can wait for."""
    migrate(own_server, "keyledger")
    return replace(
        settings,
        database_url=own_server,
        schema="keyledger",
        statement_timeout=2.0,
        lock_timeout=1.0,
        connect_timeout=1.0,
    )
