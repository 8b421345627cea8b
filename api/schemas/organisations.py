"""Organisations over HTTP."""

from marshmallow import Schema, fields, validate

from api.schemas import PageQuery, PaginationSchema, Why
from ledger.values import NAME_CHARS_MAX


class OrganisationIn(Why):
    """A tenant to register or rename."""

    name = fields.String(
        required=True, validate=validate.Length(min=1, max=NAME_CHARS_MAX), metadata={"example": "Acme Ltd"}
    )


class OrganisationOut(Schema):
    """A tenant."""

    id = fields.UUID(required=True)
    name = fields.String(required=True)
    registered_at = fields.DateTime(required=True)
    version = fields.Integer(required=True)
    retention_days = fields.Integer(
        required=True,
        allow_none=True,
        metadata={
            "description": "After how many days personal data of ended credentials is erased: 0 for never, null for "
            "what the installation says."
        },
    )


class OrganisationQuery(PageQuery):
    """Which tenants."""

    q = fields.String(
        validate=validate.Length(min=1, max=NAME_CHARS_MAX),
        metadata={"description": "Words of the name, in any letter case; the last may be cut."},
    )


class OrganisationPage(Schema):
    """A page of tenants."""

    data = fields.List(fields.Nested(OrganisationOut), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)
