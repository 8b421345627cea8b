"""Things as they read, for every way in: the HTTP API's answers and the command line's `--json` have these shapes.

Built from rows of the views (or `status_row` of a state), without Flask: that would double the time a command takes to
start.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from ledger.catalogue import DEFAULT_CATALOGUE, PRESETS
from ledger.values import Status

Row = Mapping[str, Any]
Document = dict[str, Any]


def organisation(row: Row) -> Document:
    """An organisation as it reads."""
    return {
        "id": row["organisation_id"],
        "name": row["name"],
        "registered_at": row["registered_at"],
        "version": row["version"],
    }


def operator(row: Row) -> Document:
    """An operator as it reads; never anything of its token but the hint."""
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


def account(row: Row) -> Document:
    """An account as it reads. A sub-account is closed with its master; `channels` are those with a key that is good."""
    closed_at = row["closed_at"] or row.get("parent_closed_at")
    return {
        "id": row["account_id"],
        "organisation_id": row["organisation_id"],
        "kind": row["kind"],
        "parent_id": row["parent_id"],
        "name": row["name"],
        "reference": row["reference"],
        "opened_on": row["opened_on"],
        "status": "open" if closed_at is None else "closed",
        "closed_at": closed_at,
        "closed_by": row["closed_by"] or None,
        "closed_reason": row["closed_reason"] or None,
        "channels": row.get("channels") or [],
        "version": row["version"],
    }


def active_channel(row: Row) -> Document:
    """A credential that is good, as its account's list of channels has it."""
    return {name: row[name] for name in ("channel", "credential_id", "kind", "public_id", "mode")}


def credential(row: Row, at: datetime, rotation_days: int) -> Document:
    """A credential at a moment, from its status row (`last_used` where the query brought it). Of its secrets hints."""
    secrets = [_secret(secret, row.get("last_used") or {}) for secret in row["secrets"]]
    status = status_of(row, at)
    rotated = row["rotated_at"] or row["created_at"]
    due = rotated + timedelta(days=rotation_days)
    return {
        "id": row["credential_id"],
        "organisation_id": row["organisation_id"],
        "account_id": row["account_id"],
        "application_id": row["application_id"],
        "kind": row["kind"],
        "public_id": row["public_id"],
        "mode": row["mode"],
        "environment": row["environment"],
        "channel": row["channel"],
        "name": row["name"],
        "description": row["description"],
        "contact_email": row["contact_email"] or None,
        "labels": row["labels"],
        "access_level": row["access_level"],
        "preset": preset_of(tuple(row["scopes"])),
        "scopes": row["scopes"],
        "allowlist": row["allowlist"],
        "status": status,
        "active": status.active,
        "secrets": secrets,
        "created_at": row["created_at"],
        "rotated_at": row["rotated_at"],
        "rotation_due_at": due if status.active else None,
        "expires_at": row["expires_at"],
        "suspended_at": row["suspended_at"],
        "revoked_at": row["revoked_at"],
        "revocation_reason": row["revocation_reason"],
        "erased_at": row["erased_at"],
        "supersedes": row["supersedes"],
        "imported_from": row["imported_from"] or None,
        "version": row["version"],
    }


def activity(row: Row) -> Document:
    """One thing that happened in an organisation, as it reads."""
    return {
        "organisation_id": row["organisation_id"],
        "aggregate": row["aggregate"],
        "aggregate_id": row["aggregate_id"],
        "version": row["aggregate_version"],
        "position": row["position"],
        "topic": row["topic"],
        "at": row["at"],
        "actor": row["actor"],
        "via": row["via"],
        "reason": row["reason"],
        "request_id": row["request_id"],
        "address": row["address"],
        "data": row["changes"],
    }


def _secret(secret: Row, last_used: Row) -> Document:
    version = secret["version"]
    used = last_used.get(str(version))
    return {
        "version": version,
        "hint": secret["hint"],
        "created_at": _moment(secret["created_at"]),
        "expires_at": _moment(secret["expires_at"]),
        "last_used_at": _moment(used),
    }


def _moment(value: str | datetime | None) -> datetime | None:
    """A time that may have travelled through JSON."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def status_of(row: Row, at: datetime) -> Status:
    """As `Credential.status` has it, from a row."""
    if row["revoked_at"] is not None and row["revoked_at"] <= at:
        return Status.REVOKED
    if row["expires_at"] is not None and row["expires_at"] <= at:
        return Status.EXPIRED
    if row["suspended_at"] is not None:
        return Status.SUSPENDED
    ends = [_moment(secret["expires_at"]) for secret in row["secrets"]]
    return Status.ROTATING if sum(end is None or end > at for end in ends) > 1 else Status.ACTIVE


@lru_cache(maxsize=1024)  # a handful of grants is common to nearly all credentials
def preset_of(scopes: tuple[str, ...]) -> str:
    """The preset that these scopes are exactly, or `custom`."""
    return next((name for name in PRESETS if set(DEFAULT_CATALOGUE.preset(name)) == set(scopes)), "custom")
