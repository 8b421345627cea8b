"""The rules of a credential: what each command leads to, and why it is refused."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest

from ledger import errors
from ledger.commands import Command, FixScopes
from ledger.credential import Credential, claims_of, evolve, releases_claims
from ledger.events import (
    CredentialDescribed,
    CredentialErased,
    CredentialOverlapEnded,
    CredentialResumed,
    CredentialRevoked,
    CredentialRotated,
    CredentialScopesFixed,
    CredentialSuspended,
    CredentialWhitelisted,
    Event,
)
from ledger.secret_versions import live
from ledger.service import CREDENTIAL, fold
from ledger.values import (
    OVERLAP_MAX,
    Channel,
    Description,
    EmailAddress,
    Environment,
    Kind,
    Label,
    Login,
    Mode,
    Network,
    PublicId,
    RevocationReason,
    Status,
)
from tests.unit.deciding import AGGREGATE, DAY, HOUR, NOW, ORGANISATION, START, at, digest, given, password, recorded
from tests.unit.histories import (
    OFFICE,
    PASSWORD_HASH,
    SCOPES,
    allow,
    create,
    create_login,
    created,
    describe,
    end_overlap,
    erase,
    erased,
    login_created,
    resume,
    resumed,
    revoke,
    revoked,
    rotate,
    rotated,
    scopes_fixed,
    suspend,
    suspended,
    whitelisted,
)


def after(*events: Event) -> Credential:
    """The credential that these events leave."""
    state: Credential = fold(CREDENTIAL, recorded(events))
    return state


# --- creating --------------------------------------------------------------------------------------------------------


def test_creating_fixes_the_scopes_in_the_same_commit() -> None:
    given().when(create()).then(created(NOW), scopes_fixed(NOW))


def test_creating_with_networks_restricts_in_the_same_commit() -> None:
    given().when(create(networks=(OFFICE,))).then(created(NOW), scopes_fixed(NOW), whitelisted(OFFICE, when=NOW))


def test_a_channel_login_is_known_by_its_login_and_may_have_a_chosen_secret() -> None:
    given().when(create_login()).then(login_created(NOW), scopes_fixed(NOW))
    assert after(login_created()).public_id == "Ada.L"


def test_the_first_secret_is_version_one_whatever_the_caller_counted() -> None:
    given().when(create(secret=digest(7))).then(created(NOW, secret=replace(digest(7), version=1)), scopes_fixed(NOW))


def test_an_id_is_used_once() -> None:
    given(created()).when(create()).refuses(errors.AlreadyExists, "already_exists")


@pytest.mark.parametrize(
    ("command", "field", "code"),
    [
        (create(public_id=None), "public_id", "missing_field"),
        (create(login=Login("ada")), "login", "contradiction"),
        (create(password_hash=PASSWORD_HASH, secret=password()), "secret", "contradiction"),
        (create(kind=Kind.OAUTH_CLIENT, password_hash=PASSWORD_HASH), "secret", "contradiction"),
        (create(kind=Kind.KEY_PAIR, password_hash=PASSWORD_HASH), "secret", "contradiction"),
        (create_login(login=None), "login", "missing_field"),
        (create_login(channel=None), "channel", "missing_field"),
        (create_login(public_id=PublicId("ak_live_1")), "public_id", "contradiction"),
        (create(scopes=()), "scopes", "invalid_length"),
        (create(supersedes=AGGREGATE), "supersedes", "contradiction"),
        (create(environment=Environment.PRODUCTION, mode=Mode.TEST), "environment", "contradiction"),
        (create(environment=Environment.STAGING, mode=Mode.LIVE), "environment", "contradiction"),
        (create(environment=Environment.DEVELOPMENT, mode=Mode.LIVE), "environment", "contradiction"),
        (create(expires_at=NOW), "expires_at", "past_time"),
        (create(expires_at=NOW + 3_661 * DAY), "expires_at", "invalid_time"),
        (create(expires_at=(NOW + DAY).replace(tzinfo=None)), "expires_at", "invalid_time"),
    ],
)
def test_what_does_not_fit_together_is_refused_and_names_the_field(command: Command, field: str, code: str) -> None:
    given().when(command).refuses(errors.InvalidValue, code, field=field)


def test_an_expiry_is_kept_in_utc() -> None:
    noon_in_delhi = (NOW + DAY).astimezone(timezone(timedelta(hours=5, minutes=30)))
    [event, _] = given().when(create(expires_at=noon_in_delhi)).decide()
    assert after(event).expires_at == NOW + DAY
    assert after(event).expires_at.utcoffset() == timedelta(0)  # type: ignore[union-attr]


# --- scopes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("history", [(created(), scopes_fixed()), (created(), scopes_fixed(), revoked())])
def test_scopes_are_never_fixed_again(history: tuple[Event, ...]) -> None:
    again = FixScopes(context=at(NOW), credential_id=AGGREGATE, scopes=SCOPES)
    given(*history).when(again).refuses(errors.ScopesAlreadyFixed, "scopes_already_fixed")


# --- rotating --------------------------------------------------------------------------------------------------------


def test_without_an_overlap_the_old_secret_ends_at_once() -> None:
    given(created()).when(rotate()).then(CredentialRotated(at(NOW), replace(digest(), version=2), "", NOW))
    assert [s.version for s in live(after(created(), rotated(when=NOW)).secrets, NOW)] == [2]


def test_with_an_overlap_both_secrets_are_good_until_its_end() -> None:
    state = after(created(), rotated(overlap=HOUR, when=NOW))
    just_before = NOW + HOUR - timedelta(microseconds=1)
    assert [s.version for s in live(state.secrets, just_before)] == [1, 2]
    assert [s.version for s in live(state.secrets, NOW + HOUR)] == [2]
    assert state.status(just_before) is Status.ROTATING
    assert state.status(NOW + HOUR) is Status.ACTIVE
    assert state.rotated_at == NOW


@pytest.mark.parametrize("overlap", [timedelta(0), timedelta(seconds=1), OVERLAP_MAX])
def test_an_overlap_may_last_up_to_its_bound(overlap: timedelta) -> None:
    [event] = given(created()).when(rotate(overlap=overlap)).decide()
    assert isinstance(event, CredentialRotated)
    assert event.previous_expires_at == NOW + overlap


@pytest.mark.parametrize("overlap", [timedelta(microseconds=-1), OVERLAP_MAX + timedelta(microseconds=1)])
def test_an_overlap_out_of_bounds_is_refused(overlap: timedelta) -> None:
    given(created()).when(rotate(overlap=overlap)).refuses(errors.InvalidValue, "out_of_range", field="overlap_seconds")


def test_a_third_live_secret_is_refused() -> None:
    rotating = given(created(), rotated(overlap=2 * DAY))
    rotating.when(rotate(overlap=HOUR)).refuses(errors.TwoSecretsLive, "two_secrets_live")


def test_rotating_at_once_is_always_possible_and_ends_both_older_secrets() -> None:
    rotating = (created(), rotated(overlap=2 * DAY))
    [event] = given(*rotating).when(rotate()).decide()
    assert [s.version for s in live(after(*rotating, event).secrets, NOW)] == [3]


def test_after_an_overlap_is_over_the_next_may_begin() -> None:
    given(created(), rotated(overlap=HOUR)).when(rotate(overlap=HOUR)).then(
        CredentialRotated(at(NOW), replace(digest(), version=3), "", NOW + HOUR)
    )


def test_a_secret_that_ended_stays_ended_when_the_next_overlap_is_longer() -> None:
    state = after(created(), rotated(overlap=HOUR), rotated(3, overlap=5 * DAY, when=NOW))
    assert [s.expires_at for s in state.secrets] == [START + HOUR, NOW + 5 * DAY, None]


def test_only_a_channel_login_may_rotate_to_a_chosen_secret() -> None:
    chosen = rotate(secret=password(), password_hash=PASSWORD_HASH)
    given(created()).when(chosen).refuses(errors.InvalidValue, "contradiction", field="secret")
    given(login_created()).when(chosen).then(CredentialRotated(at(NOW), password(2), PASSWORD_HASH, NOW))


def test_a_channel_login_may_take_another_login_with_another_secret() -> None:
    [event] = given(login_created()).when(rotate(login=Login("ada.k"))).decide()
    assert event == CredentialRotated(at(NOW), replace(digest(), version=2), "", NOW, "ada.k")
    assert after(login_created(), event).public_id == "ada.k"
    assert after(login_created(), rotated()).public_id == "Ada.L"


def test_the_login_it_has_is_no_other_one() -> None:
    [event] = given(login_created()).when(rotate(login=Login("Ada.L"), overlap=HOUR)).decide()
    assert isinstance(event, CredentialRotated)
    assert event.login == ""


def test_another_login_takes_effect_at_once_and_is_for_channel_logins() -> None:
    given(login_created()).when(rotate(login=Login("ada.k"), overlap=HOUR)).refuses(
        errors.InvalidValue, "contradiction", field="login"
    )
    given(created()).when(rotate(login=Login("ada.k"))).refuses(errors.InvalidValue, "contradiction", field="login")


def test_an_expired_credential_is_not_rotated_back_to_life() -> None:
    given(created(expires_at=NOW)).when(rotate()).refuses(errors.CredentialExpired, "credential_expired")


def test_a_suspended_credential_can_be_rotated_and_stays_suspended() -> None:
    history = (created(), suspended())
    [event] = given(*history).when(rotate()).decide()
    assert after(*history, event).status(NOW) is Status.SUSPENDED


def test_the_older_secret_can_be_retired_early() -> None:
    rotating = (created(), rotated(overlap=2 * DAY))
    ended = CredentialOverlapEnded(at(NOW), retired_version=1)
    given(*rotating).when(end_overlap()).then(ended)
    assert [s.version for s in live(after(*rotating, ended).secrets, NOW)] == [2]


@pytest.mark.parametrize("history", [(created(),), (created(), rotated(overlap=HOUR)), (created(), rotated())])
def test_there_is_no_overlap_to_end_where_one_secret_is_live(history: tuple[Event, ...]) -> None:
    given(*history).when(end_overlap()).refuses(errors.NoOverlap, "no_overlap")


# --- revoking --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", RevocationReason)
def test_revoking_takes_effect_now_and_has_a_typed_reason(reason: RevocationReason) -> None:
    given(created()).when(revoke(reason=reason)).then(CredentialRevoked(at(NOW), reason, NOW))


def test_a_revocation_set_for_later_leaves_the_credential_usable_until_then() -> None:
    given(created()).when(revoke(NOW + HOUR)).then(CredentialRevoked(at(NOW), RevocationReason.UNSPECIFIED, NOW + HOUR))
    state = after(created(), revoked(NOW + HOUR))
    assert state.status(NOW + HOUR - timedelta(microseconds=1)) is Status.ACTIVE
    assert state.status(NOW + HOUR) is Status.REVOKED


def test_until_a_revocation_takes_effect_the_credential_can_be_worked_with() -> None:
    coming = given(created(), revoked(NOW + DAY))
    coming.when(suspend()).then(CredentialSuspended(at(NOW)))
    coming.when(rotate()).then(CredentialRotated(at(NOW), replace(digest(), version=2), "", NOW))
    coming.when(allow(OFFICE)).then(whitelisted(OFFICE, when=NOW))


def test_a_coming_revocation_can_be_brought_forward() -> None:
    coming = given(created(), revoked(NOW + DAY))
    coming.when(revoke()).then(revoked(when=NOW))
    coming.when(revoke(NOW + HOUR)).then(revoked(NOW + HOUR, when=NOW))


def test_a_revocation_by_a_faster_clock_is_not_brought_forward_by_a_slower_one() -> None:
    ahead = NOW + timedelta(seconds=30)
    history = given(created(), revoked(ahead, when=ahead))
    history.when(revoke()).refuses(errors.CredentialRevoked, "credential_revoked")
    history.when(suspend()).refuses(errors.CredentialRevoked, "credential_revoked")


@pytest.mark.parametrize("later", [NOW + DAY, NOW + DAY + HOUR])
def test_a_coming_revocation_cannot_be_put_off(later: datetime) -> None:
    given(created(), revoked(NOW + DAY)).when(revoke(later)).refuses(errors.CredentialRevoked, "credential_revoked")


@pytest.mark.parametrize(
    ("moment", "code"), [(NOW, "past_time"), (NOW - HOUR, "past_time"), (NOW + 3_661 * DAY, "invalid_time")]
)
def test_a_revocation_is_set_for_a_coming_time_within_bounds(moment: datetime, code: str) -> None:
    given(created()).when(revoke(moment)).refuses(errors.InvalidValue, code, field="effective_at")


@pytest.mark.parametrize(
    "command", [rotate(), end_overlap(), revoke(), revoke(NOW + HOUR), suspend(), resume(), allow(OFFICE)]
)
@pytest.mark.parametrize(
    "history", [(created(), revoked()), (created(), revoked(NOW)), (created(), suspended(), revoked())]
)
def test_revocation_is_final(history: tuple[Event, ...], command: Command) -> None:
    given(*history).when(command).refuses(errors.CredentialRevoked, "credential_revoked")


# --- suspending ------------------------------------------------------------------------------------------------------


def test_suspending_and_resuming_leave_the_credential_as_it_was() -> None:
    given(created()).when(suspend()).then(CredentialSuspended(at(NOW)))
    given(created(), suspended()).when(resume()).then(CredentialResumed(at(NOW)))
    before, afterwards = after(created()), after(created(), suspended(), resumed())
    assert replace(afterwards, version=before.version) == before


def test_a_suspended_credential_is_not_suspended_again() -> None:
    given(created(), suspended()).when(suspend()).refuses(
        errors.CredentialAlreadySuspended, "credential_already_suspended"
    )


@pytest.mark.parametrize("history", [(created(),), (created(), suspended(), resumed())])
def test_there_is_nothing_to_resume_without_a_suspension(history: tuple[Event, ...]) -> None:
    given(*history).when(resume()).refuses(errors.CredentialNotSuspended, "credential_not_suspended")


def test_a_suspended_credential_can_be_revoked() -> None:
    given(created(), suspended()).when(revoke()).then(revoked(when=NOW))


# --- the status ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("history", "status"),
    [
        ((created(),), Status.ACTIVE),
        ((created(), rotated(overlap=2 * DAY)), Status.ROTATING),
        ((created(), rotated(overlap=2 * DAY), suspended()), Status.SUSPENDED),
        ((created(expires_at=NOW),), Status.EXPIRED),
        ((created(expires_at=NOW + HOUR),), Status.ACTIVE),
        ((created(expires_at=NOW), suspended()), Status.EXPIRED),
        ((created(expires_at=NOW), suspended(), revoked()), Status.REVOKED),
        ((created(expires_at=NOW), suspended(), revoked(NOW + HOUR)), Status.EXPIRED),
    ],
)
def test_of_several_statuses_that_apply_the_hardest_to_undo_is_said(history: tuple[Event, ...], status: Status) -> None:
    assert after(*history).status(NOW) is status


def test_the_badge_is_active_for_the_two_statuses_that_admit_someone() -> None:
    assert {status for status in Status if status.active} == {Status.ACTIVE, Status.ROTATING}


# --- the allowlist ---------------------------------------------------------------------------------------------------


def test_the_allowlist_is_set_whole_and_can_be_emptied() -> None:
    other = Network("198.51.100.7")
    given(created()).when(allow(OFFICE, other)).then(CredentialWhitelisted(at(NOW), (OFFICE, other)))
    given(created(), whitelisted(OFFICE)).when(allow()).then(CredentialWhitelisted(at(NOW), ()))


def test_the_same_allowlist_again_records_nothing() -> None:
    given(created(), whitelisted(OFFICE)).when(allow(OFFICE)).refuses(errors.NothingChanged, "nothing_changed")
    given(created()).when(allow()).refuses(errors.NothingChanged, "nothing_changed")


# --- describing ------------------------------------------------------------------------------------------------------


def test_describing_changes_what_is_given_and_keeps_the_rest() -> None:
    given(created(labels={"team": "a"})).when(describe(description=Description("nightly\nrun"))).then(
        CredentialDescribed(at(NOW), "Billing export", "nightly\nrun", "dev@example.com", {"team": "a"})
    )


def test_an_empty_value_clears_and_another_contact_replaces() -> None:
    given(created(labels={"team": "a"})).when(
        describe(name=Label(""), contact_email=EmailAddress("ops@example.com"), labels={})
    ).then(CredentialDescribed(at(NOW), "", "", "ops@example.com", {}))


def test_describing_as_it_is_records_nothing() -> None:
    given(created()).when(describe()).refuses(errors.NothingChanged, "nothing_changed")
    given(created()).when(describe(name=Label("Billing export"))).refuses(errors.NothingChanged, "nothing_changed")


def test_a_revoked_credential_can_be_annotated_but_an_erased_one_cannot() -> None:
    given(created(), revoked()).when(describe(name=Label("the leaked one"))).then(
        CredentialDescribed(at(NOW), "the leaked one", "", "dev@example.com", {})
    )
    given(created(), revoked(), erased()).when(describe(name=Label("x"))).refuses(
        errors.CredentialErased, "credential_erased"
    )


# --- erasing ---------------------------------------------------------------------------------------------------------


def test_only_a_revoked_credential_can_be_erased() -> None:
    given(created(), revoked()).when(erase()).then(CredentialErased(at(NOW)))
    for history in (
        (created(),),
        (created(), suspended()),
        (created(), revoked(NOW + HOUR)),
        (created(expires_at=NOW),),
    ):
        given(*history).when(erase()).refuses(errors.CredentialNotRevoked, "credential_not_revoked")


def test_what_was_erased_cannot_be_erased_again() -> None:
    given(created(), revoked(), erased()).when(erase()).refuses(errors.CredentialErased, "credential_erased")


def test_erasing_leaves_nothing_personal_in_the_state() -> None:
    state = after(login_created(), scopes_fixed(), whitelisted(OFFICE), revoked(), erased(NOW))
    assert (state.public_id, state.contact_email, state.networks) == ("", "", ())
    assert [s.password_hash for s in state.secrets] == [""]
    assert state.erased_at == NOW


def test_what_is_not_personal_outlives_the_erasure() -> None:
    state = after(created(), scopes_fixed(), revoked(), erased(NOW))
    assert (state.public_id, state.scopes, state.name) == ("ak_live_1", SCOPES, "Billing export")


# --- claims ----------------------------------------------------------------------------------------------------------


def claims(*history: Event) -> list[tuple[str, str]]:
    """What the last of these events claims."""
    return claims_of(after(*history), history[-1])


def test_a_login_is_claimed_on_its_channel_whatever_its_letter_case() -> None:
    assert claims(login_created()) == [("login", "ftp/ada.l")]
    assert claims(login_created(login="ADA.L")) == claims(login_created())
    assert claims(login_created(channel=Channel.EMAIL)) != claims(login_created())
    assert claims(login_created(), CredentialRotated(at(NOW), digest(2), "", NOW, "Ada.K")) == [("login", "ftp/ada.k")]


def test_an_imported_public_identifier_is_claimed_and_a_generated_one_need_not_be() -> None:
    assert claims(created(imported_from="vault")) == [("public_id", "ak_live_1")]
    assert claims(created()) == []


def test_a_place_for_keys_of_an_account_on_a_channel_is_claimed() -> None:
    placed = login_created(account_id=ORGANISATION, channel_slot=2)
    assert claims(placed) == [("login", "ftp/ada.l"), ("channel_slot", f"{ORGANISATION}/ftp/2")]
    assert after(placed).channel_slot == 2


def test_names_are_held_until_erasure() -> None:
    history = [created(), scopes_fixed(), rotated(), suspended(), resumed(), revoked(), erased()]
    assert [releases_claims(event) for event in history] == [False] * 6 + [True]
    assert all(claims(*history[:number]) == [] for number in range(2, len(history) + 1))


# --- folding ---------------------------------------------------------------------------------------------------------


def test_a_history_cannot_begin_in_the_middle() -> None:
    with pytest.raises(TypeError, match="cannot begin with CredentialScopesFixed"):
        evolve(None, recorded([scopes_fixed()])[0])


def test_another_aggregates_event_is_not_silently_ignored() -> None:
    class Stray(Event):
        """An event of nothing."""

    with pytest.raises(TypeError, match="no branch for Stray"):
        evolve(after(created()), recorded([Stray(at(NOW))], 2)[0])


def test_folding_counts_versions_and_keeps_the_identity() -> None:
    state = after(created(), scopes_fixed(), suspended())
    assert (state.id, state.version, state.scopes, state.catalogue_version) == (AGGREGATE, 3, SCOPES, 1)
    assert state.suspended_at == START
    assert isinstance(state.id, UUID)


def test_the_last_revocation_that_was_recorded_is_the_one_in_force() -> None:
    forward = CredentialRevoked(at(NOW), RevocationReason.COMPROMISED, NOW)
    state = after(created(), revoked(NOW + DAY), forward)
    assert (state.revoked_at, state.revocation_reason) == (NOW, RevocationReason.COMPROMISED)


def test_fixed_scopes_say_which_catalogue_they_are_from() -> None:
    [_, fixed] = given().when(create(catalogue_version=4)).decide()
    assert fixed == CredentialScopesFixed(at(NOW), SCOPES, 4)
