"""Running commands in this process, each on this test's own ledger."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from api.cli import main
from ledger.settings import PREFIX, Settings
from tests.conftest import MASTER_KEY


def now() -> str:
    """This moment, as commands take times."""
    return datetime.now(UTC).isoformat()


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended, and what it wrote where."""

    exit_code: int
    out: str = field(repr=False)
    err: str

    @property
    def json(self) -> Any:
        """The document it printed."""
        return orjson.loads(self.out)


@dataclass(slots=True)
class CommandLine:
    """Runs commands and remembers all they wrote."""

    environment: dict[str, str | None]
    everything_shown: list[str] = field(default_factory=list)

    def __call__(self, *arguments: object, stdin: str | None = None, **environment: str) -> Ran:
        result = CliRunner().invoke(
            main, [str(argument) for argument in arguments], input=stdin, env={**self.environment, **environment}
        )
        self.everything_shown += [result.stdout, result.stderr]
        return Ran(result.exit_code, result.stdout, result.stderr)

    def ok(self, *arguments: object, stdin: str | None = None) -> Ran:
        """The same, for a command that must succeed."""
        ran = self(*arguments, stdin=stdin)
        assert ran.exit_code == 0, ran.err
        return ran


@pytest.fixture
def environment(settings: Settings) -> dict[str, str | None]:
    """The variables that lead a command to this test's ledger; None takes one away."""
    foreign = dict.fromkeys(name for name in os.environ if name.startswith(PREFIX))
    return {
        **foreign,
        "KEYLEDGER_DATABASE_URL": settings.database_url,
        "KEYLEDGER_SCHEMA": settings.schema,
        "KEYLEDGER_DATA_DIR": str(settings.data_dir),
        "KEYLEDGER_MASTER_KEY": MASTER_KEY,
    }


@pytest.fixture
def keyledger(environment: dict[str, str | None]) -> CommandLine:
    """The command."""
    return CommandLine(environment)


@pytest.fixture
def organisation(keyledger: CommandLine) -> str:
    """The id of a registered organisation."""
    return keyledger.ok("organisation", "register", "Acme").out.strip()


CreateCredential = Callable[..., Any]


@pytest.fixture
def create(keyledger: CommandLine, organisation: str) -> CreateCredential:
    """Creates a live API key that may read, changed as asked, and returns its document with the secret."""

    def create(*more: object, stdin: str | None = None) -> Any:
        arguments = ("--organisation", organisation, "--mode", "live", "--preset", "read_only", "--json", *more)
        return keyledger.ok("credential", "create", *arguments, stdin=stdin).json

    return create
