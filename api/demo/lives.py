"""What becomes of a credential, in the ways that every company knows: what its lists and reports should find."""

from datetime import timedelta
from enum import StrEnum
from typing import Unpack

from api.demo.script import App, Holding, Person, Script
from ledger.issuing import Wanted
from ledger.values import Kind, RevocationReason

_ROTATES_DAYS = (60, 85)  # so that nothing is overdue where people keep to the rule of ninety days
_HANDOVER_DAYS = 9  # how long a successor and what it replaces live beside each other
_WEEK = timedelta(days=7)


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
    Fate.RETIRED: (RevocationReason.NO_LONGER_USED, "integration switched off"),
    Fate.OWNER_LEFT: (RevocationReason.OWNER_LEFT, "owner left the company, nobody took it over"),
    Fate.POLICY: (RevocationReason.POLICY, "shared keys are no longer allowed"),
    Fate.ERASED: (RevocationReason.NO_LONGER_USED, "contract with the integrator ended"),
}


def lead(
    script: Script,
    ago: int,
    by: Person,
    fate: Fate,
    why: str,
    *,
    kind: Kind,
    app: App | None = None,
    **wanted: Unpack[Wanted],
) -> Holding:
    """Issue a credential and tell what became of it; returns the one that lives on, where another took its place.

    `ago` is at least 40 days, so that something can have become of it.
    """
    now = script.now
    if fate is Fate.EXPIRED:
        wanted["expires_at"] = now - timedelta(days=ago // 4)
    elif fate is Fate.EXPIRING:
        wanted["expires_at"] = now + timedelta(days=21)
    holding = script.issue(ago, by, why, kind=kind, app=app, **wanted)
    return befall(script, ago, by, fate, holding, app, wanted)


def befall(
    script: Script, ago: int, by: Person, fate: Fate, holding: Holding, app: App | None, wanted: Wanted
) -> Holding:
    """Tell what became of a credential of `ago` days."""
    now, half = script.now, ago // 2
    match fate:
        case Fate.KEPT | Fate.ROTATING | Fate.EXPIRING | Fate.REASSIGNED | Fate.RESUMED | Fate.LEAVING | Fate.SUSPENDED:
            _rotate_in_time(script, ago, by, holding)
    match fate:
        case Fate.ROTATING:
            script.rotate(2, by, holding, "quarterly rotation, clients move over this week", overlap=_WEEK)
        case Fate.REASSIGNED:
            script.assign(9, by, holding, f"integrations@{script.domain}", "team mailbox instead of a person")
        case Fate.RESUMED:
            script.suspend(12, by, holding, "unusual traffic, looking into it")
            script.resume(8, by, holding, "was a load test, all good")
        case Fate.LEAVING:
            end = now + timedelta(days=14)
            because = RevocationReason.NO_LONGER_USED
            script.revoke(5, by, holding, because, "partner moves off by then", effective_at=end)
        case Fate.SUSPENDED:
            script.suspend(3, by, holding, "requests from an unknown network, waiting for the owner")
            script.use(holding, script.day(4))
        case Fate.IDLE:
            script.use(holding, script.day(ago - 5))
        case Fate.EXPIRED:
            script.use(holding, script.day(ago // 4 + 4))
        case Fate.SUPERSEDED:
            script.use(holding, script.day(half))
            return _succeed(script, half, by, holding, app, wanted)
        case Fate.COMPROMISED:
            script.use(holding, script.day(half + 4))
            because = RevocationReason.COMPROMISED
            script.revoke(half, by, holding, because, "secret found in a public repository, revoked at once")
        case Fate.RETIRED | Fate.OWNER_LEFT | Fate.POLICY | Fate.ERASED:
            because, said = _ENDS[fate]
            script.use(holding, script.day(half + 4))
            script.revoke(half, by, holding, because, said)
            if fate is Fate.ERASED:
                script.erase(half - 7, by, holding, "erasure request of the former contact")
    if fate in _USED_TODAY:
        script.use_today(holding)
    return holding


_USED_TODAY = frozenset(
    {
        Fate.KEPT,
        Fate.ROTATING,
        Fate.OVERDUE,
        Fate.RESUMED,
        Fate.REASSIGNED,
        Fate.EXPIRING,
        Fate.LEAVING,
    }
)


def _rotate_in_time(script: Script, ago: int, by: Person, holding: Holding) -> None:
    """Rotated every few months, the last time two weeks ago or earlier."""
    left = ago - script.draw.randint(*_ROTATES_DAYS)
    while left > 14:
        script.rotate(left, by, holding, "quarterly rotation")
        left -= script.draw.randint(*_ROTATES_DAYS)


def _succeed(
    script: Script, ago: int, by: Person, holding: Holding, app: App | None, wanted: Wanted
) -> Holding:
    """Another credential takes its place; the old one ends when everybody has moved over."""
    wanted = {**wanted, "supersedes": holding.id}
    why = f"successor of {holding.public_id}, with what the new version needs"
    successor = script.issue(ago, by, why, kind=holding.kind, app=app, **wanted)
    because = RevocationReason.SUPERSEDED
    script.revoke(max(1, ago - _HANDOVER_DAYS), by, holding, because, "everybody moved to the successor")
    _rotate_in_time(script, ago, by, successor)
    script.use_today(successor)
    return successor
