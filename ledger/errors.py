"""Every way a command or a query can be refused, as one tree.

    LedgerError                        anything Keyledger refuses or cannot do
    ├── InvalidValue                   the input is not well formed; names the field
    ├── NotFound                       no such thing, or not the caller's to see
    ├── Forbidden                      the caller's role or grants do not allow it
    ├── NotAllowedNow                  well formed, but the state of the thing forbids it
    │   ├── CredentialRevoked, CredentialErased, CredentialNotRevoked, CredentialExpired
    │   ├── CredentialAlreadySuspended, CredentialNotSuspended
    │   ├── TwoSecretsLive, NoOverlap, ScopesAlreadyFixed, NothingChanged
    │   ├── OperatorRemoved, OperatorNotRemoved, OperatorErased, LastAdministrator, SignsInElsewhere
    │   ├── AccountClosed, ChannelKeyExists
    │   ├── ApplicationArchived
    │   ├── WebhookEndpointAlreadyDisabled, WebhookEndpointNotDisabled, WebhookEndpointDisabled
    │   ├── WebhookEndpointRemoved
    │   ├── TooManyWebhookEndpoints
    │   ├── NameAlreadyClaimed
    │   │   └── LoginAlreadyClaimed
    │   ├── SelectionChanged
    │   ├── RebuildRunning
    │   └── AlreadyExists
    ├── TooManyAttempts                whoever asks failed too often
    ├── StaleVersion                   the state moved on from the version the caller expected
    ├── IdempotencyKeyReused           the same key with another request
    ├── IdempotencyAnswerExpired       the request was carried out; its answer is no longer kept
    ├── CommandInFlight                the same key is being carried out right now
    └── Unavailable                    try again later; nothing is wrong with the request
        ├── QueueFull                  the bounded queue of commands is full
        ├── StoreUnavailable           PostgreSQL cannot be reached or cannot write
        ├── ViewBehind                 a view has not reached the position that was asked for
        ├── SealingBehind              events are not sealed in time, so no more are taken
        ├── NotSealedYet               what happened is not in a signed checkpoint yet
        ├── ExportOvertaken            what is exported changed while it was written
        ├── RebuildFailed              a process that rebuilt a part of a view is gone
        └── OutcomeUnknown             the connection broke at the commit and cannot be resolved

Each has a stable `code`, which clients may depend on. HTTP status codes appear only in `api/problems.py`.
"""

from typing import ClassVar
from uuid import UUID


class LedgerError(Exception):
    """Base of everything Keyledger refuses; `str(error)` is one sentence for people, free of secrets."""

    code: str = "ledger_error"


class InvalidValue(LedgerError):
    """A value that must never enter the ledger. `field` says which (dotted for nested ones), `reason` why.

    `code` tells kinds of mistake apart (`invalid_email`, `past_time`...), for a program to say it in its own words.
    """

    code = "invalid_value"

    def __init__(self, field: str, reason: str, code: str | None = None) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason
        self.code = code or type(self).code


class NotFound(LedgerError):
    """No such thing, or one of another tenant: the two must look alike."""

    code = "not_found"

    def __init__(self, what: str) -> None:
        super().__init__(f"no such {what}")
        self.what = what


class Forbidden(LedgerError):
    """The caller is known, and may not do this."""

    code = "forbidden"


class NotAllowedNow(LedgerError):
    """The request is well formed; the state of what it is about forbids it."""

    code = "not_allowed_now"


class CredentialRevoked(NotAllowedNow):
    """Revocation is final."""

    code = "credential_revoked"


class CredentialErased(NotAllowedNow):
    """The personal data of this credential was destroyed; it only has a history now."""

    code = "credential_erased"


class CredentialNotRevoked(NotAllowedNow):
    """Only what no longer admits anyone can be erased."""

    code = "credential_not_revoked"


class CredentialExpired(NotAllowedNow):
    """The credential's own expiry has passed."""

    code = "credential_expired"


class CredentialAlreadySuspended(NotAllowedNow):
    """It is suspended already."""

    code = "credential_already_suspended"


class CredentialNotSuspended(NotAllowedNow):
    """There is no suspension to end."""

    code = "credential_not_suspended"


class TwoSecretsLive(NotAllowedNow):
    """A rotation is under way: end its overlap before the next."""

    code = "two_secrets_live"


class NoOverlap(NotAllowedNow):
    """There is no older secret left to retire."""

    code = "no_overlap"


class ScopesAlreadyFixed(NotAllowedNow):
    """Scopes are fixed once, at creation."""

    code = "scopes_already_fixed"


class NothingChanged(NotAllowedNow):
    """The command would record an event that says nothing."""

    code = "nothing_changed"


class OperatorRemoved(NotAllowedNow):
    """The operator was removed; enrol another."""

    code = "operator_removed"


class SignsInElsewhere(NotAllowedNow):
    """The operator signs in at an identity provider and has no token."""

    code = "signs_in_elsewhere"


class OperatorNotRemoved(NotAllowedNow):
    """Only the personal data of somebody who has no access any more can be erased."""

    code = "operator_not_removed"


class OperatorErased(NotAllowedNow):
    """The personal data of this operator was destroyed; it only has a history now."""

    code = "operator_erased"


class LastAdministrator(NotAllowedNow):
    """The installation would be left without an administrator."""

    code = "last_administrator"


class AccountClosed(NotAllowedNow):
    """The account is closed, which is final."""

    code = "account_closed"


class ChannelKeyExists(NotAllowedNow):
    """The account has as many live keys on the channel as it may have: `live` of them, `keys_max` allowed."""

    code = "channel_key_exists"

    def __init__(self, channel: str, live: int, keys_max: int) -> None:
        keys = "key" if live == 1 else "keys"
        super().__init__(
            f"the account has {live} good {keys} on the channel {channel}, where it may have {keys_max}: "
            "rotate one, or revoke it first"
        )
        self.channel = channel
        self.live = live
        self.keys_max = keys_max


class ApplicationArchived(NotAllowedNow):
    """The application was given up, which is final."""

    code = "application_archived"


class WebhookEndpointAlreadyDisabled(NotAllowedNow):
    """Nothing is sent to it as it is."""

    code = "webhook_endpoint_already_disabled"


class WebhookEndpointNotDisabled(NotAllowedNow):
    """It is sent messages as it is."""

    code = "webhook_endpoint_not_disabled"


class WebhookEndpointDisabled(NotAllowedNow):
    """Nothing is sent to it until it is enabled, not even to try it."""

    code = "webhook_endpoint_disabled"


class WebhookEndpointRemoved(NotAllowedNow):
    """The endpoint was removed, which is final."""

    code = "webhook_endpoint_removed"


class TooManyWebhookEndpoints(NotAllowedNow):
    """The organisation has as many webhook endpoints as it may have."""

    code = "too_many_webhook_endpoints"


class NameAlreadyClaimed(NotAllowedNow):
    """Someone was first: a login on a channel, a public identifier, an imported digest.

    `claim` is the kind of name; the name itself is not repeated.
    """

    code = "name_already_claimed"

    def __init__(self, claim: str) -> None:
        super().__init__(f"this {claim} is already taken")
        self.claim = claim


class LoginAlreadyClaimed(NameAlreadyClaimed):
    """The login is taken on its channel, across the installation."""

    code = "login_already_claimed"


class SelectionChanged(NotAllowedNow):
    """What was confirmed is not what would be revoked now."""

    code = "selection_changed"


class RebuildRunning(NotAllowedNow):
    """The view is being rebuilt already, here or in another process."""

    code = "rebuild_running"


class AlreadyExists(NotAllowedNow):
    """A thing with this id exists."""

    code = "already_exists"


class TooManyAttempts(LedgerError):
    """Whoever asks presented what is not good too often, and is not listened to for `retry_after_seconds`."""

    code = "too_many_attempts"

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class StaleVersion(LedgerError):
    """The aggregate is at another version than the caller expected."""

    code = "stale_version"

    def __init__(self, expected: int, current: int | None = None) -> None:
        at = "" if current is None else f", it is at {current}"
        super().__init__(f"expected version {expected}{at}: read it again and decide anew")
        self.expected = expected
        self.current = current


class IdempotencyKeyReused(LedgerError):
    """The Idempotency-Key was used with another request body."""

    code = "idempotency_key_reused"


class IdempotencyAnswerExpired(LedgerError):
    """The command was recorded on `resource_id`; the copy of its answer lived ten minutes and is gone."""

    code = "idempotency_answer_expired"

    def __init__(self, resource_id: UUID) -> None:
        super().__init__(f"the request was carried out on {resource_id}; its answer is no longer kept")
        self.resource_id = resource_id


class CommandInFlight(LedgerError):
    """The first request with this Idempotency-Key has not been answered yet."""

    code = "command_in_flight"


class Unavailable(LedgerError):
    """The service cannot answer now. `retry_after_seconds` is a hint."""

    code = "unavailable"
    retry_after_seconds: ClassVar[int] = 1


class QueueFull(Unavailable):
    """More commands wait than the bound allows."""

    code = "queue_full"


class StoreUnavailable(Unavailable):
    """PostgreSQL cannot be reached, cannot write, or took longer than its timeout."""

    code = "store_unavailable"
    retry_after_seconds = 2


class ViewBehind(Unavailable):
    """A view has not reached the position that the caller asked for."""

    code = "view_behind"


class SealingBehind(Unavailable):
    """What was recorded has not been sealed for longer than is allowed: no more is taken until it is."""

    code = "sealing_behind"
    retry_after_seconds = 30


class NotSealedYet(Unavailable):
    """What a proof is asked of is not in a signed checkpoint yet; it takes a second or so."""

    code = "not_sealed_yet"


class ExportOvertaken(Unavailable):
    """What is exported changed while it was written, by an erasure: what was written is half of one and of another."""

    code = "export_overtaken"


class RebuildFailed(Unavailable):
    """A process that rebuilt a part of a view is gone. The old view is still in place."""

    code = "rebuild_failed"


class OutcomeUnknown(Unavailable):
    """The connection broke while committing: the command may or may not have been recorded.

    A retry with the same Idempotency-Key finds out, and records it at most once.
    """

    code = "outcome_unknown"
    retry_after_seconds = 2
