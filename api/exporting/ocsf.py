"""Events in the Open Cybersecurity Schema Framework (OCSF 1.8.0), as NDJSON: what SIEMs read without a parser of ours.

What happens to a thing is Entity Management (3004). What is done with many things at once, or takes data out, is API
Activity (6003). How credentials were verified, counted by day, is Authentication (3002). docs/exports.md has the table.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from enum import Enum
from importlib.metadata import version
from typing import Any, NamedTuple

import orjson

from api.exporting.tables import batches
from ledger import events
from ledger.events import Context, Event
from ledger.values import RevocationReason
from ledger.verification import Code
from projections.exported import ExportedEvent, Personal, VerificationCount

MEDIA_TYPE = "application/x-ndjson"
SCHEMA_VERSION = "1.8.0"
CHUNK_LINES = 250  # some hundred kilobytes

Document = dict[str, Any]


class Class(Enum):
    """The classes that are used: the id of each, its category's, and their names."""

    ENTITY_MANAGEMENT = (3004, "Entity Management", 3, "Identity & Access Management")
    API_ACTIVITY = (6003, "API Activity", 6, "Application Activity")
    AUTHENTICATION = (3002, "Authentication", 3, "Identity & Access Management")


class Activity(NamedTuple):
    """An activity of a class; 99 is one that OCSF has no name for."""

    of: Class
    id: int
    name: str


CREATE = Activity(Class.ENTITY_MANAGEMENT, 1, "Create")
UPDATE = Activity(Class.ENTITY_MANAGEMENT, 3, "Update")
DELETE = Activity(Class.ENTITY_MANAGEMENT, 4, "Delete")
ENABLE = Activity(Class.ENTITY_MANAGEMENT, 8, "Enable")
DISABLE = Activity(Class.ENTITY_MANAGEMENT, 9, "Disable")
SUSPEND = Activity(Class.ENTITY_MANAGEMENT, 12, "Suspend")
RESUME = Activity(Class.ENTITY_MANAGEMENT, 13, "Resume")
ERASE = Activity(Class.ENTITY_MANAGEMENT, 99, "Erase")
DECLARE_RESTORE = Activity(Class.ENTITY_MANAGEMENT, 99, "Declare Restore")
CALL_READ = Activity(Class.API_ACTIVITY, 2, "Read")
CALL_UPDATE = Activity(Class.API_ACTIVITY, 3, "Update")
LOGON = Activity(Class.AUTHENTICATION, 1, "Logon")

ACTIVITIES: Mapping[type[Event], Activity] = {
    events.OrganisationRegistered: CREATE,
    events.OrganisationRenamed: UPDATE,
    events.OrganisationRetentionChanged: UPDATE,
    events.CatalogueChanged: UPDATE,
    events.OperatorEnrolled: CREATE,
    events.OperatorRolesChanged: UPDATE,
    events.OperatorTokenRotated: UPDATE,
    events.OperatorTokenOverlapEnded: UPDATE,
    events.OperatorRemoved: DELETE,
    events.OperatorErased: ERASE,
    events.AccountOpened: CREATE,
    events.AccountDescribed: UPDATE,
    events.AccountClosed: DISABLE,
    events.ApplicationRegistered: CREATE,
    events.ApplicationDescribed: UPDATE,
    events.ApplicationApisConnected: UPDATE,
    events.ApplicationArchived: DISABLE,
    events.CredentialCreated: CREATE,
    events.CredentialScopesFixed: UPDATE,
    events.CredentialWhitelisted: UPDATE,
    events.CredentialRotated: UPDATE,
    events.CredentialOverlapEnded: UPDATE,
    events.CredentialRevoked: DISABLE,
    events.CredentialSuspended: SUSPEND,
    events.CredentialResumed: RESUME,
    events.CredentialDescribed: UPDATE,
    events.CredentialErased: ERASE,
    events.BulkRevocationStarted: CALL_UPDATE,
    events.BulkRevocationAdvanced: CALL_UPDATE,
    events.BulkRevocationFinished: CALL_UPDATE,
    events.BulkRevocationErased: CALL_UPDATE,
    events.WebhookEndpointRegistered: CREATE,
    events.WebhookEndpointDescribed: UPDATE,
    events.WebhookEndpointSecretRotated: UPDATE,
    events.WebhookEndpointDisabled: DISABLE,
    events.WebhookEndpointEnabled: ENABLE,
    events.WebhookEndpointRemoved: DELETE,
    events.SigningKeyRotated: UPDATE,
    events.SealedLogOpened: CREATE,
    events.SealedLogKeyRotated: UPDATE,
    events.SealedLogRestoreDeclared: DECLARE_RESTORE,
    events.ExportRequested: CALL_READ,
    events.AccessReviewRequested: CALL_READ,
}
"""What each event is to a SIEM."""

_INFORMATIONAL, _HIGH = (1, "Informational"), (4, "High")
_SUCCESS, _FAILURE = (1, "Success"), (2, "Failure")
# Of managed entities (type_id), those that OCSF has a name for; others are 99 and have ours.
_ENTITY_TYPES = {"operator": (2, "User"), "organisation": (4, "Organization"), "catalogue": (5, "Policy")}
_OTHER = 99
_USER, _SERVICE = 1, 4  # types of a user: a person, and a program
_PRODUCT = {"name": "Keyledger", "vendor_name": "Keyledger", "version": version("keyledger")}


def write_ocsf(documents: Iterable[Document]) -> Iterator[bytes]:
    """The file, in pieces: one object a line."""
    lines = (orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z) for one in documents)
    for chunk in batches(lines, CHUNK_LINES, len):
        yield b"".join(chunk)


def of_event(exported: ExportedEvent) -> Document:
    """An event of the log. Its own fields are the entity's, or the call's, data."""
    event, context, personal = exported.event, exported.event.context, exported.personal
    activity, kind = ACTIVITIES[type(event)], event.TOPIC.partition(".")[0]
    uid, version = exported.aggregate_id, exported.aggregate_version
    thing = {"uid": uid, "type": kind, "version": str(version), "data": exported.data}
    document = _document(activity, context.at, _severity(event), _SUCCESS) | {
        "message": event.TOPIC,
        "metadata": _metadata(exported.organisation_id, f"{uid}/{version}")
        | {"event_code": event.TOPIC, "sequence": exported.position}
        | ({"correlation_uid": context.request_id} if context.request_id else {}),
        "actor": _actor(context, uid),
    }
    if context.address:
        document["src_endpoint"] = {"ip": context.address}
    if activity.of is Class.ENTITY_MANAGEMENT:
        type_id, name = _ENTITY_TYPES.get(kind, (_OTHER, kind))
        document["entity"] = thing | {"type_id": type_id, "type": name}
        if context.reason:
            document["comment"] = context.reason
    else:
        document["api"] = {"operation": event.TOPIC, "request": {"uid": context.request_id}}
        document["resources"] = [thing]
        document.setdefault("src_endpoint", {"name": str(context.via)})
        if context.reason:
            document["status_detail"] = context.reason
    if personal is not Personal.NONE:
        document["unmapped"] = {"personal": str(personal)}
    return document


def of_verifications(counted: VerificationCount) -> Document:
    """How often one code was answered about a credential on one day, as one event that stands for so many."""
    begin = datetime.combine(counted.day, time.min, UTC)
    credential, code = str(counted.credential_id), counted.code
    status = _SUCCESS if code == Code.VALID else _FAILURE
    return _document(LOGON, begin, _INFORMATIONAL, status) | {
        "message": "credential verified",
        "metadata": _metadata(str(counted.organisation_id), f"{credential}/{counted.day}/{code}"),
        "user": {"uid": credential, "type_id": _SERVICE, "credential_uid": credential},
        "service": {"name": "Keyledger"},
        "status_code": code,
        "count": counted.verifications,
        "start_time": _milliseconds(begin),
        "end_time": _milliseconds(begin + timedelta(days=1)),
    }


def _document(activity: Activity, at: datetime, severity: tuple[int, str], status: tuple[int, str]) -> Document:
    """What every class has."""
    class_uid, class_name, category_uid, category_name = activity.of.value
    return {
        "class_uid": class_uid,
        "class_name": class_name,
        "category_uid": category_uid,
        "category_name": category_name,
        "activity_id": activity.id,
        "activity_name": activity.name,
        "type_uid": class_uid * 100 + activity.id,
        "type_name": f"{class_name}: {'Other' if activity.id == _OTHER else activity.name}",
        "severity_id": severity[0],
        "severity": severity[1],
        "status_id": status[0],
        "status": status[1],
        "time": _milliseconds(at),
    }


def _metadata(organisation_id: str | None, uid: str) -> Document:
    return {
        "version": SCHEMA_VERSION,
        "product": _PRODUCT,
        "log_name": "keyledger",
        "uid": uid,
    } | ({"tenant_uid": organisation_id} if organisation_id else {})


def _actor(context: Context, aggregate_id: str) -> Document:
    """Who did it: an operator, somebody at the command line, whoever held the secret, or the service itself."""
    kind, _, name = context.actor.partition(":")
    actor: Document = {"app_name": str(context.via)}
    match kind:
        case "operator":
            actor["user"] = {"uid": name, "type_id": _USER}
        case "command_line":
            actor["user"] = {"name": name, "type_id": _USER}
        case "holder":
            actor["user"] = {"uid": aggregate_id, "name": "holder", "type_id": _SERVICE, "credential_uid": aggregate_id}
    return actor


def _severity(event: Event) -> tuple[int, str]:
    """High for what somebody should look into: a secret that leaked, and a log that lost what was signed."""
    leaked = (
        isinstance(event, events.CredentialRevoked | events.BulkRevocationStarted)
        and event.revocation_reason is RevocationReason.COMPROMISED
    )
    return _HIGH if leaked or isinstance(event, events.SealedLogRestoreDeclared) else _INFORMATIONAL


def _milliseconds(at: datetime) -> int:
    """Since 1970 in UTC."""
    return (at - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
