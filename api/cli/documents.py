"""Events as `--json` shows them. Things have the shapes of `api/documents.py`."""

from dataclasses import fields
from typing import Any

from api.documents import Document
from ledger.events import Event, Recorded, StoredSecret

# What verifies a secret is nobody's to read, although no secret can be had from it.
_WITHHELD = frozenset({"context", "password_hash"})


def event_document(recorded: Recorded) -> Document:
    """An event in its place: what happened, and who did it, when, why, through what and from where."""
    context = recorded.event.context
    return {
        "version": recorded.aggregate_version,
        "position": recorded.position,
        "topic": recorded.event.TOPIC,
        "at": context.at,
        "actor": context.actor,
        "via": context.via,
        "reason": context.reason,
        "request_id": context.request_id,
        "address": context.address,
        "data": _data(recorded.event),
    }


def _data(event: Event) -> Document:
    return {f.name: _shown(getattr(event, f.name)) for f in fields(event) if f.name not in _WITHHELD}


def _shown(value: Any) -> Any:
    if isinstance(value, StoredSecret):
        return {"version": value.version, "algorithm": value.algorithm, "hint": value.hint}
    return value
