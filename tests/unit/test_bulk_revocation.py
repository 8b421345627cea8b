"""The rules of a bulk revocation: confirmed once, advanced through what was confirmed, finished with the last."""

from typing import Any
from uuid import UUID

import pytest

from ledger import errors
from ledger.bulk_revocation import CREDENTIALS_MAX, evolve
from ledger.commands import AdvanceBulkRevocation, EraseBulkRevocation, StartBulkRevocation
from ledger.events import (
    BulkRevocationAdvanced,
    BulkRevocationErased,
    BulkRevocationFinished,
    BulkRevocationStarted,
)
from ledger.values import EmailAddress, RevocationReason
from tests.unit.deciding import AGGREGATE, NOW, ORGANISATION, START, at, given, recorded

THREE = (UUID(int=1), UUID(int=2), UUID(int=3))


def started(moment: Any = START, credentials: tuple[UUID, ...] = THREE) -> BulkRevocationStarted:
    """The run was confirmed."""
    return BulkRevocationStarted(
        at(moment),
        organisation_id=ORGANISATION,
        contact_email="gone@example.com",
        selection={"mode": "live"},
        revocation_reason=RevocationReason.OWNER_LEFT,
        digest="d",
        credential_ids=credentials,
    )


def start(credentials: tuple[UUID, ...] = THREE) -> StartBulkRevocation:
    """Confirm the run."""
    return StartBulkRevocation(
        context=at(NOW),
        run_id=AGGREGATE,
        organisation_id=ORGANISATION,
        contact_email=EmailAddress("gone@example.com"),
        selection={"mode": "live"},
        revocation_reason=RevocationReason.OWNER_LEFT,
        digest="d",
        credential_ids=credentials,
    )


def advance(revoked: int, skipped: int = 0) -> AdvanceBulkRevocation:
    """So many more were dealt with."""
    return AdvanceBulkRevocation(context=at(NOW), run_id=AGGREGATE, revoked=revoked, skipped=skipped)


def test_a_run_is_started_once() -> None:
    given().when(start()).then(started(NOW))
    given(started()).when(start()).refuses(errors.AlreadyExists, "already_exists")


def test_a_run_is_about_something_and_not_about_too_much() -> None:
    given().when(start(())).refuses(errors.NothingChanged, "nothing_changed")
    most = tuple(UUID(int=number) for number in range(CREDENTIALS_MAX))
    given().when(start(most)).then(started(NOW, most))
    too_many = (*most, UUID(int=CREDENTIALS_MAX))
    given().when(start(too_many)).refuses(errors.InvalidValue, "selection_too_large", field="filter")


def test_a_run_is_finished_with_its_last_credential_and_tells_its_own_counts() -> None:
    given(started()).when(advance(1, 1)).then(BulkRevocationAdvanced(at(NOW), 1, 1))
    before = (started(), BulkRevocationAdvanced(at(START), 1, 1))
    given(*before).when(advance(1)).then(BulkRevocationAdvanced(at(NOW), 1, 0), BulkRevocationFinished(at(NOW), 2, 1))
    finished = (*before, BulkRevocationAdvanced(at(START), 1, 0), BulkRevocationFinished(at(START), 2, 1))
    given(*finished).when(advance(1)).refuses(errors.NothingChanged, "nothing_changed")


@pytest.mark.parametrize(("revoked", "skipped"), [(0, 0), (4, 0), (2, 2), (-1, 2), (2, -1)])
def test_a_step_is_a_part_of_what_is_left(revoked: int, skipped: int) -> None:
    given(started()).when(advance(revoked, skipped)).refuses(errors.InvalidValue, "out_of_range", field="revoked")


def test_what_is_left_begins_behind_what_was_dealt_with() -> None:
    state = evolve(None, recorded([started()])[0])
    state = evolve(state, recorded([BulkRevocationAdvanced(at(START), 1, 1)], 2)[0])
    assert (state.total, state.left) == (3, THREE[2:])


def test_a_history_cannot_begin_in_the_middle() -> None:
    with pytest.raises(TypeError, match="BulkRevocationFinished"):
        evolve(None, recorded([BulkRevocationFinished(at(START), 1, 0)])[0])


def test_the_email_of_a_run_can_be_erased_once_and_the_run_goes_on_without_it() -> None:
    erase = EraseBulkRevocation(context=at(NOW), run_id=AGGREGATE)
    given(started()).when(erase).then(BulkRevocationErased(at(NOW)))
    erased = (started(), BulkRevocationErased(at(START)))
    given(*erased).when(erase).refuses(errors.NothingChanged, "nothing_changed")
    given(*erased).when(advance(1)).then(BulkRevocationAdvanced(at(NOW), 1, 0))
