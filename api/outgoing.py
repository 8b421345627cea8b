"""What an answer says: JSON written from rows, and the shapes that things have in it."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson
from flask import Response, current_app

from api.incoming import now, services
from ledger.catalogue import DEFAULT_CATALOGUE, PRESETS
from ledger.values import Status

_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


def to_json(body: Any) -> bytes:
    """JSON with times in RFC 3339, UTC as Z."""
    return orjson.dumps(body, default=str, option=_OPTIONS)


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer. What may hold a secret or a person's data is for the asker alone: nothing is cached."""
    response: Response = current_app.response_class(to_json(body), status, headers, mimetype="application/json")
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def etag(version: int) -> str:
    """An aggregate's version as an entity tag (RFC 9110 section 8.8.3)."""
    return f'"{version}"'


def page(data: Iterable[Mapping[str, Any]], cursor: str | None) -> Response:
    """One page of a list; `cursor` is where the next begins, None on the last."""
    return answer({"data": list(data), "pagination": {"cursor": cursor, "has_more": cursor is not None}})


def organisation(row: Mapping[str, Any]) -> dict[str, Any]:
    """An organisation as it reads."""
    return {
        "id": row["organisation_id"],
        "name": row["name"],
        "registered_at": row["registered_at"],
        "version": row["version"],
    }


def operator(row: Mapping[str, Any]) -> dict[str, Any]:
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


def credential(row: Mapping[str, Any], at: datetime | None = None) -> dict[str, Any]:
    """A credential as it reads at a moment, or now, from its status row (`last_used` where the query brought it)."""
    at = at or now()
    secrets = [_secret(secret, row.get("last_used") or {}) for secret in row["secrets"]]
    living = [s for s in secrets if s["expires_at"] is None or s["expires_at"] > at]
    status = _status(row, len(living), at)
    rotated = row["rotated_at"] or row["created_at"]
    due = rotated + timedelta(days=services().settings.rotation_days)
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


def activity(row: Mapping[str, Any]) -> dict[str, Any]:
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


def _secret(secret: Mapping[str, Any], last_used: Mapping[str, Any]) -> dict[str, Any]:
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


def _status(row: Mapping[str, Any], living: int, at: datetime) -> Status:
    """As `Credential.status` has it, from a row."""
    if row["revoked_at"] is not None and row["revoked_at"] <= at:
        return Status.REVOKED
    if row["expires_at"] is not None and row["expires_at"] <= at:
        return Status.EXPIRED
    if row["suspended_at"] is not None:
        return Status.SUSPENDED
    return Status.ROTATING if living > 1 else Status.ACTIVE


@lru_cache(maxsize=1024)  # a handful of grants is common to nearly all credentials
def preset_of(scopes: tuple[str, ...]) -> str:
    """The preset that these scopes are exactly, or `custom`."""
    return next((name for name in PRESETS if set(DEFAULT_CATALOGUE.preset(name)) == set(scopes)), "custom")
