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
    OperatorErased,
    OperatorRemoved,
    OperatorRolesChanged,
    OperatorTokenOverlapEnded,
    OperatorTokenRotated,
)
from ledger.operator import Operator, evolve
from ledger.secret_versions import live
from ledger.service import OPERATOR, fold
from ledger.values import OVERLAP_MAX, Identity, Role, Subject
from tests.unit.deciding import AGGREGATE, DAY, HOUR, NOW, ORGANISATION, START, at, digest, given, recorded
from tests.unit.histories import (
    change_roles,
    enrol,
    enrolled,
    erase_operator,
    operator_erased,
    remove,
    removed,
    rotate_token,
    token_rotated,
)


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


SOMEBODY = Identity("https://login.example.com", Subject("ada-1"))


def test_who_signs_in_elsewhere_is_known_by_issuer_and_subject() -> None:
    [event] = given().when(enrol(identity=SOMEBODY)).decide()
    assert (after(event).issuer, after(event).subject) == ("https://login.example.com", "ada-1")
    assert (after(enrolled()).issuer, after(enrolled()).subject) == ("", "")


def test_who_signs_in_elsewhere_may_have_no_role_for_a_while_and_never_gets_a_token() -> None:
    there = replace(enrolled(), issuer=SOMEBODY.issuer, subject=SOMEBODY.subject)
    given(there).when(change_roles()).then(OperatorRolesChanged(at(NOW), (), production=False))
    without = (there, OperatorRolesChanged(at(START), (), production=False))
    given(*without).when(change_roles()).refuses(errors.NothingChanged, "nothing_changed")
    given(*without).when(change_roles(Role.VIEWER)).then(OperatorRolesChanged(at(NOW), (Role.VIEWER,), False))
    given(there).when(rotate_token()).refuses(errors.SignsInElsewhere, "signs_in_elsewhere")


@pytest.mark.parametrize("text", ["", " ", "a b ", "x" * 256, "é", "a\nb", "a\0"])
def test_a_subject_is_printable_ascii_and_kept_as_it_came(text: str) -> None:
    assert Subject(" ".join("aB")) == "a B"
    with pytest.raises(errors.InvalidValue):
        Subject(text)


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


def test_only_a_removed_operator_can_be_erased_and_only_once() -> None:
    given(enrolled(), removed()).when(erase_operator()).then(OperatorErased(at(NOW)))
    given(enrolled()).when(erase_operator()).refuses(errors.OperatorNotRemoved, "operator_not_removed")
    history = (enrolled(), removed(), operator_erased())
    given(*history).when(erase_operator()).refuses(errors.OperatorErased, "operator_erased")


def test_an_erased_operator_keeps_nothing_but_what_it_was_allowed() -> None:
    before, state = after(enrolled(), removed()), after(enrolled(), removed(), operator_erased())
    assert state == replace(before, name="", email="", erased_at=START, version=3)
