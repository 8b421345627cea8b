"""The cache of verification: what PostgreSQL would say, from memory, and never once it was told otherwise."""

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from api.observability import ObservedLedger
from api.wiring import INLINE_ROWS, Services
from ledger.commands import (
    Command,
    RemoveOperator,
    ResumeCredential,
    RetirePermissions,
    RevokeCredential,
    RotateOperatorToken,
    SetAllowlist,
    SuspendCredential,
)
from ledger.values import Kind, Mode, RevocationReason, Role, Scope, networks
from ledger.verification import Candidate, Code, Question, decide
from projections import verification_cache
from projections.verification_cache import CONFIRMED_SECONDS_MAX, GATHER_SECONDS, VerificationCache
from tests import given
from tests.conftest import OpenServices
from tests.waiting import SECONDS_MAX, until

COMPROMISED = RevocationReason.COMPROMISED


@pytest.fixture
def organisation(services: Services) -> UUID:
    """A registered organisation."""
    return given.an_organisation(services)


def follows(services: Services, **bounds: float) -> VerificationCache:
    """A cache that has had its first look."""
    cache = VerificationCache(
        services.log, entries_max=int(bounds.get("entries_max", 100)), seconds_max=bounds.get("seconds_max", 60)
    )
    cache.start()
    return cache


@pytest.fixture
def cache(services: Services) -> Iterator[VerificationCache]:
    """A cache that follows this test's ledger."""
    found = follows(services)
    yield found
    found.stop()


@pytest.fixture
def confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is trusted for longer than a busy machine keeps the follower from its look, so that hits count."""
    monkeypatch.setattr(verification_cache, "CONFIRMED_SECONDS_MAX", SECONDS_MAX)


class Gateway:
    """Asks a cache as a verifying process does."""

    def __init__(self, services: Services, cache: VerificationCache) -> None:
        self.services, self.cache = services, cache
        self.operator_id, token = given.an_operator(services, Role.VERIFIER)
        self.token = services.keyring.digests.candidates(token)

    def code(self, secret: str, *scopes: str) -> Code | None:
        """The verdict; None where the gateway's own token is not good."""
        digests = self.services.keyring.digests.candidates(secret)
        caller, candidates = self.cache.find(self.token, digests, None)
        if caller is None:
            return None
        question = Question(secret=secret, digests=digests, at=datetime.now(UTC), scopes=scopes)
        return decide(question, candidates).code

    def awaited(self, secret: str, code: Code | None) -> float:
        """Ask until this is the verdict; returns after how many seconds it was."""
        begun = time.monotonic()
        while self.code(secret) is not code:
            assert time.monotonic() - begun < SECONDS_MAX, f"still {self.code(secret)}"
            time.sleep(0.001)
        return time.monotonic() - begun

    def warmed(self, secret: str, code: Code | None = Code.VALID) -> None:
        """Ask until the answer comes from memory."""
        self.awaited(secret, code)
        deadline, hits = time.monotonic() + SECONDS_MAX, self.cache.hits
        while self.cache.hits == hits:
            assert time.monotonic() < deadline, "never answered from memory"
            assert self.code(secret) is code
            time.sleep(0.001)


@pytest.fixture
def gateway(services: Services, cache: VerificationCache) -> Gateway:
    """A gateway for every organisation."""
    return Gateway(services, cache)


@pytest.mark.usefixtures("confirmed")
def test_secrets_that_have_the_same_scopes_share_one_list_of_them(
    services: Services, cache: VerificationCache, organisation: UUID
) -> None:
    """So memory does not grow with how many scopes a catalogue has: five hundred texts are forty kilobytes."""
    modes = list(Mode)
    given.a_catalogue(services, organisation, {"order:edit": modes, "order:view": modes}, {"orders": ["order:view"]})
    application = given.an_application(services, organisation, "orders")
    scopes = (Scope("order:edit"), Scope("order:view"))
    gateway = Gateway(services, cache)

    def kept(**changes: object) -> Candidate:
        secret = given.a_credential(services, organisation, scopes=scopes, **changes)[1]
        gateway.warmed(secret)
        (found,) = cache.find(gateway.token, services.keyring.digests.candidates(secret), None)[1]
        return found

    one, another, third = kept(), kept(), kept(application_id=application)
    assert one.scopes == scopes
    assert one.scopes is another.scopes is third.scopes
    assert (one.connected, third.connected) == (None, {"orders": ("order:view",)})


def test_no_more_lists_are_shared_than_the_bound(
    services: Services, cache: VerificationCache, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification_cache, "LISTS_MAX", 2)
    gateway = Gateway(services, cache)
    for number in range(5):
        _, secret = given.a_credential(services, organisation, scopes=(Scope(f"thing_{number}:view"),))
        gateway.warmed(secret)
        assert gateway.code(secret, f"thing_{number}:view") is Code.VALID
        assert len(cache._lists) <= 2


def test_what_was_asked_before_is_answered_from_memory_and_is_the_same(
    services: Services, organisation: UUID, gateway: Gateway
) -> None:
    _, secret = given.a_credential(services, organisation)
    gateway.warmed(secret)
    misses = gateway.cache.misses
    for _ in range(20):
        assert gateway.code(secret) is Code.VALID
    assert gateway.cache.misses == misses


@pytest.mark.usefixtures("confirmed")
def test_the_first_answer_that_a_new_gateway_gets_is_kept_when_its_enrolment_is_read_after_it(
    services: Services, organisation: UUID, cache: VerificationCache
) -> None:
    _, secret = given.a_credential(services, organisation)
    for _ in range(5):
        new = Gateway(services, cache)
        new.warmed(secret)
        misses = cache.misses
        time.sleep(3 * GATHER_SECONDS)  # the follower reads of it meanwhile; where it does not yet, this shows less
        assert new.code(secret) is Code.VALID
        assert cache.misses == misses


def test_a_client_that_signs_in_is_kept_and_let_go_as_a_key_is_and_a_stranger_is_not_kept(
    services: Services, organisation: UUID, gateway: Gateway
) -> None:
    receipt, secret = given.a_credential(services, organisation, kind=Kind.OAUTH_CLIENT)
    digests = services.keyring.digests.candidates(secret)
    cache = gateway.cache

    def revoked() -> bool:
        return cache.find_secret(digests)[0].revoked_at is not None

    assert not revoked()
    hits = cache.hits
    until(lambda: not revoked() and cache.hits > hits)  # it comes from memory
    command = RevokeCredential(context=given.context(), credential_id=receipt.id, revocation_reason=COMPROMISED)
    services.ledger.handle(command)
    until(revoked)

    entries = cache.entries
    assert cache.find_secret(services.keyring.digests.candidates(secret[:-1])) == []
    assert cache.entries == entries


def changes(credential_id: UUID) -> Sequence[tuple[Command, Code]]:
    """What may become of a credential, in this order, and how it is answered after."""
    context = given.context()
    return [
        (SuspendCredential(context=context, credential_id=credential_id), Code.SUSPENDED),
        (ResumeCredential(context=context, credential_id=credential_id), Code.VALID),
        (
            SetAllowlist(context=context, credential_id=credential_id, networks=networks(["192.0.2.0/24"])),
            Code.IP_NOT_ALLOWED,
        ),
        (
            RevokeCredential(context=context, credential_id=credential_id, revocation_reason=COMPROMISED),
            Code.REVOKED,
        ),
    ]


def test_each_change_of_a_credential_shows_whichever_process_made_it(
    services: Services, open_another: OpenServices, organisation: UUID, gateway: Gateway
) -> None:
    elsewhere = open_another()
    receipt, secret = given.a_credential(services, organisation)
    before = Code.VALID
    for command, after in changes(receipt.id):
        gateway.warmed(secret, before)
        elsewhere.ledger.handle(command)
        gateway.awaited(secret, after)
        before = after


def test_what_this_process_records_itself_holds_for_the_very_next_question(
    services: Services, organisation: UUID, gateway: Gateway
) -> None:
    ledger = ObservedLedger(services.log, INLINE_ROWS, gateway.cache)
    for _ in range(20):
        receipt, secret = given.a_credential(services, organisation)
        gateway.warmed(secret)
        ledger.handle(
            RevokeCredential(context=given.context(), credential_id=receipt.id, revocation_reason=COMPROMISED)
        )
        assert gateway.code(secret) is Code.REVOKED
        command, issued = given.a_create_command(services, organisation)
        gateway.warmed(issued.plaintext, Code.NOT_FOUND)
        ledger.handle(command)
        assert gateway.code(issued.plaintext) is Code.VALID


def test_what_was_acknowledged_longer_ago_than_the_bound_is_never_answered_otherwise(
    services: Services, open_another: OpenServices, organisation: UUID, gateway: Gateway
) -> None:
    """Whatever the follower's thread is kept from: the bound is a promise, not a measurement."""
    elsewhere = open_another()
    receipt, secret = given.a_credential(services, organisation)
    gateway.warmed(secret)
    with elsewhere.store.connect() as blocking:
        blocking.execute("BEGIN")
        elsewhere.ledger.handle(
            RevokeCredential(context=given.context(), credential_id=receipt.id, revocation_reason=COMPROMISED)
        )
        blocking.execute("LOCK TABLE ledger_head IN ACCESS EXCLUSIVE MODE")  # as a server that fell silent
        time.sleep(CONFIRMED_SECONDS_MAX)
        assert gateway.code(secret) is Code.REVOKED


def test_revocations_under_load_are_final_for_every_thread_that_asks(
    services: Services, open_another: OpenServices, organisation: UUID, gateway: Gateway
) -> None:
    elsewhere, stopping = open_another(), threading.Event()
    keys = [given.a_credential(services, organisation) for _ in range(20)]
    good_again: list[str] = []

    def ask() -> None:
        refused: set[str] = set()
        while not stopping.is_set():
            for _, secret in keys:
                if gateway.code(secret) is Code.REVOKED:
                    refused.add(secret)
                elif secret in refused:
                    good_again.append(secret)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for receipt, secret in keys:
        elsewhere.ledger.handle(
            RevokeCredential(context=given.context(), credential_id=receipt.id, revocation_reason=COMPROMISED)
        )
        gateway.awaited(secret, Code.REVOKED)
    stopping.set()
    for thread in threads:
        thread.join()
    assert good_again == []


def test_what_a_credential_hangs_on_shows_too(services: Services, organisation: UUID, gateway: Gateway) -> None:
    both = ["live", "test"]
    offered = {"customer:view": both, "customer:edit": both}
    given.a_catalogue(services, organisation, offered, {"customers": ["customer:view", "customer:edit"]})
    account = given.an_account(services, organisation)
    application = given.an_application(services, organisation, "customers")
    scopes = (Scope("customer:view"),)
    _, of_account = given.a_credential(services, organisation, scopes=scopes, account_id=account)
    _, of_application = given.a_credential(services, organisation, scopes=scopes, application_id=application)
    gateway.warmed(of_account)
    gateway.warmed(of_application)

    assert gateway.code(of_application, "customer:view") is Code.VALID
    given.a_closed_account(services, account)
    gateway.awaited(of_account, Code.REVOKED)
    services.ledger.handle(
        RetirePermissions(context=given.context(), organisation_id=organisation, scopes=(Scope("customer:view"),))
    )
    until(lambda: gateway.code(of_application, "customer:view") is Code.INSUFFICIENT_SCOPE)
    assert gateway.code(of_application) is Code.VALID
    services.ledger.handle(given.archiving(application))
    gateway.awaited(of_application, Code.REVOKED)


def test_a_secret_that_nobody_has_is_remembered_until_anything_is_recorded(
    services: Services, organisation: UUID, gateway: Gateway
) -> None:
    command, issued = given.a_create_command(services, organisation)
    gateway.warmed(issued.plaintext, Code.NOT_FOUND)
    services.ledger.handle(command)
    gateway.awaited(issued.plaintext, Code.VALID)


def test_a_removed_gateway_is_told_nothing_any_more(services: Services, organisation: UUID, gateway: Gateway) -> None:
    _, secret = given.a_credential(services, organisation)
    gateway.warmed(secret)
    services.ledger.handle(RemoveOperator(context=given.context(), operator_id=gateway.operator_id))
    gateway.awaited(secret, None)


def test_a_replaced_token_is_good_for_its_overlap_and_no_longer(
    services: Services, organisation: UUID, gateway: Gateway
) -> None:
    _, secret = given.a_credential(services, organisation)
    gateway.warmed(secret)
    new = services.keyring.digests.issue("operator", Mode.LIVE)
    services.ledger.handle(
        RotateOperatorToken(
            context=given.context(),
            operator_id=gateway.operator_id,
            secret=new.stored,
            overlap=timedelta(seconds=3),  # enough for what comes next, also on a busy machine
        )
    )
    gateway.warmed(secret)
    gateway.awaited(secret, None)


def test_a_lost_connection_means_that_postgresql_is_asked_and_memory_serves_again_later(
    services: Services, postgres: str, organisation: UUID, gateway: Gateway
) -> None:
    receipt, secret = given.a_credential(services, organisation)
    gateway.warmed(secret)
    with psycopg.connect(postgres, autocommit=True) as connection:
        channel = services.log.recorder.notify_channel
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE %s AND pid <> pg_backend_pid()",
            (f"%{channel}%",),
        ).fetchall()
    services.ledger.handle(
        RevokeCredential(context=given.context(), credential_id=receipt.id, revocation_reason=COMPROMISED)
    )
    gateway.awaited(secret, Code.REVOKED)
    gateway.warmed(secret, Code.REVOKED)
    assert ended is not None


@pytest.mark.usefixtures("confirmed")
def test_memory_is_bounded_and_the_oldest_goes_first(services: Services, organisation: UUID) -> None:
    cache = follows(services, entries_max=2)
    gateway = Gateway(services, cache)
    secrets = [given.a_credential(services, organisation)[1] for _ in range(3)]
    for secret in secrets:
        gateway.warmed(secret)
    assert cache.entries == 2
    hits = cache.hits
    assert gateway.code(secrets[1]) is gateway.code(secrets[2]) is Code.VALID
    assert cache.hits == hits + 2
    assert gateway.code(secrets[0]) is Code.VALID
    assert cache.hits == hits + 2
    cache.stop()


def test_more_than_it_can_mark_at_once_has_it_forget_all_and_be_right(
    services: Services, organisation: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification_cache, "EVENTS_MAX", 1)  # a creation is two
    cache = follows(services)
    gateway = Gateway(services, cache)
    made, secret = given.a_credential(services, organisation)
    gateway.warmed(secret)

    given.a_credential(services, organisation)
    until(lambda: cache.entries == 0)
    gateway.warmed(secret)
    services.ledger.handle(
        RevokeCredential(context=given.context(), credential_id=made.id, revocation_reason=COMPROMISED)
    )

    gateway.awaited(secret, Code.REVOKED)
    cache.stop()


def test_nothing_is_kept_longer_than_its_age(services: Services, organisation: UUID) -> None:
    cache = follows(services, seconds_max=0.1)
    gateway = Gateway(services, cache)
    _, secret = given.a_credential(services, organisation)
    gateway.warmed(secret)
    misses = cache.misses
    time.sleep(0.1)
    assert gateway.code(secret) is Code.VALID
    assert cache.misses == misses + 1
    cache.stop()


def test_a_cache_that_was_stopped_asks_postgresql(services: Services, organisation: UUID, gateway: Gateway) -> None:
    _, secret = given.a_credential(services, organisation)
    gateway.warmed(secret)
    gateway.cache.stop()
    hits = gateway.cache.hits
    assert gateway.code(secret) is Code.VALID
    assert gateway.cache.hits == hits


def test_whoever_has_no_token_fills_no_memory(services: Services, cache: VerificationCache) -> None:
    digests = services.keyring.digests.candidates("kl_operator_live_0000000000000000000000000000002C8GjS")
    for _ in range(3):
        assert cache.find(digests, digests, None) == (None, [])
    assert cache.entries == 0


@pytest.mark.usefixtures("confirmed")
def test_whoever_guesses_drives_out_nothing_that_is_in_use(services: Services) -> None:
    organisation = given.an_organisation(services)
    _, token = given.an_operator(services, Role.VERIFIER)
    _, secret = given.a_credential(services, organisation)
    digests = services.keyring.digests
    cache = VerificationCache(services.log, entries_max=3, seconds_max=60)
    cache.start()
    try:
        of_gateway, of_secret = digests.candidates(token), digests.candidates(secret)
        until(lambda: cache.find(of_gateway, of_secret, None) and cache.hits)  # until it follows the log
        for number in range(20):
            cache.find(of_gateway, [f"unknown {number}"], None)
        before = cache.hits
        cache.find(of_gateway, of_secret, None)
        assert cache.hits == before + 1
    finally:
        cache.stop()
