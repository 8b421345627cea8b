"""`keyledger history`: what happened to a credential or any other thing of the ledger, and what it was at a time."""

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import click
from rich.text import Text

from api import documents
from api.cli import options
from api.cli.accounts import account_facts
from api.cli.applications import application_facts
from api.cli.credentials import credential_facts
from api.cli.documents import event_document
from api.cli.operators import operator_facts
from api.cli.output import console, moment, print_facts, print_json
from api.cli.session import Session, open_ledger
from api.cli.webhooks import endpoint_facts
from api.signing import key_document
from ledger.account import Account
from ledger.application import Application
from ledger.bulk_revocation import BulkRevocation
from ledger.catalogue import OrganisationCatalogue
from ledger.credential import Credential
from ledger.errors import NotFound
from ledger.events import (
    AccountClosed,
    AccountDescribed,
    AccountOpened,
    ApplicationApisConnected,
    ApplicationArchived,
    ApplicationDescribed,
    ApplicationRegistered,
    BulkRevocationAdvanced,
    BulkRevocationFinished,
    BulkRevocationStarted,
    CatalogueChanged,
    CredentialCreated,
    CredentialDescribed,
    CredentialErased,
    CredentialOverlapEnded,
    CredentialResumed,
    CredentialRevoked,
    CredentialRotated,
    CredentialScopesFixed,
    CredentialSuspended,
    CredentialWhitelisted,
    Event,
    OperatorEnrolled,
    OperatorRemoved,
    OperatorRolesChanged,
    OperatorTokenOverlapEnded,
    OperatorTokenRotated,
    OrganisationRegistered,
    OrganisationRenamed,
    Recorded,
    SigningKeyRotated,
    StoredSecret,
    WebhookEndpointDescribed,
    WebhookEndpointDisabled,
    WebhookEndpointEnabled,
    WebhookEndpointRegistered,
    WebhookEndpointRemoved,
    WebhookEndpointSecretRotated,
)
from ledger.operator import Operator
from ledger.organisation import Organisation
from ledger.permissions import modes_of
from ledger.service import (
    ACCOUNT,
    APPLICATION,
    BULK_REVOCATION,
    CATALOGUE,
    CREDENTIAL,
    OPERATOR,
    ORGANISATION,
    SIGNING_KEY,
    WEBHOOK_ENDPOINT,
    fold,
)
from ledger.signing_key import SigningKey
from ledger.webhook_endpoint import WebhookEndpoint
from projections import (
    account_status,
    application_status,
    bulk_revocation_status,
    credential_status,
    operator_status,
    organisation_status,
    webhook_endpoint_status,
)
from projections.signing_key_status import published

State = (
    BulkRevocation
    | Credential
    | Application
    | Account
    | Operator
    | OrganisationCatalogue
    | Organisation
    | WebhookEndpoint
    | SigningKey
)

_AGGREGATES = {
    aggregate.name: aggregate
    for aggregate in (
        BULK_REVOCATION,
        CREDENTIAL,
        APPLICATION,
        ACCOUNT,
        OPERATOR,
        CATALOGUE,
        ORGANISATION,
        WEBHOOK_ENDPOINT,
        SIGNING_KEY,
    )
}


@click.command()
@click.argument("aggregate_id", type=click.UUID, metavar="CREDENTIAL")
@click.option("--as-of", type=options.Moment(), help="Only what had happened by then, and the state it gave.")
@options.as_json
def history(aggregate_id: UUID, as_of: datetime | None, json: bool) -> None:
    """Tell what happened to a credential, oldest first: who did what, when, why, through what and from where.

    Takes the id of a bulk revocation, a webhook endpoint, an application, an account, an operator or an organisation,
    too.
    """
    with open_ledger() as session:
        found = session.services.log.history(aggregate_id)
        recorded = _until(found.recorded, as_of)
        if not recorded:
            known = "credential, application, account, operator or organisation"
            raise NotFound(known + (" at that time" if as_of else ""))
        kind = recorded[0].event.TOPIC.partition(".")[0]
        state: State | None = fold(_AGGREGATES[kind], recorded) if as_of else None
        if json:
            print_json(_document(session, kind, recorded, as_of, state))
            return
        _print_timeline(kind, recorded, _names(session, recorded), erased=found.data_key is None)
        if state is not None and as_of is not None:
            click.echo(f"\nAs of {moment(as_of)}:\n")
            print_facts(_facts(state, as_of))


def _until(recorded: Sequence[Recorded], as_of: datetime | None) -> Sequence[Recorded]:
    if as_of is None:
        return recorded
    # Up to the last one by then, not each one by then: clocks of two nodes may differ, and a state is a prefix.
    last = max((index for index, one in enumerate(recorded, 1) if one.event.context.at <= as_of), default=0)
    return recorded[:last]


def _document(
    session: Session, kind: str, recorded: Sequence[Recorded], as_of: datetime | None, state: State | None
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": recorded[0].aggregate_id,
        "kind": kind,
        "organisation_id": recorded[0].organisation_id,
        "data": [event_document(one) for one in recorded],
    }
    match state:
        case BulkRevocation():
            row = bulk_revocation_status.status_row(state)
            return document | {"as_of": as_of, "state": documents.bulk_revocation(row)}
        case Credential():
            row = credential_status.status_row(state)
            return document | {"as_of": as_of, "state": session.document(row, as_of or state.created_at)}
        case Application():
            return document | {"as_of": as_of, "state": documents.application(application_status.status_row(state))}
        case Account():
            return document | {"as_of": as_of, "state": documents.account(account_status.status_row(state))}
        case OrganisationCatalogue():
            read = documents.catalogue(state.organisation_id, state.catalogue)
            return document | {"as_of": as_of, "state": read}
        case Operator():
            return document | {"as_of": as_of, "state": documents.operator(operator_status.status_row(state))}
        case SigningKey():
            return document | {"as_of": as_of, "state": {"keys": [key_document(key) for key in published(state)]}}
        case Organisation():
            row = organisation_status.status_row(state)
            return document | {"as_of": as_of, "state": documents.organisation(row)}
        case WebhookEndpoint():
            row = webhook_endpoint_status.status_row(state)
            return document | {"as_of": as_of, "state": documents.webhook_endpoint(row)}
    return document


def _facts(state: State, as_of: datetime) -> list[tuple[str, object]]:
    match state:
        case BulkRevocation():
            return _bulk_revocation_facts(state)
        case Credential():
            return credential_facts(state, as_of, {})
        case Account():
            return account_facts(documents.account(account_status.status_row(state)))
        case Application():
            return application_facts(state)
        case OrganisationCatalogue():
            return [("organisation", state.organisation_id), ("version", state.catalogue.version)]
        case Operator():
            return operator_facts(state)
        case SigningKey():
            return [(f"key {key.version}", f"{key.kid} ({key.algorithm})") for key in published(state)]
        case Organisation():
            return [("id", state.id), ("name", state.name), ("registered", state.registered_at)]
        case WebhookEndpoint():
            return endpoint_facts(documents.webhook_endpoint(webhook_endpoint_status.status_row(state)))


def _bulk_revocation_facts(state: BulkRevocation) -> list[tuple[str, object]]:
    return [
        ("id", state.id),
        ("organisation", state.organisation_id),
        ("contact", state.contact_email),
        ("selection", dict(state.selection)),
        ("revoked because", state.revocation_reason),
        ("credentials", state.total),
        ("revoked", state.revoked),
        ("skipped", state.skipped),
        ("started", state.started.at),
        ("finished", state.finished_at),
    ]


def _names(session: Session, recorded: Sequence[Recorded]) -> dict[str, str]:
    """The names of the operators who acted, by actor."""
    names = {}
    for actor in {one.event.context.actor for one in recorded}:
        if actor.startswith("operator:"):
            row = operator_status.find_operator(session.services.store, UUID(actor.removeprefix("operator:")))
            if row is not None:
                names[actor] = row["name"]
    return names


def _print_timeline(kind: str, recorded: Sequence[Recorded], names: Mapping[str, str], *, erased: bool) -> None:
    out = console(sys.stdout)
    out.print(Text(f"{kind} {recorded[0].aggregate_id}", style="bold"))
    for one in recorded:
        context = one.event.context
        what, _ = TOLD[type(one.event)]
        who = f"{names[context.actor]} ({context.actor})" if context.actor in names else context.actor
        where = f" from {context.address}" if context.address else ""
        line = Text(f"\n{moment(context.at)}  ")
        line.append(what, style="bold")
        line.append(f"  by {who}, through {_VIA.get(context.via, context.via)}{where}")
        out.print(line, soft_wrap=True)
        why = [f"why: {context.reason}"] if context.reason else []
        marks = f"version {one.aggregate_version}, position {one.position}" + (
            f", request {context.request_id}" if context.request_id else ""
        )
        for detail in (*why, *_details(one.event, erased=erased), marks):
            out.print(Text(f"    {detail}"), soft_wrap=True)


def _details(event: Event, *, erased: bool) -> list[str]:
    """What there is to tell; of an erased credential not that a sealed field is empty, for it may not have been."""
    _, details = TOLD[type(event)]
    if not (erased and event.PERSONAL):
        return details(event)
    gone = f"erased: {', '.join(event.PERSONAL)}"
    return [gone] if isinstance(event, CredentialWhitelisted) else [*details(event), gone]


_VIA = {"api": "the API", "console": "the console", "command_line": "the command line", "system": "the system itself"}


# --- what each event tells -------------------------------------------------------------------------------------------


def _nothing(_event: Any) -> list[str]:
    return []


def _created(event: CredentialCreated) -> list[str]:
    said = [
        f"{event.kind} “{event.name}”" if event.name else event.kind,
        f"login {event.login or '-'}" if event.kind == "channel_login" else f"public id {event.public_id}",
        f"mode {event.mode}" + (f", environment {event.environment}" if event.environment else ""),
    ]
    optional = {
        "channel": event.channel,
        "account": event.account_id,
        "contact": event.contact_email,
        "expires": event.expires_at and moment(event.expires_at),
        "supersedes": event.supersedes,
        "imported from": event.imported_from,
        "labels": ", ".join(f"{key}={value}" for key, value in event.labels.items()),
    }
    said += [f"{name} {value}" for name, value in optional.items() if value]
    return [*said, _secret(event.secret)]


def _scopes(event: CredentialScopesFixed) -> list[str]:
    return [f"{len(event.scopes)} of catalogue {event.catalogue_version}: {', '.join(event.scopes)}"]


def _whitelisted(event: CredentialWhitelisted) -> list[str]:
    return [", ".join(event.networks) or "any address"]


def _opened(event: AccountOpened) -> list[str]:
    said = [
        f"{event.kind} “{event.name}”" + (f", reference {event.reference}" if event.reference else ""),
        f"opened on {event.opened_on}",
    ]
    return [*said, f"beneath {event.parent_id}"] if event.parent_id else said


def _account_described(event: AccountDescribed) -> list[str]:
    return [f"name “{event.name}”, reference {event.reference or '-'}"]


def _rotated(event: CredentialRotated | OperatorTokenRotated) -> list[str]:
    before = "ended at once" if event.previous_expires_at == event.context.at else _until_then(event)
    login = [f"login {event.login}"] if isinstance(event, CredentialRotated) and event.login else []
    return [_secret(event.secret), *login, f"the one before {before}"]


def _until_then(event: CredentialRotated | OperatorTokenRotated) -> str:
    return f"was to stay good until {moment(event.previous_expires_at)}"


def _revoked(event: CredentialRevoked) -> list[str]:
    later = event.effective_at != event.context.at
    return [f"because: {event.revocation_reason}", *([f"from {moment(event.effective_at)} on"] if later else [])]


def _described(event: CredentialDescribed) -> list[str]:
    labels = ", ".join(f"{key}={value}" for key, value in event.labels.items())
    return [
        f"name “{event.name}”, contact {event.contact_email or '-'}",
        *([f"description: {' '.join(event.description.split())}"] if event.description else []),
        *([f"labels {labels}"] if labels else []),
    ]


def _enrolled(event: OperatorEnrolled) -> list[str]:
    where = f"organisation {event.organisation_id}" if event.organisation_id else "all organisations"
    return [
        event.name + (f" <{event.email}>" if event.email else ""),
        f"{', '.join(event.roles)} in {where}{_production(event.production)}",
        _secret(event.secret),
    ]


def _roles(event: OperatorRolesChanged) -> list[str]:
    return [f"{', '.join(event.roles)}{_production(event.production)}"]


def _named(event: OrganisationRegistered | OrganisationRenamed) -> list[str]:
    return [f"“{event.name}”"]


def _catalogue(event: CatalogueChanged) -> list[str]:
    counted = f"{len(modes_of(event.groups))} permissions in {len(event.groups)} groups, {len(event.apis)} APIs"
    return [counted, *([f"APIs {', '.join(api.name for api in event.apis)}"] if event.apis else [])]


def _application(event: ApplicationRegistered | ApplicationDescribed) -> list[str]:
    description = " ".join(event.description.split())
    return [f"“{event.title}”", *([f"description: {description}"] if description else [])]


def _production(granted: bool) -> str:
    return ", production too" if granted else ", not in production"


def _secret(secret: StoredSecret) -> str:
    ending = f" ending in {secret.hint}" if secret.hint else ""
    return f"secret {secret.version}{ending} ({secret.algorithm})"


def _bulk_started(event: BulkRevocationStarted) -> list[str]:
    chosen = {"contact": event.contact_email, **event.selection}
    by = ", ".join(f"{name} {value}" for name, value in chosen.items() if value)
    return [f"{len(event.credential_ids)} credentials, as {event.revocation_reason}; chosen by {by or 'their ids'}"]


def _bulk_counts(event: BulkRevocationAdvanced | BulkRevocationFinished) -> list[str]:
    return [f"{event.revoked} revoked, {event.skipped} skipped"]


def _endpoint(event: WebhookEndpointRegistered | WebhookEndpointDescribed) -> list[str]:
    description = " ".join(event.description.split())
    return [
        event.url,
        *([f"description: {description}"] if description else []),
        f"sent {', '.join(event.event_types) or 'all types'}",
    ]


def _signing(event: WebhookEndpointSecretRotated) -> list[str]:
    if event.previous_expires_at == event.context.at:
        return ["the secret before ended at once"]
    return [f"the secret before signs too until {moment(event.previous_expires_at)}"]


def _signing_key(event: SigningKeyRotated) -> list[str]:
    return [f"key {event.kid} ({event.algorithm}); the one before until {moment(event.previous_expires_at)}"]


TOLD: Mapping[type[Event], tuple[str, Callable[[Any], list[str]]]] = {
    OrganisationRegistered: ("registered", _named),
    OrganisationRenamed: ("renamed", _named),
    CatalogueChanged: ("catalogue changed", _catalogue),
    OperatorEnrolled: ("enrolled", _enrolled),
    OperatorRolesChanged: ("roles changed", _roles),
    OperatorTokenRotated: ("token rotated", _rotated),
    OperatorTokenOverlapEnded: ("overlap ended", lambda event: [f"token {event.retired_version} was retired"]),
    OperatorRemoved: ("removed", _nothing),
    AccountOpened: ("opened", _opened),
    AccountDescribed: ("described", _account_described),
    AccountClosed: ("closed", lambda _: ["its credentials and sub-accounts are refused from now on"]),
    ApplicationRegistered: ("registered", _application),
    ApplicationDescribed: ("described", _application),
    ApplicationApisConnected: ("APIs connected", lambda event: [", ".join(event.apis) or "none"]),
    ApplicationArchived: ("archived", lambda _: ["its credentials are refused from now on"]),
    CredentialCreated: ("created", _created),
    CredentialScopesFixed: ("scopes fixed", _scopes),
    CredentialWhitelisted: ("allowlist set", _whitelisted),
    CredentialRotated: ("rotated", _rotated),
    CredentialOverlapEnded: ("overlap ended", lambda event: [f"secret {event.retired_version} was retired"]),
    CredentialRevoked: ("revoked", _revoked),
    CredentialSuspended: ("suspended", _nothing),
    CredentialResumed: ("resumed", _nothing),
    CredentialDescribed: ("described", _described),
    CredentialErased: ("erased", lambda _: ["personal data destroyed; the history stays"]),
    BulkRevocationStarted: ("started", _bulk_started),
    BulkRevocationAdvanced: ("advanced", _bulk_counts),
    BulkRevocationFinished: ("finished", _bulk_counts),
    WebhookEndpointRegistered: ("registered", _endpoint),
    WebhookEndpointDescribed: ("described", _endpoint),
    WebhookEndpointSecretRotated: ("signing secret rotated", _signing),
    WebhookEndpointDisabled: ("disabled", lambda _: ["nothing more is sent to it until it is enabled"]),
    WebhookEndpointEnabled: ("enabled", _nothing),
    WebhookEndpointRemoved: ("removed", lambda _: ["its signing secret was destroyed"]),
    SigningKeyRotated: ("rotated", _signing_key),
}
"""For every event, what happened in a word or two, and what there is to tell of it."""
