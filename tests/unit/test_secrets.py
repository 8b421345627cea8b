"""Secrets: their format and checksum, how they are kept, which passwords may be chosen."""

import hashlib
import hmac
import re
import string
import time
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger import secrets
from ledger.errors import InvalidValue, QueueFull
from ledger.events import StoredSecret
from ledger.secret_format import ALPHABET, SECRET_PATTERN, checksum, well_formed
from ledger.secrets import (
    ARGON2ID,
    HMAC_OF_SHA256,
    HMAC_SHA256,
    SECRET_CHARS_MAX,
    DigestKeys,
    Holder,
    choose_password,
    format_secret,
    malformed,
    new_public_id,
    password_matches,
    random_text,
    same_digest,
)
from ledger.values import PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, Kind, Mode

OLD, NEW = b"o" * 32, b"n" * 32
KEYS = DigestKeys("new", {"new": NEW, "old": OLD})
GOOD_PASSWORD = "plum-Tractor-osmosis-41"

holders: st.SearchStrategy[Holder] = st.sampled_from([*Kind, "operator"])
random_parts = st.text(ALPHABET, min_size=30, max_size=30)
generated = st.builds(format_secret, holders, st.sampled_from(Mode), random_parts)


# --- the format ------------------------------------------------------------------------------------------------------


def test_a_secret_says_what_it_is_and_carries_178_bits() -> None:
    secret = KEYS.issue(Kind.API_KEY, Mode.LIVE).plaintext
    assert re.fullmatch(r"kl_api_key_live_[0-9A-Za-z]{36}", secret)
    assert 62**30 > 2**178


# Computed by another implementation, in Perl, that shares no code with ours.
@pytest.mark.parametrize(
    ("random", "expected"),
    [
        ("0" * 30, "2C8GjS"),
        ("z" * 30, "4IlJEz"),
        ("abcdefghijklmnopqrstuvwxyz0123", "2LolCm"),
        ("paddednjKGZt0XmXrilwkG1OlXP9Ad", "006aUU"),
    ],
)
def test_the_checksum_is_crc32_in_base62_padded_on_the_left(random: str, expected: str) -> None:
    assert checksum(random) == expected


@given(random_parts)
def test_the_checksum_reads_back_as_the_crc32(random: str) -> None:
    digits = string.digits + string.ascii_uppercase + string.ascii_lowercase
    value = 0
    for digit in checksum(random):
        value = value * 62 + digits.index(digit)
    assert value == bitwise_crc32(random.encode())
    assert len(checksum(random)) == 6


def bitwise_crc32(data: bytes) -> int:
    """CRC-32 as ISO-HDLC defines it (polynomial 0x04C11DB7 reflected), bit by bit."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0xEDB88320 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def test_our_crc32_is_the_published_one() -> None:
    assert bitwise_crc32(b"123456789") == 0xCBF43926  # the check value of the CRC catalogue


def test_a_single_wrong_character_is_always_noticed() -> None:
    secret = format_secret(Kind.API_KEY, Mode.TEST, "4gSfVbVpXKlSuXyWTrDYtBPSoxfmEt")
    start = len(secret) - 36
    for place in range(start, len(secret)):
        for other in ALPHABET:
            mistyped = secret[:place] + other + secret[place + 1 :]
            assert well_formed(mistyped) is (mistyped == secret)


@given(generated, st.integers(0, 34))
def test_two_characters_that_changed_places_are_noticed(secret: str, place: int) -> None:
    first = len(secret) - 36 + place
    swapped = secret[:first] + secret[first + 1] + secret[first] + secret[first + 2 :]
    assert well_formed(swapped) is (swapped == secret)


@given(generated)
def test_every_generated_secret_is_well_formed(secret: str) -> None:
    assert well_formed(secret)
    assert not malformed(secret)
    assert not well_formed(secret + "\n")
    assert not well_formed(" " + secret)
    assert not well_formed(secret[:-1])


@pytest.mark.parametrize(
    ("presented", "wrong"),
    [
        ("", True),
        ("kl_", True),
        ("kl_api_key_live_" + "0" * 36, True),
        ("kl_password_of_mine", True),
        ("a chosen password", False),
        ("x" * SECRET_CHARS_MAX, False),
        ("x" * (SECRET_CHARS_MAX + 1), True),
        ("\ud800", False),
    ],
)
def test_what_can_never_have_been_given_out_is_malformed(presented: str, wrong: bool) -> None:
    assert malformed(presented) is wrong


@given(st.lists(generated, max_size=3), st.text(string.printable, max_size=40))
def test_the_pattern_finds_secrets_in_any_text(secrets: list[str], text: str) -> None:
    found = re.findall(SECRET_PATTERN, f'{text} "' + f'", {text} key="'.join(secrets))
    assert set(secrets) <= set(found)


def test_the_pattern_finds_nothing_in_prose_and_public_identifiers() -> None:
    prose = f"kl_api_key is the prefix; {new_public_id(Kind.API_KEY, Mode.LIVE)}; kl_api_key_live_short"
    assert re.search(SECRET_PATTERN, prose) is None


def test_random_text_uses_the_whole_alphabet_and_nothing_else() -> None:
    assert set(random_text(62 * 40)) == set(ALPHABET)


def test_public_identifiers_are_told_apart_by_kind_and_mode() -> None:
    prefixes = {new_public_id(kind, mode).rpartition("_")[0] for kind in Kind for mode in Mode}
    assert len(prefixes) == len(Kind) * len(Mode)


# --- digests ---------------------------------------------------------------------------------------------------------


def test_what_is_kept_is_a_keyed_digest_and_a_hint_never_the_secret() -> None:
    issued = KEYS.issue(Kind.KEY_PAIR, Mode.LIVE)
    expected = hmac.new(NEW, issued.plaintext.encode(), hashlib.sha256).hexdigest()
    assert issued.stored == StoredSecret(1, HMAC_SHA256, "new", expected, issued.plaintext[-4:])
    assert issued.password_hash == ""


def test_hmac_sha256_is_the_published_one() -> None:
    # RFC 4231 test case 2
    keys = DigestKeys("jefe", {"jefe": b"Jefe"})
    [candidate] = keys.candidates("kl_")
    assert candidate == hmac.digest(b"Jefe", b"kl_", "sha256").hex()
    assert (
        hmac.digest(b"Jefe", b"what do ya want for nothing?", "sha256").hex()
        == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )


def test_a_secret_is_recognised_under_the_current_key_and_under_retired_ones() -> None:
    before = DigestKeys("old", {"old": OLD}).issue(Kind.API_KEY, Mode.LIVE)
    now = KEYS.issue(Kind.API_KEY, Mode.LIVE)
    assert before.stored.key_id == "old"
    assert now.stored.key_id == "new"
    for issued in (before, now):
        assert same_digest(issued.stored.digest, KEYS.candidates(issued.plaintext))
    assert not same_digest(before.stored.digest, DigestKeys("new", {"new": NEW}).candidates(before.plaintext))


def test_there_is_one_candidate_for_each_key() -> None:
    assert len(KEYS.candidates("kl_x")) == len(KEYS.candidates("x")) == 2


def test_a_secret_of_another_system_is_recognised_by_the_digest_that_system_kept() -> None:
    theirs = "sk_4eC39HqLyjWDarjtT1zdp7dc"
    kept = KEYS.adopt(hashlib.sha256(theirs.encode()).hexdigest(), "p7dc")
    assert (kept.algorithm, kept.key_id, kept.hint) == (HMAC_OF_SHA256, "new", "p7dc")
    assert same_digest(kept.digest, KEYS.candidates(theirs))
    assert not same_digest(kept.digest, KEYS.candidates(theirs + "x"))


def test_whoever_stole_an_imported_digest_cannot_present_it() -> None:
    stolen = hashlib.sha256(b"sk_4eC39HqLyjWDarjtT1zdp7dc").hexdigest()
    assert not same_digest(KEYS.adopt(stolen).digest, KEYS.candidates(stolen))


@pytest.mark.parametrize("wrong", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n"])
def test_what_is_no_digest_is_not_adopted(wrong: str) -> None:
    with pytest.raises(InvalidValue, match="sha256"):
        KEYS.adopt(wrong)


@given(st.text(st.characters(codec=None)))
def test_whatever_is_presented_has_digests(presented: str) -> None:
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in KEYS.candidates(presented))


def test_nothing_equals_a_digest_that_is_not_there() -> None:
    assert not same_digest("", KEYS.candidates("x"))
    assert not same_digest("a", [])


# --- chosen passwords ------------------------------------------------------------------------------------------------


def test_no_password_takes_long_to_judge_whatever_signs_it_holds() -> None:
    """The estimate's cost doubles with each sign that can stand for a letter; unbounded, this one took four seconds."""
    begun = time.process_time()
    choose_password(("4@8({[<369!1|70$5+%2" * 4)[:72])
    assert time.process_time() - begun < 1.5


def test_signs_in_the_place_of_letters_do_not_make_a_common_password_strong() -> None:
    with pytest.raises(InvalidValue, match="easily guessed"):
        choose_password("p@$$w0rdp@$$w0rd1")


def test_a_chosen_password_is_kept_as_argon2id_of_at_least_owasps_floor() -> None:
    issued = choose_password(GOOD_PASSWORD)
    assert issued.stored == StoredSecret(1, ARGON2ID, "", "", hint="")
    assert issued.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert password_matches(issued.password_hash, GOOD_PASSWORD)
    assert not password_matches(issued.password_hash, GOOD_PASSWORD + " ")
    assert choose_password(GOOD_PASSWORD).password_hash != issued.password_hash


def test_a_password_is_the_same_however_its_letters_were_composed() -> None:
    issued = choose_password("Gru\u0308ne-Traktoren-osmose")
    assert password_matches(issued.password_hash, "Gr\u00fcne-Traktoren-osmose")


@pytest.mark.parametrize(
    ("password", "about", "why"),
    [
        ("short-Tractor1", (), f"is shorter than {PASSWORD_CHARS_MIN} characters"),
        ("é" * (PASSWORD_BYTES_MAX // 2 + 1), (), f"is longer than {PASSWORD_BYTES_MAX} bytes"),
        ("plum-Tractor\x00-osmosis", (), "holds control or invisible characters"),
        ("plum-Tractor\u200b-osmosis", (), "holds control or invisible characters"),
        ("plum-Tractor-\ud800osmosis", (), "holds control or invisible characters"),
        ("kl_plum-Tractor-osmosis", (), "begins with kl_"),
        ("passwordpassword", (), "is easily guessed"),
        ("aaaaaaaaaaaaaaaaaaaa", (), "is easily guessed"),
        ("qwertyuiopasdfgh", (), "is easily guessed"),
        ("abcdefghijklmnopqrst", (), "is easily guessed"),
        ("acme-freight-login", ("acme-freight-login",), "is easily guessed"),
        ("acme-freight.Acme-Freight", ("acme-freight",), "is easily guessed"),
        ("acme-freightacme-freight", ("acme-freight",), "is easily guessed"),
    ],
)
def test_a_password_that_will_not_do_says_why_without_repeating_it(
    password: str, about: tuple[str, ...], why: str
) -> None:
    with pytest.raises(InvalidValue) as refused:
        choose_password(password, about)
    assert refused.value.field == "secret"
    assert refused.value.reason.startswith(why)
    assert password not in str(refused.value)


def test_what_a_login_is_called_does_not_make_its_password() -> None:
    about = "zorblatt-quimfex-vandel"
    assert choose_password(about).stored.algorithm == ARGON2ID
    with pytest.raises(InvalidValue, match="easily guessed"):
        choose_password(about, (about,))


def test_a_password_that_is_strong_without_the_login_may_hold_it() -> None:
    assert choose_password("plum-Acme-osmosis-41-tractor", ("acme",)).stored.algorithm == ARGON2ID


@pytest.mark.parametrize("kept", [None, "", "not a hash", "$argon2id$v=19$m=19456,t=2,p=1$"])
def test_nobodys_and_damaged_hashes_match_nothing(kept: str | None) -> None:
    assert not password_matches(kept, GOOD_PASSWORD)


@settings(max_examples=5)
@given(st.text(st.characters(codec=None), max_size=40))
def test_whatever_is_presented_can_be_checked(presented: str) -> None:
    assert not password_matches(None, presented)


def assert_takes_at_once(passwords: int) -> None:
    """So many passwords are checked at once and no more; when they are, another one is."""
    with ExitStack() as at_once:
        for _ in range(passwords):
            at_once.enter_context(secrets._pool.slot())
        with pytest.raises(QueueFull):
            password_matches(None, GOOD_PASSWORD)
    assert not password_matches(None, GOOD_PASSWORD)


@pytest.mark.parametrize(("threads", "passwords"), [(1, 1), (2, 1), (4, 3)])
def test_passwords_leave_a_quarter_of_the_threads_to_everything_else(
    threads: int, passwords: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "_pool", secrets._Pool(threads, cores=8))
    assert_takes_at_once(passwords)


@pytest.mark.parametrize(("cores", "passwords"), [(0, 1), (1, 1), (2, 2), (16, 4)])  # 0 where processes share one
def test_passwords_take_no_more_cores_than_there_are_for_the_process_and_four_at_most(
    cores: int, passwords: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "_ARGON2_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(secrets, "_pool", secrets._Pool(64, cores))
    assert_takes_at_once(passwords)


# --- nothing is shown ------------------------------------------------------------------------------------------------


def test_a_secret_is_in_no_representation() -> None:
    generated_secret, chosen = KEYS.issue(Kind.API_KEY, Mode.LIVE), choose_password(GOOD_PASSWORD)
    for shown in (repr(generated_secret), str(generated_secret), repr(chosen), repr(KEYS), str(KEYS)):
        for hidden in (generated_secret.plaintext, GOOD_PASSWORD, chosen.password_hash, repr(NEW), NEW.hex(), "nnn"):
            assert hidden not in shown
