"""Retention over HTTP."""

from marshmallow import Schema, fields, validate

from api.schemas import PageQuery, PaginationSchema, WholeNumber, Why
from ledger.values import RETENTION_DAYS_MAX, Kind, Mode


class RetentionQuery(PageQuery):
    """Which policy."""

    days = fields.Integer(
        validate=validate.Range(min=1, max=RETENTION_DAYS_MAX),
        metadata={"description": "As if the policy were so many days; the one that holds where left out."},
    )


class RetentionIn(Why):
    """An organisation's own policy."""

    days = WholeNumber(
        required=True,
        allow_none=True,
        validate=validate.Range(min=0, max=RETENTION_DAYS_MAX),
        metadata={"description": "After how many days; 0 for never, null for what the installation says."},
    )


class ToEraseOut(Schema):
    """A credential whose personal data will be erased."""

    credential_id = fields.UUID(required=True)
    name = fields.String(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(list(Kind)))
    mode = fields.String(required=True, validate=validate.OneOf(list(Mode)))
    ended_at = fields.DateTime(
        required=True, metadata={"description": "When it was revoked or expired, or will be, whichever is first."}
    )
    erase_at = fields.DateTime(required=True, metadata={"description": "From when on it is erased."})
    due = fields.Boolean(required=True, metadata={"description": "Whether that time has come."})


class RetentionOut(Schema):
    """A policy, and a page of what it erases."""

    days = fields.Integer(
        required=True, metadata={"description": "After how many days personal data is erased; 0 for never."}
    )
    data = fields.List(fields.Nested(ToEraseOut), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)
