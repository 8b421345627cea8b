"""Things as they read, for every way in: the HTTP API's answers and the command line's `--json` have these shapes.

Built from rows of the views (or `status_row` of a state), without Flask: that would double the time a command takes to
start.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from ledger.access_review import AccessReview
from ledger.catalogue import FIRST_VERSION, Catalogue
from ledger.events import Context
from ledger.export import Export
from ledger.sealed_log import SealedLog
from ledger.values import Mode, Status
from projections.catalogue_status import Catalogues
from projections.history import Entry
from projections.usage import Usage

Row = Mapping[str, Any]
Document = dict[str, Any]


def organisation(row: Row) -> Document:
    """An organisation as it reads."""
    return {
        "id": row["organisation_id"],
        "name": row["name"],
        "registered_at": row["registered_at"],
        "version": row["version"],
        "retention_days": row["retention_days"],
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
        "issuer": row["issuer"] or None,
        "subject": row["subject"] or None,
        "enrolled_at": row["enrolled_at"],
        "removed_at": row["removed_at"],
        "erased_at": row["erased_at"],
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


def application(row: Row) -> Document:
    """An application as it reads."""
    return {
        "id": row["application_id"],
        "organisation_id": row["organisation_id"],
        "account_id": row["account_id"],
        "title": row["title"],
        "description": row["description"],
        "apis": row["apis"],
        "archived": row["archived_at"] is not None,
        "archived_at": row["archived_at"],
        "archived_by": row["archived_by"],
        "archived_reason": row["archived_reason"] or None,
        "created_at": row["created_at"],
        "version": row["version"],
    }


def connected_apis(apis: Iterable[str], catalogue: Catalogue) -> list[Document]:
    """The APIs that an application is connected to, as the catalogue has them; one that it no longer lists is left out,
    as it grants nothing.
    """
    connected = set(apis)
    return [asdict(api) for api in catalogue.apis if api.name in connected]


def catalogue(organisation_id: UUID, found: Catalogue) -> Document:
    """A version of an organisation's catalogue as it reads."""
    return {
        "organisation_id": organisation_id,
        "version": found.version,
        "groups": [asdict(group) for group in found.groups],
        "apis": [asdict(api) for api in found.apis],
        "retired": {mode.value: retired for mode, retired in found.retired.items()},
    }


def catalogue_history(history: Iterable[tuple[Context | None, Catalogue]]) -> list[Document]:
    """How each version of a catalogue came about, newest first: who made it, when and why, and what it offers more and
    less than the one before.
    """
    told: list[Document] = []
    before: Catalogue | None = None
    for context, found in history:
        offered = set() if before is None else before.modes.keys()
        told.append(
            {
                "version": found.version,
                "at": context and context.at,
                "actor": context and context.actor,
                "via": context and context.via,
                "reason": (context and context.reason) or None,
                "request_id": (context and context.request_id) or None,
                "added": sorted(found.modes.keys() - offered),
                "removed": sorted(offered - found.modes.keys()),
            }
        )
        before = found
    return told[::-1]


def grant(mode: Mode, scopes: Iterable[str], found: Catalogue) -> Document:
    """Scopes, and what they are called in a catalogue."""
    labels = found.labels(mode, scopes)
    return {
        "catalogue_version": found.version,
        "mode": mode,
        "preset": labels.preset,
        "presets": labels.presets,
        "scopes": list(scopes),
    }


def bulk_revocation(row: Row) -> Document:
    """A bulk revocation as it reads: by what its credentials were chosen, and how far it has come."""
    return {
        "id": row["run_id"],
        "organisation_id": row["organisation_id"],
        "status": "running" if row["finished_at"] is None else "finished",
        "contact_email": row["contact_email"] or None,
        "selection": row["selection"],
        "revocation_reason": row["revocation_reason"],
        "reason": row["reason"],
        "digest": row["digest"],
        "total": row["total"],
        "revoked": row["revoked"],
        "skipped": row["skipped"],
        "remaining": row["total"] - row["revoked"] - row["skipped"],
        "started_by": row["started_by"],
        "started_at": row["started_at"],
        "finished_at": row["finished_at"],
        "version": row["version"],
    }


def webhook_endpoint(row: Row) -> Document:
    """A webhook endpoint as it reads; of its signing secrets only since and until when there are some."""
    disabled = row["disabled_at"] is not None
    return {
        "id": row["endpoint_id"],
        "organisation_id": row["organisation_id"],
        "url": row["url"],
        "description": row["description"],
        "event_types": row["event_types"],
        "status": "removed" if row["removed_at"] is not None else "disabled" if disabled else "enabled",
        "signing_secrets": row["secrets"],
        "registered_at": row["registered_at"],
        "disabled_at": row["disabled_at"],
        "disabled_reason": row["disabled_reason"] or None,
        "removed_at": row["removed_at"],
        "version": row["version"],
    }


def webhook_delivery(row: Row) -> Document:
    """The delivery of a message as it reads, with what came of its last attempt. A test is about the endpoint alone."""
    pending = row["finished_at"] is None
    return {
        "id": row["delivery_id"],
        "endpoint_id": row["endpoint_id"],
        "credential_id": None if row["credential_id"] == row["endpoint_id"] else row["credential_id"],
        "message_id": row["message_id"],
        "type": row["type"],
        "status": "pending" if pending else "delivered" if row["delivered"] else "failed",
        "queued_at": row["queued_at"],
        "next_attempt_at": row["next_attempt_at"] if pending else None,
        "finished_at": row["finished_at"],
        "attempts": row["attempts"],
        "last_attempt_at": row["last_attempt_at"],
        "last_status": row["last_status"],
        "last_error": row["last_error"] or None,
    }


def webhook_delivery_log(row: Row) -> Document:
    """The same with the message that is sent and every attempt."""
    log = [
        {
            "attempt": one["attempt"],
            "at": one["at"],
            "milliseconds": one["milliseconds"],
            "status": one["status"],
            "error": one["error"] or None,
            "response": one["response"],
        }
        for one in row["log"]
    ]
    return webhook_delivery(row) | {"body": row["body"], "log": log}


def sealed_log(state: SealedLog) -> Document:
    """The provable log's name and the keys that its checkpoints were signed with."""
    return {
        "name": state.name,
        "generation": state.generation,
        "keys": [
            {
                "kid": key.kid,
                "public_key": key.public_key,
                "created_at": key.created_at,
                "expires_at": key.expires_at,
            }
            for key in state.keys
        ],
    }


def credential(row: Row, at: datetime, rotation_days: int, catalogues: Catalogues, *, hints: bool = True) -> Document:
    """A credential at a moment, from its status row (`last_used` where the query brought it). Of its secrets hints,
    unless those are withheld.
    """
    # Version 1 of a credential has no scopes yet: they are fixed in the same commit.
    chosen_from = catalogues.version(row["organisation_id"], row["catalogue_version"] or FIRST_VERSION)
    labels = chosen_from.labels(Mode(row["mode"]), row["scopes"])
    secrets = [_secret(secret, row.get("last_used") or {}, hints) for secret in row["secrets"]]
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
        "preset": labels.preset,
        "presets": labels.presets,
        "scopes": row["scopes"],
        "catalogue_version": row["catalogue_version"],
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


def owner(row: Row, rotation_days: int) -> Document:
    """Somebody who answers for credentials, as it reads."""
    oldest = row["oldest_secret_at"]
    return {
        "organisation_id": row["organisation_id"],
        "contact_email": row["contact_email"],
        "credentials": row["credentials"],
        "overdue": row["overdue"],
        "next_rotation_due_at": oldest and oldest + timedelta(days=rotation_days),
    }


def usage(found: Usage) -> Document:
    """How a credential is used, as it reads."""
    return {
        "addresses": [row | {"address": str(row["address"])} for row in found.addresses],
        "days": list(found.days),
    }


def entry(found: Entry, *, hints: bool = True) -> Document:
    """A step of a thing's history as it reads. Of a secret in it the hint, unless that is withheld."""
    document = asdict(found)
    if not hints and "secret" in found.data:
        document["data"]["secret"]["hint"] = ""
    return document


def reading(row: Row) -> Document:
    """That somebody read something, as it reads."""
    return {name: value for name, value in row.items() if name != "reading_id"}


def to_erase(row: Row, at: datetime) -> Document:
    """A credential whose personal data a retention policy erases, as it reads at a moment."""
    names = ("credential_id", "name", "kind", "mode", "ended_at", "erase_at")
    return {**{name: row[name] for name in names}, "due": row["erase_at"] <= at}


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


def _secret(secret: Row, last_used: Row, hints: bool) -> Document:
    version = secret["version"]
    used = last_used.get(str(version))
    return {
        "version": version,
        "hint": secret["hint"] if hints else "",
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


def export(state: Export, size: int | None = None, downloads: Sequence[Row] = ()) -> Document:
    """An export: what was asked for, and how far it has come that somebody fetches it."""
    return export_asked(state, size) | {"downloads": list(downloads)}


def export_asked(state: Export, size: int | None = None) -> Document:
    """An export as it was asked for; `size` is how many leaves it has, once its end is sealed."""
    return {
        "id": state.id,
        "organisation_id": state.organisation_id,
        "requested_at": state.requested.at,
        "requested_by": state.requested.actor,
        "reason": state.requested.reason,
        "filter": {
            "from": state.begin,
            "to": state.end,
            "credential_ids": list(state.aggregates),
            "topics": list(state.topics),
        },
        "personal": state.personal,
        "status": "sealing" if size is None else "ready",
        "leaves": size,
        "version": state.version,
    }


def access_review(state: AccessReview) -> Document:
    """An access review as it was asked for."""
    return {
        "id": state.id,
        "organisation_id": state.organisation_id,
        "requested_at": state.requested.at,
        "requested_by": state.requested.actor,
        "reason": state.requested.reason,
        "as_of": state.as_of,
        "version": state.version,
    }
