"""What becomes of a credential, in the ways that every company knows: what its lists and reports should find."""

from datetime import timedelta
from enum import StrEnum
from typing import Unpack

from api.demo.script import App, Holding, Person, Script
from ledger.commands import DescribeCredential, EraseCredential, ResumeCredential, SuspendCredential
from ledger.issuing import Wanted
from ledger.values import EmailAddress, Kind, RevocationReason

_ROTATED_DAYS = (60, 85)  # so that nothing is overdue where people keep to the rule of ninety days
_HANDOVER_DAYS = 9  # how long a successor and what it replaces live beside each other


class Fate(StrEnum):
    """How a credential's year goes on."""

    KEPT = "kept"  # rotated in time, used today
    ROTATING = "rotating"  # the same, and in the middle of a rotation now
    OVERDUE = "overdue"  # used today, and never rotated
    UNUSED = "unused"  # made, and never used
    IDLE = "idle"  # used once, and not for months
    SUSPENDED = "suspended"  # something is being looked into
    RESUMED = "resumed"  # something was
    REASSIGNED = "reassigned"  # another mailbox answers for it now
    EXPIRED = "expired"  # made for a time that is over
    EXPIRING = "expiring"  # made for a time that is not
    LEAVING = "leaving"  # its end is announced
    SUPERSEDED = "superseded"  # a successor took its place
    COMPROMISED = "compromised"  # found where it should not be
    RETIRED = "retired"  # no longer used
    OWNER_LEFT = "owner_left"  # who made it is gone
    POLICY = "policy"  # what it was made for is no longer allowed
    ERASED = "erased"  # revoked, and nobody's data is kept


_ENDS = {
    Fate.COMPROMISED: (RevocationReason.COMPROMISED, "secret found in a public repository, revoked at once"),
    Fate.RETIRED: (RevocationReason.NO_LONGER_USED, "integration switched off"),
    Fate.OWNER_LEFT: (RevocationReason.OWNER_LEFT, "owner left the company, nobody took it over"),
    Fate.POLICY: (RevocationReason.POLICY, "shared keys are no longer allowed"),
    Fate.ERASED: (RevocationReason.NO_LONGER_USED, "contract with the integrator ended"),
}
_LIVELY = {Fate.KEPT, Fate.ROTATING, Fate.RESUMED, Fate.REASSIGNED, Fate.EXPIRING, Fate.LEAVING}


def lead(
    script: Script,
    ago: int,
    by: Person,
    fate: Fate,
    why: str,
    *,
    kind: Kind,
    app: App | None = None,
    chosen_secret: str | None = None,
    **wanted: Unpack[Wanted],
) -> Holding:
    """Issue a credential and tell what became of it; returns the one that lives on, where another took its place.

    `ago` is at least 40 days, so that something can have become of it.
    """
    if fate is Fate.EXPIRED:
        wanted["expires_at"] = script.now - timedelta(days=ago // 4)
    elif fate is Fate.EXPIRING:
        wanted["expires_at"] = script.now + timedelta(days=21)
    holding = script.issue(ago, by, why, kind=kind, app=app, chosen_secret=chosen_secret, **wanted)
    if fate is Fate.SUPERSEDED:
        return _succeed(script, ago // 2, by, holding, app, wanted)
    befall(script, ago, by, fate, holding)
    return holding


def befall(script: Script, ago: int, by: Person, fate: Fate, holding: Holding) -> None:
    """Tell what became of a credential of `ago` days that nothing took the place of."""
    if fate in _LIVELY or fate is Fate.SUSPENDED:
        _rotate_in_time(script, ago, by, holding)
    match fate:
        case Fate.ROTATING:
            script.rotate(2, by, holding, "quarterly rotation, clients move over this week")
        case Fate.REASSIGNED:
            context = script.context(9, by, "team mailbox instead of a person")
            mailbox = EmailAddress(f"integrations@{script.domain}")
            script.note(DescribeCredential(context=context, credential_id=holding.id, contact_email=mailbox))
        case Fate.SUSPENDED | Fate.RESUMED:
            script.use(holding, script.day(15))
            context = script.context(11, by, "requests from an unknown network, looking into it")
            script.note(SuspendCredential(context=context, credential_id=holding.id))
            if fate is Fate.RESUMED:
                context = script.context(7, by, "was a load test, all good")
                script.note(ResumeCredential(context=context, credential_id=holding.id))
        case Fate.LEAVING:
            end, because = script.now + timedelta(days=14), RevocationReason.NO_LONGER_USED
            script.revoke(5, by, holding, because, "partner moves off by then", effective_at=end)
        case Fate.IDLE:
            script.use(holding, script.day(ago - 5))
        case Fate.EXPIRED:
            script.use(holding, script.day(ago // 4 + 4))
        case Fate.COMPROMISED | Fate.RETIRED | Fate.OWNER_LEFT | Fate.POLICY | Fate.ERASED:
            because, said = _ENDS[fate]
            script.use(holding, script.day(ago // 2 + 4))
            script.revoke(ago // 2, by, holding, because, said)
            if fate is Fate.ERASED:
                context = script.context(ago // 2 - 7, by, "erasure request of the former contact")
                script.note(EraseCredential(context=context, credential_id=holding.id))
    if fate in _LIVELY or fate is Fate.OVERDUE:
        script.use_today(holding)


def _rotate_in_time(script: Script, ago: int, by: Person, holding: Holding) -> None:
    """Rotated every few months, the last time so long ago that the overlap with the secret before is over."""
    left = ago - script.draw.randint(*_ROTATED_DAYS)
    while left > 18:
        script.rotate(left, by, holding, "quarterly rotation")
        left -= script.draw.randint(*_ROTATED_DAYS)


def _succeed(script: Script, ago: int, by: Person, holding: Holding, app: App | None, wanted: Wanted) -> Holding:
    """Another credential takes its place; the old one ends when everybody has moved over."""
    script.use(holding, script.day(ago))
    wanted["supersedes"] = holding.id
    if holding.kind is Kind.CHANNEL_LOGIN:
        wanted["login"] = f"{holding.public_id}.2"  # a login is never given twice
    why = f"successor of {holding.public_id}, with what the new version needs"
    successor = script.issue(ago, by, why, kind=holding.kind, app=app, **wanted)
    because = RevocationReason.SUPERSEDED
    script.revoke(ago - _HANDOVER_DAYS, by, holding, because, "everybody moved to the successor")
    befall(script, ago, by, Fate.KEPT, successor)
    return successor
