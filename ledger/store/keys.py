"""Keys: the master key ring, what is derived from it, and the data keys that seal personal fields.

The master key is 32 random bytes from a file or a variable, never from the database. A ring holds the current one first
and retired ones after it, one base64 line each. From each, HKDF-SHA256 (RFC 5869) derives keys for separate uses:
digesting secrets, wrapping data keys, sealing kept answers, telling requests apart, signing access tokens and
checkpoints, and a check value by which a wrong key is noticed before anything is written. Sealing is AES-256-GCM (NIST
SP 800-38D) with a random 96-bit nonce.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ledger.secrets import DigestKeys
from ledger.settings import Settings, SettingsError
from ledger.values import SigningAlgorithm

KEY_BYTES = 32
NONCE_BYTES = 12
KEYS_MAX = 4  # each retired key costs a digest at every verification of an unknown secret

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey

# The order of P-256's base point (SP 800-186 section 3.2.1.3), and the bytes that a private key for it is made of: 64
# bits more than it has, so that what is left of the division is as good as uniform (FIPS 186-5 appendix A.2.1).
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_P256_BYTES = 40


class WrongMasterKey(Exception):
    """The master key is not the one this ledger was written with."""


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key as the database holds it: sealed under the master key that `master_key_id` names."""

    aggregate_id: UUID
    master_key_id: str
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class DataKey:
    """The key of one aggregate's personal fields. Destroying its wrapped form erases them everywhere."""

    cipher: AESGCM = field(repr=False)

    def seal(self, text: str, associated: bytes) -> bytes:
        """Nonce and ciphertext of a text, bound to its place."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self.cipher.encrypt(nonce, text.encode(), associated)

    def unseal(self, sealed: bytes, associated: bytes) -> str:
        """The text again. Raises `cryptography.exceptions.InvalidTag` where bytes or place were changed."""
        return self.cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated).decode()


class Keyring:
    """The master keys of one ledger and what is derived from them."""

    def __init__(self, master_keys: Iterable[bytes]) -> None:
        self._masters = {key_id(key): key for key in master_keys}  # in order: the current one is the first
        if not self._masters:
            raise SettingsError("the master key ring is empty")
        if len(self._masters) > KEYS_MAX:
            raise SettingsError(f"the master key ring holds more than {KEYS_MAX} keys")
        self.current = next(iter(self._masters))
        self.digests = DigestKeys(
            self.current, {name: derive(key, "digest of secrets") for name, key in self._masters.items()}
        )
        self._wrapping = {name: AESGCM(derive(key, "wrapping data keys")) for name, key in self._masters.items()}
        self._answers = {name: AESGCM(derive(key, "kept answers")) for name, key in self._masters.items()}
        self._requests = [derive(key, "fingerprints of requests") for key in self._masters.values()]

    def __repr__(self) -> str:
        return f"Keyring(current={self.current!r}, {len(self._masters)} keys)"

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The ring that the settings hold, or the one in the data directory."""
        text = settings.master_key
        if not text:
            try:
                text = settings.master_key_file.read_text(encoding="ascii")
            except FileNotFoundError:
                raise SettingsError(
                    "there is no master key: set KEYLEDGER_MASTER_KEY or KEYLEDGER_MASTER_KEY_FILE, "
                    f"or restore {settings.master_key_file}"
                ) from None
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"the master key cannot be read: {error}") from None
        return cls(parse_master_keys(text))

    def check_values(self) -> dict[str, bytes]:
        """For each key by id, a value that only this key gives and that tells nothing about it."""
        return {name: derive(key, "check value")[:16] for name, key in self._masters.items()}

    def new_data_key(self, aggregate_id: UUID) -> tuple[DataKey, WrappedKey]:
        """A fresh data key, open and wrapped."""
        key = secrets.token_bytes(KEY_BYTES)
        nonce = os.urandom(NONCE_BYTES)
        wrapped = nonce + self._wrapping[self.current].encrypt(nonce, key, aggregate_id.bytes)
        return DataKey(AESGCM(key)), WrappedKey(aggregate_id, self.current, wrapped)

    def unwrap(self, wrapped: WrappedKey) -> DataKey:
        """The data key again. Raises `WrongMasterKey` where the ring lacks its master key or the bytes were changed."""
        try:
            cipher = self._wrapping[wrapped.master_key_id]
            sealed = wrapped.wrapped
            key = cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], wrapped.aggregate_id.bytes)
        except (KeyError, InvalidTag):
            raise WrongMasterKey(
                f"the data key of {wrapped.aggregate_id} cannot be opened with the master keys at hand"
            ) from None
        return DataKey(AESGCM(key))

    def signing_key(self, master_key_id: str, kid: str, algorithm: SigningAlgorithm) -> PrivateKey:
        """The private key that signs access tokens under this name: derived, so that it is stored nowhere.

        Raises `WrongMasterKey` where the ring lacks the master key.
        """
        if master_key_id not in self._masters:
            raise WrongMasterKey(f"the signing key {kid} cannot be derived from the master keys at hand")
        use = f"signing access tokens {algorithm} {kid}"
        if algorithm is SigningAlgorithm.EDDSA:
            return Ed25519PrivateKey.from_private_bytes(derive(self._masters[master_key_id], use))
        seed = derive(self._masters[master_key_id], use, _P256_BYTES)
        return derive_private_key(int.from_bytes(seed, "big") % (_P256_ORDER - 1) + 1, SECP256R1())

    def sealing_seed(self, master_key_id: str, kid: str, tree: UUID) -> bytes:
        """The seed of the Ed25519 key that signs a tree's checkpoints: derived, so that it is stored nowhere.

        Each tree has its own, for a policy may not list one key for two logs (C2SP tlog-policy). Raises
        `WrongMasterKey` where the ring lacks the master key.
        """
        if master_key_id not in self._masters:
            raise WrongMasterKey(f"the sealing key {kid} cannot be derived from the master keys at hand")
        return derive(self._masters[master_key_id], f"signing checkpoints {kid} {tree}")

    def holds(self, master_key_id: str) -> bool:
        """Whether this master key is in the ring."""
        return master_key_id in self._masters

    def seal_answer(self, answer: bytes, associated: bytes) -> bytes:
        """An answer that holds a secret, sealed for the minutes it is kept."""
        nonce = os.urandom(NONCE_BYTES)
        return bytes.fromhex(self.current) + nonce + self._answers[self.current].encrypt(nonce, answer, associated)

    def unseal_answer(self, sealed: bytes, associated: bytes) -> bytes:
        """The answer again."""
        name, nonce, rest = sealed[:8].hex(), sealed[8 : 8 + NONCE_BYTES], sealed[8 + NONCE_BYTES :]
        try:
            return self._answers[name].decrypt(nonce, rest, associated)
        except (KeyError, InvalidTag):
            raise WrongMasterKey("a kept answer cannot be opened with the master keys at hand") from None

    def fingerprints(self, asked: bytes) -> list[bytes]:
        """What tells one request from another, under each master key, the current one first.

        A request may hold a password that somebody chose, so without the key nothing can be tried against it.
        """
        return [hmac.digest(key, asked, hashlib.sha256) for key in self._requests]


def key_id(master_key: bytes) -> str:
    """A name for the key: sixteen hexadecimal digits that tell nothing about it."""
    return hashlib.sha256(b"keyledger key id" + derive(master_key, "key id")).hexdigest()[:16]


def derive(master_key: bytes, use: str, length: int = KEY_BYTES) -> bytes:
    """The key for one use (RFC 5869; the use is the info)."""
    return HKDF(SHA256(), length, salt=None, info=b"keyledger v1 " + use.encode()).derive(master_key)


def parse_master_keys(text: str) -> list[bytes]:
    """The keys of a ring file: one base64 line each, the current one first; blank lines and # comments are skipped."""
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        try:
            key = base64.b64decode(entry, validate=True)
        except (binascii.Error, ValueError):
            raise SettingsError(f"line {number} of the master key is not base64") from None
        if len(key) != KEY_BYTES:
            raise SettingsError(f"line {number} of the master key is not {KEY_BYTES} bytes long")
        keys.append(key)
    return keys


def make_master_key_file(path: Path) -> bool:
    """Make a ring of one new key, readable by its owner alone; False where the file is there already."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    return True


def same_check_value(left: bytes, right: bytes) -> bool:
    """Whether two check values are equal, in constant time."""
    return hmac.compare_digest(left, right)
