"""Secrets: generating, digesting and comparing them. Nothing here stores or logs one."""

import hashlib
import hmac
import re
import secrets as entropy
import unicodedata
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import BoundedSemaphore
from typing import Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type
from zxcvbn import zxcvbn

from ledger.errors import InvalidValue, QueueFull
from ledger.events import StoredSecret
from ledger.secret_format import PAIRS, RANDOM_CHARS, checksum, claims_our_format, well_formed
from ledger.values import PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, Kind, Mode

HINT_CHARS = 4
SECRET_CHARS_MAX = PASSWORD_BYTES_MAX  # what is longer was neither issued nor accepted here

Holder = Kind | Literal["operator"]

HMAC_SHA256 = "hmac-sha256"
HMAC_OF_SHA256 = "hmac-sha256/sha256"
ARGON2ID = "argon2id"
PUBLIC_JWK = "public-jwk"

PUBLIC_ID_PREFIXES: Mapping[Kind, str] = {
    Kind.API_KEY: "ak",
    Kind.OAUTH_CLIENT: "client",
    Kind.KEY_PAIR: "pk",
    Kind.CHANNEL_LOGIN: "login",
}
PUBLIC_ID_RANDOM_CHARS = 22  # 131 bits: no two installations ever make the same one


@dataclass(frozen=True, slots=True)
class IssuedSecret:
    """A secret on its one way out: `plaintext` goes into the answer, `stored` and `password_hash` into the command."""

    plaintext: str = field(repr=False)
    stored: StoredSecret
    password_hash: str = field(default="", repr=False)


def format_secret(holder: Holder, mode: Mode, random: str) -> str:
    """The secret that carries these thirty random base62 characters."""
    return f"kl_{holder}_{mode}_{random}{checksum(random)}"


def malformed(presented: str) -> bool:
    """Whether nothing of the kind can have been issued or accepted here, so that no look-up is worth its cost."""
    if claims_our_format(presented):
        return not well_formed(presented)
    return not 0 < len(presented) <= SECRET_CHARS_MAX


def random_text(chars: int) -> str:
    """An even number of characters of the alphabet from the operating system's generator, asked once, as that costs."""
    number = entropy.randbelow(len(PAIRS) ** (chars // 2))
    text = ""
    for _ in range(chars // 2):
        number, pair = divmod(number, len(PAIRS))
        text += PAIRS[pair]
    return text


def new_public_id(kind: Kind, mode: Mode) -> str:
    """A public identifier: safe in configuration and logs, told from a secret by its prefix."""
    return f"{PUBLIC_ID_PREFIXES[kind]}_{mode}_{random_text(PUBLIC_ID_RANDOM_CHARS)}"


class DigestKeys:
    """The keys that generated secrets are digested under: a current one, and retired ones that still verify.

    A digest is HMAC-SHA256 (RFC 2104): with 178 bits of entropy in the secret no slow hash is needed, and without the
    key, which is not in the database, a stolen table cannot even confirm a guess.
    """

    def __init__(self, current: str, keys: Mapping[str, bytes]) -> None:
        self.current = current
        # Prepared once: a digest copies what has taken its key in already, which is a third of the work.
        self._keyed = {key_id: hmac.new(key, digestmod=hashlib.sha256) for key_id, key in keys.items()}

    def __repr__(self) -> str:
        return f"DigestKeys(current={self.current!r}, {len(self._keyed)} keys)"

    def issue(self, holder: Holder, mode: Mode) -> IssuedSecret:
        """A new random secret for a holder."""
        plaintext = format_secret(holder, mode, random_text(RANDOM_CHARS))
        stored = StoredSecret(
            1, HMAC_SHA256, self.current, self._digest(self.current, plaintext), plaintext[-HINT_CHARS:]
        )
        return IssuedSecret(plaintext, stored)

    def adopt(self, sha256_hex: str, hint: str = "") -> StoredSecret:
        """What is kept of a secret whose SHA-256 another system kept: the digest of that digest."""
        if not re.fullmatch("[0-9a-f]{64}", sha256_hex):
            raise InvalidValue("sha256", "is not 64 lower-case hexadecimal digits")
        return StoredSecret(1, HMAC_OF_SHA256, self.current, self._digest(self.current, sha256_hex), hint)

    def candidates(self, presented: str) -> list[str]:
        """Every digest under which this secret could be kept, for one look-up. Bounded by the number of keys."""
        if not claims_our_format(presented):
            presented = hashlib.sha256(_bytes(presented)).hexdigest()
        return [self._digest(key_id, presented) for key_id in self._keyed]

    def _digest(self, key_id: str, text: str) -> str:
        digest = self._keyed[key_id].copy()
        digest.update(_bytes(text))
        return digest.hexdigest()


def same_digest(stored: str, candidates: Sequence[str]) -> bool:
    """Whether `stored` is among the candidates, in time that does not depend on where they differ."""
    equal = False
    for candidate in candidates:
        equal |= hmac.compare_digest(stored, candidate)
    return equal


# --- chosen passwords ------------------------------------------------------------------------------------------------

# RFC 9106 section 4 and OWASP's floor: 19 MiB, two passes, one lane.
_ARGON2 = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
# A hash that no password has: it costs what any other costs, and nothing to make.
_NOBODYS_HASH = "$argon2id$v=19$m={},t={},p={}${}${}".format(
    _ARGON2.memory_cost,
    _ARGON2.time_cost,
    _ARGON2.parallelism,
    b64encode(entropy.token_bytes(_ARGON2.salt_len)).decode().rstrip("="),
    b64encode(entropy.token_bytes(_ARGON2.hash_len)).decode().rstrip("="),
)
# A queue for a slot longer than this is an attack or an outage.
_ARGON2_WAIT_SECONDS = 2.0
_ARGON2_AT_ONCE_MAX = 4  # of a process: 76 MiB


class _Pool:
    """Bounds the hashes of a process, each of which takes 19 MiB and a core for some 20 ms: four are made at once, and
    no more than the process has cores. With more of them none is ready sooner, and everything else gets less.

    Three quarters of the threads at most make one or wait for that. Who comes then is told to come back.
    """

    def __init__(self, threads: int, cores: int) -> None:
        self.bound(threads, cores)

    def bound(self, threads: int, cores: int) -> None:
        self._slots = BoundedSemaphore(max(1, min(_ARGON2_AT_ONCE_MAX, cores)))
        self._places = BoundedSemaphore(max(1, threads * 3 // 4))

    @contextmanager
    def slot(self) -> Iterator[None]:
        places, slots = self._places, self._slots
        if not places.acquire(blocking=False):
            raise QueueFull("too many passwords are being checked")
        try:
            if not slots.acquire(timeout=_ARGON2_WAIT_SECONDS):
                raise QueueFull("too many passwords are being checked")
            try:
                yield
            finally:
                slots.release()
        finally:
            places.release()


_pool = _Pool(threads=8, cores=_ARGON2_AT_ONCE_MAX)


def bound_password_checks(threads: int, cores: int) -> None:
    """Let passwords take three quarters of this process's threads at most, and no more than its cores: whatever
    passwords are presented, there is something left for everything else. Of one thread nothing can be left.
    """
    _pool.bound(threads, cores)


def choose_password(password: str, about: tuple[str, ...] = ()) -> IssuedSecret:
    """What is kept of a password that its user chose.

    `about` are words that must not be the password (login, organisation). Raises `InvalidValue` with the reason for
    one that is too short, too long or easily guessed (NIST SP 800-63B-4 section 3.1.1.2: length and a blocklist, no
    composition rules), and `QueueFull` where too many are being hashed already.
    """
    if len(password) < PASSWORD_CHARS_MIN:
        raise InvalidValue("secret", f"is shorter than {PASSWORD_CHARS_MIN} characters", "invalid_length")
    if len(_bytes(password)) > PASSWORD_BYTES_MAX:
        raise InvalidValue("secret", f"is longer than {PASSWORD_BYTES_MAX} bytes", "invalid_length")
    if not password.isprintable():
        raise InvalidValue("secret", "holds control or invisible characters", "forbidden_characters")
    if claims_our_format(password):
        raise InvalidValue("secret", "begins with kl_, which marks generated secrets")
    with _pool.slot():  # the estimate takes as long as the hash
        # It reads the first 72 characters: its cost grows with the length, and what follows only adds strength.
        estimate = zxcvbn(_quick_to_estimate(_without(password[:72], about)), user_inputs=list(about))
        if estimate["score"] < 3:  # of 4: "safely unguessable, moderate protection from offline guessing"
            why = estimate["feedback"]["warning"] or "it follows a common pattern"
            raise InvalidValue("secret", f"is easily guessed: {why.rstrip('.').lower()}", "weak_password")
        password_hash = _ARGON2.hash(_as_typed(password))
    return IssuedSecret(password, StoredSecret(1, ARGON2ID, "", ""), password_hash)


# Signs that the estimate takes for letters in disguise. It tries all ways to read those that a password holds, which
# doubles with each: with six it takes a tenth of a second, with twenty it takes four.
_DISGUISES = "4@8({[<369!1|70$5+%2"
_DISGUISES_MAX = 6
_PLAIN_SIGNS = "~#^&*_-=;:,.?/'"


def _quick_to_estimate(password: str) -> str:
    """The password with other signs in the place of disguises beyond the first few: as hard to guess, and no trap."""
    disguises = list(dict.fromkeys(sign for sign in password if sign in _DISGUISES))[_DISGUISES_MAX:]
    plain = {sign: _PLAIN_SIGNS[number % len(_PLAIN_SIGNS)] for number, sign in enumerate(disguises)}
    return password.translate({ord(sign): other for sign, other in plain.items()})


def _without(password: str, words: tuple[str, ...]) -> str:
    """What is left to guess for whoever knows the words, each of which counts as a letter.

    By itself the estimate takes a login written twice for hard to guess.
    """
    for word in filter(None, words):
        password = re.sub(re.escape(word), "a", password, flags=re.IGNORECASE)
    return password


def password_matches(password_hash: str | None, password: str) -> bool:
    """Whether the password is the one that was hashed. None stands for nobody's password: it costs the same to check.

    Raises `QueueFull` where too many are being checked already.
    """
    with _pool.slot():
        try:
            return _ARGON2.verify(_NOBODYS_HASH if password_hash is None else password_hash, _as_typed(password))
        except (VerificationError, InvalidHashError):
            return False


def _as_typed(password: str) -> bytes:
    """The password in NFC, so that the same keys give the same bytes on every system (RFC 8265 section 4.2.2)."""
    return _bytes(unicodedata.normalize("NFC", password))


def _bytes(presented: str) -> bytes:
    """UTF-8 of whatever was presented: JSON can carry half of a surrogate pair, which is wrong but must not fail."""
    return presented.encode(errors="surrogatepass")
