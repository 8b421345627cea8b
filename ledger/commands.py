"""Everything the ledger can be asked to do, in the imperative.

Time and randomness arrive inside the command: `context.at` is now, ids and digests were made by the caller
(`ledger/secrets.py`). Where a command carries values of `ledger/values.py`, they were checked when they were built.
Nothing here holds a secret: only what is kept of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

from ledger.events import Context, StoredSecret
from ledger.permissions import Api, Group, catalogue_of
from ledger.values import (
    SEALED_LOG_ID,
    SIGNING_KEY_ID,
    AccessLevel,
    AccountKind,
    CatalogueName,
    Channel,
    Description,
    EmailAddress,
    Environment,
    Identity,
    Kind,
    Label,
    Login,
    Mode,
    Name,
    Network,
    PublicId,
    Reference,
    RevocationReason,
    Role,
    Scope,
    SigningAlgorithm,
    WebhookUrl,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What every command has: its context and, where the caller insists, the version it decided on.

    `expected_version` is the aggregate's version that the caller saw (If-Match); None leaves it to the ledger, which
    decides again on the newest state when someone else was faster.
    """

    context: Context
    expected_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterOrganisation(Command):
    """Register a tenant."""

    organisation_id: UUID
    name: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameOrganisation(Command):
    """Change the tenant's name."""

    organisation_id: UUID
    name: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRetention(Command):
    """Set after how many days personal data of an organisation's ended credentials is erased: 0 for never, None for
    what the installation says.
    """

    organisation_id: UUID
    days: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCatalogue(Command):
    """Set, whole, what an organisation's credentials can be granted.

    `expected_version` counts the changes so far, so it is one less than the catalogue's own version.
    """

    organisation_id: UUID
    catalogue_id: UUID = field(init=False)
    groups: tuple[Group, ...]
    apis: tuple[Api, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "catalogue_id", catalogue_of(self.organisation_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetirePermissions(Command):
    """Take scopes out of an organisation's catalogue, and leave the rest as it is."""

    organisation_id: UUID
    catalogue_id: UUID = field(init=False)
    scopes: tuple[Scope, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "catalogue_id", catalogue_of(self.organisation_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolOperator(Command):
    """Give a person or a gateway a token, or make an operator of who signed in at an identity provider."""

    operator_id: UUID
    organisation_id: UUID | None
    name: Name
    email: EmailAddress | None
    roles: frozenset[Role]
    production: bool
    secret: StoredSecret
    identity: Identity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeOperatorRoles(Command):
    """Set the operator's roles and its grant for production credentials.

    There may be no role for who signs in at an identity provider, which gives them again or does not.
    """

    operator_id: UUID
    roles: frozenset[Role]
    production: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateOperatorToken(Command):
    """Give the operator a new token; the old one stays good for `overlap`."""

    operator_id: UUID
    secret: StoredSecret
    overlap: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndTokenOverlap(Command):
    """Retire the older of an operator's two live tokens early."""

    operator_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveOperator(Command):
    """Refuse the operator's tokens from now on."""

    operator_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseOperator(Command):
    """Destroy the name and the email of a removed operator."""

    operator_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAccount(Command):
    """Open an account of an organisation. `opened_on` None is today, in UTC."""

    account_id: UUID
    organisation_id: UUID
    kind: AccountKind
    parent_id: UUID | None = None
    name: Name
    reference: Reference | None = None
    opened_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeAccount(Command):
    """Change the account's name or reference. None leaves a value as it is; an empty reference clears it."""

    account_id: UUID
    name: Name | None = None
    reference: Reference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseAccount(Command):
    """Close the account for good, and with it all that hangs on it. The context's reason says why."""

    account_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterApplication(Command):
    """Register an application, connected to these APIs or to none yet."""

    application_id: UUID
    organisation_id: UUID
    account_id: UUID | None = None
    title: Name
    description: Description | None = None
    apis: tuple[CatalogueName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeApplication(Command):
    """Change what people call the application. None leaves a value as it is."""

    application_id: UUID
    title: Name | None = None
    description: Description | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectApis(Command):
    """Set the APIs, whole, that the application's credentials may use."""

    application_id: UUID
    apis: tuple[CatalogueName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveApplication(Command):
    """Give the application up, for good, and all its credentials with it."""

    application_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCredential(Command):
    """Issue a credential and fix its scopes.

    `login`, `channel` and a `password_hash` are for channel logins; `public_id` is for all other kinds. An imported
    credential says where it came from. `channel_slot` is given by the ledger: one of the places that its account has
    for keys on its channel.
    """

    credential_id: UUID
    organisation_id: UUID
    account_id: UUID | None = None
    application_id: UUID | None = None
    kind: Kind
    public_id: PublicId | None = None
    login: Login | None = None
    mode: Mode
    environment: Environment | None = None
    channel: Channel | None = None
    name: Label | None = None
    description: Description | None = None
    contact_email: EmailAddress | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    access_level: AccessLevel
    scopes: tuple[Scope, ...]
    catalogue_version: int
    secret: StoredSecret
    password_hash: str = field(default="", repr=False)
    networks: tuple[Network, ...] = ()
    expires_at: datetime | None = None
    supersedes: UUID | None = None
    imported_from: str = ""
    channel_slot: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateSecret(Command):
    """Give the credential a new secret; the old one stays good for `overlap`, zero for at once.

    A channel login may take another `login` with it, which takes effect at once.
    """

    credential_id: UUID
    secret: StoredSecret
    password_hash: str = field(default="", repr=False)
    overlap: timedelta = timedelta(0)
    login: Login | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndOverlap(Command):
    """Retire the older of two live secrets early."""

    credential_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeCredential(Command):
    """Refuse the credential for good: from `effective_at`, or now."""

    credential_id: UUID
    revocation_reason: RevocationReason = RevocationReason.UNSPECIFIED
    effective_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspendCredential(Command):
    """Refuse the credential until it is resumed."""

    credential_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumeCredential(Command):
    """Lift the suspension."""

    credential_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAllowlist(Command):
    """Set the networks that the credential may be used from; none allows every address."""

    credential_id: UUID
    networks: tuple[Network, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeCredential(Command):
    """Change what people call the credential and who answers for it.

    None leaves a value as it is, an empty one clears it.
    A contact can be replaced, not removed: somebody answers for every credential.
    """

    credential_id: UUID
    name: Label | None = None
    description: Description | None = None
    contact_email: EmailAddress | None = None
    labels: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FixScopes(Command):
    """Fix the scopes a second time: always refused, so that whoever tries is told the rule by the ledger itself."""

    credential_id: UUID
    scopes: tuple[Scope, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseCredential(Command):
    """Destroy the personal data of a revoked credential."""

    credential_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class StartBulkRevocation(Command):
    """Revoke many credentials: exactly those that were shown and confirmed, in the order of their ids.

    `selection` and `contact_email` say by what they were chosen; `digest` is what was confirmed.
    """

    run_id: UUID
    organisation_id: UUID
    contact_email: EmailAddress | None
    selection: Mapping[str, str]
    revocation_reason: RevocationReason
    digest: str
    credential_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvanceBulkRevocation(Command):
    """Count the next credentials of a run: those revoked in the same commit, and those that were revoked already."""

    run_id: UUID
    revoked: int
    skipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseBulkRevocation(Command):
    """Destroy the email that the credentials of a run were chosen by."""

    run_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterWebhookEndpoint(Command):
    """Send an organisation's events of these types, or of all where there are none, to a URL."""

    endpoint_id: UUID
    organisation_id: UUID
    url: WebhookUrl
    description: Description | None = None
    event_types: tuple[str, ...] = ()
    signing_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeWebhookEndpoint(Command):
    """Change where an endpoint's messages go, what it is for or what it is sent. None leaves a value as it is."""

    endpoint_id: UUID
    url: WebhookUrl | None = None
    description: Description | None = None
    event_types: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateWebhookEndpointSecret(Command):
    """Sign with a new secret, and with the old one too for `overlap`."""

    endpoint_id: UUID
    signing_secret: str = field(repr=False)
    overlap: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DisableWebhookEndpoint(Command):
    """Send nothing more to the endpoint until it is enabled."""

    endpoint_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class EnableWebhookEndpoint(Command):
    """Send to the endpoint again."""

    endpoint_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveWebhookEndpoint(Command):
    """Give the endpoint up, for good, and destroy its signing secret."""

    endpoint_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateSigningKey(Command):
    """Sign access tokens with a new key; those that the one before signed stay good for the overlap."""

    signing_key_id: UUID = field(init=False, default=SIGNING_KEY_ID)
    kid: str
    algorithm: SigningAlgorithm
    master_key_id: str
    public_jwk: Mapping[str, str]
    overlap: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSealedLog(Command):
    """Begin to seal events, under a name for good, with a first key."""

    sealed_log_id: UUID = field(init=False, default=SEALED_LOG_ID)
    name: str
    kid: str
    master_key_id: str
    public_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateSealingKey(Command):
    """Sign checkpoints with a new key, and for the overlap with the one before it as well."""

    sealed_log_id: UUID = field(init=False, default=SEALED_LOG_ID)
    kid: str
    master_key_id: str
    public_key: str
    overlap: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclareRestore(Command):
    """Go on with a log that holds less than was signed; `lost` are the checkpoints it no longer leads to."""

    sealed_log_id: UUID = field(init=False, default=SEALED_LOG_ID)
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestExport(Command):
    """Take an organisation's events out as a bundle: of a period, of some aggregates, of some kinds, or all of them.

    Without an organisation, those that concern none.
    """

    export_id: UUID
    organisation_id: UUID | None
    begin: datetime | None = None
    end: datetime | None = None
    aggregates: tuple[UUID, ...] = ()
    topics: tuple[str, ...] = ()
    personal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAccessReview(Command):
    """Take out who had what in an organisation, as of a time."""

    access_review_id: UUID
    organisation_id: UUID
    as_of: datetime
