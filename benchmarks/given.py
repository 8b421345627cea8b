"""What benchmarks start from: an organisation, operators, and keys, made through the ledger's own door."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from api.wiring import Services
from ledger.catalogue import DEFAULT_CATALOGUE
from ledger.commands import (
    DescribeCredential,
    RegisterOrganisation,
    ResumeCredential,
    RevokeCredential,
    RotateSecret,
    SetAllowlist,
    SuspendCredential,
)
from ledger.events import Context
from ledger.issuing import issue_credential, issue_operator
from ledger.values import Description, Kind, Label, Mode, Name, Role, Via, networks

WRITERS = 32


def context() -> Context:
    """The benchmark, now."""
    return Context(datetime.now(UTC), "command_line:bench", Via.COMMAND_LINE, reason="benchmark")


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
        command, issued = issue_credential(
            services.keyring.digests,
            DEFAULT_CATALOGUE,
            context(),
            tenant,
            kind="api_key",
            mode="live",
            name="bench",
            contact_email="dev@example.com",
            scopes=["customer:view", "payment_route:view"],
        )
        services.ledger.handle(command)
        return issued.plaintext

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(create, range(count), chunksize=64))


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
