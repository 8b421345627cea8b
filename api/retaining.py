"""Retention: erasing the personal data of credentials that ended so many days ago, one by one, in the background."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from api.erasing import ended_and_erased
from api.wiring import Services
from ledger.errors import NotAllowedNow
from ledger.events import Context
from ledger.settings import Settings
from ledger.values import RevocationReason, Via
from projections.retention import Due, list_due

BATCH = 200  # a second or two of commands, each with a line in the list of erasures


def sweep_retention(services: Services) -> int:
    """Erase what is due by each organisation's policy, or that of `Settings.retention_days`, at most a batch; returns
    how many were erased.

    What the list still shows of those that were erased a moment ago is passed over.
    """
    due = list_due(services.store, datetime.now(UTC), services.settings.retention_days, BATCH)
    return sum(_erased(services, one) for one in due)


def _erased(services: Services, due: Due) -> bool:
    """Whether it was erased; False where somebody else was faster. One that expired is revoked first: that is final."""
    context = Context(datetime.now(UTC), "system", Via.SYSTEM, reason=f"retention: {due.days} days after it ended")
    try:
        services.ledger.handle_all(ended_and_erased(services, due.credential_id, context, RevocationReason.POLICY))
    except NotAllowedNow:
        return False
    return True


def retention_days_of(organisation: Mapping[str, Any], settings: Settings) -> int:
    """After how many days an organisation, whose row is given, has personal data erased; 0 for never."""
    own: int | None = organisation["retention_days"]
    return settings.retention_days if own is None else own
