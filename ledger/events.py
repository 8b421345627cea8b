"""Every event the ledger can hold: what happened, in the past tense.

Events are the truth and never change: new fields go last with a default, or the event gets a new VERSION and an upcast
(`ledger/store/upcasts.py`). An event's docstring is its public documentation. Fields named in PERSONAL hold data about
people; the store seals them under a key of their own aggregate, and they read as "" or () once that key is destroyed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import ClassVar, NamedTuple
from uuid import UUID

from ledger.permissions import Api, Group
from ledger.values import (
    AccessLevel,
    AccountKind,
    Channel,
    Environment,
    Kind,
    Mode,
    RevocationReason,
    Role,
    SigningAlgorithm,
    Via,
)


@dataclass(frozen=True, slots=True)
class Context:
    """Who did it, through what, why, for which request and when. Part of every event.

    `at` is UTC. `actor` is `operator:<id>`, `command_line:<user of the operating system>`, `holder` (whoever presented
    the secret) or `system`. `request_id` ties the event to a request's log lines; `address` is where it came from.
    """

    at: datetime
    actor: str
    via: Via
    request_id: str = ""
    reason: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class StoredSecret:
    """One version of a secret, as it is kept: never the secret itself.

    `algorithm` is `hmac-sha256` (a generated secret), `hmac-sha256/sha256` (an imported SHA-256 digest, digested again)
    or `argon2id` (a chosen password, whose hash is sealed in the event's `password_hash`). `digest` is lower-case hex,
    `key_id` names the digest key, `hint` is the secret's last four characters (empty for chosen passwords). Of a client
    that keeps its secret to itself and registered a public key, `algorithm` is `public-jwk`, `digest` the key as a JSON
    Web Key (RFC 7517), and `hint` ends its thumbprint (RFC 7638).
    """

    version: int
    algorithm: str
    key_id: str
    digest: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """What every event has: a topic and version of its shape, and the context it happened in."""

    TOPIC: ClassVar[str]
    VERSION: ClassVar[int] = 1
    PERSONAL: ClassVar[tuple[str, ...]] = ()

    context: Context


# --- organisations ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrganisationRegistered(Event):
    """An organisation, the tenant that everything else belongs to, was registered."""

    TOPIC: ClassVar[str] = "organisation.registered"

    name: str


@dataclass(frozen=True, slots=True)
class OrganisationRenamed(Event):
    """The organisation's name was changed."""

    TOPIC: ClassVar[str] = "organisation.renamed"

    name: str


@dataclass(frozen=True, slots=True)
class OrganisationRetentionChanged(Event):
    """After how many days personal data of credentials that ended is erased was changed for an organisation.

    0 is never, and None what the installation says (KEYLEDGER_RETENTION_DAYS).
    """

    TOPIC: ClassVar[str] = "organisation.retention_changed"

    days: int | None


# --- catalogues ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CatalogueChanged(Event):
    """What an organisation's credentials can be granted was changed; this is the new catalogue, whole.

    A scope that the one before offered and this one does not is retired: credentials that hold it keep it on record,
    and it grants nothing.
    """

    TOPIC: ClassVar[str] = "catalogue.changed"

    organisation_id: UUID
    groups: tuple[Group, ...]
    apis: tuple[Api, ...]


# --- operators -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OperatorEnrolled(Event):
    """A person or a gateway was given a token to use the service with.

    `organisation_id` is the one organisation it may see, or None for all; `production` allows live credentials. Of who
    signs in at an identity provider, `issuer` and `subject` are whom it means, and nobody was told the token.
    """

    TOPIC: ClassVar[str] = "operator.enrolled"
    PERSONAL: ClassVar[tuple[str, ...]] = ("name", "email", "subject")

    name: str
    email: str
    organisation_id: UUID | None
    roles: tuple[Role, ...]
    production: bool
    secret: StoredSecret
    issuer: str = ""
    subject: str = ""


@dataclass(frozen=True, slots=True)
class OperatorRolesChanged(Event):
    """The operator's roles or its grant for production credentials were changed; these are the new ones, whole.

    None are left to whom an identity provider gives no role any more.
    """

    TOPIC: ClassVar[str] = "operator.roles_changed"

    roles: tuple[Role, ...]
    production: bool


@dataclass(frozen=True, slots=True)
class OperatorTokenRotated(Event):
    """The operator has a new token. The one before is good until `previous_expires_at`."""

    TOPIC: ClassVar[str] = "operator.token_rotated"

    secret: StoredSecret
    previous_expires_at: datetime


@dataclass(frozen=True, slots=True)
class OperatorTokenOverlapEnded(Event):
    """The operator's older token was retired before its overlap was over."""

    TOPIC: ClassVar[str] = "operator.token_overlap_ended"

    retired_version: int


@dataclass(frozen=True, slots=True)
class OperatorRemoved(Event):
    """The operator's tokens are refused from now on."""

    TOPIC: ClassVar[str] = "operator.removed"


@dataclass(frozen=True, slots=True)
class OperatorErased(Event):
    """The name and the email of a removed operator were destroyed. What it did stays, under its id."""

    TOPIC: ClassVar[str] = "operator.erased"


# --- accounts --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AccountOpened(Event):
    """An organisation's account was opened: a master, a sub-account of the master `parent_id`, or a merchant's.

    `opened_on` is the day since when it exists, which may lie before the account was entered here. `reference` is the
    organisation's own number for it.
    """

    TOPIC: ClassVar[str] = "account.opened"

    organisation_id: UUID
    kind: AccountKind
    parent_id: UUID | None
    name: str
    reference: str
    opened_on: date


@dataclass(frozen=True, slots=True)
class AccountDescribed(Event):
    """The account's name or reference was changed; these are the new values, whole."""

    TOPIC: ClassVar[str] = "account.described"

    name: str
    reference: str


@dataclass(frozen=True, slots=True)
class AccountClosed(Event):
    """The account was closed for good. Its credentials, and a master's sub-accounts, are refused from now on."""

    TOPIC: ClassVar[str] = "account.closed"


# --- applications ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ApplicationRegistered(Event):
    """An application, which holds credentials and connects them to APIs, was registered.

    The history's id is its App ID; `account_id` is the account it belongs to, if it belongs to one.
    """

    TOPIC: ClassVar[str] = "application.registered"

    organisation_id: UUID
    account_id: UUID | None
    title: str
    description: str


@dataclass(frozen=True, slots=True)
class ApplicationDescribed(Event):
    """What people call the application was changed; these are the new values, whole."""

    TOPIC: ClassVar[str] = "application.described"

    title: str
    description: str


@dataclass(frozen=True, slots=True)
class ApplicationApisConnected(Event):
    """The APIs that the application's credentials may use were set; this is the whole set, sorted.

    They are a ceiling, from now on: a credential may do what its own scopes and these APIs both allow.
    """

    TOPIC: ClassVar[str] = "application.apis_connected"

    apis: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApplicationArchived(Event):
    """The application was given up, for good: its credentials are refused from now on, and it gets no new ones."""

    TOPIC: ClassVar[str] = "application.archived"


# --- credentials -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CredentialCreated(Event):
    """A credential was issued, with its first secret.

    `public_id` is its public identifier; a channel login has its `login` instead, which is personal. `imported_from`
    names the system that an imported credential came from. `supersedes` is the credential that this one replaces.
    `channel_slot` is which of the places for keys of its account on its channel it took, from 1; 0 for none.
    """

    TOPIC: ClassVar[str] = "credential.created"
    PERSONAL: ClassVar[tuple[str, ...]] = ("contact_email", "login", "password_hash")

    organisation_id: UUID
    account_id: UUID | None
    application_id: UUID | None
    kind: Kind
    public_id: str
    login: str
    mode: Mode
    environment: Environment | None
    channel: Channel | None
    name: str
    description: str
    contact_email: str
    labels: Mapping[str, str]
    access_level: AccessLevel
    secret: StoredSecret
    password_hash: str = field(repr=False)
    expires_at: datetime | None
    supersedes: UUID | None
    imported_from: str = ""
    channel_slot: int = 0


@dataclass(frozen=True, slots=True)
class CredentialScopesFixed(Event):
    """The credential's scopes were fixed, in the same commit as its creation and for good.

    `scopes` are the expanded ones, sorted; `catalogue_version` says which catalogue they were chosen from.
    """

    TOPIC: ClassVar[str] = "credential.scopes_fixed"

    scopes: tuple[str, ...]
    catalogue_version: int


@dataclass(frozen=True, slots=True)
class CredentialWhitelisted(Event):
    """The networks that the credential may be used from were set; this is the whole list, empty for any address."""

    TOPIC: ClassVar[str] = "credential.whitelisted"
    PERSONAL: ClassVar[tuple[str, ...]] = ("networks",)

    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CredentialRotated(Event):
    """The credential has a new secret. The one before is good until `previous_expires_at` (now, for no overlap).

    `login` is a channel login's new login; empty where it keeps the one it has.
    """

    TOPIC: ClassVar[str] = "credential.rotated"
    PERSONAL: ClassVar[tuple[str, ...]] = ("password_hash", "login")

    secret: StoredSecret
    password_hash: str = field(repr=False)
    previous_expires_at: datetime
    login: str = ""


@dataclass(frozen=True, slots=True)
class CredentialOverlapEnded(Event):
    """The older secret was retired before its overlap was over."""

    TOPIC: ClassVar[str] = "credential.overlap_ended"

    retired_version: int


@dataclass(frozen=True, slots=True)
class CredentialRevoked(Event):
    """The credential is refused from `effective_at` on, for good."""

    TOPIC: ClassVar[str] = "credential.revoked"

    revocation_reason: RevocationReason
    effective_at: datetime


@dataclass(frozen=True, slots=True)
class CredentialSuspended(Event):
    """The credential is refused until it is resumed."""

    TOPIC: ClassVar[str] = "credential.suspended"


@dataclass(frozen=True, slots=True)
class CredentialResumed(Event):
    """The suspension was lifted."""

    TOPIC: ClassVar[str] = "credential.resumed"


@dataclass(frozen=True, slots=True)
class CredentialDescribed(Event):
    """What people call the credential and who answers for it was changed; these are the new values, whole."""

    TOPIC: ClassVar[str] = "credential.described"
    PERSONAL: ClassVar[tuple[str, ...]] = ("contact_email",)

    name: str
    description: str
    contact_email: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CredentialErased(Event):
    """The credential's personal data was destroyed. Its events stay as they are, with the sealed fields unreadable."""

    TOPIC: ClassVar[str] = "credential.erased"


# --- bulk revocations -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BulkRevocationStarted(Event):
    """The revocation of many credentials was confirmed; each of them is then revoked by an event of its own.

    `credential_ids` are those that were confirmed, in the order of their ids. `selection` and `contact_email` say by
    what they were chosen, `digest` is what the dry run showed and the confirmation repeated.
    """

    TOPIC: ClassVar[str] = "bulk_revocation.started"
    PERSONAL: ClassVar[tuple[str, ...]] = ("contact_email",)

    organisation_id: UUID
    contact_email: str
    selection: Mapping[str, str]
    revocation_reason: RevocationReason
    digest: str
    credential_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class BulkRevocationAdvanced(Event):
    """The next of the confirmed credentials were revoked, in the same commit, or skipped as they were revoked already.

    `revoked` and `skipped` count this step alone.
    """

    TOPIC: ClassVar[str] = "bulk_revocation.advanced"

    revoked: int
    skipped: int


@dataclass(frozen=True, slots=True)
class BulkRevocationFinished(Event):
    """All of the confirmed credentials were dealt with. `revoked` and `skipped` are the run's own counts."""

    TOPIC: ClassVar[str] = "bulk_revocation.finished"

    revoked: int
    skipped: int


@dataclass(frozen=True, slots=True)
class BulkRevocationErased(Event):
    """The email that credentials were chosen by was destroyed, as one of them was erased. The rest of the run stays."""

    TOPIC: ClassVar[str] = "bulk_revocation.erased"


# --- webhook endpoints -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WebhookEndpointRegistered(Event):
    """An organisation asked for the events of its credentials to be sent to a URL.

    `event_types` are the types of messages it is sent, sorted; empty for all. `signing_secret` is what its messages
    are signed with; its receiver has it too, so it is sealed and never shown again.
    """

    TOPIC: ClassVar[str] = "webhook_endpoint.registered"
    PERSONAL: ClassVar[tuple[str, ...]] = ("signing_secret",)

    organisation_id: UUID
    url: str
    description: str
    event_types: tuple[str, ...]
    signing_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class WebhookEndpointDescribed(Event):
    """The endpoint's URL, its description or the types of messages it is sent were changed; these are the new values,
    whole.
    """

    TOPIC: ClassVar[str] = "webhook_endpoint.described"

    url: str
    description: str
    event_types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WebhookEndpointSecretRotated(Event):
    """The endpoint has a new signing secret. The one before signs its messages too until `previous_expires_at`."""

    TOPIC: ClassVar[str] = "webhook_endpoint.secret_rotated"
    PERSONAL: ClassVar[tuple[str, ...]] = ("signing_secret",)

    signing_secret: str = field(repr=False)
    previous_expires_at: datetime


@dataclass(frozen=True, slots=True)
class WebhookEndpointDisabled(Event):
    """Nothing more is sent to the endpoint until it is enabled: somebody said so, or it answered 410 Gone."""

    TOPIC: ClassVar[str] = "webhook_endpoint.disabled"


@dataclass(frozen=True, slots=True)
class WebhookEndpointEnabled(Event):
    """The endpoint is sent messages again: those that were left, and what happens from now on."""

    TOPIC: ClassVar[str] = "webhook_endpoint.enabled"


@dataclass(frozen=True, slots=True)
class WebhookEndpointRemoved(Event):
    """The endpoint was given up for good. Its signing secret was destroyed."""

    TOPIC: ClassVar[str] = "webhook_endpoint.removed"


# --- the signing key ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SigningKeyRotated(Event):
    """Access tokens are signed with a new key. Those of the one before are good until `previous_expires_at`.

    `kid` names the key in tokens, and `public_jwk` is its public half (RFC 7517). The private half is stored nowhere:
    it is derived from the master key that `master_key_id` names.
    """

    TOPIC: ClassVar[str] = "signing_key.rotated"

    kid: str
    algorithm: SigningAlgorithm
    master_key_id: str
    public_jwk: Mapping[str, str]
    previous_expires_at: datetime


# --- the provable log ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SealedLogOpened(Event):
    """From here on events are sealed: entered into trees whose heads are signed as checkpoints.

    `name` is what the origins of all checkpoints begin with (C2SP tlog-checkpoint). `kid` names the first key in this
    ledger, and `public_key` is its public half for the root tree: the base64 of 32 bytes (Ed25519, RFC 8032). Each tree
    has a key of its own, derived from the master key that `master_key_id` names, and stored nowhere.
    """

    TOPIC: ClassVar[str] = "sealed_log.opened"

    name: str
    kid: str
    master_key_id: str
    public_key: str


@dataclass(frozen=True, slots=True)
class SealedLogKeyRotated(Event):
    """Checkpoints are signed with a new key, and until `previous_expires_at` with the one before it as well."""

    TOPIC: ClassVar[str] = "sealed_log.key_rotated"

    kid: str
    master_key_id: str
    public_key: str
    previous_expires_at: datetime


@dataclass(frozen=True, slots=True)
class SealedLogRestoreDeclared(Event):
    """The log holds less than was signed, as after the restore of an old backup, and an operator said so.

    It goes on as `generation`, under origins of its own. `lost` are the newest checkpoints that it no longer
    leads to, as far as they are known, each as the three lines of its body (C2SP tlog-checkpoint) joined by spaces.
    """

    TOPIC: ClassVar[str] = "sealed_log.restore_declared"

    generation: int
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExportRequested(Event):
    """Events of the organisation, or those of none, were asked for as a bundle that proves itself, for a reason.

    It holds those that happened from `begin`, inclusive, to `end`, exclusive, to `aggregates` and of `topics`, where
    these are given; a topic is one kind of event (`credential.revoked`) or all of one kind of thing (`credential`).
    `personal` says that personal fields were asked for in clear.
    """

    TOPIC: ClassVar[str] = "export.requested"

    organisation_id: UUID | None
    begin: datetime | None
    end: datetime | None
    aggregates: tuple[UUID, ...]
    topics: tuple[str, ...]
    personal: bool


@dataclass(frozen=True, slots=True)
class AccessReviewRequested(Event):
    """Who had what in the organisation was asked for, as of a time; the context has the reason.

    A review names every credential with its owner's email and its login, for without these nobody could review it.
    """

    TOPIC: ClassVar[str] = "access_review.requested"

    organisation_id: UUID
    as_of: datetime


EVENTS: tuple[type[Event], ...] = (
    OrganisationRegistered,
    OrganisationRenamed,
    OrganisationRetentionChanged,
    CatalogueChanged,
    OperatorEnrolled,
    OperatorRolesChanged,
    OperatorTokenRotated,
    OperatorTokenOverlapEnded,
    OperatorRemoved,
    OperatorErased,
    AccountOpened,
    AccountDescribed,
    AccountClosed,
    ApplicationRegistered,
    ApplicationDescribed,
    ApplicationApisConnected,
    ApplicationArchived,
    CredentialCreated,
    CredentialScopesFixed,
    CredentialWhitelisted,
    CredentialRotated,
    CredentialOverlapEnded,
    CredentialRevoked,
    CredentialSuspended,
    CredentialResumed,
    CredentialDescribed,
    CredentialErased,
    BulkRevocationStarted,
    BulkRevocationAdvanced,
    BulkRevocationFinished,
    BulkRevocationErased,
    WebhookEndpointRegistered,
    WebhookEndpointDescribed,
    WebhookEndpointSecretRotated,
    WebhookEndpointDisabled,
    WebhookEndpointEnabled,
    WebhookEndpointRemoved,
    SigningKeyRotated,
    SealedLogOpened,
    SealedLogKeyRotated,
    SealedLogRestoreDeclared,
    ExportRequested,
    AccessReviewRequested,
)


class Recorded(NamedTuple):
    """An event in its place: in the history of its aggregate, and in the log.

    A named tuple, for a replay makes millions of them: a frozen dataclass takes twice as long to build.

    `aggregate_version` counts the aggregate's own events from 1; `position` is the place in the whole log, from 1 and
    without gaps, and 0 where the event has not been committed yet. `organisation_id` is None for what concerns the
    installation and no tenant.
    """

    aggregate_id: UUID
    aggregate_version: int
    organisation_id: UUID | None
    event: Event
    position: int = 0
