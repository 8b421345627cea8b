"""How many live keys an account may have on a channel: held also where many are created at the same moment."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from api.wiring import Services, open_services
from ledger.commands import EraseCredential, OpenAccount, RevokeCredential, SuspendCredential
from ledger.errors import ChannelKeyExists
from ledger.service import Receipt
from ledger.settings import ChannelKeys, Settings
from ledger.values import AccountKind, Channel, Mode, Name
from tests import given
from tests.conftest import OpenServices
from tests.store.test_recorder_commands import together


@pytest.fixture
def organisation(services: Services) -> UUID:
    return given.an_organisation(services)


@pytest.fixture
def account(services: Services, organisation: UUID) -> UUID:
    return given.an_account(services, organisation)


def a_key(services: Services, organisation: UUID, account: UUID, channel: Channel, **more: Any) -> Receipt:
    return given.a_credential(services, organisation, account_id=account, channel=channel, **more)[0]


def revoke(services: Services, key: Receipt, **more: Any) -> None:
    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=key.id, **more))


@pytest.mark.parametrize(("channel", "keys_max"), [(Channel.FTP, 1), (Channel.REST, 10)])
def test_of_keys_created_at_once_as_many_get_through_as_are_allowed(
    services: Services,
    open_another: OpenServices,
    organisation: UUID,
    account: UUID,
    channel: Channel,
    keys_max: int,
) -> None:
    processes = [services, open_another()]
    told = together(16, lambda n: a_key(processes[n % 2], organisation, account, channel))

    counted = Counter(type(one) for one in told)
    assert counted == {Receipt: keys_max, ChannelKeyExists: 16 - keys_max}
    slots = {one.state.channel_slot for one in told if isinstance(one, Receipt)}
    assert slots == set(range(1, keys_max + 1))


def test_a_refusal_says_how_many_are_live_and_how_many_may_be(
    services: Services, organisation: UUID, account: UUID
) -> None:
    a_key(services, organisation, account, Channel.EMAIL)
    with pytest.raises(ChannelKeyExists, match="1 good key on the channel email, where it may have 1") as refused:
        a_key(services, organisation, account, Channel.EMAIL)
    assert (refused.value.live, refused.value.keys_max) == (1, 1)


def test_a_place_is_free_again_once_its_key_is_over_for_good(
    services: Services, organisation: UUID, account: UUID
) -> None:
    now = datetime.now(UTC)
    revoked = a_key(services, organisation, account, Channel.FTP)
    revoke(services, revoked)
    long_ago = given.context(at=now - timedelta(days=2))
    a_key(services, organisation, account, Channel.FTP, context=long_ago, expires_at=now - timedelta(days=1))
    a_key(services, organisation, account, Channel.FTP)
    services.ledger.handle(EraseCredential(context=given.context(), credential_id=revoked.id))
    with pytest.raises(ChannelKeyExists):
        a_key(services, organisation, account, Channel.FTP)


def test_what_may_come_back_or_is_still_good_keeps_its_place(
    services: Services, organisation: UUID, account: UUID
) -> None:
    suspended = a_key(services, organisation, account, Channel.FTP)
    services.ledger.handle(SuspendCredential(context=given.context(), credential_id=suspended.id))
    leaving = a_key(services, organisation, account, Channel.HTTP)
    revoke(services, leaving, effective_at=datetime.now(UTC) + timedelta(hours=1))
    for channel in (Channel.FTP, Channel.HTTP):
        with pytest.raises(ChannelKeyExists):
            a_key(services, organisation, account, channel)


def test_erasing_gives_the_place_up(services: Services, organisation: UUID, account: UUID) -> None:
    key = a_key(services, organisation, account, Channel.FTP)
    revoke(services, key)
    services.ledger.handle(EraseCredential(context=given.context(), credential_id=key.id))
    assert services.store.rows("SELECT * FROM ledger_claims WHERE claim = 'channel_slot'") == []


def test_keys_without_an_account_or_without_a_channel_need_no_place(
    services: Services, organisation: UUID, account: UUID
) -> None:
    for more in ({"account_id": account}, {"channel": Channel.FTP}):
        for _ in range(2):
            assert given.a_credential(services, organisation, **more)[0].state.channel_slot == 0


def test_keys_of_one_commit_share_the_limit_and_one_that_it_ends_makes_room(
    services: Services, organisation: UUID, account: UUID
) -> None:
    def command(of: UUID) -> Any:
        return given.a_create_command(services, organisation, account_id=of, channel=Channel.FTP)[0]

    new = OpenAccount(
        context=given.context(),
        account_id=uuid7(),
        organisation_id=organisation,
        kind=AccountKind.MASTER,
        name=Name("New"),
    )
    head = services.log.head()
    with pytest.raises(ChannelKeyExists):
        services.ledger.handle_all([new, command(new.account_id), command(new.account_id)])
    assert services.log.head() == head

    old = services.ledger.handle(command(account))
    revoking = RevokeCredential(context=given.context(), credential_id=old.id)
    services.ledger.handle_all([revoking, command(account)])
    with pytest.raises(ChannelKeyExists):
        services.ledger.handle(command(account))


def test_a_limit_that_was_lowered_counts_those_that_are_there(
    services: Services, settings: Settings, organisation: UUID, account: UUID
) -> None:
    keys = [a_key(services, organisation, account, Channel.REST, mode=Mode.TEST) for _ in range(4)]
    settings = replace(settings, channel_keys_max=ChannelKeys(rest=3))
    with open_services(settings, settings.database_url) as lower:
        _exhaust(services, lower, organisation, account, keys)


def _exhaust(services: Services, lower: Services, organisation: UUID, account: UUID, keys: list[Receipt]) -> None:
    for key in keys[:2]:
        with pytest.raises(ChannelKeyExists):
            a_key(lower, organisation, account, Channel.REST)
        revoke(services, key)
    a_key(lower, organisation, account, Channel.REST)
    with pytest.raises(ChannelKeyExists, match="3 good keys on the channel rest, where it may have 3"):
        a_key(lower, organisation, account, Channel.REST)
