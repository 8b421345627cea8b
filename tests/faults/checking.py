"""What must hold after any fault: what was acknowledged is recorded, what was refused is not, nothing is half done."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql

from api.wiring import Services
from ledger.commands import CreateCredential
from ledger.errors import OutcomeUnknown, Unavailable
from ledger.service import CREDENTIAL, Receipt
from projections.credential_status import SECRET, STATUS, rows_of
from tests import given

EVENTS_EACH = 2  # created and scopes_fixed


@dataclass(frozen=True, slots=True)
class Attempt:
    """A credential that somebody tried to create, and what they were told."""

    credential_id: UUID
    told: Receipt | Unavailable

    @property
    def acknowledged(self) -> bool:
        """Whether they were told that it was recorded."""
        return isinstance(self.told, Receipt)


def attempt(services: Services, organisation: UUID) -> Attempt:
    """Try to create a credential; being unavailable is the only excuse."""
    command, _ = given.a_create_command(services, organisation)
    return attempt_command(services, command)


def attempt_command(services: Services, command: CreateCredential) -> Attempt:
    """The same with a command made before."""
    try:
        return Attempt(command.credential_id, services.ledger.handle(command))
    except Unavailable as error:
        return Attempt(command.credential_id, error)


def check_everything(services: Services, attempts: Sequence[Attempt]) -> None:
    """Positions from 1 without gaps; receipts and refusals true; each command whole; the views equal to the fold."""
    positions = [r["notification_id"] for r in _rows(services, "SELECT * FROM ledger_events ORDER BY notification_id")]
    assert positions == list(range(1, services.log.head() + 1))

    recorded = {
        row["originator_id"]: row["positions"]
        for row in _rows(
            services,
            "SELECT originator_id, array_agg(notification_id ORDER BY originator_version) AS positions "
            "FROM ledger_events WHERE topic LIKE 'credential.%%' GROUP BY 1",
        )
    }
    assert all(len(found) == EVENTS_EACH for found in recorded.values())
    for tried in attempts:
        found = recorded.get(tried.credential_id)
        if isinstance(tried.told, Receipt):
            assert found is not None
            assert found[-1] == tried.told.position
        elif not isinstance(tried.told, OutcomeUnknown):
            assert found is None

    keys = {row["aggregate_id"] for row in _rows(services, "SELECT aggregate_id FROM ledger_data_keys")}
    assert keys == set(recorded)
    states = [services.ledger.load(CREDENTIAL, credential_id) for credential_id in recorded]
    for table in (STATUS, SECRET):
        expected = msgspec.json.encode([row for s in states for row in rows_of(s)[table]], enc_hook=str).decode()
        of_the_fold = sql.SQL("SELECT {} FROM json_populate_recordset(NULL::{}, %s::json)").format(
            sql.SQL(", ").join(map(sql.Identifier, table.columns)), sql.Identifier(table.name)
        )
        of_the_view = sql.SQL("SELECT {} FROM {}").format(
            sql.SQL(", ").join(map(sql.Identifier, table.columns)), sql.Identifier(table.name)
        )
        for one, other in ((of_the_fold, of_the_view), (of_the_view, of_the_fold)):
            difference = sql.SQL("({}) EXCEPT ({})").format(one, other).as_string()
            assert services.store.rows(difference, (expected,)) == []


def _rows(services: Services, query: str) -> list[dict[str, Any]]:
    return services.store.rows(query)
