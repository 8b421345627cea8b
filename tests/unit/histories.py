"""What the tests of the domain are about: a credential's, an operator's and an organisation's events and commands.

Events happened at START unless `when` says otherwise; commands come at NOW.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from ledger.commands import (
    ChangeOperatorRoles,
    CreateCredential,
    DescribeCredential,
    EndOverlap,
    EnrolOperator,
    EraseCredential,
    EraseOperator,
    RemoveOperator,
    ResumeCredential,
    RevokeCredential,
    RotateOperatorToken,
    RotateSecret,
    SetAllowlist,
    SuspendCredential,
)
from ledger.events import (
    CredentialCreated,
    CredentialErased,
    CredentialResumed,
    CredentialRevoked,
    CredentialRotated,
    CredentialScopesFixed,
    CredentialSuspended,
    CredentialWhitelisted,
    Event,
    OperatorEnrolled,
    OperatorErased,
    OperatorRemoved,
    OperatorTokenRotated,
)
from ledger.values import (
    AccessLevel,
    Channel,
    Description,
    EmailAddress,
    Kind,
    Label,
    Login,
    Mode,
    Name,
    Network,
    PublicId,
    RevocationReason,
    Role,
    Scope,
)
from tests.unit.deciding import AGGREGATE, NOW, ORGANISATION, START, at, digest, password

SCOPES = (Scope("customer:view"), Scope("payment_route:view"))
OFFICE = Network("192.0.2.0/24")
PASSWORD_HASH = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$aGFzaA"

# --- events of a credential ------------------------------------------------------------------------------------------


def created(when: datetime = START, **changes: Any) -> CredentialCreated:
    """An API key for live data."""
    given: dict[str, Any] = {
        "organisation_id": ORGANISATION,
        "account_id": None,
        "application_id": None,
        "kind": Kind.API_KEY,
        "public_id": "ak_live_1",
        "login": "",
        "mode": Mode.LIVE,
        "environment": None,
        "channel": None,
        "name": "Billing export",
        "description": "",
        "contact_email": "dev@example.com",
        "labels": {},
        "access_level": AccessLevel.FINE_GRAINED,
        "secret": digest(1),
        "password_hash": "",
        "expires_at": None,
        "supersedes": None,
        **changes,
    }
    return CredentialCreated(at(when), **given)


def login_created(when: datetime = START, **changes: Any) -> CredentialCreated:
    """An FTP login with a password its user chose."""
    given: dict[str, Any] = {
        "kind": Kind.CHANNEL_LOGIN,
        "public_id": "",
        "login": "Ada.L",
        "channel": Channel.FTP,
        "secret": password(1),
        "password_hash": PASSWORD_HASH,
        **changes,
    }
    return created(when, **given)


def scopes_fixed(when: datetime = START) -> CredentialScopesFixed:
    """The two scopes."""
    return CredentialScopesFixed(at(when), SCOPES, 1)


def whitelisted(*networks: str, when: datetime = START) -> CredentialWhitelisted:
    """These networks."""
    return CredentialWhitelisted(at(when), networks)


def rotated(
    version: int = 2, *, overlap: timedelta = timedelta(0), when: datetime = START, password_hash: str = ""
) -> CredentialRotated:
    """A secret of this version, the one before good for the overlap."""
    return CredentialRotated(at(when), digest(version), password_hash, when + overlap)


def revoked(effective_at: datetime | None = None, when: datetime = START) -> CredentialRevoked:
    """Revoked at once, or for a coming time."""
    return CredentialRevoked(at(when), RevocationReason.UNSPECIFIED, effective_at or when)


def suspended(when: datetime = START) -> CredentialSuspended:
    """Suspended."""
    return CredentialSuspended(at(when))


def resumed(when: datetime = START) -> CredentialResumed:
    """Resumed."""
    return CredentialResumed(at(when))


def erased(when: datetime = START) -> CredentialErased:
    """Erased."""
    return CredentialErased(at(when))


# --- commands on a credential ----------------------------------------------------------------------------------------


def create(**changes: Any) -> CreateCredential:
    """An API key, as asked for."""
    given: dict[str, Any] = {
        "context": at(NOW),
        "credential_id": AGGREGATE,
        "organisation_id": ORGANISATION,
        "kind": Kind.API_KEY,
        "public_id": PublicId("ak_live_1"),
        "mode": Mode.LIVE,
        "name": Label("Billing export"),
        "contact_email": EmailAddress("dev@example.com"),
        "access_level": AccessLevel.FINE_GRAINED,
        "scopes": SCOPES,
        "catalogue_version": 1,
        "secret": digest(),
        **changes,
    }
    return CreateCredential(**given)


def create_login(**changes: Any) -> CreateCredential:
    """An FTP login with a chosen password, as asked for."""
    given: dict[str, Any] = {
        "kind": Kind.CHANNEL_LOGIN,
        "public_id": None,
        "login": Login("Ada.L"),
        "channel": Channel.FTP,
        "secret": password(),
        "password_hash": PASSWORD_HASH,
        **changes,
    }
    return create(**given)


def rotate(when: datetime = NOW, **changes: Any) -> RotateSecret:
    """Another secret, the old one refused at once unless an overlap is asked for."""
    return RotateSecret(context=at(when), credential_id=AGGREGATE, **{"secret": digest(), **changes})


def end_overlap(when: datetime = NOW) -> EndOverlap:
    """Retire the older secret."""
    return EndOverlap(context=at(when), credential_id=AGGREGATE)


def revoke(
    effective_at: datetime | None = None,
    reason: RevocationReason = RevocationReason.UNSPECIFIED,
    when: datetime = NOW,
) -> RevokeCredential:
    """Revoke now, or from a coming time."""
    return RevokeCredential(
        context=at(when), credential_id=AGGREGATE, revocation_reason=reason, effective_at=effective_at
    )


def suspend(when: datetime = NOW) -> SuspendCredential:
    """Suspend."""
    return SuspendCredential(context=at(when), credential_id=AGGREGATE)


def resume(when: datetime = NOW) -> ResumeCredential:
    """Resume."""
    return ResumeCredential(context=at(when), credential_id=AGGREGATE)


def allow(*networks: Network, when: datetime = NOW) -> SetAllowlist:
    """Only from these networks."""
    return SetAllowlist(context=at(when), credential_id=AGGREGATE, networks=networks)


def describe(
    name: Label | None = None,
    description: Description | None = None,
    contact_email: EmailAddress | None = None,
    labels: dict[str, str] | None = None,
    when: datetime = NOW,
) -> DescribeCredential:
    """Call it something else."""
    return DescribeCredential(
        context=at(when),
        credential_id=AGGREGATE,
        name=name,
        description=description,
        contact_email=contact_email,
        labels=labels,
    )


def erase(when: datetime = NOW) -> EraseCredential:
    """Destroy the personal data."""
    return EraseCredential(context=at(when), credential_id=AGGREGATE)


# --- operators -------------------------------------------------------------------------------------------------------


def enrolled(when: datetime = START, *, organisation_id: UUID | None = None) -> OperatorEnrolled:
    """An administrator without the grant for production."""
    return OperatorEnrolled(
        at(when),
        name="Ada",
        email="ada@example.com",
        organisation_id=organisation_id,
        roles=(Role.ADMINISTRATOR,),
        production=False,
        secret=digest(1),
    )


def token_rotated(version: int = 2, *, overlap: timedelta = timedelta(0), when: datetime = START) -> Event:
    """A token of this version, the one before good for the overlap."""
    return OperatorTokenRotated(at(when), digest(version), when + overlap)


def removed(when: datetime = START) -> OperatorRemoved:
    """Removed."""
    return OperatorRemoved(at(when))


def enrol(**changes: Any) -> EnrolOperator:
    """An administrator, as asked for."""
    given: dict[str, Any] = {
        "context": at(NOW),
        "operator_id": AGGREGATE,
        "organisation_id": None,
        "name": Name("Ada"),
        "email": EmailAddress("ada@example.com"),
        "roles": frozenset({Role.ADMINISTRATOR}),
        "production": False,
        "secret": digest(),
        **changes,
    }
    return EnrolOperator(**given)


def change_roles(*roles: Role, production: bool = False) -> ChangeOperatorRoles:
    """Other roles."""
    return ChangeOperatorRoles(context=at(NOW), operator_id=AGGREGATE, roles=frozenset(roles), production=production)


def rotate_token(overlap: timedelta = timedelta(0)) -> RotateOperatorToken:
    """Another token."""
    return RotateOperatorToken(context=at(NOW), operator_id=AGGREGATE, secret=digest(), overlap=overlap)


def remove() -> RemoveOperator:
    """No more access."""
    return RemoveOperator(context=at(NOW), operator_id=AGGREGATE)


def operator_erased(when: datetime = START) -> OperatorErased:
    """Its name and email destroyed."""
    return OperatorErased(at(when))


def erase_operator() -> EraseOperator:
    """Destroy the name and email."""
    return EraseOperator(context=at(NOW), operator_id=AGGREGATE)
