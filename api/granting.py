"""What a new credential stands on: the catalogue that its scopes are chosen from, and the ceiling of its application.

Read before the command is made, for every way in. A catalogue that changes or an application that is archived in just
that moment does no harm: verification asks both again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from api import documents
from api.documents import Document
from api.wiring import Services
from ledger.catalogue import Catalogue
from ledger.commands import CreateCredential, RegisterApplication
from ledger.errors import ApplicationArchived, InvalidValue
from ledger.issuing import Wanted, issue_credential, parse_preset
from ledger.permissions import api_names, named
from ledger.secrets import IssuedSecret
from ledger.values import AccessLevel, CatalogueName, Kind, Mode, one_of
from projections.application_status import find_grounds


@dataclass(frozen=True, slots=True)
class Grounds:
    """`ceiling` are the scopes that the application's APIs take; None for a credential of no application.

    `account_id` is the account that it belongs to: as asked, or its application's.
    """

    catalogue: Catalogue
    ceiling: frozenset[str] | None
    account_id: UUID | None


def grounds_of(
    services: Services, organisation_id: UUID, application_id: UUID | None, account_id: UUID | None = None
) -> Grounds:
    """What a new credential stands on, in one look-up. The credential of an account's application is that account's,
    so that closing the account ends it.

    Raises `InvalidValue` for an application that is not this organisation's or for another account than its own, and
    `ApplicationArchived`.
    """
    found = find_grounds(services.store, organisation_id, application_id)
    catalogue = services.catalogues.version(organisation_id, found.catalogue_version)
    if application_id is None:
        return Grounds(catalogue, None, account_id)
    if found.application_id is None:
        raise InvalidValue("application_id", "is not an application of this organisation", "unknown_application")
    if found.archived_at is not None:
        raise ApplicationArchived("the application is archived: it gets no new credentials")
    if account_id is not None and found.account_id not in (None, account_id):
        raise InvalidValue("account_id", "is not the account of the application", "contradiction")
    return Grounds(catalogue, catalogue.ceiling(found.apis or ()), account_id or found.account_id)


def connectable(catalogue: Catalogue, names: Iterable[str]) -> tuple[CatalogueName, ...]:
    """APIs to connect an application to; `InvalidValue` names those that the catalogue does not list."""
    wanted = api_names(names)
    if unknown := sorted(set(wanted) - {api.name for api in catalogue.apis}):
        raise InvalidValue("apis", f"the catalogue does not list {named(unknown)}", "unknown_api")
    return wanted


def key_pair(
    services: Services, catalogue: Catalogue, register: RegisterApplication, wanted: Wanted
) -> tuple[CreateCredential, IssuedSecret]:
    """The first key pair of an application that is registered in the same commit: all that its APIs take, unless a
    preset or scopes are asked for.
    """
    chosen = wanted.get("preset") is not None or wanted.get("scopes") is not None
    of_application: Wanted = {
        **wanted,
        "access_level": AccessLevel.FINE_GRAINED if chosen else AccessLevel.FULL,
        "account_id": register.account_id,
        "application_id": register.application_id,
    }
    return issue_credential(
        services.keyring.digests,
        catalogue,
        register.context,
        register.organisation_id,
        kind=Kind.KEY_PAIR,
        ceiling=catalogue.ceiling(register.apis),
        **of_application,
    )


def previewed(
    services: Services,
    organisation_id: UUID,
    *,
    mode: str,
    access_level: str = AccessLevel.FINE_GRAINED,
    preset: str | None = None,
    scopes: Iterable[str] | None = None,
    application_id: UUID | None = None,
) -> Document:
    """What a new credential would be granted, as it reads; refused as the credential would be."""
    grounds = grounds_of(services, organisation_id, application_id)
    of_mode = one_of(Mode, mode, "mode")
    granted = grounds.catalogue.choose(
        one_of(AccessLevel, access_level, "access_level"), parse_preset(preset), scopes, of_mode, grounds.ceiling
    )
    return documents.grant(of_mode, granted, grounds.catalogue)


def effective_scopes(services: Services, credential: Mapping[str, Any]) -> tuple[str, ...]:
    """What a credential's scopes grant now, from its row: those its application's APIs take, less what was retired."""
    organisation_id, application_id = credential["organisation_id"], credential["application_id"]
    found = find_grounds(services.store, organisation_id, application_id)
    catalogue = services.catalogues.version(organisation_id, found.catalogue_version)
    ceiling = None if application_id is None else catalogue.ceiling(found.apis or ())
    return catalogue.effective(credential["scopes"], Mode(credential["mode"]), ceiling)
