"""What every command begins with: the settings, the ledger opened on them, and who is asking."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import click
import psycopg
from uuid_utils.compat import uuid7

from api import documents
from api.cli.output import tell
from api.erasing import erase_brought_back
from api.wiring import Services, database, open_services
from ledger.account import Account
from ledger.credential import Credential
from ledger.events import Context
from ledger.operator import Operator
from ledger.service import ACCOUNT, CREDENTIAL, OPERATOR
from ledger.settings import Settings, SettingsError, from_environment
from ledger.store.keys import Keyring
from ledger.values import Reason, Via
from projections.readings import Reading, Shown, keep_readings


@dataclass(frozen=True, slots=True)
class Session:
    """The services, for the time of one command. All it records carries the same request id."""

    services: Services
    request_id: str

    def context(self, reason: str = "") -> Context:
        """The context of what is recorded now."""
        return Context(
            at=datetime.now(UTC),
            actor=f"command_line:{system_user()}",
            via=Via.COMMAND_LINE,
            request_id=self.request_id,
            reason=Reason(reason),
        )

    def shows(self, *what: Shown, of: UUID | None, about: UUID | None = None) -> None:
        """Note that whoever runs this is shown something of an organisation, or of all for None; and about what.

        Written before it is shown: where that cannot be, nothing is.
        """
        if not what:
            return
        reading = Reading(
            organisation_id=of,
            aggregate_id=about,
            at=datetime.now(UTC),
            actor=f"command_line:{system_user()}",
            roles=[],
            via=Via.COMMAND_LINE,
            what=sorted(what),
            route=_command(),
            request_id=self.request_id,
            address="",
        )
        keep_readings(self.services.store, [reading])

    def credential(self, credential_id: UUID) -> Credential:
        """The credential as it is; `NotFound` where there is none."""
        found: Credential = self.services.ledger.load(CREDENTIAL, credential_id)
        return found

    def account(self, account_id: UUID) -> Account:
        """The account as it is; `NotFound` where there is none."""
        found: Account = self.services.ledger.load(ACCOUNT, account_id)
        return found

    def document(self, row: documents.Row, at: datetime) -> documents.Document:
        """A credential as it reads at a moment, from its status row."""
        return documents.credential(row, at, self.services.settings.rotation_days, self.services.catalogues)

    def operator(self, operator_id: UUID) -> Operator:
        """The operator as it is; `NotFound` where there is none."""
        found: Operator = self.services.ledger.load(OPERATOR, operator_id)
        return found


@contextmanager
def open_ledger() -> Iterator[Session]:
    """The ledger that the environment describes, on the embedded PostgreSQL of a running `serve` if there is one.

    What a restored backup brought back of the data of people is erased again before any of it can be shown.
    """
    settings = checked_settings()
    Keyring.from_settings(settings)  # a missing key is said before a database is started
    refuse_absent_database(settings)
    with database(settings) as conninfo, open_services(settings, conninfo) as services:
        if erased := erase_brought_back(services):
            tell(f"A restored backup held the personal data of {erased} that were erased: they were erased again.")
        yield Session(services, str(uuid7()))


def _command() -> str:
    """The command that runs, as it is typed, without what it is given."""
    _, _, names = click.get_current_context().command_path.partition(" ")
    return f"keyledger {names}"


def checked_settings() -> Settings:
    """The settings that the environment describes. A URL that libpq cannot read is refused without repeating it."""
    settings = from_environment()
    try:
        psycopg.conninfo.conninfo_to_dict(settings.database_url)
    except psycopg.ProgrammingError:
        raise SettingsError("KEYLEDGER_DATABASE_URL is not a libpq URL or connection string") from None
    return settings


def refuse_absent_database(settings: Settings) -> None:
    """A command in the wrong directory must not leave a new, empty database there."""
    there = any((settings.data_dir / name).exists() for name in ("postgres", "postgres.location"))
    if not settings.database_url and not there:
        raise SettingsError(
            f"there is no database in {settings.data_dir}: set KEYLEDGER_DATA_DIR or KEYLEDGER_DATABASE_URL, "
            "or begin with `keyledger serve` or `keyledger migrate --init`"
        )


def system_user() -> str:
    """Who runs this, as the operating system knows them; a variable could be set to anybody."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
