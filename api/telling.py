"""What happened, in words: how each event is told, by the command line and by the console alike."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from ledger.events import (
    AccessReviewRequested,
    AccountClosed,
    AccountDescribed,
    AccountOpened,
    ApplicationApisConnected,
    ApplicationArchived,
    ApplicationDescribed,
    ApplicationRegistered,
    BulkRevocationAdvanced,
    BulkRevocationErased,
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
    ExportRequested,
    OperatorEnrolled,
    OperatorErased,
    OperatorRemoved,
    OperatorRolesChanged,
    OperatorTokenOverlapEnded,
    OperatorTokenRotated,
    OrganisationRegistered,
    OrganisationRenamed,
    OrganisationRetentionChanged,
    SealedLogKeyRotated,
    SealedLogOpened,
    SealedLogRestoreDeclared,
    SigningKeyRotated,
    StoredSecret,
    WebhookEndpointDescribed,
    WebhookEndpointDisabled,
    WebhookEndpointEnabled,
    WebhookEndpointRegistered,
    WebhookEndpointRemoved,
    WebhookEndpointSecretRotated,
)
from ledger.permissions import modes_of

VIA: Mapping[str, str] = {
    "api": "the API",
    "console": "the console",
    "command_line": "the command line",
    "system": "the system itself",
}
"""Through which door something was done, as a sentence goes on."""


def who(actor: str) -> str:
    """Who acted, as events name them, where it is no operator, who has a name of their own."""
    kind, _, name = actor.partition(":")
    match kind:
        case "command_line":
            return f"{name}, at the command line"
        case "system":
            return "the system itself"
        case "holder":
            return "somebody who held the secret"
    return actor


def told_topic(topic: str) -> str:
    """What happened by its topic: `credential.whitelisted` as Credential allowlist set, `credential` as Credential."""
    thing, _, event = topic.partition(".")
    said = f"{thing} {_TOPICS.get(topic, event)}".replace("_", " ").strip()
    return said[:1].upper() + said[1:]


def moment(value: datetime) -> str:
    """A moment in UTC, to the second."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def told(event: Event, *, erased: bool, isolated: bool = False) -> list[str]:
    """What there is to tell; of an erased credential not that a sealed field is empty, for it may not have been.

    `isolated` leaves what somebody typed within Unicode's isolates (U+2068 to U+2069), for a page to keep a name in
    Hebrew or Arabic from turning the sentence around it; a terminal, which seldom knows them, is told it without.
    """
    _, details = TOLD[type(event)]
    said = details(event)
    if erased and event.PERSONAL:
        gone = f"erased: {', '.join(event.PERSONAL)}"
        said = [gone] if isinstance(event, CredentialWhitelisted) else [*said, gone]
    return said if isolated else [one.translate(_WITHOUT_ISOLATES) for one in said]


_WITHOUT_ISOLATES = dict.fromkeys((0x2068, 0x2069))


def _typed(text: str) -> str:
    """What somebody typed, as a part of a sentence. It holds no isolate of its own: no text of ours may."""
    return f"\u2068{text}\u2069"


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{_typed(key)}={_typed(value)}" for key, value in labels.items())


# --- what each event tells -------------------------------------------------------------------------------------------


def _nothing(_event: Any) -> list[str]:
    return []


def _created(event: CredentialCreated) -> list[str]:
    said = [
        f"{event.kind} “{_typed(event.name)}”" if event.name else event.kind,
        f"login {event.login or '-'}" if event.kind == "channel_login" else f"public id {event.public_id}",
        f"mode {event.mode}" + (f", environment {event.environment}" if event.environment else ""),
    ]
    optional = {
        "channel": event.channel,
        "account": event.account_id,
        "contact": event.contact_email,
        "expires": event.expires_at and moment(event.expires_at),
        "supersedes": event.supersedes,
        "imported from": event.imported_from and _typed(event.imported_from),
        "labels": _labels(event.labels),
    }
    said += [f"{name} {value}" for name, value in optional.items() if value]
    return [*said, _secret(event.secret)]


def _scopes(event: CredentialScopesFixed) -> list[str]:
    return [f"{len(event.scopes)} of catalogue {event.catalogue_version}: {', '.join(event.scopes)}"]


def _whitelisted(event: CredentialWhitelisted) -> list[str]:
    return [", ".join(event.networks) or "any address"]


def _opened(event: AccountOpened) -> list[str]:
    said = [
        f"{event.kind} “{_typed(event.name)}”" + (f", reference {_typed(event.reference)}" if event.reference else ""),
        f"opened on {event.opened_on}",
    ]
    return [*said, f"beneath {event.parent_id}"] if event.parent_id else said


def _account_described(event: AccountDescribed) -> list[str]:
    return [f"name “{_typed(event.name)}”, reference {_typed(event.reference or '-')}"]


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
    return [
        f"name “{_typed(event.name)}”, contact {event.contact_email or '-'}",
        *([f"description: {_typed(' '.join(event.description.split()))}"] if event.description else []),
        *([f"labels {_labels(event.labels)}"] if event.labels else []),
    ]


def _enrolled(event: OperatorEnrolled) -> list[str]:
    where = f"organisation {event.organisation_id}" if event.organisation_id else "all organisations"
    return [
        _typed(event.name) + (f" <{event.email}>" if event.email else ""),
        f"{', '.join(event.roles)} in {where}{_production(event.production)}",
        f"signs in at {event.issuer} as {event.subject}" if event.issuer else _secret(event.secret),
    ]


def _roles(event: OperatorRolesChanged) -> list[str]:
    return [f"{', '.join(event.roles) or 'none'}{_production(event.production)}"]


def _named(event: OrganisationRegistered | OrganisationRenamed) -> list[str]:
    return [f"“{_typed(event.name)}”"]


def _retention(event: OrganisationRetentionChanged) -> list[str]:
    return [f"personal data is erased {retention(event.days)}"]


def retention(days: int | None) -> str:
    """When personal data is erased by an organisation's setting."""
    match days:
        case None:
            return "as the installation says"
        case 0:
            return "never"
    return f"{days} days after a credential ended"


def _catalogue(event: CatalogueChanged) -> list[str]:
    counted = f"{len(modes_of(event.groups))} permissions in {len(event.groups)} groups, {len(event.apis)} APIs"
    return [counted, *([f"APIs {', '.join(api.name for api in event.apis)}"] if event.apis else [])]


def _application(event: ApplicationRegistered | ApplicationDescribed) -> list[str]:
    description = " ".join(event.description.split())
    return [f"“{_typed(event.title)}”", *([f"description: {_typed(description)}"] if description else [])]


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
        *([f"description: {_typed(description)}"] if description else []),
        f"sent {', '.join(event.event_types) or 'all types'}",
    ]


def _signing(event: WebhookEndpointSecretRotated) -> list[str]:
    if event.previous_expires_at == event.context.at:
        return ["the secret before ended at once"]
    return [f"the secret before signs too until {moment(event.previous_expires_at)}"]


def _export(event: ExportRequested) -> list[str]:
    begin, end = event.begin and moment(event.begin), event.end and moment(event.end)
    said = [f"events from {begin or 'the beginning'} to {end or 'the end'}"]
    said += [f"of {', '.join(map(str, event.aggregates))}"] if event.aggregates else []
    said += [f"kinds {', '.join(event.topics)}"] if event.topics else []
    return [*said, *(["with personal data in clear"] if event.personal else [])]


def _signing_key(event: SigningKeyRotated) -> list[str]:
    return [f"key {event.kid} ({event.algorithm}); the one before until {moment(event.previous_expires_at)}"]


def _sealing_key(event: SealedLogKeyRotated) -> list[str]:
    return [f"key {event.kid}; the one before signs too until {moment(event.previous_expires_at)}"]


def _restore(event: SealedLogRestoreDeclared) -> list[str]:
    return [f"goes on as generation {event.generation}", *(f"lost: {checkpoint}" for checkpoint in event.lost)]


TOLD: Mapping[type[Event], tuple[str, Callable[[Any], list[str]]]] = {
    OrganisationRegistered: ("registered", _named),
    OrganisationRenamed: ("renamed", _named),
    OrganisationRetentionChanged: ("retention changed", _retention),
    CatalogueChanged: ("changed", _catalogue),
    OperatorEnrolled: ("enrolled", _enrolled),
    OperatorRolesChanged: ("roles changed", _roles),
    OperatorTokenRotated: ("token rotated", _rotated),
    OperatorTokenOverlapEnded: ("overlap ended", lambda event: [f"token {event.retired_version} was retired"]),
    OperatorRemoved: ("removed", _nothing),
    OperatorErased: ("erased", lambda _: ["name and email destroyed; what it did stays"]),
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
    BulkRevocationErased: ("erased", lambda _: ["the email that it was chosen by is destroyed"]),
    WebhookEndpointRegistered: ("registered", _endpoint),
    WebhookEndpointDescribed: ("described", _endpoint),
    WebhookEndpointSecretRotated: ("signing secret rotated", _signing),
    WebhookEndpointDisabled: ("disabled", lambda _: ["nothing more is sent to it until it is enabled"]),
    WebhookEndpointEnabled: ("enabled", _nothing),
    WebhookEndpointRemoved: ("removed", lambda _: ["its signing secret was destroyed"]),
    SigningKeyRotated: ("rotated", _signing_key),
    SealedLogOpened: ("opened", lambda event: [event.name, f"key {event.kid}"]),
    SealedLogKeyRotated: ("key rotated", _sealing_key),
    SealedLogRestoreDeclared: ("restore declared", _restore),
    ExportRequested: ("requested", _export),
    AccessReviewRequested: ("requested", lambda event: [f"as of {moment(event.as_of)}"]),
}
"""For every event, what happened in a word or two, and what there is to tell of it."""

_TOPICS: Mapping[str, str] = {event.TOPIC: what for event, (what, _) in TOLD.items()}
