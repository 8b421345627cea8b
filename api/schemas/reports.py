"""Reports over HTTP."""

from marshmallow import Schema, fields

from api.schemas import PageQuery, PaginationSchema


class OwnerQuery(PageQuery):
    """Of which time."""

    as_of = fields.AwareDateTime(metadata={"description": "Who answered for what at this time."})


class OwnerOut(Schema):
    """Somebody who answers for credentials."""

    organisation_id = fields.UUID(required=True)
    contact_email = fields.String(required=True, metadata={"description": "In lower case."})
    credentials = fields.Integer(required=True, metadata={"description": "How many good ones they answer for."})
    overdue = fields.Integer(required=True, metadata={"description": "Of those, how many are to be rotated."})
    next_rotation_due_at = fields.DateTime(
        required=True, allow_none=True, metadata={"description": "When the first is due; null where all are suspended."}
    )


class OwnerPage(Schema):
    """A page of those who answer for credentials, by email."""

    data = fields.List(fields.Nested(OwnerOut), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)
