"""Applications over HTTP."""

from typing import Any

from marshmallow import Schema, fields, validate

from api.schemas import PageQuery, PaginationSchema, Strict, Why
from api.schemas.catalogue import ApiSchema
from api.schemas.credentials import CredentialOut
from ledger.catalogue import PRESETS
from ledger.permissions import APIS_MAX
from ledger.values import DESCRIPTION_CHARS_MAX, NAME_CHARS_MAX, SCOPES_MAX, CatalogueName, Environment, Mode

_DESCRIPTION = fields.String(
    allow_none=True, validate=validate.Length(max=DESCRIPTION_CHARS_MAX), metadata={"example": "Books our payouts."}
)


def _apis(*, required: bool = False) -> fields.List[Any]:
    return fields.List(
        fields.String(validate=validate.Length(max=CatalogueName.CHARS_MAX)),
        required=required,
        validate=validate.Length(max=APIS_MAX),
        metadata={
            "description": "Names of APIs in the catalogue. They are the ceiling of what its credentials may do.",
            "example": ["statements"],
        },
    )


class KeyPairIn(Strict):
    """A key pair to generate with the application: all that its APIs take, unless a preset or scopes say less."""

    environment = fields.String(allow_none=True, validate=validate.OneOf(list(Environment)))
    mode = fields.String(allow_none=True, validate=validate.OneOf(list(Mode)))
    name = fields.String(allow_none=True, validate=validate.Length(max=NAME_CHARS_MAX))
    contact_email = fields.String(
        allow_none=True, validate=validate.Length(max=254), metadata={"example": "dev@example.com"}
    )
    preset = fields.String(allow_none=True, validate=validate.OneOf(list(PRESETS)))
    scopes = fields.List(fields.String(validate=validate.Length(max=100)), validate=validate.Length(max=SCOPES_MAX))
    expires_at = fields.AwareDateTime(allow_none=True, metadata={"description": "When it ends by itself."})


class ApplicationIn(Why):
    """An application to register."""

    title = fields.String(
        required=True, validate=validate.Length(min=1, max=NAME_CHARS_MAX), metadata={"example": "Ledger sync"}
    )
    description = _DESCRIPTION
    account_id = fields.UUID(allow_none=True, metadata={"description": "The account that it belongs to."})
    apis = _apis()
    generate = fields.Nested(
        KeyPairIn,
        metadata={"description": "Generate its first key pair too, in the same commit."},
    )


class ApplicationDescriptionIn(Why):
    """What to change; what is left out stays."""

    title = fields.String(validate=validate.Length(min=1, max=NAME_CHARS_MAX))
    description = _DESCRIPTION


class ApisIn(Why):
    """The whole set of APIs; an empty one connects the application to none."""

    apis = _apis(required=True)


# What the documentation shows.
REGISTERING = {
    "alone": {"summary": "An application", "value": {"title": "Ledger sync", "description": "Books our payouts."}},
    "connect and generate keys": {
        "summary": "Connected to an API, with its first key pair",
        "value": {"title": "Ledger sync", "apis": ["statements"], "generate": {"environment": "development"}},
    },
}
CONNECTING = {"one API": {"summary": "One API", "value": {"apis": ["statements"], "reason": "INC-1234"}}}


class ApplicationOut(Schema):
    """An application."""

    id = fields.UUID(required=True, metadata={"description": "The App ID."})
    organisation_id = fields.UUID(required=True)
    account_id = fields.UUID(required=True, allow_none=True)
    title = fields.String(required=True)
    description = fields.String(required=True)
    apis = fields.List(fields.String(), required=True)
    archived = fields.Boolean(required=True)
    archived_at = fields.DateTime(required=True, allow_none=True)
    archived_by = fields.String(required=True, allow_none=True)
    archived_reason = fields.String(required=True, allow_none=True)
    created_at = fields.DateTime(required=True)
    version = fields.Integer(required=True)


class ApplicationDetailOut(ApplicationOut):
    """An application, and the APIs that it is connected to as the catalogue has them now."""

    connected_apis = fields.List(fields.Nested(ApiSchema), metadata={"description": "Absent where the past is read."})


class RegisteredOut(ApplicationOut):
    """A new application, with its first key pair where one was asked for."""

    credential = fields.Nested(CredentialOut, metadata={"description": "The key pair; `public_id` is its shared key."})
    secret = fields.String(metadata={"description": "The key pair's secret key: shown in this answer and never again."})


class ApplicationPage(Schema):
    """A page of applications."""

    data = fields.List(fields.Nested(ApplicationOut), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)


class ApplicationQuery(PageQuery):
    """Which applications."""

    q = fields.String(
        validate=validate.Length(min=1, max=200),
        metadata={"description": "Stands in the title, the description or the App ID, in any letter case."},
    )
    archived = fields.Boolean(metadata={"description": "Only archived ones, or only those that are not."})
    account = fields.UUID(metadata={"description": "Only those of this account."})
