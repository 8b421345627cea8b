"""Everything derived from the log; always rebuildable from it."""

from projections import (
    account_status,
    activity,
    application_status,
    bulk_revocation_status,
    catalogue_status,
    credential_list,
    credential_status,
    operator_status,
    organisation_status,
    signing_key_status,
    webhook_endpoint_status,
)
from projections.view import View

PROJECTIONS: tuple[View, ...] = (
    organisation_status.VIEW,
    catalogue_status.VIEW,
    operator_status.VIEW,
    account_status.VIEW,
    application_status.VIEW,
    credential_status.VIEW,
    bulk_revocation_status.VIEW,
    webhook_endpoint_status.VIEW,
    signing_key_status.VIEW,
    credential_list.VIEW,
    activity.VIEW,
)
ASYNCHRONOUS: tuple[View, ...] = tuple(view for view in PROJECTIONS if not view.inline)
