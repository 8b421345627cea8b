"""Things as `--json` shows them. The shapes are the HTTP API's; a test holds the two equal.

They are built from the rows of the views (or `status_row` of a state), without Flask: that would double the time a
command takes to start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from ledger.catalogue import DEFAULT_CATALOGUE, PRESETS
from ledger.events import Event, Recorded, StoredSecret
from ledger.values import Status

Document = dict[str, Any]
Row = Mapping[str, Any]

# What verifies a secret is nobody's to read, although no secret can be had from it.
_UNSAID = frozenset({"credential_id", "catalogue_version", "last_used", "changed_at"})
_WITHHELD = frozenset({"context", "password_hash"})


def organisation_document(row: Row) -> Document:
    """An organisation."""
    return {"id": row["organisation_id"], **{key: row[key] for key in ("name", "registered_at", "version")}}


def operator_document(row: Row) -> Document:
    """An operator; of its tokens the hints."""
    return {
        "id": row["operator_id"],
        "organisation_id": row["organisation_id"],
        "name": row["name"],
        "email": row["email"] or None,
        "roles": row["roles"],
        "production": row["production"],
        "tokens": row["secrets"],
        "enrolled_at": row["enrolled_at"],
        "removed_at": row["removed_at"],
        "version": row["version"],
    }


def credential_document(row: Row, at: datetime, rotation_days: int) -> Document:
    """A credential as it is at a moment; of its secrets the hints."""
    shown = {key: value for key, value in row.items() if key not in _UNSAID}
    secrets = [_secret(secret, row.get("last_used") or {}) for secret in row["secrets"]]
    status = row_status(row, at)
    due_at = (row["rotated_at"] or row["created_at"]) + timedelta(days=rotation_days)
    return {
        "id": row["credential_id"],
        **shown,
        "contact_email": row["contact_email"] or None,
        "imported_from": row["imported_from"] or None,
        "preset": _preset(row["scopes"]),
        "status": status,
        "active": status.active,
        "secrets": secrets,
        "rotation_due_at": due_at if status.active else None,
    }


def row_status(row: Row, at: datetime) -> Status:
    """As `Credential.status` has it, from a row."""
    if row["revoked_at"] is not None and row["revoked_at"] <= at:
        return Status.REVOKED
    if row["expires_at"] is not None and row["expires_at"] <= at:
        return Status.EXPIRED
    if row["suspended_at"] is not None:
        return Status.SUSPENDED
    ends = [_moment(secret["expires_at"]) for secret in row["secrets"]]
    return Status.ROTATING if sum(end is None or end > at for end in ends) > 1 else Status.ACTIVE


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


def _secret(secret: Row, last_used: Mapping[str, str]) -> Document:
    return {
        "version": secret["version"],
        "hint": secret["hint"],
        "created_at": _moment(secret["created_at"]),
        "expires_at": _moment(secret["expires_at"]),
        "last_used_at": _moment(last_used.get(str(secret["version"]))),
    }


def _moment(value: str | datetime | None) -> datetime | None:
    """A time that may have travelled through JSON."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _preset(scopes: Sequence[str]) -> str:
    return next((name for name in PRESETS if set(DEFAULT_CATALOGUE.preset(name)) == set(scopes)), "custom")
