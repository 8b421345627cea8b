"""Readings over HTTP."""

from marshmallow import Schema, fields, validate

from api.schemas import PageQuery, PaginationSchema
from ledger.values import NAME_CHARS_MAX
from projections.readings import Shown


class ReadingQuery(PageQuery):
    """Which readings of an organisation."""

    actor = fields.String(
        validate=validate.Length(min=1, max=NAME_CHARS_MAX),
        metadata={"description": "Who read, as events name them: `operator:<id>`."},
    )
    aggregate_id = fields.UUID(metadata={"description": "Whose history, past or hint it was: a credential's, mostly."})
    since = fields.AwareDateTime(metadata={"description": "From this time on."})
    until = fields.AwareDateTime(metadata={"description": "Before this time."})


class ReadingOut(Schema):
    """That somebody read something."""

    at = fields.DateTime(required=True)
    actor = fields.String(required=True, metadata={"description": "Who: `operator:<id>`, or `command_line:<user>`."})
    roles = fields.List(fields.String(), required=True, metadata={"description": "The roles that they had then."})
    via = fields.String(required=True, metadata={"description": "Through what: `api`, `console` or `command_line`."})
    what = fields.List(
        fields.String(validate=validate.OneOf(list(Shown))),
        required=True,
        metadata={"description": "What they were shown.", "example": ["hint", "past"]},
    )
    route = fields.String(
        required=True,
        metadata={
            "description": "The path without its ids and its query, or the command.",
            "example": "/v1/organisations/{organisation_id}/credentials/{credential_id}/events",
        },
    )
    organisation_id = fields.UUID(required=True, allow_none=True)
    aggregate_id = fields.UUID(required=True, allow_none=True, metadata={"description": "Of what; null for a list."})
    request_id = fields.String(required=True)
    address = fields.String(required=True, metadata={"description": "Where the request came from."})


class ReadingPage(Schema):
    """A page of who read what, newest first."""

    data = fields.List(fields.Nested(ReadingOut), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)
