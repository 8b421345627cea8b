"""Operators over HTTP."""

from marshmallow import Schema, fields, validate

from api.schemas import PageQuery, PaginationSchema, WholeNumber, Why
from ledger.values import NAME_CHARS_MAX, OVERLAP_MAX, Role

_ROLES = fields.List(
    fields.String(validate=validate.OneOf(list(Role))),
    required=True,
    validate=validate.Length(min=1, max=len(Role)),
    metadata={"description": "What the operator may do.", "example": ["operator"]},
)


class OperatorIn(Why):
    """An operator to enrol."""

    name = fields.String(
        required=True, validate=validate.Length(min=1, max=NAME_CHARS_MAX), metadata={"example": "edge gateway"}
    )
    email = fields.String(allow_none=True, validate=validate.Length(max=254), metadata={"example": "ops@example.com"})
    organisation_id = fields.UUID(
        allow_none=True,
        load_default=None,
        metadata={"description": "The one organisation it is for; null for all, which takes an operator for all."},
    )
    roles = _ROLES
    production = fields.Boolean(
        load_default=False, truthy={True}, falsy={False}, metadata={"description": "Whether live credentials too."}
    )


class RolesIn(Why):
    """An operator's roles, whole."""

    roles = _ROLES
    production = fields.Boolean(required=True, truthy={True}, falsy={False})


class TokenRotationIn(Why):
    """A new token."""

    overlap_seconds = WholeNumber(
        load_default=0,
        validate=validate.Range(min=0, max=int(OVERLAP_MAX.total_seconds())),
        metadata={"description": "How long the old token stays good; 0 ends it at once."},
    )


# What the documentation shows.
ENROLLING = {
    "a gateway": {
        "summary": "A gateway of all organisations, which verifies live credentials too",
        "value": {"name": "edge gateway", "roles": ["verifier"], "production": True},
    },
    "an auditor": {
        "summary": "An auditor of one organisation",
        "value": {
            "name": "Grace",
            "email": "grace@example.com",
            "organisation_id": "01976b3c-9d1a-7c3e-8f00-2b4e5a6c7d8e",
            "roles": ["auditor"],
        },
    },
}


class TokenOut(Schema):
    """What is known of one token."""

    version = fields.Integer(required=True)
    hint = fields.String(required=True)
    created_at = fields.DateTime(required=True)
    expires_at = fields.DateTime(required=True, allow_none=True)


class OperatorOut(Schema):
    """An operator."""

    id = fields.UUID(required=True)
    organisation_id = fields.UUID(required=True, allow_none=True)
    name = fields.String(required=True)
    email = fields.String(required=True, allow_none=True)
    roles = fields.List(fields.String(), required=True)
    production = fields.Boolean(required=True)
    tokens = fields.List(fields.Nested(TokenOut), required=True)
    issuer = fields.String(
        required=True, allow_none=True, metadata={"description": "The identity provider of who signs in there."}
    )
    subject = fields.String(
        required=True, allow_none=True, metadata={"description": "Whom it means; nobody was told their token."}
    )
    enrolled_at = fields.DateTime(required=True)
    removed_at = fields.DateTime(required=True, allow_none=True)
    erased_at = fields.DateTime(
        required=True, allow_none=True, metadata={"description": "When its name and email were destroyed."}
    )
    version = fields.Integer(required=True)
    secret = fields.String(metadata={"description": "The token, in the answer that made it and never again."})


class OperatorPage(Schema):
    """A page of operators."""

    data = fields.List(fields.Nested(OperatorOut), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)


class OperatorQuery(PageQuery):
    """Which operators."""

    organisation_id = fields.UUID(metadata={"description": "Only those of this organisation."})
    q = fields.String(
        validate=validate.Length(min=1, max=NAME_CHARS_MAX),
        metadata={"description": "A part of the name or of the email, in any letter case."},
    )
