"""Everything derived from the log; always rebuildable from it."""

from typing import Any

from projections import credential_status, operator_status, organisation_status
from projections.view import InlineView

INLINE: tuple[InlineView[Any], ...] = (organisation_status.VIEW, operator_status.VIEW, credential_status.VIEW)
