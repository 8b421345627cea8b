"""What comes in and goes out over HTTP, for parsing and for the documentation.

marshmallow answers "is it well formed?": types, unknown fields, sizes. What a value means is for `ledger/values.py`.
Answers are written from rows; their schemas document them.
"""

from typing import Any

from marshmallow import RAISE, Schema, fields, validate

from ledger.values import REASON_CHARS_MAX
from projections.history import VERSION_MAX
from projections.pages import CURSOR_CHARS_MAX, LIMIT_DEFAULT, LIMIT_MAX


class Strict(Schema):
    """A body or a query in which every unknown field is refused."""

    class Meta:
        """marshmallow's options."""

        unknown = RAISE


class Why(Strict):
    """The part of every command that says why."""

    reason = fields.String(
        validate=validate.Length(max=REASON_CHARS_MAX),
        metadata={"description": "Why this is done, in your words; it stays in the history.", "example": "INC-1234"},
    )


class WholeNumber(fields.Integer):
    """A whole number in a body: 60 or 60.0, which JSON Schema takes for the same, but no text and no fraction."""

    def __init__(self, **options: Any) -> None:
        super().__init__(strict=True, **options)

    def _validated(self, value: Any) -> Any:
        return super()._validated(int(value) if isinstance(value, float) and value.is_integer() else value)


class PaginationSchema(Schema):
    """Where the next page begins."""

    cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Pass as `cursor` to get the next page; null on the last."},
    )
    has_more = fields.Boolean(required=True)


class PageQuery(Strict):
    """How lists are paged."""

    cursor = fields.String(
        validate=validate.Length(max=CURSOR_CHARS_MAX),
        metadata={"description": "Where to go on: from the page before."},
    )
    limit = fields.Integer(
        load_default=LIMIT_DEFAULT,
        validate=validate.Range(min=1, max=LIMIT_MAX),
        metadata={"description": "Entries a page."},
    )


class AsOfQuery(Strict):
    """A moment or a version of the past; the present where neither is given."""

    as_of = fields.AwareDateTime(metadata={"description": "As it was at this time."})
    version = fields.Integer(
        validate=validate.Range(min=1, max=VERSION_MAX), metadata={"description": "As it was at this version."}
    )


class FailedFieldSchema(Schema):
    """One field that was refused."""

    field = fields.String(required=True, metadata={"description": "Its name, dotted where nested."})
    reason = fields.String(required=True)
    code = fields.String(required=True)


class ProblemSchema(Schema):
    """A refusal (RFC 9457)."""

    type = fields.String(required=True, metadata={"format": "uri-reference", "example": "/problems/invalid_value"})
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    code = fields.String(required=True, metadata={"description": "Stable; tell errors apart by it."})
    request_id = fields.String(required=True)
    errors = fields.List(fields.Nested(FailedFieldSchema), metadata={"description": "The fields that were refused."})
    resource_id = fields.UUID(
        metadata={"description": "With `idempotency_answer_expired`: what the request was about."}
    )
