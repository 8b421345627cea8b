"""Short ways to say what a test starts from."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.wiring import Services
from ledger.catalogue import DEFAULT_CATALOGUE
from ledger.commands import (
    ArchiveApplication,
    CloseAccount,
    CreateCredential,
    EnrolOperator,
    OpenAccount,
    RegisterApplication,
    RegisterOrganisation,
    SetCatalogue,
    StartBulkRevocation,
)
from ledger.events import Context
from ledger.permissions import api_names, apis_of, groups_of
from ledger.secrets import IssuedSecret, new_public_id
from ledger.service import Receipt
from ledger.values import (
    AccessLevel,
    AccountKind,
    EmailAddress,
    Kind,
    Label,
    Mode,
    Name,
    PublicId,
    RevocationReason,
    Role,
    Via,
)


def context(at: datetime | None = None, **more: Any) -> Context:
    """Somebody at the command line, now."""
    given: dict[str, Any] = {
        "actor": "command_line:tester",
        "via": Via.COMMAND_LINE,
        "request_id": "test",
        **more,
    }
    return Context(at or datetime.now(UTC), **given)


def an_organisation(services: Services, name: str = "Acme") -> UUID:
    """A registered organisation's id."""
    command = RegisterOrganisation(context=context(), organisation_id=uuid7(), name=Name(name))
    return services.ledger.handle(command).id


def groups(offered: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Permission groups as a document has them: one group, with these scopes for credentials of these modes."""
    entities: dict[str, list[dict[str, Any]]] = {}
    for scope, modes in offered.items():
        entity, _, action = scope.partition(":")
        entities.setdefault(entity, []).append({"action": action, "title": scope, "modes": list(modes)})
    written = [{"name": name, "title": name, "permissions": some} for name, some in entities.items()]
    return [{"name": "shop", "title": "Shop", "entities": written}]


def apis(taken: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """APIs as a document has them, each with the scopes that it takes."""
    return [{"name": name, "title": name, "description": "", "scopes": list(scopes)} for name, scopes in taken.items()]


def a_catalogue(
    services: Services, organisation_id: UUID, offered: Mapping[str, Sequence[str]], taken: Mapping[str, Sequence[str]]
) -> None:
    """The organisation's catalogue offers these scopes to these modes, and has APIs that take these."""
    of = groups_of(groups(offered))
    services.ledger.handle(
        SetCatalogue(context=context(), organisation_id=organisation_id, groups=of, apis=apis_of(apis(taken), of))
    )


def an_application(services: Services, organisation_id: UUID, *apis: str) -> UUID:
    """The App ID of an application that is connected to these APIs."""
    command = RegisterApplication(
        context=context(),
        application_id=uuid7(),
        organisation_id=organisation_id,
        title=Name("Ledger sync"),
        apis=api_names(apis),
    )
    return services.ledger.handle(command).id


def archiving(application_id: UUID) -> ArchiveApplication:
    """The command that archives it."""
    return ArchiveApplication(context=context(), application_id=application_id)


def an_operator(
    services: Services,
    *roles: Role,
    organisation_id: UUID | None = None,
    production: bool = True,
    name: str = "Ada",
) -> tuple[UUID, str]:
    """An enrolled operator's id and token."""
    issued = services.keyring.digests.issue("operator", Mode.LIVE)
    command = EnrolOperator(
        context=context(),
        operator_id=uuid7(),
        organisation_id=organisation_id,
        name=Name(name),
        email=None,
        roles=frozenset(roles or {Role.ADMINISTRATOR}),
        production=production,
        secret=issued.stored,
    )
    return services.ledger.handle(command).id, issued.plaintext


def an_account(services: Services, organisation_id: UUID, **changes: Any) -> UUID:
    """An open account's id: a master's, changed as asked."""
    given: dict[str, Any] = {
        "context": context(),
        "account_id": uuid7(),
        "organisation_id": organisation_id,
        "kind": AccountKind.MASTER,
        "name": Name("Acme Messaging"),
        **changes,
    }
    return services.ledger.handle(OpenAccount(**given)).id


def a_closed_account(services: Services, account_id: UUID, reason: str = "contract ended") -> None:
    """The account is closed."""
    services.ledger.handle(CloseAccount(context=context(reason=reason), account_id=account_id))


def a_create_command(
    services: Services, organisation_id: UUID, **changes: Any
) -> tuple[CreateCredential, IssuedSecret]:
    """A command for an API key, changed as asked, and its secret."""
    kind, mode = changes.get("kind", Kind.API_KEY), changes.get("mode", Mode.LIVE)
    issued = services.keyring.digests.issue(kind, mode)
    given: dict[str, Any] = {
        "context": context(),
        "credential_id": uuid7(),
        "organisation_id": organisation_id,
        "kind": kind,
        "mode": mode,
        "public_id": None if kind is Kind.CHANNEL_LOGIN else PublicId(new_public_id(kind, mode)),
        "name": Label("Billing export"),
        "contact_email": EmailAddress("dev@example.com"),
        "access_level": AccessLevel.FINE_GRAINED,
        "scopes": DEFAULT_CATALOGUE.preset("read_only", mode),
        "catalogue_version": DEFAULT_CATALOGUE.version,
        "secret": issued.stored,
        **changes,
    }
    return CreateCredential(**given), issued


def a_credential(services: Services, organisation_id: UUID, **changes: Any) -> tuple[Receipt, str]:
    """A created credential's receipt and its secret."""
    command, issued = a_create_command(services, organisation_id, **changes)
    return services.ledger.handle(command), issued.plaintext


def a_bulk_revocation(services: Services, organisation_id: UUID, *credential_ids: UUID, **changes: Any) -> UUID:
    """The id of a run over these credentials that was just confirmed."""
    given: dict[str, Any] = {
        "context": context(),
        "run_id": uuid7(),
        "organisation_id": organisation_id,
        "contact_email": None,
        "selection": {"mode": "live"},
        "revocation_reason": RevocationReason.OWNER_LEFT,
        "digest": "d",
        "credential_ids": credential_ids,
        **changes,
    }
    return services.ledger.handle(StartBulkRevocation(**given)).id
