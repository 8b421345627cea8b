"""Revoking what hangs on an archived application, each credential by an event of its own history.

An archived application's credentials are refused from its own event on, whether this ran or not. What is left for it is
to say so in each of their histories; so it may stop at any point, run in several processes, and begin again.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from api.wiring import Services
from ledger.commands import RevokeCredential
from ledger.errors import CredentialRevoked
from ledger.events import Context
from ledger.values import REASON_CHARS_MAX, RevocationReason, Via
from projections.application_status import credentials_of_archived

BATCH_MAX = 500  # a second or two of commits, after which others get their turn


def sweep_archived_applications(services: Services) -> int:
    """Revoke credentials of archived applications, at most a batch, and return how many: 0 once nothing is left.

    They are revoked in the name of who archived the application, by the system.
    """
    return sum(_revoked(services, row) for row in credentials_of_archived(services.store, BATCH_MAX))


def _revoked(services: Services, row: Mapping[str, Any]) -> bool:
    """Whether this revoked the credential; False where somebody else was faster."""
    because = f"application archived: {row['archived_reason']}" if row["archived_reason"] else "application archived"
    context = Context(
        at=datetime.now(UTC),
        actor=row["archived_by"],
        via=Via.SYSTEM,
        request_id=row["archived_request_id"],
        reason=because[:REASON_CHARS_MAX],
    )
    try:
        services.ledger.handle(
            RevokeCredential(
                context=context,
                credential_id=row["credential_id"],
                revocation_reason=RevocationReason.NO_LONGER_USED,
            )
        )
    except CredentialRevoked:
        return False
    return True
