"""Access reviews over HTTP."""

from marshmallow import Schema, fields, validate

from api.exporting.files import ReviewFormat
from api.schemas import PaginationSchema, Strict
from api.schemas.exports import WrittenOut
from ledger.values import REASON_CHARS_MAX

ASKING = {
    "now": {"summary": "Who has what now", "value": {"reason": "access review of the third quarter"}},
    "then": {
        "summary": "Who had what on a past day",
        "value": {"as_of": "2026-06-30T22:00:00Z", "reason": "access review of the second quarter"},
    },
}


class AccessReviewIn(Strict):
    """As of when, and why."""

    as_of = fields.AwareDateTime(metadata={"description": "Not in the future; now if left out."})
    reason = fields.String(
        required=True,
        validate=validate.Length(min=1, max=REASON_CHARS_MAX),
        metadata={"description": "Why; it stays in the history.", "example": "access review of the third quarter"},
    )


class AccessReviewOut(Schema):
    """An access review."""

    id = fields.UUID(required=True)
    organisation_id = fields.UUID(required=True)
    requested_at = fields.AwareDateTime(required=True)
    requested_by = fields.String(required=True)
    reason = fields.String(required=True)
    as_of = fields.AwareDateTime(required=True)
    version = fields.Integer(required=True)


class AccessReviewPage(Schema):
    """A page of access reviews, newest first."""

    data = fields.List(fields.Nested(AccessReviewOut), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)


class ReviewQuery(Strict):
    """In which format."""

    format = fields.String(
        required=True,
        validate=validate.OneOf(list(ReviewFormat)),
        metadata={"description": "A table for tools, or a page to print."},
    )


class AccessReviewManifestOut(WrittenOut):
    """The manifest of an access review's file."""

    asked = fields.Nested(AccessReviewOut, required=True)
