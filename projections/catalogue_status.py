"""Each organisation's catalogue, as verification reads it; and every version of it, as the log has them.

The row holds what decides whether a scope still grants anything. It is inline: what was retired is refused as soon as
that is acknowledged. Older versions have no table: a view's rows stand for an aggregate as it is, so a rebuild could
not make them again. The log can, and a version that was read once is kept in memory, as it never changes.
"""

from collections.abc import Iterator
from functools import lru_cache
from uuid import UUID

from ledger.catalogue import DEFAULT_CATALOGUE, FIRST_VERSION, Catalogue, OrganisationCatalogue, evolve
from ledger.errors import NotFound
from ledger.events import Context
from ledger.permissions import catalogue_of
from ledger.store.log import EventLog
from ledger.store.recorder import InlineTable, Row
from projections.view import (
    OF_ACCOUNTS,
    OF_APPLICATIONS,
    OF_BULK_REVOCATIONS,
    OF_CATALOGUES,
    OF_CREDENTIALS,
    OF_EXPORTS,
    OF_OPERATORS,
    OF_ORGANISATIONS,
    OF_SEALED_LOG,
    OF_SIGNING_KEYS,
    OF_WEBHOOK_ENDPOINTS,
    StateView,
)

STATUS = InlineTable(
    "catalogue_status",
    key=("organisation_id",),
    columns=("organisation_id", "version", "retired", "apis"),
)

# Versions kept in memory, of all organisations. One like the default takes some twenty kilobytes, the largest there can
# be half a megabyte.
KEPT_MAX = 500


def rows_of(state: OrganisationCatalogue) -> dict[InlineTable, list[Row]]:
    """The row that stands for a catalogue as it is; an organisation without one has the default catalogue."""
    catalogue = state.catalogue
    return {
        STATUS: [
            {
                "organisation_id": state.organisation_id,
                "version": catalogue.version,
                "retired": {mode.value: retired for mode, retired in catalogue.retired.items()},
                "apis": {api.name: api.scopes for api in catalogue.apis},
            }
        ]
    }


VIEW: StateView[OrganisationCatalogue] = StateView(
    name="catalogue_status",
    aggregate="catalogue",
    inline=True,
    evolve=evolve,
    tables=(STATUS,),
    rows_of=rows_of,
    handles=OF_CATALOGUES,
    ignores=(
        *OF_ORGANISATIONS,
        *OF_OPERATORS,
        *OF_ACCOUNTS,
        *OF_APPLICATIONS,
        *OF_CREDENTIALS,
        *OF_BULK_REVOCATIONS,
        *OF_WEBHOOK_ENDPOINTS,
        *OF_SIGNING_KEYS,
        *OF_EXPORTS,
        *OF_SEALED_LOG,
    ),
)


class Catalogues:
    """Every version of every catalogue of a log. For many threads at once."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._read = lru_cache(maxsize=KEPT_MAX)(self._read_from_log)

    def current(self, organisation_id: UUID) -> Catalogue:
        """The organisation's catalogue as it is: one look-up by key, as it may have been changed a moment ago."""
        row = self._log.datastore.row(
            "SELECT version FROM catalogue_status WHERE organisation_id = %s", (organisation_id,)
        )
        return self.version(organisation_id, row["version"] if row else FIRST_VERSION)

    def version(self, organisation_id: UUID, version: int) -> Catalogue:
        """The catalogue as it was at a version; `NotFound` where it has not come to that one."""
        return DEFAULT_CATALOGUE if version == FIRST_VERSION else self._read(organisation_id, version)

    def history(self, organisation_id: UUID) -> Iterator[tuple[Context | None, Catalogue]]:
        """Every version, oldest first, with the context of the change that led to it (None for the default)."""
        yield None, DEFAULT_CATALOGUE
        state: OrganisationCatalogue | None = None
        for recorded in self._log.history(catalogue_of(organisation_id)).recorded:
            state = evolve(state, recorded)
            yield recorded.event.context, state.catalogue

    def _read_from_log(self, organisation_id: UUID, version: int) -> Catalogue:
        for _, catalogue in self.history(organisation_id):
            if catalogue.version == version:
                return catalogue
        raise NotFound("version of this catalogue")
