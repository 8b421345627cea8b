"""May this caller do this? Every code, which one is said where several apply, and what an unknown caller can learn."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import argon2._password_hasher
import argon2.low_level
import pytest

from ledger.secrets import DigestKeys, choose_password
from ledger.values import Channel, Kind, Mode, parse_address
from ledger.verification import Candidate, Code, Question, decide, login_of

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
OURS, THEIRS = UUID(int=1), UUID(int=2)
KEYS = DigestKeys("k1", {"k1": b"k" * 32})
SECRET = KEYS.issue(Kind.API_KEY, Mode.LIVE)
PASSWORD, OTHER_PASSWORD, WRONG_PASSWORD = "plum-Tractor-osmosis-41", "fig-Engine-diffusion-77", "pear-Lathe-entropy-12"
PASSWORD_HASH = choose_password(PASSWORD).password_hash
OTHER_HASH = choose_password(OTHER_PASSWORD).password_hash


def candidate(**changes: Any) -> Candidate:
    """An API key for live data of one organisation, good in every respect."""
    given: dict[str, Any] = {
        "credential_id": UUID(int=3),
        "organisation_id": OURS,
        "account_id": None,
        "application_id": None,
        "kind": "api_key",
        "public_id": "ak_live_1",
        "mode": "live",
        "environment": None,
        "channel": None,
        "scopes": ["customer:edit", "customer:view"],
        "allowlist": [],
        "expires_at": None,
        "suspended_at": None,
        "revoked_at": None,
        "secret_version": 1,
        "algorithm": SECRET.stored.algorithm,
        "digest": SECRET.stored.digest,
        "password_hash": "",
        "secret_expires_at": None,
        "changed_at": NOW - timedelta(days=365),
        **changes,
    }
    return Candidate(**given)


def login(**changes: Any) -> Candidate:
    """An FTP login with a chosen password."""
    given: dict[str, Any] = {
        "kind": "channel_login",
        "public_id": "Ada.L",
        "channel": "ftp",
        "algorithm": "argon2id",
        "digest": "",
        "password_hash": PASSWORD_HASH,
        **changes,
    }
    return candidate(**given)


def question(secret: str = SECRET.plaintext, **changes: Any) -> Question:
    """A gateway of the organisation presents the secret."""
    return Question(
        **{
            "secret": secret,
            "digests": KEYS.candidates(secret),
            "at": NOW,
            "organisation_id": OURS,
            "mode": Mode.LIVE,
            **changes,
        }
    )


def login_question(secret: str = PASSWORD, **changes: Any) -> Question:
    """A gateway of the FTP channel presents a login and a password."""
    return question(secret, **{"public_id": "ada.l", "channel": Channel.FTP, **changes})


# Everything that can be wrong with a credential, from what is said first to what is said last. With each: how the
# credential or the question must be for it to apply.
PRECEDENCE: list[tuple[Code, dict[str, Any], dict[str, Any]]] = [
    (Code.REVOKED, {"revoked_at": NOW}, {}),
    (Code.EXPIRED, {"expires_at": NOW}, {}),
    (Code.SUSPENDED, {"suspended_at": NOW}, {}),
    (Code.WRONG_MODE, {"mode": "test"}, {}),
    (Code.WRONG_CHANNEL, {"channel": "rest"}, {}),
    (Code.IP_NOT_ALLOWED, {"allowlist": ["192.0.2.0/24"]}, {}),
    (Code.INSUFFICIENT_SCOPE, {}, {"scopes": ["customer:delete"]}),
    (Code.API_NOT_CONNECTED, {}, {"api": "billing"}),
]

CONNECTED = {"customers": ["customer:edit", "customer:view"], "orders": ["order:view"], "billing": ["invoice:view"]}


def test_a_credential_that_is_good_in_every_respect_is_valid_and_named() -> None:
    verdict = decide(question(), [candidate()])
    assert (verdict.code, verdict.valid, verdict.candidate) == (Code.VALID, True, candidate())


@pytest.mark.parametrize(("code", "of_credential", "of_question"), PRECEDENCE)
def test_each_code_by_itself(code: Code, of_credential: dict[str, Any], of_question: dict[str, Any]) -> None:
    verdict = decide(question(**of_question), [candidate(**of_credential)])
    assert (verdict.code, verdict.valid) == (code, False)
    assert verdict.candidate is not None


@pytest.mark.parametrize("first", range(len(PRECEDENCE)))
def test_of_several_codes_that_apply_the_most_final_is_said(first: int) -> None:
    of_credential: dict[str, Any] = {}
    of_question: dict[str, Any] = {}
    for _, wrong_credential, wrong_question in PRECEDENCE[first:]:
        of_credential |= wrong_credential
        of_question |= wrong_question
    assert decide(question(**of_question), [candidate(**of_credential)]).code is PRECEDENCE[first][0]


def test_every_code_is_told_by_some_case_here() -> None:
    told = {code for code, _, _ in PRECEDENCE} | {Code.VALID, Code.NOT_FOUND, Code.MALFORMED}
    assert told == set(Code) - {Code.TOO_MANY_ATTEMPTS}  # of which `api/attempts.py` knows


# --- what it hangs on, and what is still offered ---------------------------------------------------------------------


def test_what_hangs_on_something_that_ended_is_refused_as_revoked() -> None:
    assert decide(question(), [candidate(ended=True, suspended_at=NOW)]).code is Code.REVOKED


def test_a_scope_that_the_catalogue_retired_is_not_granted_any_more() -> None:
    retired = candidate(retired=["customer:edit", "order:edit"])
    assert list(decide(question(), [retired]).scopes) == ["customer:view"]
    assert decide(question(scopes=["customer:view"]), [retired]).code is Code.VALID
    assert decide(question(scopes=["customer:edit"]), [retired]).code is Code.INSUFFICIENT_SCOPE


@pytest.mark.parametrize(
    ("connected", "granted"),
    [
        (None, ["customer:edit", "customer:view"]),
        ({}, []),
        ({"orders": ["order:view"]}, []),
        ({"orders": ["customer:view", "order:view"]}, ["customer:view"]),
        ({"one": ["customer:view"], "two": ["customer:edit"]}, ["customer:edit", "customer:view"]),
    ],
)
def test_an_applications_apis_are_the_ceiling_of_its_credentials(
    connected: dict[str, list[str]] | None, granted: list[str]
) -> None:
    below = candidate(connected=connected)
    assert list(decide(question(), [below]).scopes) == granted
    for scope in ("customer:edit", "customer:view"):
        expected = Code.VALID if scope in granted else Code.INSUFFICIENT_SCOPE
        assert decide(question(scopes=[scope]), [below]).code is expected


@pytest.mark.parametrize(
    ("api", "scopes", "code"),
    [
        ("customers", [], Code.VALID),
        ("customers", ["customer:view"], Code.VALID),
        ("orders", [], Code.INSUFFICIENT_SCOPE),  # it is connected, and this credential has nothing to do there
        ("billing", ["customer:view"], Code.INSUFFICIENT_SCOPE),
        ("shipping", [], Code.API_NOT_CONNECTED),
        ("shipping", ["order:view"], Code.INSUFFICIENT_SCOPE),
    ],
)
def test_through_one_api_goes_what_that_api_is_for(api: str, scopes: list[str], code: Code) -> None:
    assert decide(question(api=api, scopes=scopes), [candidate(connected=CONNECTED)]).code is code


def test_a_retired_scope_is_granted_through_no_api() -> None:
    left = candidate(connected=CONNECTED, retired=["customer:edit"])
    assert list(decide(question(), [left]).scopes) == ["customer:view"]


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "before", "after"),
    [
        ({"revoked_at": NOW}, Code.VALID, Code.REVOKED),
        ({"expires_at": NOW}, Code.VALID, Code.EXPIRED),
        ({"secret_expires_at": NOW}, Code.VALID, Code.EXPIRED),
        ({"suspended_at": NOW + HOUR}, Code.SUSPENDED, Code.SUSPENDED),
    ],
)
def test_what_ends_at_a_moment_ends_exactly_then_without_any_timer(
    changes: dict[str, Any], before: Code, after: Code
) -> None:
    just_before = NOW - timedelta(microseconds=1)
    assert decide(question(at=just_before), [candidate(**changes)]).code is before
    assert decide(question(at=NOW), [candidate(**changes)]).code is after


def test_what_was_recorded_holds_at_once_where_the_verifiers_clock_runs_behind() -> None:
    ahead = NOW + timedelta(seconds=30)
    assert decide(question(at=NOW), [candidate(revoked_at=ahead, changed_at=ahead)]).code is Code.REVOKED
    assert decide(question(at=NOW), [candidate(secret_expires_at=ahead, changed_at=ahead)]).code is Code.EXPIRED
    assert decide(question(at=NOW), [candidate(revoked_at=ahead)]).code is Code.VALID  # set for a coming time


# --- what cannot be told apart ---------------------------------------------------------------------------------------


# The ids are said, as test processes that run side by side must collect the same and the secret is random.
@pytest.mark.parametrize(
    "presented",
    ["", "kl_", "kl_api_key_live_" + "0" * 36, SECRET.plaintext[:-1], "x" * 5000],
    ids=["empty", "prefix", "checksum", "short", "long"],
)
def test_a_malformed_secret_needs_no_look_up(presented: str) -> None:
    assert decide(question(presented), []).code is Code.MALFORMED


def test_another_tenants_credential_is_not_found_and_not_named() -> None:
    verdict = decide(question(), [candidate(organisation_id=THEIRS)])
    assert (verdict.code, verdict.candidate) == (Code.NOT_FOUND, None)
    assert decide(question(organisation_id=None), [candidate(organisation_id=THEIRS)]).code is Code.VALID


@pytest.mark.parametrize("worse", [{"revoked_at": NOW}, {"suspended_at": NOW}, {"expires_at": NOW}])
def test_whoever_lacks_the_secret_learns_nothing_of_the_credentials_state(worse: dict[str, Any]) -> None:
    other = KEYS.issue(Kind.API_KEY, Mode.LIVE).plaintext
    assert decide(question(other), [candidate(**worse)]).code is Code.NOT_FOUND
    assert decide(login_question(WRONG_PASSWORD), [login(**worse)]).code is Code.NOT_FOUND


@pytest.mark.parametrize(
    ("kind", "public_id", "code"),
    [
        ("api_key", None, Code.VALID),
        ("api_key", "ak_live_1", Code.VALID),
        ("api_key", "ak_live_2", Code.NOT_FOUND),
        ("oauth_client", "ak_live_1", Code.VALID),
        ("oauth_client", "AK_LIVE_1", Code.NOT_FOUND),
        ("oauth_client", None, Code.NOT_FOUND),
        ("key_pair", "ak_live_1", Code.VALID),
        ("key_pair", None, Code.NOT_FOUND),
        ("channel_login", "AK_live_1", Code.VALID),
        ("channel_login", None, Code.NOT_FOUND),
    ],
)
def test_a_secret_goes_with_its_public_identifier_but_an_api_keys_stands_alone(
    kind: str, public_id: str | None, code: Code
) -> None:
    assert decide(question(public_id=public_id), [candidate(kind=kind)]).code is code


# --- networks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("allowlist", "address", "code"),
    [
        ([], None, Code.VALID),
        ([], "203.0.113.9", Code.VALID),
        (["192.0.2.0/24"], "192.0.2.255", Code.VALID),
        (["192.0.2.0/24"], "192.0.3.0", Code.IP_NOT_ALLOWED),
        (["192.0.2.0/24"], None, Code.IP_NOT_ALLOWED),
        (["0.0.0.0/0", "::/0"], None, Code.IP_NOT_ALLOWED),
        (["192.0.2.7/32", "198.51.100.0/24"], "198.51.100.1", Code.VALID),
        (["192.0.2.0/24"], "::ffff:192.0.2.9", Code.VALID),
        (["192.0.2.0/24"], "::ffff:192.0.3.9", Code.IP_NOT_ALLOWED),
        (["192.0.2.0/24"], "2001:db8::1", Code.IP_NOT_ALLOWED),
        (["2001:db8::/32"], "2001:db8:ffff::1", Code.VALID),
        (["2001:db8::/32"], "2001:db9::1", Code.IP_NOT_ALLOWED),
        (["2001:db8::/32"], "192.0.2.1", Code.IP_NOT_ALLOWED),
        (["::/0"], "192.0.2.1", Code.IP_NOT_ALLOWED),
    ],
)
def test_an_allowlist_admits_its_networks_only(allowlist: list[str], address: str | None, code: Code) -> None:
    found = candidate(allowlist=allowlist)
    parsed = None if address is None else parse_address(address)
    assert decide(question(client_ip=parsed), [found]).code is code
    as_it_came = None if address is None else ip_address(address)  # mapped or not: the answer is the same
    assert decide(question(client_ip=as_it_came), [found]).code is code


# --- modes, channels, scopes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "code"), [(Mode.LIVE, Code.VALID), (Mode.TEST, Code.WRONG_MODE), (None, Code.VALID)])
def test_a_mode_that_is_asked_for_must_be_the_credentials(asked: Mode | None, code: Code) -> None:
    assert decide(question(mode=asked), [candidate()]).code is code


@pytest.mark.parametrize(
    ("of_credential", "asked", "code"),
    [
        (None, None, Code.VALID),
        (None, Channel.REST, Code.VALID),
        ("rest", Channel.REST, Code.VALID),
        ("rest", Channel.FTP, Code.WRONG_CHANNEL),
        ("rest", None, Code.WRONG_CHANNEL),
    ],
)
def test_a_key_of_one_channel_is_good_there_alone(of_credential: str | None, asked: Channel | None, code: Code) -> None:
    assert decide(question(channel=asked), [candidate(channel=of_credential)]).code is code


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ([], Code.VALID),
        (["customer:view"], Code.VALID),
        (["customer:edit", "customer:view", "customer:view"], Code.VALID),
        (["customer:view", "payment:view"], Code.INSUFFICIENT_SCOPE),
        (["customer"], Code.INSUFFICIENT_SCOPE),
    ],
)
def test_all_scopes_that_are_asked_for_must_be_granted(asked: list[str], code: Code) -> None:
    assert decide(question(scopes=asked), [candidate()]).code is code


# --- chosen passwords ------------------------------------------------------------------------------------------------


def test_a_login_is_valid_with_its_password_on_its_channel_whatever_the_letter_case() -> None:
    assert decide(login_question(), [login()]).code is Code.VALID
    assert decide(login_question(public_id="ADA.L"), [login()]).code is Code.VALID
    assert decide(login_question(WRONG_PASSWORD), [login()]).code is Code.NOT_FOUND


def test_during_an_overlap_both_passwords_are_good_and_after_it_the_new_one() -> None:
    two = [
        login(secret_version=2, password_hash=OTHER_HASH),
        login(secret_version=1, secret_expires_at=NOW),
    ]
    just_before = NOW - timedelta(microseconds=1)
    assert decide(login_question(PASSWORD, at=just_before), two).candidate == two[1]
    assert decide(login_question(OTHER_PASSWORD, at=just_before), two).candidate == two[0]
    assert decide(login_question(PASSWORD), two).code is Code.NOT_FOUND
    assert decide(login_question(OTHER_PASSWORD), two).code is Code.VALID


@pytest.mark.parametrize(
    "changes",
    [
        {"public_id": None},
        {"channel": None},
        {"public_id": "no login\x00"},
        {"public_id": "\ud800ada"},
        {"secret": SECRET.plaintext, "digests": []},
    ],
)
def test_a_password_is_looked_up_only_by_a_login_on_a_channel(changes: dict[str, Any]) -> None:
    assert login_of(login_question()) == (Channel.FTP, "ada.l")
    assert login_of(replace(login_question(), **changes)) is None


def test_a_generated_secret_of_a_login_needs_the_login_too() -> None:
    issued = KEYS.issue(Kind.CHANNEL_LOGIN, Mode.LIVE)
    kept = login(algorithm=issued.stored.algorithm, digest=issued.stored.digest, password_hash="")
    assert decide(login_question(issued.plaintext), [kept]).code is Code.VALID
    assert decide(login_question(issued.plaintext, public_id="bob"), [kept]).code is Code.NOT_FOUND
    assert decide(login_question(issued.plaintext, channel=Channel.HTTP), [kept]).code is Code.WRONG_CHANNEL


# --- what the clock can tell -----------------------------------------------------------------------------------------
# Timing is not measured: the work is counted. One argon2id computation takes some twenty milliseconds, all else is
# microseconds.


@contextmanager
def counted_argon2(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The hashes that are computed meanwhile, each recorded with its parameters, and computed all the same."""
    computed: list[bytes] = []
    real = argon2.low_level.verify_secret

    def counting(kept: bytes, secret: bytes, kind: argon2.low_level.Type) -> bool:
        computed.append(kept.rsplit(b"$", 2)[0])
        return real(kept, secret, kind)

    with monkeypatch.context() as patched:
        patched.setattr(argon2._password_hasher, "verify_secret", counting)
        yield computed


REFUSED: dict[str, tuple[Question, list[Candidate]]] = {
    "unknown login": (login_question(), []),
    "wrong password": (login_question(WRONG_PASSWORD), [login()]),
    "wrong password during an overlap": (
        login_question(WRONG_PASSWORD),
        [login(password_hash=OTHER_HASH), login(secret_expires_at=NOW + HOUR)],
    ),
    "a password that has ended": (login_question(), [login(password_hash=OTHER_HASH), login(secret_expires_at=NOW)]),
    "wrong password of a revoked login": (login_question(WRONG_PASSWORD), [login(revoked_at=NOW)]),
    "wrong password of a suspended login": (login_question(WRONG_PASSWORD), [login(suspended_at=NOW)]),
    "another tenant's login with its password": (login_question(), [login(organisation_id=THEIRS)]),
    "an erased login": (login_question(), [login(password_hash="")]),
    "a login with an imported secret": (
        login_question(),
        [login(algorithm="hmac-sha256/sha256", digest="0" * 64, password_hash="")],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_whatever_the_reason_a_refused_login_costs_the_same(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, candidates = REFUSED[case]
    with counted_argon2(monkeypatch) as computed:
        assert decide(asked, candidates).code is Code.NOT_FOUND
    assert computed == [b"$argon2id$v=19$m=19456,t=2,p=1"] * 2


def test_the_right_password_costs_no_more_than_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    with counted_argon2(monkeypatch) as computed:
        assert decide(login_question(), [login()]).valid
    assert len(computed) == 1


def test_generated_secrets_cost_no_password_work_known_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with counted_argon2(monkeypatch) as computed:
        decide(question(), [candidate()])
        decide(question(), [])
        decide(question(public_id="ada", channel=Channel.FTP), [])
        decide(question("kl_api_key_live_" + "0" * 36), [])
    assert computed == []


def test_no_secret_is_shown() -> None:
    for shown in (repr(question()), repr(decide(question(), [candidate()])), repr(login()), repr(login_question())):
        for hidden in (SECRET.plaintext, PASSWORD, PASSWORD_HASH, *KEYS.candidates(PASSWORD)):
            assert hidden not in shown
