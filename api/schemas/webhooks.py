"""Webhook endpoints and their deliveries over HTTP."""

from marshmallow import Schema, fields, validate

from api.schemas import PageQuery, PaginationSchema, WholeNumber, Why
from ledger.values import DESCRIPTION_CHARS_MAX, OVERLAP_MAX, URL_CHARS_MAX
from ledger.webhooks import EVENT_TYPES
from projections.webhook_delivery import STATUSES

_EVENT_TYPES = fields.List(
    fields.String(validate=validate.OneOf(EVENT_TYPES)),
    validate=validate.Length(max=len(EVENT_TYPES)),
    metadata={"description": "Of which types it is sent messages; none for all.", "example": ["credential.revoked"]},
)
_DESCRIPTION = fields.String(
    allow_none=True,
    validate=validate.Length(max=DESCRIPTION_CHARS_MAX),
    metadata={"description": "What it is for.", "example": "tickets of the on-call team"},
)


def _url(*, required: bool) -> fields.String:
    return fields.String(
        required=required,
        validate=validate.Length(min=1, max=URL_CHARS_MAX),
        metadata={
            "description": "Where messages are posted to: https, without a user or a fragment.",
            "example": "https://hooks.example.com/keyledger",
        },
    )


class WebhookEndpointIn(Why):
    """An endpoint to register."""

    url = _url(required=True)
    description = _DESCRIPTION
    event_types = _EVENT_TYPES


class WebhookEndpointDescriptionIn(Why):
    """What to change of an endpoint; what is left out stays."""

    url = _url(required=False)
    description = _DESCRIPTION
    event_types = _EVENT_TYPES


class SigningSecretRotationIn(Why):
    """A new signing secret."""

    overlap_seconds = WholeNumber(
        load_default=0,
        validate=validate.Range(min=0, max=int(OVERLAP_MAX.total_seconds())),
        metadata={"description": "How long messages are signed with the old secret too; 0 for no longer."},
    )


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    status = fields.String(
        validate=validate.OneOf(list(STATUSES)), metadata={"description": "Those that are to be sent, or became this."}
    )


# Bodies that the documentation shows.
REGISTERING = {
    "all": {
        "summary": "An endpoint that is sent everything",
        "value": {"url": "https://hooks.example.com/keyledger", "description": "tickets of the on-call team"},
    },
    "ends": {
        "summary": "An endpoint that is sent what ended, or will",
        "value": {
            "url": "https://hooks.example.com/ends",
            "event_types": ["credential.expiring", "credential.revoked"],
        },
    },
}
ROTATING = {"a day": {"summary": "Two signatures for a day", "value": {"overlap_seconds": 86400}}}


class SigningSecretOut(Schema):
    """What is known of one signing secret."""

    version = fields.Integer(required=True)
    created_at = fields.DateTime(required=True)
    expires_at = fields.DateTime(required=True, allow_none=True)


class WebhookEndpointOut(Schema):
    """A webhook endpoint."""

    id = fields.UUID(required=True)
    organisation_id = fields.UUID(required=True)
    url = fields.String(required=True)
    description = fields.String(required=True)
    event_types = fields.List(fields.String(), required=True, metadata={"description": "Empty for all."})
    status = fields.String(required=True, validate=validate.OneOf(("enabled", "disabled", "removed")))
    signing_secrets = fields.List(fields.Nested(SigningSecretOut), required=True)
    registered_at = fields.DateTime(required=True)
    disabled_at = fields.DateTime(required=True, allow_none=True)
    disabled_reason = fields.String(required=True, allow_none=True)
    removed_at = fields.DateTime(required=True, allow_none=True)
    version = fields.Integer(required=True)
    secret = fields.String(
        metadata={
            "description": "What messages are signed with, `whsec_...`, in the answer that made it and never again."
        }
    )


class WebhookEndpointPage(Schema):
    """A page of webhook endpoints."""

    data = fields.List(fields.Nested(WebhookEndpointOut), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)


class WebhookDeliveryOut(Schema):
    """The delivery of one message to one endpoint."""

    id = fields.UUID(required=True)
    endpoint_id = fields.UUID(required=True)
    credential_id = fields.UUID(
        required=True, allow_none=True, metadata={"description": "Null for a test, which is about no credential."}
    )
    message_id = fields.String(required=True, metadata={"description": "The `webhook-id`, the same at every attempt."})
    type = fields.String(required=True, metadata={"example": "credential.revoked"})
    status = fields.String(required=True, validate=validate.OneOf(list(STATUSES)))
    queued_at = fields.DateTime(required=True)
    next_attempt_at = fields.DateTime(required=True, allow_none=True)
    finished_at = fields.DateTime(required=True, allow_none=True)
    attempts = fields.Integer(required=True)
    last_attempt_at = fields.DateTime(required=True, allow_none=True)
    last_status = fields.Integer(required=True, allow_none=True, metadata={"description": "Null for no answer."})
    last_error = fields.String(required=True, allow_none=True)


class WebhookAttemptOut(Schema):
    """One attempt to deliver a message."""

    attempt = fields.Integer(required=True)
    at = fields.DateTime(required=True)
    milliseconds = fields.Integer(required=True)
    status = fields.Integer(required=True, allow_none=True, metadata={"description": "Null for no answer."})
    error = fields.String(required=True, allow_none=True)
    response = fields.String(required=True, metadata={"description": "How the answer's body begins."})


class WebhookDeliveryLogOut(WebhookDeliveryOut):
    """The same with the message and every attempt."""

    body = fields.String(required=True, metadata={"description": "The message, as it is signed and sent."})
    log = fields.List(fields.Nested(WebhookAttemptOut), required=True)


class WebhookDeliveryPage(Schema):
    """A page of deliveries."""

    data = fields.List(fields.Nested(WebhookDeliveryOut), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)
