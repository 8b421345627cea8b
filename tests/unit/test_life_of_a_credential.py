"""Whatever commands come, in whatever order: what must hold of every credential's life."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.commands import Command, FixScopes
from ledger.credential import Credential, evolve
from ledger.errors import LedgerError
from ledger.events import Event, Recorded
from ledger.secret_versions import live
from ledger.service import CREDENTIAL, ROUTES, fold
from ledger.values import EmailAddress, Label, Login, Network, RevocationReason, Status
from tests.unit import histories
from tests.unit.deciding import AGGREGATE, HOUR, ORGANISATION, START, at, password
from tests.unit.histories import OFFICE, PASSWORD_HASH, SCOPES

spans = st.sampled_from([timedelta(0), timedelta(seconds=1), HOUR, 5 * HOUR, timedelta(days=30)])


@st.composite
def lives(draw: st.DrawFn) -> list[Command]:
    """Commands at growing times, the first of which creates."""
    moment = START
    expiry = draw(st.sampled_from([None, START + 3 * HOUR, START + timedelta(days=365)]))
    begin = draw(st.sampled_from([histories.create, histories.create_login]))
    commands: list[Command] = [begin(context=at(moment), expires_at=expiry, networks=draw(networks))]
    for _ in range(draw(st.integers(0, 12))):
        moment += draw(st.sampled_from([timedelta(microseconds=1), timedelta(minutes=20), 2 * HOUR]))
        commands.append(draw(next_command(moment)))
    return commands


networks = st.sampled_from([(), (OFFICE,), (OFFICE, Network("2001:db8::/32"))])


def next_command(when: datetime) -> st.SearchStrategy[Command]:
    """Any command but creating, at that moment."""
    reasons = st.sampled_from(RevocationReason)
    return st.one_of(
        spans.map(lambda overlap: histories.rotate(when, overlap=overlap)),
        spans.map(
            lambda overlap: histories.rotate(when, overlap=overlap, secret=password(), password_hash=PASSWORD_HASH)
        ),
        st.sampled_from(["ada.k", "Ada.L"]).map(lambda login: histories.rotate(when, login=Login(login))),
        st.just(histories.end_overlap(when)),
        st.builds(
            lambda reason, ahead: histories.revoke(None if not ahead else when + ahead, reason, when), reasons, spans
        ),
        st.just(histories.suspend(when)),
        st.just(histories.resume(when)),
        networks.map(lambda allowed: histories.allow(*allowed, when=when)),
        st.sampled_from(["a", "b"]).map(lambda name: histories.describe(name=Label(name), when=when)),
        st.just(histories.describe(contact_email=EmailAddress("ops@example.com"), when=when)),
        st.just(FixScopes(context=at(when), credential_id=AGGREGATE, scopes=SCOPES)),
        st.just(histories.erase(when)),
    )


def lived(commands: list[Command]) -> tuple[list[Recorded], list[tuple[datetime, Credential]]]:
    """What was recorded, and the state after each command; what is refused changes nothing."""
    history: list[Recorded] = []
    state: Credential | None = None
    states: list[tuple[datetime, Credential]] = []
    for command in commands:
        decide = ROUTES[type(command)][1]
        try:
            decided = decide(state, command)
        except LedgerError:
            decided = []
        for event in decided:
            history.append(Recorded(AGGREGATE, len(history) + 1, ORGANISATION, event))
            state = evolve(state, history[-1])
        assert state is not None
        states.append((command.context.at, state))
    return history, states


@given(lives())
def test_at_most_two_secrets_are_live_at_any_moment(commands: list[Command]) -> None:
    _, states = lived(commands)
    for _, state in states:
        moments = {m for s in state.secrets for m in (s.created_at, s.expires_at) if m is not None}
        for moment in (m for m in moments if m >= state.secrets[-1].created_at):
            assert 1 <= len(live(state.secrets, moment)) <= 2
            assert live(state.secrets, moment)[-1] == state.secrets[-1]


@given(lives())
def test_once_revoked_a_credential_stays_revoked(commands: list[Command]) -> None:
    _, states = lived(commands)
    revoked = False
    for moment, state in states:
        status = state.status(moment)
        assert not revoked or status is Status.REVOKED
        revoked = status is Status.REVOKED


@given(lives())
def test_a_revocation_never_moves_to_a_later_time(commands: list[Command]) -> None:
    _, states = lived(commands)
    ends = [state.revoked_at for _, state in states if state.revoked_at is not None]
    assert ends == sorted(ends, reverse=True)
    since = next((number for number, (_, state) in enumerate(states) if state.revoked_at is not None), len(states))
    assert all(state.revoked_at is not None for _, state in states[since:])


@given(lives())
def test_scopes_are_what_they_were_at_creation(commands: list[Command]) -> None:
    _, states = lived(commands)
    assert {(state.scopes, state.catalogue_version) for _, state in states} == {(SCOPES, 1)}


@given(lives())
def test_secret_versions_and_event_versions_count_without_gaps(commands: list[Command]) -> None:
    history, states = lived(commands)
    _, state = states[-1]
    assert state.version == len(history)
    assert [s.version for s in state.secrets] == list(range(1, len(state.secrets) + 1))


@given(lives())
def test_a_history_folds_to_the_same_state_again(commands: list[Command]) -> None:
    history, states = lived(commands)
    assert fold(CREDENTIAL, history) == states[-1][1]


@given(lives())
def test_an_erased_history_read_without_its_key_folds_to_the_state_that_erasure_left(commands: list[Command]) -> None:
    end = commands[-1].context.at + timedelta(days=40)
    finally_erased = [histories.revoke(when=end), histories.erase(end + HOUR)]
    history, states = lived([*commands, *finally_erased])
    assert states[-1][1].erased_at is not None
    assert fold(CREDENTIAL, [r._replace(event=without_personal_data(r.event)) for r in history]) == states[-1][1]


def without_personal_data(event: Event) -> Event:
    """The event as it reads once its aggregate's data key is destroyed."""
    gone: dict[str, Any] = {}
    for name in event.PERSONAL:
        gone[name] = () if isinstance(getattr(event, name), tuple) else ""
    return replace(event, **gone)
