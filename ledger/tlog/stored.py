"""What the verifier reads in an event as it is stored: when it happened, and whether it has personal fields.

docs/auditing.md names these fields. Everything else in an event is for people and other tools to read.
"""

from typing import Any

from ledger.tlog.bundle import InvalidBundle, is_plain_state
from ledger.tlog.canonical import parse_json
from ledger.tlog.leaves import moment

_SEALED = "sealed:v1:"
"""What the stored text of a personal field begins with."""


def read_event(state: bytes) -> dict[str, Any]:
    """The event of stored bytes; raises InvalidBundle unless every reader of a bundle sees this one object there."""
    try:
        event = parse_json(state) if is_plain_state(state) else None
    except ValueError as error:
        raise InvalidBundle(f"it is not JSON: {error}") from None
    if not isinstance(event, dict):
        raise InvalidBundle("it is not one object")
    return event


def happens_at(event: dict[str, Any], at: str) -> bool:
    """Whether an event says that it happened at this time, written as leaves have it: mostly by the same letters."""
    try:
        return bool(event["context"]["at"] == at) or happened_at(event) == at
    except (KeyError, TypeError):
        return False


def happened_at(event: dict[str, Any]) -> str:
    """When an event says that it happened, as leaves have it; empty where it does not say."""
    try:
        return moment(event["context"]["at"])
    except (KeyError, TypeError, ValueError):
        return ""


def has_personal_fields(event: dict[str, Any]) -> bool:
    """Whether an event holds personal fields, which are stored sealed: texts, and lists of texts."""
    return any(
        isinstance(text, str) and text.startswith(_SEALED)
        for value in event.values()
        for text in (value if isinstance(value, list) else (value,))
    )
