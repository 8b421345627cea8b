"""Signed notes, and the two kinds of Ed25519 keys that sign them, as in C2SP signed-note and tlog-cosignature.

A note is a text, an empty line and signature lines, each with the name of a key, its id and the signature. A log signs
its checkpoints with a key of type 1. A witness signs with a key of type 4, which puts a time before what it signs.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledger.tlog.canonical import SIZE_MAX, encode_base64, is_line, parse_base64

# The bounds of Go's sumdb/note: what it reads is read here.
NOTE_BYTES_MAX = 1_000_000
SIGNATURES_MAX = 100
TIME_MAX = SIZE_MAX

_KEY_BYTES = 32
_ID_BYTES = 4
_SIGNATURE_BYTES = 64
_TIME_BYTES = 8
_DASH = "\N{EM DASH} "
_PRIVATE = "PRIVATE+KEY+"


class InvalidKey(ValueError):
    """A text is not a key of a kind that is known here."""


class InvalidNote(ValueError):
    """A note is malformed, was changed, or is signed by nobody who is trusted."""


class Unsigned(InvalidNote):
    """A note is whole, and nobody who is trusted signed it."""


class Algorithm(IntEnum):
    """How a key signs: the signature types of C2SP signed-note that are known here."""

    ED25519 = 0x01
    COSIGNATURE = 0x04


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key and the name under which it signs. Raises InvalidKey where the name is none."""

    name: str
    algorithm: Algorithm
    public_key: bytes

    def __post_init__(self) -> None:
        if not is_line(self.name) or any(character.isspace() or character == "+" for character in self.name):
            raise InvalidKey("the name of a key is not empty, and has neither spaces nor a plus sign")
        if len(self.public_key) != _KEY_BYTES:
            raise InvalidKey(f"a public key of Ed25519 has {_KEY_BYTES} bytes")

    @property
    def id(self) -> bytes:
        """What signature lines carry beside the name, so that a key is found; it proves nothing."""
        return sha256(self.name.encode() + b"\n" + self._typed_key()).digest()[:_ID_BYTES]

    def encode(self) -> str:
        """The text that policies and configurations hold, which C2SP calls a vkey."""
        return f"{self.name}+{self.id.hex()}+{encode_base64(self._typed_key())}"

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """The key of a vkey; raises InvalidKey."""
        name, algorithm, public_key = _parse_key(text)
        key = cls(name, algorithm, public_key)
        if key.encode() != text:
            raise InvalidKey("the key does not match its id")
        return key

    def verify(self, text: str, signature: bytes) -> None:
        """Raise InvalidNote unless this key made the signature over the text of a note."""
        time, signature = _split_signature(self.algorithm, signature)
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, _signed(text, time))
        except InvalidSignature:
            raise InvalidNote(f"the signature of {self.name} is not over this text") from None

    def _typed_key(self) -> bytes:
        return bytes([self.algorithm]) + self.public_key


@dataclass(frozen=True, slots=True)
class SignerKey:
    """A private key and the name under which it signs; its seed is 32 random bytes (RFC 8032 section 5.1.5)."""

    name: str
    algorithm: Algorithm
    seed: bytes = field(repr=False)
    verifier: VerifierKey = field(init=False, repr=False, compare=False)
    """The key that verifies what this one signs."""
    _private: Ed25519PrivateKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.seed) != _KEY_BYTES:
            raise InvalidKey(f"the seed of an Ed25519 key has {_KEY_BYTES} bytes")
        # Made once: each takes as long as a signature.
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        object.__setattr__(self, "_private", private)
        verifier = VerifierKey(self.name, self.algorithm, private.public_key().public_bytes_raw())
        object.__setattr__(self, "verifier", verifier)

    def encode(self) -> str:
        """The text to keep in a file that nobody else reads, as Go's sumdb/note has it."""
        return f"{_PRIVATE}{self.name}+{self.verifier.id.hex()}+{encode_base64(bytes([self.algorithm]) + self.seed)}"

    @classmethod
    def parse(cls, text: str) -> "SignerKey":
        """The key of a text that `encode` gave; raises InvalidKey, which does not quote it."""
        if not text.startswith(_PRIVATE):
            raise InvalidKey(f"a private key begins with {_PRIVATE}")
        key = cls(*_parse_key(text.removeprefix(_PRIVATE)))
        if key.encode() != text:
            raise InvalidKey("the key does not match its id")
        return key

    def sign(self, text: str, time: int | None = None) -> "Signature":
        """A signature over the text of a note; `time`, in seconds since 1970, is for cosignatures alone."""
        if (time is None) == (self.algorithm is Algorithm.COSIGNATURE):
            raise ValueError("a cosignature has a time, and no other signature has one")
        if time is not None and not 0 <= time <= TIME_MAX:
            raise ValueError("the time of a cosignature lies between 1970 and 2**63 - 1 seconds later")
        stamp = b"" if time is None else time.to_bytes(_TIME_BYTES)
        made = self._private.sign(_signed(text, time))
        return Signature(self.verifier, stamp + made)


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that a key made, which was verified or made here."""

    key: VerifierKey
    signature: bytes

    @property
    def time(self) -> int | None:
        """When a witness says that it signed, in seconds since 1970; None of a key that tells no time."""
        return _split_signature(self.key.algorithm, self.signature)[0]

    @property
    def line(self) -> str:
        """The line of it in a note, with its newline. A line may be added to a note that others signed."""
        return f"{_DASH}{self.key.name} {encode_base64(self.key.id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A note whose text is to be believed, and the signatures by keys that were asked for."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> bytes:
        """The note with these signatures and no others."""
        return f"{self.text}\n{''.join(signature.line for signature in self.signatures)}".encode()


def sign(text: str, signers: Iterable[SignerKey], time: int | None = None) -> bytes:
    """A note over a text that ends with a newline; `time` is what signers of cosignatures say.

    Raises ValueError for a text that no note can have.
    """
    _check_text(text)
    return Note(
        text,
        tuple(signer.sign(text, time if signer.algorithm is Algorithm.COSIGNATURE else None) for signer in signers),
    ).encode()


def open_note(note: bytes, verifiers: Iterable[VerifierKey]) -> Note:
    """The note with those signatures that these keys made; lines of keys that are not asked for are passed over.

    Raises Unsigned where none of these keys signed the note, and InvalidNote where it is malformed, or one of them did
    not sign what stands there.
    """
    text, lines = _split_note(note)
    known = {(key.name, key.id): key for key in verifiers}
    signatures = []
    for line in lines:
        name, key_id, signature = _parse_line(line)
        key = known.get((name, key_id))
        if key is not None:
            key.verify(text, signature)
            signatures.append(Signature(key, signature))
    if not signatures:
        raise Unsigned("nobody who is trusted signed this note")
    return Note(text, tuple(signatures))


def _split_note(note: bytes) -> tuple[str, list[str]]:
    """The text, and the signature lines, of which there is at least one."""
    if len(note) > NOTE_BYTES_MAX:
        raise InvalidNote(f"the note has more than {NOTE_BYTES_MAX} bytes")
    try:
        decoded = note.decode()
        before, separator, after = decoded.rpartition("\n\n")
        text = before + "\n"
        _check_text(text)
    except ValueError as error:
        raise InvalidNote(f"this is not a note: {error}") from None
    lines = after.split("\n")
    if not separator or lines.pop() or not lines:
        raise InvalidNote("a note ends with an empty line and signature lines")
    if len(lines) > SIGNATURES_MAX:
        raise InvalidNote(f"the note has more than {SIGNATURES_MAX} signatures")
    return text, lines


def _check_text(text: str) -> None:
    if not text.endswith("\n") or not is_line(text.replace("\n", " ")):
        raise ValueError("the text of a note ends with a newline and has no control characters besides")


def _parse_line(line: str) -> tuple[str, bytes, bytes]:
    """The name of the key, its id and the signature of a signature line."""
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    try:
        data = parse_base64(encoded)
    except ValueError:
        data = b""
    if not line.startswith(_DASH) or not name or not space or not is_line(line) or len(data) <= _ID_BYTES:
        raise InvalidNote("a line of the note is not a signature")
    return name, data[:_ID_BYTES], data[_ID_BYTES:]


def _parse_key(text: str) -> tuple[str, Algorithm, bytes]:
    """The name, the algorithm and the key of `name+id+base64`; whether the id is right is for the caller to see."""
    try:
        name, _id, encoded = text.split("+", 2)
        data = parse_base64(encoded)
        return name, Algorithm(data[0]), data[1:]
    except (ValueError, IndexError):
        raise InvalidKey("this is not the text of an Ed25519 key: name+id+base64") from None


def _split_signature(algorithm: Algorithm, signature: bytes) -> tuple[int | None, bytes]:
    """The time of a cosignature and the signature proper."""
    if algorithm is Algorithm.ED25519:
        time = None
    else:
        time, signature = int.from_bytes(signature[:_TIME_BYTES]), signature[_TIME_BYTES:]
    if len(signature) != _SIGNATURE_BYTES or (time or 0) > TIME_MAX:
        raise InvalidNote("a signature of a known key has the wrong form")
    return time, signature


def _signed(text: str, time: int | None) -> bytes:
    """What is signed: the text, before which a witness puts what it states."""
    return (text if time is None else f"cosignature/v1\ntime {time}\n{text}").encode()
