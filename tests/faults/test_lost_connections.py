"""A connection lost at every step of a commit: nothing acknowledged is lost, nothing is doubled, the next one works."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest
from psycopg import sql

from api.wiring import Services, open_services
from ledger.commands import CreateCredential
from ledger.errors import OutcomeUnknown, StoreUnavailable
from ledger.service import Receipt
from ledger.settings import Settings
from tests import given
from tests.faults.checking import Attempt, attempt, attempt_command, check_everything
from tests.faults.cutting import Cut, Proxy, proxied
from tests.waiting import SECONDS_MAX, until


@pytest.fixture
def proxy(settings: Settings) -> Iterator[Proxy]:
    with proxied(settings.database_url) as proxy:
        yield proxy


@pytest.fixture
def behind(settings: Settings, proxy: Proxy, cut: Cut) -> Iterator[Services]:
    """The services, speaking through the proxy. Where its silence has to be waited for, timeouts are short."""
    through = replace(settings, database_url=proxy.conninfo)
    if cut.name.endswith("SILENCED"):
        through = replace(through, statement_timeout=2.0, lock_timeout=1.0)
    with open_services(through, proxy.conninfo) as services:
        yield services


# What a single client is told. A connection that dies before anything was written is replaced unnoticed; one that dies
# with the write on its way is looked after until it is known what became of it.
TOLD: dict[Cut, type | tuple[type, ...]] = {
    Cut.LOOK_UNSENT: Receipt,
    Cut.LOOK_UNANSWERED: Receipt,
    Cut.LOOK_SILENCED: StoreUnavailable,  # the silent transaction still holds the lock
    Cut.WRITE_UNSENT: StoreUnavailable,
    Cut.WRITE_HALVED: StoreUnavailable,
    Cut.WRITE_AT_ONCE: (Receipt, StoreUnavailable),
    Cut.WRITE_UNANSWERED: Receipt,
    Cut.WRITE_SILENCED: Receipt,
}


@pytest.mark.parametrize("cut", Cut, ids=lambda cut: cut.name.lower())
def test_a_connection_lost_at_any_step_leaves_a_command_whole_or_not_there(
    cut: Cut, behind: Services, proxy: Proxy, settings: Settings
) -> None:
    organisation = given.an_organisation(behind)
    attempts = [attempt(behind, organisation)]
    proxy.cut = cut
    attempts.append(attempt(behind, organisation))
    assert proxy.cuts == 1
    assert isinstance(attempts[-1].told, TOLD[cut])
    if cut is Cut.LOOK_SILENCED:  # until the server ends it, here or after its idle timeout
        _end_all_transactions(settings)
    attempts += [attempt(behind, organisation) for _ in range(3)]
    assert all(a.acknowledged for a in attempts[2:])
    check_everything(behind, attempts)


@pytest.mark.parametrize("cut", [cut for cut in Cut if cut is not Cut.LOOK_SILENCED], ids=lambda cut: cut.name.lower())
def test_a_connection_lost_under_load_leaves_every_command_whole_or_not_there(
    cut: Cut, behind: Services, proxy: Proxy
) -> None:
    organisation = given.an_organisation(behind)

    def work(writer: int) -> list[Attempt]:
        mine = []
        for number in range(8):
            if writer == 0 and number in (2, 5):
                proxy.cut = cut
            mine.append(attempt(behind, organisation))
        return mine

    with ThreadPoolExecutor(8) as pool:
        attempts = [a for mine in pool.map(work, range(8)) for a in mine]
    proxy.cut = None
    assert proxy.cuts
    attempts += [attempt(behind, organisation) for _ in range(3)]
    assert all(a.acknowledged for a in attempts[-3:])
    check_everything(behind, attempts)


def test_backends_terminated_again_and_again_lose_and_double_nothing(services: Services, settings: Settings) -> None:
    organisation = given.an_organisation(services)
    commands = [[given.a_create_command(services, organisation)[0] for _ in range(25)] for _ in range(8)]
    done, terminated = threading.Event(), list[object]()

    def work(mine: list[CreateCredential]) -> list[Attempt]:
        attempts = [attempt_command(services, c) for c in mine[:5]]
        until(lambda: terminated)  # none is over before it began
        return attempts + [attempt_command(services, c) for c in mine[5:]]

    def terminate() -> None:
        with psycopg.connect(settings.database_url, autocommit=True) as connection:
            while not done.wait(0.02):
                terminated.extend(
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE application_name = 'keyledger' AND query <> ''"
                    ).fetchall()
                )

    with ThreadPoolExecutor(9) as pool:
        ending = pool.submit(terminate)
        attempts = list(pool.map(work, commands))
        done.set()
        ending.result(SECONDS_MAX)
    flat = [a for mine in attempts for a in mine]
    flat.append(attempt(services, organisation))
    assert flat[-1].acknowledged
    check_everything(services, flat)


def test_a_commit_that_the_standby_does_not_confirm_is_not_acknowledged(
    own_server: str, own_settings: Settings
) -> None:
    # Its wait is ended by hand, and not by the statement's time before that.
    patient = replace(own_settings, statement_timeout=2 * SECONDS_MAX)
    with open_services(patient, own_server) as services, psycopg.connect(own_server, autocommit=True) as admin:
        organisation = given.an_organisation(services)
        attempts = [attempt(services, organisation)]
        _set(admin, "synchronous_standby_names", "nobody_is_there")
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(attempt, services, organisation)

            def cancelled() -> bool:
                nonlocal waiting
                if waiting.done():  # the server's checkpointer, which tells the others, has not yet read the setting
                    attempts.append(waiting.result())
                    assert attempts[-1].acknowledged
                    waiting = pool.submit(attempt, services, organisation)
                cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
                return bool(admin.execute(cancel).fetchall())

            until(cancelled)
            attempts.append(waiting.result(20))
        assert isinstance(attempts[-1].told, OutcomeUnknown)
        assert "standby" in str(attempts[-1].told)
        _set(admin, "synchronous_standby_names", "")
        attempts.append(attempt(services, organisation))
        assert attempts[-1].acknowledged
        check_everything(services, attempts)


def _set(admin: psycopg.Connection[tuple[object, ...]], name: str, value: str) -> None:
    admin.execute(sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value)))
    admin.execute("SELECT pg_reload_conf()")
    while admin.execute("SELECT current_setting(%s)", (name,)).fetchone() != (value,):
        pass


def _end_all_transactions(settings: Settings) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'")
