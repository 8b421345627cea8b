"""What events happened to: what it is called, and the page that shows it."""

from collections.abc import Iterable, Mapping
from typing import Any

from api.incoming import services
from projections.names import names_of_things

# By the kind of thing: its page, and what the page calls its id. An operator's is the list of what happened to it.
SUBJECTS: Mapping[str, tuple[str, str]] = {
    "credential": ("console.credentials.detail", "credential_id"),
    "application": ("console.applications.information", "application_id"),
    "account": ("console.accounts.detail", "account_id"),
    "operator": ("console.activity.feed", "aggregate_id"),
    "webhook_endpoint": ("console.webhooks.detail", "endpoint_id"),
    "bulk_revocation": ("console.bulk_revocations.detail", "run_id"),
}


def subjects_of(events: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What a template needs to name and link what these events happened to."""
    return {
        "subjects": SUBJECTS,
        "called": names_of_things(services().store, (event["aggregate_id"] for event in events)),
    }
