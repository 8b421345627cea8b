"""Credentials by the thousand, with a year behind them: what a large installation's lists and reports look like.

Everything goes through `Ledger.handle_all` in the order in which it would have happened, many commands to a commit. The
same seed draws the same lives; only ids and secrets, which are never drawn, differ.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from random import Random
from typing import TypeVar
from uuid import UUID

from api.demo.script import ACTOR, id_of
from api.wiring import Services
from ledger.catalogue import DEFAULT_CATALOGUE
from ledger.commands import (
    Command,
    CreateCredential,
    RegisterOrganisation,
    RevokeCredential,
    RotateSecret,
    SetAllowlist,
    SuspendCredential,
)
from ledger.events import Context
from ledger.issuing import issue_credential
from ledger.values import Environment, Kind, Mode, Name, RevocationReason, Via, networks
from projections.rebuild import collecting_rarely
from projections.usage import UsageRecorder

COMMIT_COMMANDS = 1_000  # half a second's: what a commit costs by itself is then next to nothing
YEAR = timedelta(days=365)

_KINDS = {Kind.API_KEY: 60, Kind.OAUTH_CLIENT: 25, Kind.KEY_PAIR: 15}
_ENVIRONMENTS = {Environment.PRODUCTION: 45, Environment.STAGING: 25, Environment.DEVELOPMENT: 30}
_PRESETS = {"read_only": 50, "write": 20, "full_access": 30}
_REASONS = {
    RevocationReason.NO_LONGER_USED: 50,
    RevocationReason.OWNER_LEFT: 20,
    RevocationReason.SUPERSEDED: 20,
    RevocationReason.COMPROMISED: 10,
}
_SERVICES = ("billing", "checkout", "reporting", "ledger-sync", "warehouse", "mobile", "fraud", "statements")
_TEAMS = ("payments", "platform", "data", "operations", "partners")

Choice = TypeVar("Choice")
Progress = Callable[[int, int], None]
"""Called with the credentials created so far and those wanted."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What was recorded."""

    credentials: int
    events: int


@dataclass(frozen=True, slots=True)
class _Life:
    """One credential's fate, as times; None for what does not happen to it."""

    credential_id: UUID
    created_at: datetime
    expires_at: datetime | None
    restricted_at: datetime | None
    rotated_at: datetime | None
    suspended_at: datetime | None
    revoked_at: datetime | None


def register(services: Services, name: str, *, now: datetime, seed: int) -> UUID:
    """Register an organisation to fill, a year and a day before `now`; returns its id."""
    context = _context(now - YEAR - timedelta(days=1), Random(seed))  # noqa: S311 - a request id
    command = RegisterOrganisation(context=context, organisation_id=id_of(context.at), name=Name(name))
    return services.ledger.handle(command).id


def fill(
    services: Services, organisation_id: UUID, count: int, *, now: datetime, seed: int, progress: Progress | None = None
) -> Filled:
    """Record `count` credentials of an organisation, created over the year before `now`, and what became of them."""
    draw = Random(seed)  # noqa: S311 - fates, not secrets
    usage = UsageRecorder(services.store, services.settings.usage_flush)
    events = done = 0
    with collecting_rarely():
        for chunk in _chunks(_commands(services, organisation_id, count, now, draw, usage)):
            events += sum(len(receipt.recorded) for receipt in services.ledger.handle_all(chunk))
            usage.flush()
            done += sum(isinstance(command, CreateCredential) for command in chunk)
            if progress is not None:
                progress(done, count)
    return Filled(done, events)


def _chunks(commands: Iterator[Command]) -> Iterator[list[Command]]:
    while chunk := list(islice(commands, COMMIT_COMMANDS)):
        yield chunk


# What is to come of a credential: its moment, a number that tells two of one moment apart, whose it is, and what. As
# many wait as a seventh of the credentials, at most, and each takes some 250 bytes: some 40 MB for a million.
_Coming = tuple[datetime, int, UUID, "_Step"]
_Step = Callable[[Services, UUID, Context, Random], Command]


def _commands(
    services: Services, organisation_id: UUID, count: int, now: datetime, draw: Random, usage: UsageRecorder
) -> Iterator[Command]:
    """Everything that happens, in the order of time."""
    coming: list[_Coming] = []
    number = 0

    def until(end: datetime) -> Iterator[Command]:
        while coming and coming[0][0] <= end:
            at, _, credential_id, step = heapq.heappop(coming)
            yield step(services, credential_id, _context(at, draw), draw)

    for at, created in _births(count, now):
        yield from until(at)
        life = _life(id_of(at), at, now, draw)
        yield _creation(services, organisation_id, life, created, count, draw)
        for moment, step in _afterwards(life):
            number += 1
            heapq.heappush(coming, (moment, number, life.credential_id, step))
        _use(usage, life, now, draw)
    yield from until(now)


def _births(count: int, now: datetime) -> Iterator[tuple[datetime, int]]:
    for number in range(count):
        yield now - YEAR + YEAR * ((number + 1) / (count + 1)), number


def _life(credential_id: UUID, created_at: datetime, now: datetime, draw: Random) -> _Life:
    age = now - created_at

    def some_day(share: float) -> datetime | None:
        return created_at + age * draw.uniform(0.05, 0.95) if draw.random() < share else None

    expires_at = created_at + timedelta(days=draw.randrange(120, 500)) if draw.random() < 0.1 else None
    revoked_at, suspended_at, rotated_at = some_day(0.12), some_day(0.01), some_day(0.25)
    if revoked_at is not None:
        suspended_at = None
    over_at = min(moment for moment in (expires_at, revoked_at, now) if moment is not None)
    if rotated_at is not None and rotated_at >= over_at:
        rotated_at = None
    restricted_at = created_at + timedelta(minutes=5) if draw.random() < 0.2 and age > timedelta(hours=1) else None
    return _Life(credential_id, created_at, expires_at, restricted_at, rotated_at, suspended_at, revoked_at)


def _creation(
    services: Services, organisation_id: UUID, life: _Life, number: int, count: int, draw: Random
) -> CreateCredential:
    kind, environment = _one_of(draw, _KINDS), _one_of(draw, _ENVIRONMENTS)
    owners = max(5, count // 200)
    command, _ = issue_credential(
        services.keyring.digests,
        DEFAULT_CATALOGUE,
        _context(life.created_at, draw),
        organisation_id,
        kind=kind,
        environment=environment,
        name=f"{draw.choice(_SERVICES)} {number:07}",
        # One in fifty has nobody who answers for it: reports find them.
        contact_email=None if draw.random() < 0.02 else f"{draw.choice(_TEAMS)}-{draw.randrange(owners)}@example.com",
        labels={"team": draw.choice(_TEAMS), "service": draw.choice(_SERVICES)},
        preset=_one_of(draw, _PRESETS),
        expires_at=life.expires_at,
        credential_id=life.credential_id,
    )
    return command


def _afterwards(life: _Life) -> Iterator[tuple[datetime, _Step]]:
    if life.restricted_at is not None:
        yield life.restricted_at, _restriction
    if life.rotated_at is not None:
        yield life.rotated_at, _rotation
    if life.suspended_at is not None and (life.rotated_at is None or life.rotated_at < life.suspended_at):
        yield life.suspended_at, _suspension
    if life.revoked_at is not None:
        yield life.revoked_at, _revocation


def _restriction(_services: Services, credential_id: UUID, context: Context, draw: Random) -> SetAllowlist:
    block = networks([f"192.0.2.{draw.randrange(0, 256, 16)}/28"])
    return SetAllowlist(context=context, credential_id=credential_id, networks=block)


def _rotation(services: Services, credential_id: UUID, context: Context, _draw: Random) -> RotateSecret:
    # The secret is thrown away: nobody uses this credential.
    secret = services.keyring.digests.issue(Kind.API_KEY, Mode.TEST).stored
    return RotateSecret(context=context, credential_id=credential_id, secret=secret)


def _suspension(_services: Services, credential_id: UUID, context: Context, _draw: Random) -> SuspendCredential:
    return SuspendCredential(context=context, credential_id=credential_id)


def _revocation(_services: Services, credential_id: UUID, context: Context, draw: Random) -> RevokeCredential:
    because = _one_of(draw, _REASONS)
    return RevokeCredential(context=context, credential_id=credential_id, revocation_reason=because)


def _use(usage: UsageRecorder, life: _Life, now: datetime, draw: Random) -> None:
    """When its newest secret was last seen; three in ten were never used."""
    if draw.random() < 0.3:
        return
    since = life.rotated_at or life.created_at
    until = life.revoked_at or now
    # Most were seen today or yesterday, some not for long.
    age = timedelta(hours=draw.expovariate(1 / 12)) if draw.random() < 0.8 else (until - since) * draw.random()
    usage.note(life.credential_id, 2 if life.rotated_at else 1, max(since, until - age))


def _context(at: datetime, draw: Random) -> Context:
    request_id = f"demo-{draw.getrandbits(32):08x}"
    return Context(at, ACTOR, Via.COMMAND_LINE, request_id=request_id, reason="demo")


def _one_of(draw: Random, weights: Mapping[Choice, int]) -> Choice:
    (found,) = draw.choices(list(weights), list(weights.values()))
    return found
