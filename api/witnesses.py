"""Witnesses: which are asked, and asking one to cosign a checkpoint as in C2SP tlog-witness (https://c2sp.org/tlog-witness).

A witness remembers the largest tree of a log that it cosigned, and cosigns a larger one where a consistency proof shows
that it begins with that. Nothing it says is believed but a cosignature that its key verifies.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from api.exchange import FAILURES, Answer, post
from ledger.settings import PREFIX, Settings, SettingsError
from ledger.tlog.canonical import encode_base64, parse_decimal
from ledger.tlog.notes import InvalidNote, Signature, VerifierKey, open_note
from ledger.tlog.policy import NONE, InvalidPolicy, Policy, parse

ATTEMPT_SECONDS = 10.0  # a witness that is up answers in less than one; others wait for the slowest
ANSWER_BYTES_MAX = 16_384  # a cosignature has 150 bytes, and a witness of several keys sends several
ERROR_CHARS_MAX = 200
SIZE_TYPE = "text/x.tlog.size"

Prove = Callable[[int, int], Sequence[bytes]]
"""Gives the consistency proof between two sizes of the log."""


class Outcome(StrEnum):
    """What became of asking a witness."""

    COSIGNED = "cosigned"
    UNAVAILABLE = "unavailable"
    """It did not answer, or not in time, or with an error of its own."""
    UNKNOWN_LOG = "unknown_log"
    """It does not follow this log, or trusts another key for it."""
    INVALID = "invalid"
    """It answered with what is no cosignature of its key over this checkpoint, or against the protocol."""
    AHEAD = "ahead"
    """It cosigned a larger tree of this log than there is here."""
    FORKED = "forked"
    """What it cosigned is not the beginning of what is here."""


ALARMING = frozenset({Outcome.AHEAD, Outcome.FORKED})
"""Outcomes that no retry mends: the log that the witness saw and this one are not the same."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of it. `size` is what the witness is known to have cosigned last; `detail` is for people."""

    outcome: Outcome
    size: int
    detail: str = ""
    cosignature: Signature | None = None


def cosign(url: str, key: VerifierKey, note: bytes, size: int, known: int, prove: Prove) -> Asked:
    """Ask the witness at a URL to cosign the signed checkpoint of a tree of `size`.

    `known` is the size that it is believed to have cosigned last. Where that is wrong it says so, and is asked again.
    """
    old = min(known, size)
    for _ in range(2):
        try:
            answer = _submit(url, note, old, prove(old, size))
        except FAILURES as failure:
            detail = f"{type(failure).__name__}: {failure}"[:ERROR_CHARS_MAX]
            return Asked(Outcome.UNAVAILABLE, known, detail)
        if answer.status != 409:
            return _judged(answer, key, note, size, old)
        told = _size_told(answer)
        if told is None:
            return Asked(Outcome.INVALID, known, "it answered 409 without the size that it cosigned last")
        if told > size:
            return Asked(Outcome.AHEAD, told, f"it cosigned a tree of {told} leaves, and there are {size} here")
        if told == old:
            if old == size:
                return Asked(Outcome.FORKED, told, f"it cosigned another tree of {size} leaves")
            return Asked(Outcome.INVALID, known, f"it was shown what follows its {told} leaves, and asks for the same")
        known = old = told
    return Asked(Outcome.UNAVAILABLE, known, "somebody else shows it newer checkpoints at the same time")


def _submit(url: str, note: bytes, old: int, proof: Sequence[bytes]) -> Answer:
    lines = (f"old {old}", *map(encode_base64, proof), "")
    body = "".join(f"{line}\n" for line in lines).encode() + note
    headers = {"Content-Type": "text/plain; charset=utf-8", "User-Agent": "keyledger"}
    return post(f"{url.rstrip('/')}/add-checkpoint", body, headers, seconds=ATTEMPT_SECONDS, bytes_max=ANSWER_BYTES_MAX)


def _judged(answer: Answer, key: VerifierKey, note: bytes, size: int, old: int) -> Asked:
    match answer.status:
        case 200:
            try:
                return Asked(Outcome.COSIGNED, size, cosignature=_cosignature(answer.body, key, note))
            except InvalidNote as error:
                return Asked(Outcome.INVALID, old, f"it sent no cosignature of its key: {error}")
        case 403 | 404:
            reason = "it trusts no key that signed this" if answer.status == 403 else "it does not follow this log"
            return Asked(Outcome.UNKNOWN_LOG, old, f"{reason}: give it the log's name and key")
        case 422:
            return Asked(Outcome.FORKED, old, f"it does not find that {size} leaves begin with its {old}")
    return Asked(Outcome.UNAVAILABLE, old, f"it answered {answer.status}")


def _cosignature(lines: bytes, key: VerifierKey, note: bytes) -> Signature:
    """The cosignature among the lines that were sent; those of other keys are passed over, as the protocol has it."""
    opened = open_note(note + lines, [key])
    if not note.decode().startswith(f"{opened.text}\n"):  # lines with an empty one among them would move the text's end
        raise InvalidNote("what it sent are no signature lines")
    return opened.signatures[-1]


def _size_told(answer: Answer) -> int | None:
    """The size in a 409's body, if it is one."""
    if answer.content_type.partition(";")[0].strip().lower() != SIZE_TYPE:
        return None
    try:
        return parse_decimal(answer.body.decode("ascii").removesuffix("\n"))
    except ValueError:
        return None


# --- which are asked -------------------------------------------------------------------------------------------------


@cache
def witness_policy(settings: Settings) -> Policy | None:
    """Who is asked to cosign, and how many must, as the file says that the settings name; None where nobody is.

    The file is read once in a process. Raises SettingsError.
    """
    if not settings.witnesses:
        return None
    variable = f"{PREFIX}WITNESSES"
    try:
        policy = parse(Path(settings.witnesses).expanduser().read_bytes())
    except (OSError, RuntimeError, InvalidPolicy) as error:
        raise SettingsError(f"{variable} names a file that is no policy: {error}") from None
    if policy.quorum == NONE:
        raise SettingsError(f"{variable}: the policy has to have a quorum of witnesses")
    for name in policy.witnesses:
        if urlsplit(policy.urls.get(name, "")).scheme not in ("http", "https"):
            raise SettingsError(f"{variable}: witness {name} has no URL at which to ask it")
    return policy


def served_policy(
    witnesses: Policy | None, logs: Sequence[VerifierKey], labels: Mapping[str, str] = MappingProxyType({})
) -> Policy:
    """The policy for auditors of these logs: the witnesses that the operator has, or none, and the logs' labels."""
    if witnesses is None:
        return Policy(tuple(logs), {}, {}, NONE, {}, labels)
    return replace(witnesses, logs=tuple(logs), labels=labels)


def with_cosignatures(checkpoint: str, cosignatures: Sequence[Signature]) -> str:
    """A signed checkpoint and the lines of those who cosigned it."""
    return checkpoint + "".join(signature.line for signature in cosignatures)
