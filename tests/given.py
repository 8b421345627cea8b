"""Short ways to say what a test starts from."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.sealing import open_sealed_log
from api.wiring import Services
from ledger.catalogue import DEFAULT_CATALOGUE
from ledger.commands import (
    ArchiveApplication,
    CloseAccount,
    CreateCredential,
    EnrolOperator,
    EraseOperator,
    OpenAccount,
    RegisterApplication,
    RegisterOrganisation,
    RemoveOperator,
    RequestAccessReview,
    RequestExport,
    SetCatalogue,
    StartBulkRevocation,
)
from ledger.events import Context
from ledger.permissions import api_names, apis_of, groups_of
from ledger.secrets import IssuedSecret, new_public_id
from ledger.service import Receipt
from ledger.tlog.notes import SignerKey
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
from ledger.webhooks import issue_webhook_endpoint
from projections.runner import begin_tracking
from projections.sealed import attested
from projections.sealed.memory import SignerMemory
from projections.sealed.reading import find_tree
from projections.sealed.sealer import begin, seal, sealed_log
from projections.sealed.signing import Signer
from projections.sealed.trees import ROOT, origin_of


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


def an_export(services: Services, organisation_id: UUID | None, at: datetime | None = None) -> UUID:
    """The id of an export that was asked for; of what concerns no organisation for None."""
    asking = context(at, reason="audit of 2026")
    command = RequestExport(context=asking, export_id=uuid7(), organisation_id=organisation_id)
    return services.ledger.handle(command).id


def an_access_review(services: Services, organisation_id: UUID, as_of: datetime | None = None) -> UUID:
    """The id of an access review that was asked for."""
    asking = context(reason="audit")
    command = RequestAccessReview(
        context=asking, access_review_id=uuid7(), organisation_id=organisation_id, as_of=as_of or asking.at
    )
    return services.ledger.handle(command).id


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


def an_erased_operator(services: Services, organisation_id: UUID) -> UUID:
    """The id of an operator who opened an account, and was removed and erased since."""
    operator_id, _ = an_operator(services, organisation_id=organisation_id, name="Grace Hopper")
    an_account(services, organisation_id, context=context(actor=f"operator:{operator_id}"))
    services.ledger.handle(RemoveOperator(context=context(), operator_id=operator_id))
    services.ledger.handle(EraseOperator(context=context(), operator_id=operator_id))
    return operator_id


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


def a_webhook_endpoint(
    services: Services, organisation_id: UUID, url: str = "https://hooks.example.com/keyledger"
) -> UUID:
    """A registered endpoint's id."""
    private = services.settings.webhook_private_addresses
    command, _ = issue_webhook_endpoint(context(), organisation_id, private, url=url)
    return services.ledger.handle(command).id


def a_webhook_delivery(services: Services, organisation_id: UUID, endpoint_id: UUID, credential_id: UUID) -> UUID:
    """The id of a delivery that was queued for an endpoint."""
    queued = services.store.row(
        "INSERT INTO webhook_delivery (organisation_id, endpoint_id, credential_id, message_id, type, body) "
        "VALUES (%s, %s, %s, 'msg_1', 'credential.revoked', '{}') RETURNING delivery_id",
        (organisation_id, endpoint_id, credential_id),
    )
    assert queued is not None
    delivery_id: UUID = queued["delivery_id"]
    return delivery_id


def sealed(services: Services) -> None:
    """Everything up to now is sealed and signed, as the sealer does it a moment later."""
    open_sealed_log(services.log, services.ledger)
    state = sealed_log(services.log)
    assert state is not None
    with (
        services.store.connect() as integrating,
        services.store.connect() as signing,
        SignerMemory(services.settings.signer_memory_file) as memory,
    ):
        signer = Signer(memory, services.keyring)
        begin(signing, signer, state)
        seal(services.log, integrating, signing, signer, state)


def witnessed(services: Services, *witnesses: SignerKey) -> None:
    """The newest root checkpoint is cosigned by these, as if each had been asked."""
    now = datetime.now(UTC)
    with services.store.connect() as connection:
        begin_tracking(connection, attested.WITNESSING)
        submission = attested.submit(connection, _base(services))
        assert submission is not None
        text = submission.checkpoint[: submission.checkpoint.rindex("\n\n") + 1]
        lines = "".join(one.sign(text, int(now.timestamp())).line for one in witnesses)
        attested.accept(connection, submission, submission.checkpoint + lines, now)


def stamped(services: Services, response: bytes = b"as an authority answered") -> None:
    """A timestamp over the newest root checkpoint is kept."""
    base = _base(services)
    with services.store.connect() as connection:
        root = find_tree(connection, ROOT)
        assert root is not None
        timestamp = attested.Timestamp(
            origin_of(base, ROOT), root.signed_size, root.checkpoint, response, datetime.now(UTC)
        )
        attested.keep_timestamp(connection, timestamp)


def _base(services: Services) -> str:
    state = sealed_log(services.log)
    assert state is not None
    return state.base
