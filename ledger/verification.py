"""May this caller do this? The one function that decides, over what was found for the presented secret.

Pure: the candidates come from a look-up or a cache, the time with the question. Order matters where several codes would
apply: what is most final is said first, and nothing about a credential is said to those who do not hold its secret or
ask for another tenant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_network
from uuid import UUID

from ledger.errors import InvalidValue
from ledger.permissions import still_granted
from ledger.secret_format import claims_our_format
from ledger.secret_versions import LIVE_MAX
from ledger.secrets import ARGON2ID, malformed, password_matches, same_digest
from ledger.values import AnyAddress, AnyNetwork, Channel, Kind, Login, Mode, unmapped_address


class Code(StrEnum):
    """The answer of a verification; stable."""

    VALID = "VALID"
    NOT_FOUND = "NOT_FOUND"
    REVOKED = "REVOKED"
    SUSPENDED = "SUSPENDED"
    EXPIRED = "EXPIRED"
    IP_NOT_ALLOWED = "IP_NOT_ALLOWED"
    WRONG_MODE = "WRONG_MODE"
    WRONG_CHANNEL = "WRONG_CHANNEL"
    INSUFFICIENT_SCOPE = "INSUFFICIENT_SCOPE"
    API_NOT_CONNECTED = "API_NOT_CONNECTED"
    MALFORMED = "MALFORMED"
    TOO_MANY_ATTEMPTS = "TOO_MANY_ATTEMPTS"  # in a batch, where one question of many is not looked at


@dataclass(frozen=True, slots=True)
class Candidate:
    """A secret that may be the presented one, with all of its credential that decides whether it is good.

    A process keeps many thousands of these; tuples of texts cost its garbage collector nothing, which lists do.
    """

    credential_id: UUID
    organisation_id: UUID
    account_id: UUID | None
    application_id: UUID | None
    kind: str
    public_id: str
    mode: str
    environment: str | None
    channel: str | None
    scopes: tuple[str, ...]
    allowlist: tuple[str, ...]
    expires_at: datetime | None
    suspended_at: datetime | None
    revoked_at: datetime | None
    secret_version: int
    algorithm: str
    digest: str
    password_hash: str = field(repr=False)
    secret_expires_at: datetime | None
    changed_at: datetime
    ended: bool = False  # what it hangs on: its account, that one's master, or its application
    retired: tuple[str, ...] = ()  # scopes that the catalogue once offered and does not any more
    connected: Mapping[str, Sequence[str]] | None = None  # its application's APIs with their scopes; None without one

    def granted(self) -> Sequence[str]:
        """The scopes that it has now: those it was given for good, as far as they are offered and its application's
        APIs reach.
        """
        if self.connected is None:
            return still_granted(self.scopes, self.retired) if self.retired else self.scopes
        return still_granted(self.scopes, self.retired, {s for scopes in self.connected.values() for s in scopes})

    def moment(self, asked_at: datetime) -> datetime:
        """When the question is decided: now, but never before what was recorded last.

        So a revocation that was acknowledged holds at once, even where the clock of whoever verifies runs behind the
        clock of whoever revoked.
        """
        return max(asked_at, self.changed_at)


@dataclass(slots=True)  # not frozen: it is built for every verification, and freezing would take four times as long
class Question:
    """What a gateway asks. `digests` are those under which `secret` could be kept (`DigestKeys.candidates`).

    `mode` and `channel` are what the request came in by; a mode that is not named is not checked.
    """

    secret: str = field(repr=False)
    digests: Sequence[str] = field(repr=False)
    at: datetime
    organisation_id: UUID | None = None  # the caller's own; None may ask for all
    public_id: str | None = None
    client_ip: AnyAddress | None = None
    mode: Mode | None = None
    channel: Channel | None = None
    scopes: Sequence[str] = ()
    api: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The code, and the credential it is about where the presenter may know of it, with the scopes that it has now."""

    code: Code
    candidate: Candidate | None = None
    scopes: Sequence[str] = ()

    @property
    def valid(self) -> bool:
        """Whether the caller may go on."""
        return self.code is Code.VALID


def login_of(question: Question) -> tuple[Channel, Login] | None:
    """The login to look up where the secret may be a chosen password: not one of our format, a login, its channel."""
    if not question.public_id or question.channel is None or claims_our_format(question.secret):
        return None
    try:
        return question.channel, Login(question.public_id)
    except InvalidValue:
        return None  # nobody can have it


def decide(question: Question, candidates: Sequence[Candidate]) -> Verdict:
    """The verdict. `candidates` may be empty where the secret is malformed: then no look-up is needed.

    Raises `QueueFull` where too many passwords are being checked already.
    """
    found = matching(question, candidates)
    if found is None:  # one that matches was issued or accepted here, so it is not malformed
        return Verdict(Code.MALFORMED if malformed(question.secret) else Code.NOT_FOUND)
    return judge(question, found)


def judge(question: Question, found: Candidate) -> Verdict:
    """The verdict on a credential whose holder was recognised, by its secret or by a token that was issued for it."""
    granted = found.granted()
    return Verdict(_code(question, found, granted), found, granted)


def matching(question: Question, candidates: Sequence[Candidate]) -> Candidate | None:
    """The candidate whose secret was presented by someone who may know of it, or None.

    Where a password could be meant, every None takes as many password checks as a login can have live passwords:
    whether the login is unknown, another tenant's, or known with one password or two, and none of them this one.
    """
    theirs = [c for c in candidates if _may_be_told(question, c)]
    for candidate in theirs:
        if candidate.algorithm != ARGON2ID and same_digest(candidate.digest, question.digests):
            return candidate
    if login_of(question) is None or malformed(question.secret):
        return None
    chosen: list[Candidate | None] = [
        c
        for c in theirs
        if c.algorithm == ARGON2ID and c.password_hash and not _past(c.secret_expires_at, c.moment(question.at))
    ]
    chosen += [None] * (LIVE_MAX - len(chosen))
    for maybe in chosen:
        if password_matches(maybe.password_hash if maybe else None, question.secret):
            return maybe
    return None


def _may_be_told(question: Question, candidate: Candidate) -> bool:
    return question.organisation_id in (None, candidate.organisation_id) and _identified(question, candidate)


def _identified(question: Question, found: Candidate) -> bool:
    """Whether the presented public identifier is this credential's; an API key's secret stands for itself."""
    if question.public_id is None:
        return found.kind == Kind.API_KEY
    if found.kind == Kind.CHANNEL_LOGIN:
        return question.public_id.strip().lower() == found.public_id.lower()
    return question.public_id == found.public_id


def _code(question: Question, c: Candidate, granted: Sequence[str]) -> Code:
    at = c.moment(question.at)
    if c.ended or _past(c.revoked_at, at):
        return Code.REVOKED
    if _past(c.expires_at, at) or _past(c.secret_expires_at, at):
        return Code.EXPIRED
    if c.suspended_at is not None:
        return Code.SUSPENDED
    if question.mode is not None and question.mode != c.mode:
        return Code.WRONG_MODE
    # A key of one channel is good there alone, so whoever does not say where it was presented gets no.
    if c.channel is not None and question.channel != c.channel:
        return Code.WRONG_CHANNEL
    if c.allowlist and not _inside(question.client_ip, c.allowlist):
        return Code.IP_NOT_ALLOWED
    if question.scopes and not set(question.scopes) <= set(granted):
        return Code.INSUFFICIENT_SCOPE
    if question.api is None:
        return Code.VALID
    if c.connected is None or question.api not in c.connected:
        return Code.API_NOT_CONNECTED
    # Through one API goes what that API is for.
    through = set(granted) & set(c.connected[question.api])
    return Code.VALID if through and set(question.scopes) <= through else Code.INSUFFICIENT_SCOPE


def _past(moment: datetime | None, at: datetime) -> bool:
    return moment is not None and moment <= at


def _inside(address: AnyAddress | None, allowlist: Sequence[str]) -> bool:
    if address is None:
        return False
    address = unmapped_address(address)
    return any(address in _network(network) for network in allowlist)


@lru_cache(maxsize=10_000)  # parsing costs more than all the rest of a decision; some five megabytes
def _network(cidr: str) -> AnyNetwork:
    return ip_network(cidr)
