"""A credential: its state, how events change it, and what may be decided on it.

Everything here is a pure function over frozen dataclasses. Names that must be unique across the installation are
declared as claims (`claims_of`, `releases_claims`); the store enforces them in the events' own transaction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from ledger.commands import (
    CreateCredential,
    DescribeCredential,
    EndOverlap,
    EraseCredential,
    FixScopes,
    ResumeCredential,
    RevokeCredential,
    RotateSecret,
    SetAllowlist,
    SuspendCredential,
)
from ledger.errors import (
    AlreadyExists,
    CredentialAlreadySuspended,
    CredentialNotRevoked,
    CredentialNotSuspended,
    InvalidValue,
    NothingChanged,
    ScopesAlreadyFixed,
)
from ledger.errors import CredentialErased as CredentialIsErased
from ledger.errors import CredentialExpired as CredentialIsExpired
from ledger.errors import CredentialRevoked as CredentialIsRevoked
from ledger.events import (
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
    Recorded,
)
from ledger.secret_versions import (
    SecretVersion,
    add_version,
    first_version,
    live,
    older_of_two,
    overlap_end,
    retire_up_to,
)
from ledger.values import (
    AccessLevel,
    Channel,
    Environment,
    Kind,
    Mode,
    RevocationReason,
    Status,
    in_the_future,
)


@dataclass(frozen=True)
class Credential:
    """A credential as its events left it. `public_id` is the login for a channel login. Times are UTC.

    `changed_at` is when the newest event happened by the clock of whoever recorded it, and never goes back.
    """

    id: UUID
    organisation_id: UUID
    account_id: UUID | None
    application_id: UUID | None
    kind: Kind
    public_id: str
    mode: Mode
    environment: Environment | None
    channel: Channel | None
    name: str
    description: str
    contact_email: str
    labels: Mapping[str, str]
    access_level: AccessLevel
    scopes: tuple[str, ...]
    catalogue_version: int
    networks: tuple[str, ...]
    secrets: tuple[SecretVersion, ...]
    created_at: datetime
    rotated_at: datetime | None
    expires_at: datetime | None
    suspended_at: datetime | None
    revoked_at: datetime | None
    revocation_reason: RevocationReason | None
    erased_at: datetime | None
    supersedes: UUID | None
    imported_from: str
    channel_slot: int
    version: int
    changed_at: datetime

    def moment(self, at: datetime) -> datetime:
        """When something is decided: now, but never before the newest event, as clocks of different machines differ."""
        return max(at, self.changed_at)

    def status(self, at: datetime) -> Status:
        """What the credential is at that moment; of several that apply, the one hardest to undo."""
        if self.revoked_at is not None and self.revoked_at <= at:
            return Status.REVOKED
        if self.expires_at is not None and self.expires_at <= at:
            return Status.EXPIRED
        if self.suspended_at is not None:
            return Status.SUSPENDED
        return Status.ROTATING if len(live(self.secrets, at)) > 1 else Status.ACTIVE


def evolve(state: Credential | None, recorded: Recorded) -> Credential:
    """The state after one more event."""
    event = recorded.event
    if isinstance(event, CredentialCreated):
        return _created(recorded, event)
    if state is None:
        raise TypeError(f"a credential's history cannot begin with {type(event).__name__}")
    change = _CHANGES.get(type(event))
    if change is None:
        raise TypeError(f"a credential has no branch for {type(event).__name__}")
    changed_at = max(state.changed_at, event.context.at)
    return _after(state, version=recorded.aggregate_version, changed_at=changed_at, **change(state, event))


Changes = dict[str, Any]


def _scopes_fixed(_state: Credential, event: CredentialScopesFixed) -> Changes:
    return {"scopes": event.scopes, "catalogue_version": event.catalogue_version}


def _whitelisted(_state: Credential, event: CredentialWhitelisted) -> Changes:
    return {"networks": event.networks}


def _rotated(state: Credential, event: CredentialRotated) -> Changes:
    at = event.context.at
    secrets = add_version(state.secrets, event.secret, event.password_hash, at, event.previous_expires_at)
    return {"public_id": event.login or state.public_id, "secrets": secrets, "rotated_at": at}


def _overlap_ended(state: Credential, event: CredentialOverlapEnded) -> Changes:
    return {"secrets": retire_up_to(state.secrets, event.retired_version, event.context.at)}


def _revoked(_state: Credential, event: CredentialRevoked) -> Changes:
    return {"revoked_at": event.effective_at, "revocation_reason": event.revocation_reason}


def _suspended(_state: Credential, event: CredentialSuspended) -> Changes:
    return {"suspended_at": event.context.at}


def _resumed(_state: Credential, _event: CredentialResumed) -> Changes:
    return {"suspended_at": None}


def _described(_state: Credential, event: CredentialDescribed) -> Changes:
    return {
        "name": event.name,
        "description": event.description,
        "contact_email": event.contact_email,
        "labels": event.labels,
    }


def _erased(state: Credential, event: CredentialErased) -> Changes:
    """What is left of an erased one; a history whose data key is destroyed folds to the same."""
    return {
        "public_id": "" if state.kind is Kind.CHANNEL_LOGIN else state.public_id,
        "contact_email": "",
        "networks": (),
        "secrets": tuple(replace(s, password_hash="") for s in state.secrets),
        "erased_at": event.context.at,
    }


# By type, as a rebuild asks for each event there is: trying one pattern after the other would take longer than folding.
_CHANGES: Mapping[type[Event], Callable[[Credential, Any], Changes]] = {
    CredentialScopesFixed: _scopes_fixed,
    CredentialWhitelisted: _whitelisted,
    CredentialRotated: _rotated,
    CredentialOverlapEnded: _overlap_ended,
    CredentialRevoked: _revoked,
    CredentialSuspended: _suspended,
    CredentialResumed: _resumed,
    CredentialDescribed: _described,
    CredentialErased: _erased,
}


def _created(recorded: Recorded, event: CredentialCreated) -> Credential:
    return Credential(
        id=recorded.aggregate_id,
        organisation_id=event.organisation_id,
        account_id=event.account_id,
        application_id=event.application_id,
        kind=event.kind,
        public_id=event.login if event.kind is Kind.CHANNEL_LOGIN else event.public_id,
        mode=event.mode,
        environment=event.environment,
        channel=event.channel,
        name=event.name,
        description=event.description,
        contact_email=event.contact_email,
        labels=event.labels,
        access_level=event.access_level,
        scopes=(),
        catalogue_version=0,
        networks=(),
        secrets=first_version(event.secret, event.password_hash, event.context.at),
        created_at=event.context.at,
        rotated_at=None,
        expires_at=event.expires_at,
        suspended_at=None,
        revoked_at=None,
        revocation_reason=None,
        erased_at=None,
        supersedes=event.supersedes,
        imported_from=event.imported_from,
        channel_slot=event.channel_slot,
        version=recorded.aggregate_version,
        changed_at=event.context.at,
    )


def _after(state: Credential, **changes: Any) -> Credential:
    """`dataclasses.replace` at a tenth of its cost, which a rebuild pays for nearly every event there is."""
    after = object.__new__(Credential)
    after.__dict__.update(state.__dict__)
    after.__dict__.update(changes)
    return after


# --- deciding --------------------------------------------------------------------------------------------------------


def create_credential(state: Credential | None, command: CreateCredential) -> list[Event]:
    """A credential with its first secret, its scopes, and its allowlist where one is given: one commit."""
    if state is not None:
        raise AlreadyExists("a credential with this id exists")
    _check_identifier(command)
    _check_chosen(command.kind, command.password_hash)
    if command.environment is not None and command.environment.mode is not command.mode:
        raise InvalidValue(
            "environment", f"{command.environment} is {command.environment.mode}, not {command.mode}", "contradiction"
        )
    if not command.scopes:
        raise InvalidValue("scopes", "must name at least one scope", "invalid_length")
    if command.supersedes == command.credential_id:
        raise InvalidValue("supersedes", "a credential cannot replace itself", "contradiction")
    context = command.context
    events: list[Event] = [
        CredentialCreated(
            context,
            organisation_id=command.organisation_id,
            account_id=command.account_id,
            application_id=command.application_id,
            kind=command.kind,
            public_id=command.public_id or "",
            login=command.login or "",
            mode=command.mode,
            environment=command.environment,
            channel=command.channel,
            name=command.name or "",
            description=command.description or "",
            contact_email=command.contact_email or "",
            labels=command.labels,
            access_level=command.access_level,
            secret=replace(command.secret, version=1),
            password_hash=command.password_hash,
            expires_at=command.expires_at and in_the_future(command.expires_at, context.at, "expires_at"),
            supersedes=command.supersedes,
            imported_from=command.imported_from,
            channel_slot=command.channel_slot,
        ),
        CredentialScopesFixed(context, command.scopes, command.catalogue_version),
    ]
    if command.networks:
        events.append(CredentialWhitelisted(context, command.networks))
    return events


def _check_identifier(command: CreateCredential) -> None:
    """A channel login is known by its login on its channel, every other kind by its public identifier."""
    if command.kind is Kind.CHANNEL_LOGIN:
        if command.channel is None:
            raise InvalidValue("channel", "is required for a channel login", "missing_field")
        if command.login is None:
            raise InvalidValue("login", "is required for a channel login", "missing_field")
        if command.public_id is not None:
            raise InvalidValue("public_id", "a channel login is known by its login", "contradiction")
    else:
        # Channels take logins or keys; whoever asks about a client or a key pair names none, and would be refused.
        if command.channel is not None and command.kind is not Kind.API_KEY:
            raise InvalidValue("channel", "only a channel login or an API key has one", "contradiction")
        if command.login is not None:
            raise InvalidValue("login", "only a channel login has one", "contradiction")
        if command.public_id is None:
            raise InvalidValue("public_id", "is required", "missing_field")


def _check_chosen(kind: Kind, password_hash: str) -> None:
    """People remember a login's password; what only programs hold is generated, and so cannot be guessed."""
    if password_hash and kind is not Kind.CHANNEL_LOGIN:
        raise InvalidValue("secret", "only a channel login may have a chosen secret", "contradiction")


def fix_scopes(_state: Credential, _command: FixScopes) -> list[Event]:
    """Scopes are fixed at creation and never again."""
    raise ScopesAlreadyFixed("scopes are fixed at creation: create a successor with other scopes instead")


def rotate_secret(state: Credential, command: RotateSecret) -> list[Event]:
    """A new secret; the old one stays good for the overlap. A channel login may take another login with it, at once."""
    at = state.moment(command.context.at)
    _check_chosen(state.kind, command.password_hash)
    _refuse_revoked(state, at)
    if state.expires_at is not None and state.expires_at <= at:
        raise CredentialIsExpired("the credential has expired: create a successor")
    secret = replace(command.secret, version=state.secrets[-1].version + 1)
    previous_expires_at = overlap_end(state.secrets, at, command.overlap)
    login = _new_login(state, command)
    return [CredentialRotated(command.context, secret, command.password_hash, previous_expires_at, login)]


def _new_login(state: Credential, command: RotateSecret) -> str:
    """The login to take, or nothing where it stays. The old one ends at once, so no overlap could hold."""
    if command.login is None:
        return ""
    if state.kind is not Kind.CHANNEL_LOGIN:
        raise InvalidValue("login", "only a channel login has one", "contradiction")
    if command.login == state.public_id:
        return ""
    if command.overlap:
        raise InvalidValue("login", "is changed at once: rotate without an overlap", "contradiction")
    return command.login


def end_overlap(state: Credential, command: EndOverlap) -> list[Event]:
    """The older secret ends now."""
    at = state.moment(command.context.at)
    _refuse_revoked(state, at)
    return [CredentialOverlapEnded(command.context, older_of_two(state.secrets, at).version)]


def revoke_credential(state: Credential, command: RevokeCredential) -> list[Event]:
    """No more, from a moment on; a coming revocation can be brought forward, never undone or put off."""
    at = state.moment(command.context.at)
    effective_at = at if command.effective_at is None else in_the_future(command.effective_at, at, "effective_at")
    _refuse_revoked(state, at)
    if state.revoked_at is not None and state.revoked_at <= effective_at:
        raise CredentialIsRevoked("the revocation is set already: it can be brought forward, not put off or undone")
    return [CredentialRevoked(command.context, command.revocation_reason, effective_at)]


def suspend_credential(state: Credential, command: SuspendCredential) -> list[Event]:
    """No more until resumed."""
    _refuse_revoked(state, state.moment(command.context.at))
    if state.suspended_at is not None:
        raise CredentialAlreadySuspended("the credential is suspended already")
    return [CredentialSuspended(command.context)]


def resume_credential(state: Credential, command: ResumeCredential) -> list[Event]:
    """The suspension ends."""
    _refuse_revoked(state, state.moment(command.context.at))
    if state.suspended_at is None:
        raise CredentialNotSuspended("the credential is not suspended")
    return [CredentialResumed(command.context)]


def set_allowlist(state: Credential, command: SetAllowlist) -> list[Event]:
    """Other networks, whole."""
    _refuse_revoked(state, state.moment(command.context.at))
    if command.networks == state.networks:
        raise NothingChanged("the allowlist holds these networks already")
    return [CredentialWhitelisted(command.context, command.networks)]


def describe_credential(state: Credential, command: DescribeCredential) -> list[Event]:
    """Another name, description, contact or other labels; a revoked credential may still be annotated."""
    if state.erased_at is not None:
        raise CredentialIsErased("the credential's personal data was erased")
    event = CredentialDescribed(
        command.context,
        name=state.name if command.name is None else command.name,
        description=state.description if command.description is None else command.description,
        contact_email=state.contact_email if command.contact_email is None else command.contact_email,
        labels=state.labels if command.labels is None else command.labels,
    )
    if (event.name, event.description, event.contact_email, event.labels) == (
        state.name,
        state.description,
        state.contact_email,
        state.labels,
    ):
        raise NothingChanged("nothing would change")
    return [event]


def erase_credential(state: Credential, command: EraseCredential) -> list[Event]:
    """The personal data goes; only of a credential that admits nobody any more."""
    if state.erased_at is not None:
        raise CredentialIsErased("the credential's personal data was erased already")
    if state.revoked_at is None or state.revoked_at > state.moment(command.context.at):
        raise CredentialNotRevoked("revoke the credential first: what still admits someone cannot be erased")
    return [CredentialErased(command.context)]


def _refuse_revoked(state: Credential, at: datetime) -> None:
    """A revocation that is set for later leaves the credential as it is until then."""
    if state.revoked_at is not None and state.revoked_at <= at:
        raise CredentialIsRevoked("the credential is revoked, which is final")


# --- names that must be unique across the installation ----------------------------------------------------------------


def claims_of(state: Credential, event: Event) -> list[tuple[str, str]]:
    """The (kind of claim, name) pairs that an event takes for the credential that it leaves.

    They are held until the credential is erased. A login that was revoked or changed stays taken: whoever still has it
    configured must not find somebody else's account behind it. A channel slot can be taken over by another credential
    of its account once its holder admits nobody any more (`ledger/channel_slots.py`).
    """
    claims: list[tuple[str, str]] = []
    match event:
        case CredentialCreated(kind=Kind.CHANNEL_LOGIN, login=login) | CredentialRotated(login=str(login)) if login:
            claims.append(("login", f"{state.channel}/{login.lower()}"))
        case CredentialCreated(imported_from=imported_from) if imported_from:
            claims.append(("public_id", event.public_id))
    if isinstance(event, CredentialCreated) and event.channel_slot:
        claims.append((CHANNEL_SLOT, slot_name(state.account_id, state.channel, event.channel_slot)))
    return claims


CHANNEL_SLOT = "channel_slot"


def slot_name(account_id: UUID | None, channel: Channel | None, number: int) -> str:
    """How the claims call one of an account's places for keys on a channel."""
    return f"{account_id}/{channel}/{number}"


def releases_claims(event: Event) -> bool:
    """Whether an event gives up all names of its credential."""
    return isinstance(event, CredentialErased)
