"""Revocation by possession: whoever presents a live secret ends what it opens, and needs nothing else.

Whoever holds a secret can misuse it, so taking it out of use is the least that it lets them do. What is recorded is a
command like any other, in the name of whoever asked. Passwords that people chose are no part of this: a door without a
sign-in must not be one where passwords are guessed.
"""

import logging
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from api.wiring import Services
from ledger.commands import Command, EndOverlap, RemoveOperator, RevokeCredential
from ledger.errors import NotAllowedNow
from ledger.events import Context
from ledger.secret_format import OPERATOR_PREFIX, claims_our_format
from ledger.values import RevocationReason
from ledger.verification import Candidate, Question, decide
from projections.credential_status import find_for_verification
from projections.operator_status import find_caller, is_last_administrator

REASON = "revoked by whoever holds the secret"

logger = logging.getLogger("keyledger.possession")


class Outcome(StrEnum):
    """What became of a presented secret. Told to whoever runs the installation, never to whoever presented it."""

    REVOKED = "revoked"  # the credential
    SECRET_ENDED = "secret_ended"  # noqa: S105 - the older of two live ones; the credential goes on with the newer
    OPERATOR_REMOVED = "operator_removed"
    LAST_ADMINISTRATOR = "last_administrator"  # left as it is: nobody would be left to answer the leak
    NOT_LIVE = "not_live"  # unknown, or ended already


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a presented secret, and whose it is: a credential's or an operator's id, None for nobody's."""

    outcome: Outcome
    id: UUID | None = None


def end_presented(services: Services, context: Context, secret: str, public_id: str | None = None) -> Ended:
    """End what a secret opens, as compromised.

    A generated secret stands for itself. An imported one, which may be weaker, is known by what verification asks for:
    all but API keys go with their public id.
    """
    if secret.startswith(OPERATOR_PREFIX):
        return _end_operator(services, context, secret)
    digests = services.keyring.digests.candidates(secret)
    _, candidates = find_for_verification(services.store, (), digests, None)
    if not claims_our_format(secret):
        question = Question(secret=secret, digests=digests, at=context.at, public_id=public_id)
        found = decide(question, candidates).candidate
    else:
        found = candidates[0] if candidates else None
    if found is None:
        return Ended(Outcome.NOT_LIVE)
    return _end_credential(services, context, found)


def _end_credential(services: Services, context: Context, found: Candidate) -> Ended:
    """Revoke it, unless a newer secret has taken over: then only the presented one leaked.

    A secret that ended already ends nothing: else everyone who finds an old one could take out its successor.
    """
    ends_at = found.secret_expires_at
    if ends_at is not None and ends_at <= found.moment(context.at):
        return Ended(Outcome.NOT_LIVE, found.credential_id)
    command: Command
    if ends_at is None:
        outcome = Outcome.REVOKED
        command = RevokeCredential(
            context=context, credential_id=found.credential_id, revocation_reason=RevocationReason.COMPROMISED
        )
    else:
        outcome = Outcome.SECRET_ENDED
        command = EndOverlap(context=context, credential_id=found.credential_id)
    return Ended(outcome if _recorded(services, command) else Outcome.NOT_LIVE, found.credential_id)


def _end_operator(services: Services, context: Context, token: str) -> Ended:
    """Remove the operator, but for the last administrator of all organisations: that one is told in the log."""
    found = find_caller(services.store, services.keyring.digests.candidates(token))
    if found is None:
        return Ended(Outcome.NOT_LIVE)
    if is_last_administrator(services.store, found.operator_id):
        logger.error(
            "the token of the last administrator was presented as leaked: rotate it now",
            extra={"operator_id": found.operator_id, "address": context.address},
        )
        return Ended(Outcome.LAST_ADMINISTRATOR, found.operator_id)
    removed = _recorded(services, RemoveOperator(context=context, operator_id=found.operator_id))
    return Ended(Outcome.OPERATOR_REMOVED if removed else Outcome.NOT_LIVE, found.operator_id)


def _recorded(services: Services, command: Command) -> bool:
    """Whether the command was recorded; False where somebody else ended it first."""
    try:
        services.ledger.handle(command)
    except NotAllowedNow:
        return False
    return True
