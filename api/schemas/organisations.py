"""Organisations over HTTP."""

from marshmallow import Schema, fields, validate

from api.schemas import PaginationSchema, Why
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


class OrganisationPage(Schema):
    """A page of tenants."""

    data = fields.List(fields.Nested(OrganisationOut), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)
