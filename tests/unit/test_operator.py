"""The rules of an operator: enrolled, given other roles, another token, removed."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from ledger import errors
from ledger.commands import EndTokenOverlap
from ledger.events import (
    Event,
    OperatorEnrolled,
    OperatorRemoved,
    OperatorRolesChanged,
    OperatorTokenOverlapEnded,
    OperatorTokenRotated,
)
from ledger.operator import Operator, evolve
from ledger.secret_versions import live
from ledger.service import OPERATOR, fold
from ledger.values import OVERLAP_MAX, Role
from tests.unit.deciding import AGGREGATE, DAY, HOUR, NOW, ORGANISATION, START, at, digest, given, recorded
from tests.unit.histories import change_roles, enrol, enrolled, remove, removed, rotate_token, token_rotated


def after(*events: Event) -> Operator:
    """The operator that these events leave."""
    state: Operator = fold(OPERATOR, recorded(events))
    return state


@pytest.mark.parametrize("organisation_id", [None, ORGANISATION])
def test_an_operator_is_enrolled_for_one_organisation_or_for_all(organisation_id: UUID | None) -> None:
    given().when(enrol(organisation_id=organisation_id)).then(
        OperatorEnrolled(at(NOW), "Ada", "ada@example.com", organisation_id, (Role.ADMINISTRATOR,), False, digest())
    )


def test_a_gateway_needs_no_mailbox_and_roles_are_kept_in_one_order() -> None:
    [event] = given().when(enrol(email=None, roles=frozenset({Role.VIEWER, Role.AUDITOR}))).decide()
    assert (after(event).email, after(event).roles) == ("", (Role.AUDITOR, Role.VIEWER))


def test_the_first_token_is_version_one_whatever_the_caller_counted() -> None:
    [event] = given().when(enrol(secret=digest(9))).decide()
    assert after(event).secrets[0].version == 1


def test_an_id_is_used_once() -> None:
    given(enrolled()).when(enrol()).refuses(errors.AlreadyExists, "already_exists")


def test_an_operator_without_a_role_would_be_no_operator() -> None:
    given().when(enrol(roles=frozenset())).refuses(errors.InvalidValue, "invalid_length", field="roles")
    given(enrolled()).when(change_roles()).refuses(errors.InvalidValue, "invalid_length", field="roles")


def test_roles_and_the_grant_for_production_are_set_whole() -> None:
    given(enrolled()).when(change_roles(Role.VIEWER, Role.AUDITOR)).then(
        OperatorRolesChanged(at(NOW), (Role.AUDITOR, Role.VIEWER), production=False)
    )
    given(enrolled()).when(change_roles(Role.ADMINISTRATOR, production=True)).then(
        OperatorRolesChanged(at(NOW), (Role.ADMINISTRATOR,), production=True)
    )


def test_the_same_roles_again_record_nothing() -> None:
    given(enrolled()).when(change_roles(Role.ADMINISTRATOR)).refuses(errors.NothingChanged, "nothing_changed")


def test_a_token_is_rotated_at_once_or_with_an_overlap() -> None:
    second = replace(digest(), version=2)
    given(enrolled()).when(rotate_token()).then(OperatorTokenRotated(at(NOW), second, NOW))
    given(enrolled()).when(rotate_token(HOUR)).then(OperatorTokenRotated(at(NOW), second, NOW + HOUR))


def test_a_third_live_token_is_refused_but_rotating_at_once_is_not() -> None:
    rotating = (enrolled(), token_rotated(overlap=2 * DAY))
    given(*rotating).when(rotate_token(HOUR)).refuses(errors.TwoSecretsLive, "two_secrets_live")
    [event] = given(*rotating).when(rotate_token()).decide()
    assert [s.version for s in live(after(*rotating, event).secrets, NOW)] == [3]


def test_the_older_of_two_live_tokens_is_retired_early() -> None:
    rotating = (enrolled(), token_rotated(overlap=2 * DAY))
    end = EndTokenOverlap(context=at(NOW), operator_id=AGGREGATE)
    ended = OperatorTokenOverlapEnded(at(NOW), retired_version=1)
    given(*rotating).when(end).then(ended)
    assert [s.version for s in live(after(*rotating, ended).secrets, NOW)] == [2]
    given(enrolled()).when(end).refuses(errors.NoOverlap, "no_overlap")
    given(*rotating, removed()).when(end).refuses(errors.OperatorRemoved, "operator_removed")


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), OVERLAP_MAX + timedelta(seconds=1)])
def test_an_overlap_out_of_bounds_is_refused(overlap: timedelta) -> None:
    given(enrolled()).when(rotate_token(overlap)).refuses(errors.InvalidValue, "out_of_range", field="overlap_seconds")


def test_removing_is_final() -> None:
    given(enrolled()).when(remove()).then(OperatorRemoved(at(NOW)))
    assert after(enrolled(), removed()).removed_at == START
    for command in (remove(), rotate_token(), change_roles(Role.VIEWER)):
        given(enrolled(), removed()).when(command).refuses(errors.OperatorRemoved, "operator_removed")


def test_a_history_cannot_begin_in_the_middle() -> None:
    with pytest.raises(TypeError, match="cannot begin with OperatorRemoved"):
        evolve(None, recorded([removed()])[0])
