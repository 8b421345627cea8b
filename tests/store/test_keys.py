"""The master keys: read from a ring, made once, told apart, and nothing opened with another."""

import base64
import hashlib
import hmac
import stat
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledger.secrets import same_digest
from ledger.settings import Settings, SettingsError
from ledger.store.keys import (
    KEYS_MAX,
    DataKey,
    Keyring,
    WrappedKey,
    WrongMasterKey,
    derive,
    key_id,
    make_master_key_file,
    parse_master_keys,
    same_check_value,
)
from ledger.values import Kind, Mode, SigningAlgorithm

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
CREDENTIAL = UUID(int=7)


def line(key: bytes) -> str:
    """The key as a line of a ring file."""
    return base64.b64encode(key).decode()


# --- the primitives are the published ones ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ikm", "salt", "info", "length", "okm"),
    [
        # RFC 5869 appendix A.1
        (
            "0b" * 22,
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            42,
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        # RFC 5869 appendix A.3: no salt, as we use it
        (
            "0b" * 22,
            "",
            "",
            42,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_hkdf_is_rfc_5869s(ikm: str, salt: str, info: str, length: int, okm: str) -> None:
    derived = HKDF(SHA256(), length, bytes.fromhex(salt) or None, bytes.fromhex(info)).derive(bytes.fromhex(ikm))
    assert derived.hex() == okm


def test_a_key_for_a_use_is_hkdf_with_the_use_as_info() -> None:
    """RFC 5869 section 2 written out with nothing but HMAC."""
    extracted = hmac.digest(bytes(32), OLD, "sha256")
    expanded = hmac.digest(extracted, b"keyledger v1 wrapping data keys\x01", "sha256")
    assert derive(OLD, "wrapping data keys") == expanded


def test_uses_have_keys_of_their_own() -> None:
    uses = ("digest of secrets", "wrapping data keys", "kept answers", "check value", "key id")
    assert len({derive(key, use) for use in uses for key in (OLD, NEW)}) == 10


def test_sealing_is_aes_256_gcm_as_published() -> None:
    """Test case 16 of the GCM specification (McGrew and Viega), which NIST SP 800-38D is."""
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    associated = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    plaintext = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    assert AESGCM(key).encrypt(nonce, plaintext, associated).hex() == (
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        "76fc6ece0f4e1768cddf8853bb2d551b"
    )


# --- the ring --------------------------------------------------------------------------------------------------------


def test_a_ring_file_has_a_key_a_line_the_current_one_first() -> None:
    text = f"# made in 2026\n{line(NEW)}\n\n  {line(OLD)}  # retired\n"
    assert parse_master_keys(text) == [NEW, OLD]
    assert Keyring(parse_master_keys(text)).current == key_id(NEW)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"{line(NEW)}\nnot base64!\n", "line 2 of the master key is not base64"),
        (f"{line(NEW)[:-1]}", "line 1 of the master key is not base64"),
        (f"# x\n{line(NEW[:31])}", "line 2 of the master key is not 32 bytes long"),
        (line(NEW + b"x"), "line 1 of the master key is not 32 bytes long"),
        (f"{line(NEW)},{line(OLD)}", "line 1 of the master key is not base64"),
        ("é" * 44, "line 1 of the master key is not base64"),
    ],
)
def test_an_edited_key_file_names_the_line_and_not_the_key(text: str, why: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_master_keys(text)
    assert str(refused.value) == why


@pytest.mark.parametrize("text", ["# nothing\n", " \n"])
def test_a_ring_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="empty"):
        Keyring.from_settings(Settings(master_key=text))


def test_the_number_of_retired_keys_is_bounded() -> None:
    keys = [bytes([n]) * 32 for n in range(KEYS_MAX + 1)]
    assert len(Keyring(keys[:-1]).check_values()) == KEYS_MAX
    with pytest.raises(SettingsError, match=f"more than {KEYS_MAX}"):
        Keyring(keys)


def test_the_ring_comes_from_the_setting_or_else_from_the_data_directory(tmp_path: Path) -> None:
    (tmp_path / "master.key").write_text(line(OLD))
    assert Keyring.from_settings(Settings(data_dir=tmp_path)).current == key_id(OLD)
    assert Keyring.from_settings(Settings(data_dir=tmp_path, master_key=line(NEW))).current == key_id(NEW)


def test_where_there_is_no_key_the_error_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="set KEYLEDGER_MASTER_KEY or KEYLEDGER_MASTER_KEY_FILE, or restore"):
        Keyring.from_settings(Settings(data_dir=tmp_path))


def test_a_key_file_that_is_no_text_is_an_error_of_the_settings(tmp_path: Path) -> None:
    (tmp_path / "master.key").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="the master key cannot be read"):
        Keyring.from_settings(Settings(data_dir=tmp_path))


def test_a_key_file_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    assert make_master_key_file(file)
    content = file.read_bytes()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(parse_master_keys(content.decode())) == 1
    assert not make_master_key_file(file)
    assert file.read_bytes() == content


def test_a_keys_name_and_check_value_tell_it_from_others_and_not_what_it_is() -> None:
    values = Keyring([NEW, OLD]).check_values()
    assert list(values) == [key_id(NEW), key_id(OLD)]
    assert same_check_value(values[key_id(NEW)], Keyring([NEW]).check_values()[key_id(NEW)])
    assert not same_check_value(values[key_id(NEW)], values[key_id(OLD)])
    for key in (NEW, OLD):
        assert key_id(key) not in (key.hex()[:16], hashlib.sha256(key).hexdigest()[:16])


# --- what it opens ---------------------------------------------------------------------------------------------------


def test_a_data_key_opens_with_the_ring_that_holds_its_master_key() -> None:
    key, wrapped = Keyring([OLD]).new_data_key(CREDENTIAL)
    sealed = key.seal("dev@example.com", b"there")
    rotated = Keyring([NEW, OLD])
    assert rotated.unwrap(wrapped).unseal(sealed, b"there") == "dev@example.com"
    assert rotated.new_data_key(CREDENTIAL)[1].master_key_id == key_id(NEW)


def test_every_aggregate_has_a_data_key_of_its_own() -> None:
    ring = Keyring([NEW])
    one, another = ring.new_data_key(CREDENTIAL)[0], ring.new_data_key(UUID(int=8))[0]
    with pytest.raises(InvalidTag):
        another.unseal(one.seal("dev@example.com", b"there"), b"there")


def test_a_sealed_text_opens_with_what_it_was_bound_to_only() -> None:
    key = DataKey(AESGCM(bytes(32)))
    with pytest.raises(InvalidTag):
        key.unseal(key.seal("dev@example.com", b"there"), b"elsewhere")


def wrapped_by(key: bytes) -> WrappedKey:
    """A data key of the credential."""
    return Keyring([key]).new_data_key(CREDENTIAL)[1]


@pytest.mark.parametrize(
    "wrapped",
    [
        wrapped_by(OTHER),
        WrappedKey(UUID(int=8), key_id(NEW), wrapped_by(NEW).wrapped),
        WrappedKey(CREDENTIAL, key_id(OLD), wrapped_by(NEW).wrapped),
        WrappedKey(CREDENTIAL, key_id(NEW), wrapped_by(NEW).wrapped[:-1] + b"\x00\x00"),
        WrappedKey(CREDENTIAL, "no key", wrapped_by(NEW).wrapped),
    ],
    ids=["another master key", "another aggregate's", "another key's name", "changed bytes", "an unknown name"],
)
def test_a_data_key_that_is_not_ours_does_not_open(wrapped: WrappedKey) -> None:
    with pytest.raises(WrongMasterKey, match="cannot be opened with the master keys at hand"):
        Keyring([NEW, OLD]).unwrap(wrapped)


def test_a_kept_answer_opens_for_the_request_it_answers_only() -> None:
    sealed = Keyring([OLD]).seal_answer(b"the secret", b"operator:1\nkey-1")
    assert Keyring([NEW, OLD]).unseal_answer(sealed, b"operator:1\nkey-1") == b"the secret"
    for ring, associated in ((Keyring([NEW]), b"operator:1\nkey-1"), (Keyring([OLD]), b"operator:2\nkey-1")):
        with pytest.raises(WrongMasterKey):
            ring.unseal_answer(sealed, associated)


def test_secrets_issued_under_a_retired_key_are_still_recognised() -> None:
    issued = Keyring([OLD]).digests.issue(Kind.API_KEY, Mode.LIVE)
    ring = Keyring([NEW, OLD])
    assert same_digest(issued.stored.digest, ring.digests.candidates(issued.plaintext))
    assert ring.digests.issue(Kind.API_KEY, Mode.LIVE).stored.key_id == key_id(NEW)


def test_no_key_is_shown() -> None:
    ring = Keyring([NEW])
    key, wrapped = ring.new_data_key(CREDENTIAL)
    for shown in (repr(ring), str(ring), repr(ring.digests), repr(key), repr(wrapped)):
        for hidden in ("nnn", line(NEW), NEW.hex(), derive(NEW, "digest of secrets").hex()):
            assert hidden not in shown


# --- signing keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", list(SigningAlgorithm))
def test_a_signing_key_is_the_same_for_its_name_and_another_for_every_other(algorithm: SigningAlgorithm) -> None:
    ring, other = Keyring([bytes(32)]), Keyring([bytes([1]) * 32])

    def public(ring: Keyring, kid: str) -> bytes:
        key = ring.signing_key(ring.current, kid, algorithm).public_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    assert public(ring, "a") == public(ring, "a")
    assert len({public(ring, "a"), public(ring, "b"), public(other, "a")}) == 3


def test_a_signing_key_takes_the_master_key_that_it_was_made_of() -> None:
    gone, ring = Keyring([bytes(32)]), Keyring([bytes([1]) * 32])
    assert gone.holds(gone.current)
    assert not ring.holds(gone.current)
    with pytest.raises(WrongMasterKey):
        ring.signing_key(gone.current, "a", SigningAlgorithm.EDDSA)
    both = Keyring([bytes([1]) * 32, bytes(32)])
    again, first = (of.signing_key(gone.current, "a", SigningAlgorithm.EDDSA).public_key() for of in (both, gone))
    assert again == first
