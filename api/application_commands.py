"""Commands on applications, from what a body or a form asked: the same for the API and for the console.

A body has been through its schema of `api/schemas/applications.py`; a row is an application as `find_application` reads
it. `expected_version` is the version to decide on, None for whichever it is at.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api import documents, outgoing
from api.auth import allow_mode
from api.commanding import Commands
from api.granting import connectable, key_pair
from api.incoming import context, services
from ledger.commands import ArchiveApplication, ConnectApis, DescribeApplication, RegisterApplication
from ledger.values import Description, Name, optional
from projections import application_status, credential_status

Body = Mapping[str, Any]
Row = Mapping[str, Any]


def represent(state: Any) -> documents.Document:
    """The application that a command left."""
    return documents.application(application_status.status_row(state))


def register(organisation_id: UUID, body: Body) -> Commands:
    """A new application, as `ApplicationIn` describes it; with `generate` its first key pair in the same commit."""
    catalogue = services().catalogues.current(organisation_id)
    command = RegisterApplication(
        context=context(body.get("reason")),
        application_id=uuid7(),
        organisation_id=organisation_id,
        account_id=body.get("account_id"),
        title=Name(body["title"], "title"),
        description=optional(Description, body.get("description")),
        apis=connectable(catalogue, body.get("apis") or ()),
    )
    if "generate" not in body:
        return [command], represent
    create, secret = key_pair(services(), catalogue, command, body["generate"])
    allow_mode(create.mode)
    return (
        [command, create],
        lambda application, credential: (
            represent(application)
            | {
                "credential": outgoing.credential(credential_status.status_row(credential)),
                "secret": secret.plaintext,
            }
        ),
    )


def describe(row: Row, body: Body, expected_version: int | None) -> tuple[DescribeApplication, None]:
    """Another title or description, as `ApplicationDescriptionIn` describes them; what is left out stays."""
    return DescribeApplication(
        context=context(body.get("reason")),
        expected_version=expected_version,
        application_id=row["application_id"],
        title=Name(body["title"], "title") if "title" in body else None,
        description=Description(body["description"] or "") if "description" in body else None,
    ), None


def connect(row: Row, body: Body, expected_version: int | None) -> tuple[ConnectApis, None]:
    """The APIs that it is connected to, as `ApisIn` lists them."""
    return ConnectApis(
        context=context(body.get("reason")),
        expected_version=expected_version,
        application_id=row["application_id"],
        apis=connectable(services().catalogues.current(row["organisation_id"]), body["apis"]),
    ), None


def archive(row: Row, body: Body, expected_version: int | None) -> tuple[ArchiveApplication, None]:
    """Its end."""
    return ArchiveApplication(
        context=context(body.get("reason")),
        expected_version=expected_version,
        application_id=row["application_id"],
    ), None
