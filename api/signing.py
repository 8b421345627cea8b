"""Access tokens as signed JSON Web Tokens (RFC 9068): which key signs, and reading what was signed here.

The private keys are derived from the master key when they are needed (`ledger/store/keys.py`); the log holds who
rotated them when, and their public halves.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from joserfc import jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, Key, OKPKey, import_key
from joserfc.jws import JWSRegistry
from uuid_utils.compat import uuid7

from ledger.commands import RotateSigningKey
from ledger.errors import StaleVersion
from ledger.events import Context
from ledger.service import Ledger
from ledger.store.keys import Keyring
from ledger.store.log import EventLog
from ledger.values import SigningAlgorithm, Via
from projections.signing_key_status import PublicKey, list_signing_keys

# How long a process may go on with the keys that it read. Verifiers fetch the keys anew when they meet an unknown one.
KEPT_SECONDS = 1.0
# Verifiers, and HTTP caches before them, keep the keys for that long before they ask again, also where they meet a key
# that they do not know. So a key is published for that long before it signs (`Signer.sign`).
CACHED_SECONDS = 300
TYPE = "at+jwt"

Claims = Mapping[str, Any]


class SignedToken(NamedTuple):
    """What a token says, and the name of the key that signed it."""

    kid: str
    claims: Claims


class Algorithms(JWSRegistry):
    """Exactly the algorithms that are named, without joserfc's warning at each use of EdDSA.

    RFC 9864 gives it a new name, Ed25519, which few verifiers know yet.
    """

    def get_alg(self, name: str) -> Any:
        """See `JWSRegistry`."""
        if name not in (self.allowed or ()):
            raise UnsupportedAlgorithmError(f"Algorithm of '{name}' is not allowed")
        return self.algorithms[name]


_OURS = Algorithms(algorithms=list(SigningAlgorithm))


def issue_signing_key(
    keyring: Keyring,
    context: Context,
    algorithm: SigningAlgorithm,
    *,
    overlap: timedelta,
    expected_version: int | None = None,
) -> RotateSigningKey:
    """A new key to sign with, derived from the current master key."""
    kid = str(uuid7())
    return RotateSigningKey(
        context=context,
        expected_version=expected_version,
        kid=kid,
        algorithm=algorithm,
        master_key_id=keyring.current,
        public_jwk={
            name: str(value)
            for name, value in _private(keyring, keyring.current, kid, algorithm).as_dict(private=False).items()
            if name in ("kty", "crv", "x", "y")
        },
        overlap=overlap,
    )


def overlap_of(access_token_seconds: int) -> timedelta:
    """How long the key before stays published: until its last token expired, as it signs until the new one is known."""
    return timedelta(seconds=access_token_seconds + CACHED_SECONDS)


def key_set(store_keys: list[PublicKey]) -> dict[str, Any]:
    """The public keys as they are published (RFC 7517 section 5)."""
    return {"keys": [_published(key) for key in store_keys]}


def _published(key: PublicKey) -> dict[str, Any]:
    return {**key.public_jwk, "kid": key.kid, "alg": key.algorithm, "use": "sig"}


class Signer:
    """Signs and reads access tokens for one process. The first use of a ledger makes its first key."""

    def __init__(self, log: EventLog, ledger: Ledger) -> None:
        self._log = log
        self._ledger = ledger
        self._keys: dict[str, PublicKey] = {}
        self._opened: dict[str, Key] = {}
        self._read_at = float("-inf")

    def sign(self, claims: Claims) -> str:
        """An access token with these claims, of which `iat` and `exp` decide by which key."""
        key = self._to_sign(claims["iat"], claims["exp"])
        header = {"alg": key.algorithm, "typ": TYPE, "kid": key.kid}
        return jwt.encode(header, dict(claims), self._open(key), registry=_OURS)

    def _to_sign(self, issued_at: int, expires: int) -> PublicKey:
        """The newest key that every copy of the keys has; where there is none, the one that is published for longest.

        Only of those that are good for as long as the token is, so after `--now` it is the new one at once.
        """
        keys = list(self._known().values())
        found = keys[0]
        for key in keys:
            if key.expires_at is not None and key.expires_at.timestamp() < expires:
                break  # all before it end no later
            if not self._log.keyring.holds(key.master_key_id):
                continue
            found = key
            if key.created_at.timestamp() + CACHED_SECONDS <= issued_at:
                break
        return found

    def read(self, token: str) -> SignedToken | None:
        """A token that was signed here; None for any other.

        Whether it, and the key that signed it, are still good is for the caller to see.
        """
        try:
            found = jwt.decode(token, self._key_of, registry=_OURS)
        except (JoseError, ValueError, TypeError):  # the others: no text of tokens at all, and a `crit` that is no list
            return None
        return SignedToken(str(found.header["kid"]), found.claims)

    def ended(self, kid: str, at: datetime) -> bool:
        """Whether a key is known to have no good tokens any more. One that was given up a moment ago may not be."""
        key = self._keys.get(kid)
        return key is not None and _ended(key, at)

    def published(self) -> dict[str, Any]:
        """The keys of now, as they are published: read anew, so that whoever missed one finds it."""
        self._read()
        now = datetime.now(UTC)
        return key_set([key for key in self._keys.values() if not _ended(key, now)])

    def _key_of(self, recipient: Any) -> Key:
        """The key that a token names, as joserfc asks for it."""
        header = recipient.headers()
        kid, kind, algorithm = header.get("kid"), header.get("typ"), header.get("alg")
        key = self._named(kid) if isinstance(kid, str) else None
        if key is None or kind != TYPE or algorithm != key.algorithm:
            raise UnsupportedAlgorithmError("this was not signed here")
        return import_key({**key.public_jwk})

    def _named(self, kid: str) -> PublicKey | None:
        """A key by its name; one that another process made a moment ago is looked for."""
        if kid not in self._known():
            self._read()
        return self._keys.get(kid)

    def _known(self) -> Mapping[str, PublicKey]:
        if time.monotonic() - self._read_at > KEPT_SECONDS:
            self._read()
        return self._keys

    def _read(self) -> None:
        """The keys by name, newest first. Makes one where there is none, or none that the master keys at hand give.

        Also those that ended, so that a token of one is told from what was never issued here: whoever still has one
        does not guess.
        """
        read_at = time.monotonic()
        keys = list_signing_keys(self._log.datastore)
        if not keys or not self._log.keyring.holds(keys[0].master_key_id):
            self._make(datetime.now(UTC), keys[0].version if keys else 0)
            keys = list_signing_keys(self._log.datastore)
        self._keys = {key.kid: key for key in keys}
        self._read_at = read_at

    def _make(self, at: datetime, version: int) -> None:
        """The key that is lacking; another process may be first."""
        context = Context(at=at, actor="system", via=Via.SYSTEM, reason="there was no key to sign with")
        command = issue_signing_key(
            self._log.keyring,
            context,
            SigningAlgorithm.EDDSA,
            overlap=timedelta(0),
            expected_version=version,
        )
        try:
            self._ledger.handle(command)
        except StaleVersion:
            return

    def _open(self, key: PublicKey) -> Key:
        if key.kid not in self._opened:
            algorithm = SigningAlgorithm(key.algorithm)
            self._opened = {key.kid: _private(self._log.keyring, key.master_key_id, key.kid, algorithm)}
        return self._opened[key.kid]


def _ended(key: PublicKey, at: datetime) -> bool:
    return key.expires_at is not None and key.expires_at <= at


def _private(keyring: Keyring, master_key_id: str, kid: str, algorithm: SigningAlgorithm) -> OKPKey | ECKey:
    raw = keyring.signing_key(master_key_id, kid, algorithm)
    if algorithm is SigningAlgorithm.EDDSA:
        return OKPKey.import_key(raw)  # type: ignore[arg-type]  # the algorithm says which of the two it is
    return ECKey.import_key(raw)  # type: ignore[arg-type]


def key_document(key: PublicKey) -> dict[str, Any]:
    """A key as the command line tells of it."""
    return {
        "kid": key.kid,
        "algorithm": key.algorithm,
        "version": key.version,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "public_jwk": dict(key.public_jwk),
    }
