"""Reports: what wants somebody's attention, how much of it there is, and who answers for what."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from flask import Blueprint, request

from api import documents
from api.console.organisations import COUNTED_MAX, Figure
from api.console.rendering import render
from api.incoming import now, services
from projections.credential_list import CredentialFilters, count_credentials
from projections.reports import DUE_DAYS, EXPIRING_DAYS, REPORTS, UNUSED_DAYS, list_owners

pages = Blueprint("reports", __name__, url_prefix="/organisations/<uuid:organisation_id>/reports")

TITLES: Mapping[str, tuple[str, str]] = {
    "overdue": ("Rotation overdue", "Regenerate their keys"),
    "due": ("Rotation due", f"Overdue, or due within {DUE_DAYS} days"),
    "unused": ("Unused", f"Not used for {UNUSED_DAYS} days: revoke what nobody needs"),
    "expiring": ("Expiring", f"End within {EXPIRING_DAYS} days"),
    "without_owner": ("Without an owner", "Nobody to write to"),
}


@pages.get("")
def listing(organisation_id: UUID) -> str:
    """Every report by its number, which leads to its list; then the owners."""
    rotation_days = services().settings.rotation_days
    owners = list_owners(
        services().store, organisation_id, now=now(), rotation_days=rotation_days, cursor=request.args.get("cursor")
    )
    return render(
        "console/reports/listing.html",
        figures=[_figure(organisation_id, name, of_a_moment(now())) for name, of_a_moment in REPORTS.items()],
        owners=[documents.owner(row, rotation_days) for row in owners.rows],
        cursor=owners.cursor,
    )


def _figure(organisation_id: UUID, name: str, filters: CredentialFilters) -> Figure:
    title, explanation = TITLES[name]
    rotation_days = services().settings.rotation_days
    count = count_credentials(
        services().store, organisation_id, filters, now=now(), rotation_days=rotation_days, most=COUNTED_MAX
    )
    return Figure(title, explanation, count, _query(filters))


def _query(filters: CredentialFilters) -> dict[str, str]:
    """The list's address parameters for these filters."""
    given = {name: value for name, value in asdict(filters).items() if value not in (None, False)}
    return {
        name: f"{value:%Y-%m-%dT%H:%M:%SZ}" if isinstance(value, datetime) else str(value).lower()
        for name, value in given.items()
    }
