"""Commands on organisations, from what a body or a form asked: the same for the API and for the console.

A body has been through `OrganisationIn` of `api/schemas/organisations.py`; a row is an organisation as
`find_organisation` reads it. `expected_version` is the version to decide on.
"""

from collections.abc import Mapping
from typing import Any

from uuid_utils.compat import uuid7

from api import documents
from api.incoming import context
from ledger.commands import RegisterOrganisation, RenameOrganisation
from ledger.organisation import Organisation
from ledger.values import Name
from projections.organisation_status import status_row

Body = Mapping[str, Any]
Row = Mapping[str, Any]


def represent(state: Organisation) -> documents.Document:
    """The organisation that a command left."""
    return documents.organisation(status_row(state))


def register(body: Body) -> tuple[RegisterOrganisation, None]:
    """A new tenant."""
    name = Name(body["name"])
    return RegisterOrganisation(context=context(body.get("reason")), organisation_id=uuid7(), name=name), None


def rename(row: Row, body: Body, expected_version: int | None) -> tuple[RenameOrganisation, None]:
    """Another name."""
    return RenameOrganisation(
        context=context(body.get("reason")),
        expected_version=expected_version,
        organisation_id=row["organisation_id"],
        name=Name(body["name"]),
    ), None
