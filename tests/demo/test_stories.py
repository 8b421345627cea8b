"""The demo's stories: in order on any day, the same for the same seed, and holding all that there is to look at."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.demo import applications, channels, merchants, partner_api
from api.demo.lives import Fate
from api.demo.stories import STORIES, tell_all, write_all
from api.sweeping import SWEEPS
from api.wiring import Services
from ledger.events import ApplicationApisConnected, CredentialErased, CredentialRevoked
from ledger.values import Channel, Environment, Kind, Mode, RevocationReason, Role
from projections import PROJECTIONS
from projections.rebuild import rebuild
from tests.projections.keeping_up import all_rows, catch_up

NOW = datetime(2026, 5, 29, 9, 30, tzinfo=UTC)  # a Friday


@pytest.mark.parametrize("days", range(7))
def test_on_any_day_of_the_week_the_log_is_in_the_order_of_time(services: Services, days: int) -> None:
    now = NOW + timedelta(days=days)
    tell_all(services, now=now, seed=days)
    moments = [recorded.event.context.at for recorded in services.log.read(0, 10_000)]
    assert moments == sorted(moments)
    assert now - timedelta(days=370) < moments[0] < now - timedelta(days=360)
    assert now - timedelta(days=5) < moments[-1] < now


def test_each_organisation_has_a_page_or_two_of_credentials(services: Services) -> None:
    for one in tell_all(services, now=NOW, seed=1):
        assert 20 <= len(one.script.holdings) <= 60
        assert one.events > 100


def test_every_kind_of_credential_and_operator_occurs(services: Services) -> None:
    tell_all(services, now=NOW, seed=1)

    def values(query: str) -> set[Any]:
        return {row["value"] for row in services.store.rows(query)}

    assert values("SELECT kind AS value FROM credential_status") == set(Kind)
    assert values("SELECT mode AS value FROM credential_status") == set(Mode)
    assert values("SELECT environment AS value FROM credential_status WHERE environment IS NOT NULL") == set(
        Environment
    )
    assert values("SELECT channel AS value FROM credential_status WHERE channel IS NOT NULL") == set(Channel)
    assert values("SELECT unnest(roles) AS value FROM operator_status") == set(Role)
    assert values("SELECT kind AS value FROM account_status") == {"master", "sub", "merchant"}
    assert values("SELECT count(*) AS value FROM account_status WHERE closed_at IS NOT NULL") == {1}
    assert values("SELECT count(*) AS value FROM application_status WHERE archived_at IS NOT NULL") == {1}


def test_every_end_that_a_credential_can_come_to_occurs(services: Services) -> None:
    tell_all(services, now=NOW, seed=1)
    events = [recorded.event for recorded in services.log.read(0, 10_000)]
    ends = {event.revocation_reason for event in events if isinstance(event, CredentialRevoked)}
    assert ends == set(RevocationReason) - {RevocationReason.UNSPECIFIED}  # here everybody says why
    assert any(isinstance(event, CredentialErased) for event in events)
    assert any(isinstance(event, ApplicationApisConnected) and event.apis == ("products", "stock") for event in events)


def test_every_fate_is_told() -> None:
    told = {client.fate for client in (*partner_api._FESTIVALS, *partner_api._ARENA)}
    told |= {key.fate for keys in merchants._MERCHANTS.values() for key in keys}
    told |= {login.fate for login in channels._LOGINS}
    told |= {pair.fate for application in applications._APPLICATIONS for pair in application.pairs}
    assert told == set(Fate)


def test_nothing_is_left_to_be_swept(services: Services) -> None:
    tell_all(services, now=NOW, seed=1)
    assert [sweep(services) for sweep in SWEEPS] == [0] * len(SWEEPS)


def test_reasons_read_like_tickets_and_each_event_has_one(services: Services) -> None:
    tell_all(services, now=NOW, seed=1)
    reasons = Counter(recorded.event.context.reason.partition("-")[0] for recorded in services.log.read(0, 10_000))
    assert {prefix for _, prefix in STORIES} < set(reasons)
    assert reasons[""] == 0


def story(services: Services, seed: int) -> list[tuple[object, ...]]:
    """What can be said of a story without ids and secrets."""
    told = list[tuple[object, ...]]()
    for script, _ in write_all(services, now=NOW, seed=seed):
        told += [(type(c), c.context.at, c.context.reason.partition("of ")[0]) for c in script.commands]
        told += [(use.version, use.at) for use in script.uses]
    return told


def test_the_same_seed_tells_the_same_story_and_another_one_another(services: Services) -> None:
    assert story(services, 7) == story(services, 7)
    assert story(services, 7) != story(services, 8)


def test_the_views_are_what_a_rebuild_makes_of_the_log(services: Services) -> None:
    tell_all(services, now=NOW, seed=1)
    catch_up(services)
    live = all_rows(services)
    for view in PROJECTIONS:
        rebuild(services.log, view.name)
    assert all_rows(services) == live
