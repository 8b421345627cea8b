"""What benchmarks start from: an organisation, operators, and keys, made through the ledger's own door."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Unpack
from uuid import UUID

from uuid_utils.compat import uuid7

from api.demo import volume
from api.wiring import Services
from ledger.catalogue import DEFAULT_CATALOGUE
from ledger.commands import (
    CreateCredential,
    DescribeCredential,
    RegisterOrganisation,
    ResumeCredential,
    RevokeCredential,
    RotateSecret,
    SetAllowlist,
    SuspendCredential,
)
from ledger.events import Context
from ledger.issuing import Wanted, issue_credential, issue_operator
from ledger.secrets import IssuedSecret
from ledger.values import Description, Kind, Label, Mode, Name, Role, Via, networks
from projections.rebuild import collecting_rarely

WRITERS = 32
COPIED_LIVES = 1_000
EVENTS_PER_LIFE = 10
# As ids are, those of a later copy are larger: an index grows at its end. Of several organisations, those after the
# first have made-up ids.
_ANOTHER = "(lpad(to_hex(%(number)s::int), 8, '0') || substr(md5({}::text), 9))::uuid"
_COPY_EVENTS = f"""
INSERT INTO ledger_events (originator_id, originator_version, topic, state, notification_id, organisation_id)
SELECT {_ANOTHER.format("originator_id")}, originator_version, topic, state,
(SELECT position FROM ledger_head) + row_number() OVER (ORDER BY notification_id),
CASE WHEN notification_id %% %(organisations)s = 0 THEN organisation_id
ELSE md5((notification_id %% %(organisations)s)::text)::uuid END
FROM ledger_events WHERE organisation_id = %(tenant)s AND notification_id <= %(end)s AND topic LIKE 'credential.%%'
"""
_COPY_KEYS = f"""
INSERT INTO ledger_data_keys (aggregate_id, master_key_id, wrapped)
SELECT {_ANOTHER.format("k.aggregate_id")}, k.master_key_id, k.wrapped FROM ledger_data_keys k
WHERE k.aggregate_id IN (SELECT originator_id FROM ledger_events
WHERE organisation_id = %(tenant)s AND notification_id <= %(end)s AND topic LIKE 'credential.%%')
"""


def context(at: datetime | None = None) -> Context:
    """The benchmark, now or at another time."""
    return Context(at or datetime.now(UTC), "command_line:bench", Via.COMMAND_LINE, reason="benchmark")


def organisation(services: Services) -> UUID:
    """A fresh organisation."""
    command = RegisterOrganisation(context=context(), organisation_id=uuid7(), name=Name("Benchmark"))
    return services.ledger.handle(command).id


def administrator(services: Services) -> str:
    """The token of an administrator of everything."""
    return _operator(services, Role.ADMINISTRATOR)


def verifier(services: Services) -> str:
    """The token of a gateway for everything."""
    return _operator(services, Role.VERIFIER)


def _operator(services: Services, role: Role) -> str:
    command, issued = issue_operator(services.keyring.digests, context(), name="bench", roles=[role], production=True)
    services.ledger.handle(command)
    return issued.plaintext


def some_keys(services: Services, tenant: UUID, count: int) -> Sequence[str]:
    """That many API keys, created by as many writers as share a commit; their secrets."""

    def create(_: int) -> str:
        command, issued = a_key(services, tenant)
        services.ledger.handle(command)
        return issued.plaintext

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(create, range(count), chunksize=64))


def many_keys(services: Services, tenant: UUID, count: int, at: datetime | None = None) -> Sequence[str]:
    """The same, a thousand to a commit, as a million of them take minutes; created now or at another time."""
    secrets: list[str] = []
    with collecting_rarely():
        while len(secrets) < count:
            keys = [a_key(services, tenant, at) for _ in range(min(volume.COMMIT_COMMANDS, count - len(secrets)))]
            services.ledger.handle_all([command for command, _ in keys])
            secrets += [issued.plaintext for _, issued in keys]
    return secrets


def a_key(
    services: Services, tenant: UUID, at: datetime | None = None, **more: Unpack[Wanted]
) -> tuple[CreateCredential, IssuedSecret]:
    """The command that creates an API key, now or at another time, and its secret."""
    wanted: Wanted = {
        "mode": "live",
        "name": "bench",
        "contact_email": "dev@example.com",
        "scopes": ["customer:view", "payment_route:view"],
        **more,
    }
    digests = services.keyring.digests
    return issue_credential(digests, DEFAULT_CATALOGUE, context(at), tenant, kind="api_key", **wanted)


def some_lives(services: Services, tenant: UUID, count: int) -> None:
    """That many API keys with a year behind them: described, restricted, rotated each quarter, suspended once, and
    every tenth revoked. Ten events each, as a credential has that is used.
    """

    def live(number: int) -> None:
        command, _ = issue_credential(
            services.keyring.digests,
            DEFAULT_CATALOGUE,
            context(),
            tenant,
            kind="api_key",
            mode="live",
            name="bench",
            contact_email="dev@example.com",
            preset="read_only",
        )
        services.ledger.handle(command)
        about: dict[str, Any] = {"context": context(), "credential_id": command.credential_id}
        do = services.ledger.handle
        do(SetAllowlist(networks=networks([f"192.0.2.{number % 256}/32"]), **about))
        do(DescribeCredential(name=Label(f"service {number}"), **about))
        for _ in range(3):
            do(RotateSecret(secret=services.keyring.digests.issue(Kind.API_KEY, Mode.LIVE).stored, **about))
        do(SuspendCredential(**about))
        do(ResumeCredential(**about))
        do(
            RevokeCredential(**about)
            if number % 10 == 0
            else DescribeCredential(description=Description("ok"), **about)
        )

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(live, range(count), chunksize=16))


def copied_events(services: Services, tenant: UUID, count: int, organisations: int = 1) -> None:
    """At least that many events of an organisation, copied in SQL from the lives of some of its keys, each copy of
    other credentials. For what reads events and decides nothing: no view has these.

    Of several organisations, every copied event is of one drawn evenly from so many.
    """
    some_lives(services, tenant, COPIED_LIVES)
    of: dict[str, Any] = {"tenant": tenant, "organisations": organisations, "end": services.log.head()}
    with services.store.connect() as connection:
        connection.execute("SET statement_timeout TO 0")
        for number in range(-(-count // (COPIED_LIVES * EVENTS_PER_LIFE)) - 1):
            with connection.transaction():
                connection.execute(_COPY_KEYS, {**of, "number": number})
                connection.execute(_COPY_EVENTS, {**of, "number": number})
                connection.execute("UPDATE ledger_head SET position = (SELECT max(notification_id) FROM ledger_events)")
        connection.execute("VACUUM ANALYZE ledger_events")
