"""What holds for every view."""

import pytest

from api.wiring import INLINE_ROWS, Services, without_rows
from ledger.commands import EraseCredential, RevokeCredential, SetAllowlist
from ledger.events import EVENTS
from ledger.service import (
    ACCOUNT,
    APPLICATION,
    BULK_REVOCATION,
    CATALOGUE,
    CREDENTIAL,
    EXPORT,
    OPERATOR,
    ORGANISATION,
    SEALED_LOG,
    SIGNING_KEY,
    WEBHOOK_ENDPOINT,
)
from ledger.values import Channel, EmailAddress, Kind, Login, Network
from projections import ASYNCHRONOUS, PROJECTIONS
from projections.view import StateView, View
from tests import given
from tests.projections.keeping_up import all_rows, catch_up

every_view = pytest.mark.parametrize("view", PROJECTIONS, ids=lambda view: view.name)


@every_view
def test_a_view_handles_or_ignores_every_type_of_event_and_never_both(view: View) -> None:
    decided = [*view.handles, *view.ignores]
    assert sorted(e.TOPIC for e in decided) == sorted(e.TOPIC for e in EVENTS)


@every_view
def test_a_view_has_a_table_with_its_columns_and_key(view: View, services: Services) -> None:
    for table in view.tables:
        found = services.store.rows(
            "SELECT attname, attnum = ANY(conkey) AS in_key FROM pg_attribute JOIN pg_constraint "
            "ON conrelid = attrelid AND contype = 'p' WHERE attrelid = %s::regclass AND attnum > 0",
            (table.name,),
        )
        beside = {view.beside.column} if isinstance(view, StateView) and view.beside is not None else set()
        assert {row["attname"] for row in found} == set(table.columns) | beside
        assert {row["attname"] for row in found if row["in_key"]} == set(table.key)


def test_views_fold_as_the_domain_does_and_the_inline_ones_are_those_that_are_written_with_events() -> None:
    aggregates = (
        ORGANISATION,
        CATALOGUE,
        OPERATOR,
        ACCOUNT,
        APPLICATION,
        CREDENTIAL,
        BULK_REVOCATION,
        WEBHOOK_ENDPOINT,
        SEALED_LOG,
        EXPORT,
        SIGNING_KEY,
    )
    folds = {aggregate.name: aggregate.evolve for aggregate in aggregates}
    for view in PROJECTIONS:
        if isinstance(view, StateView):
            assert view.evolve is folds[view.aggregate]
    inline = {view.rows_of for view in PROJECTIONS if isinstance(view, StateView) and view.inline}
    assert inline == set(INLINE_ROWS.values()) - {without_rows}
    assert {view.name for view in ASYNCHRONOUS} == {"credential_list", "activity"}


def test_erased_data_is_in_no_row_of_any_view(services: Services) -> None:
    organisation = given.an_organisation(services)
    receipt, _ = given.a_credential(
        services,
        organisation,
        kind=Kind.CHANNEL_LOGIN,
        channel=Channel.FTP,
        login=Login("grace.hopper"),
        contact_email=EmailAddress("grace@navy.example"),
        password_hash="$argon2id$grace",
    )
    services.ledger.handle(
        SetAllowlist(context=given.context(), credential_id=receipt.id, networks=(Network("198.51.100.7/32"),))
    )
    personal = ("grace", "hopper", "navy", "198.51.100.7")
    catch_up(services)
    held = str(all_rows(services))
    assert all(word in held for word in personal)

    services.ledger.handle(RevokeCredential(context=given.context(), credential_id=receipt.id))
    services.ledger.handle(EraseCredential(context=given.context(), credential_id=receipt.id))
    catch_up(services)
    held = str(all_rows(services))
    assert not any(word in held for word in personal)
