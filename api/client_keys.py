"""Public keys that OAuth clients register in place of a secret (RFC 7523): parsed once, kept as JSON Web Keys.

A key is kept where a secret's digest is: it is what whoever presents a proof of it is compared with.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey, import_key

from ledger.errors import InvalidValue
from ledger.events import StoredSecret
from ledger.secrets import HINT_CHARS, PUBLIC_JWK

# By how a key is made, what it may have signed with. RSA is here for those whose hardware has nothing newer.
ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "Ed25519": ("EdDSA", "Ed25519"),
    "P-256": ("ES256",),
    "RSA": ("PS256", "RS256"),
}
EVERY_ALGORITHM = sorted(name for names in ALGORITHMS.values() for name in names)
RSA_BITS_MIN = 2048  # RFC 7518 section 3.3
RSA_BITS_MAX = 4096  # verifying takes longer with every bit, and whoever has no key may ask for it

# What a public key consists of, in the order of their names (RFC 7638 section 3.2).
_MEMBERS = {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


def register_key(jwk: Mapping[str, Any], field: str = "public_jwk") -> StoredSecret:
    """What is kept of a public key. Raises `InvalidValue` for what is none, is private, or is of a kind not taken."""
    if _PRIVATE & jwk.keys():
        raise InvalidValue(field, "holds a private key: send the public half, and take that key out of use")
    try:
        key = import_key(dict(jwk))
        members = key.as_dict(private=False)
        kept = {name: members[name] for name in _MEMBERS[key.key_type]}
        thumbprint = import_key(kept).thumbprint()
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise InvalidValue(field, "is not a public key as a JSON Web Key") from None
    if algorithms_of(key) is None:
        raise InvalidValue(field, f"is none of Ed25519, P-256, and RSA of {RSA_BITS_MIN} to {RSA_BITS_MAX} bits")
    return StoredSecret(1, PUBLIC_JWK, "", orjson.dumps(kept).decode(), thumbprint[-HINT_CHARS:])


def algorithms_of(key: Key) -> tuple[str, ...] | None:
    """What the key may have signed with; None where it is none that is taken."""
    if isinstance(key, OKPKey | ECKey):
        return ALGORITHMS.get(key.curve_name)
    if isinstance(key, RSAKey):
        public = key.public_key
        if isinstance(public, RSAPublicKey) and RSA_BITS_MIN <= public.key_size <= RSA_BITS_MAX:
            return ALGORITHMS["RSA"]
    return None


def registered_key(kept: str) -> Key:
    """A key that was registered, to verify with."""
    return import_key(orjson.loads(kept))
