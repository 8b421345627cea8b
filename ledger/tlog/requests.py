"""What the event says by which a bundle was asked for: it is sealed, and the manifest that repeats it is not.

docs/auditing.md names the fields.
"""

from typing import Any

from ledger.tlog.bundle import Filter, Manifest
from ledger.tlog.canonical import parse_json
from ledger.tlog.leaves import moment


def differences(manifest: Manifest, state: bytes) -> list[str]:
    """The names of the manifest's fields that are not as the stored event says; all of them where it says nothing."""
    told = {
        "requested_at": manifest.requested_at,
        "requested_by": manifest.requested_by,
        "reason": manifest.reason,
        "filter": manifest.filter,
        "personal": manifest.personal,
    }
    try:
        recorded = _read(parse_json(state))
    except (KeyError, TypeError, ValueError):
        return list(told)
    return [name for name, value in told.items() if recorded[name] != value]


def _read(event: dict[str, Any]) -> dict[str, object]:
    context = event["context"]
    return {
        "requested_at": _moment(context["at"]),
        "requested_by": context["actor"],
        "reason": context["reason"],
        "filter": Filter(
            _moment(event["begin"]), _moment(event["end"]), tuple(event["aggregates"]), tuple(event["topics"])
        ),
        "personal": event["personal"],
    }


def _moment(at: str | None) -> str:
    """A time as leaves have it; empty for none."""
    return "" if at is None else moment(at)
