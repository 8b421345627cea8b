"""History over HTTP."""

from marshmallow import Schema, fields, validate

from api.schemas import PageQuery, PaginationSchema, Strict
from ledger.values import NAME_CHARS_MAX
from projections.activity import TOPICS
from projections.history import VERSION_MAX


class HistoryQuery(PageQuery):
    """Which part of a history."""

    up_to_version = fields.Integer(
        validate=validate.Range(min=1, max=VERSION_MAX), metadata={"description": "Only up to this version."}
    )


class HappenedSchema(Schema):
    """What every event tells: where it stands, who did it, when, why, through what and from where."""

    version = fields.Integer(required=True, metadata={"description": "The version that it gave the thing."})
    position = fields.Integer(required=True, metadata={"description": "Its place in the whole log."})
    topic = fields.String(required=True, metadata={"example": "credential.rotated"})
    at = fields.DateTime(required=True)
    actor = fields.String(
        required=True, metadata={"description": "`operator:<id>`, `command_line:<user>`, `holder` or `system`."}
    )
    via = fields.String(required=True, metadata={"description": "api, console, command_line or system."})
    reason = fields.String(required=True, metadata={"description": "Why, in the words of who did it."})
    request_id = fields.String(required=True)
    address = fields.String(required=True, metadata={"description": "The address it came from; empty for none."})


class HistoryEntry(HappenedSchema):
    """One thing that happened to a credential or an account."""

    data = fields.Dict(required=True, metadata={"description": "The event's own fields; never what verifies a secret."})
    erased = fields.Boolean(
        required=True, metadata={"description": "Whether personal values in `data` are empty because they were erased."}
    )


class HistoryPage(Schema):
    """A page of a history, oldest first."""

    data = fields.List(fields.Nested(HistoryEntry), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)


_MOMENT_CHARS_MAX = 40  # a time to the microsecond with its zone has 32


class DifferenceQuery(Strict):
    """Between which moments."""

    from_ = fields.String(
        data_key="from",
        required=True,
        validate=validate.Length(min=1, max=_MOMENT_CHARS_MAX),
        metadata={"description": "A version, or a time with its zone.", "example": "2"},
    )
    to = fields.String(
        validate=validate.Length(min=1, max=_MOMENT_CHARS_MAX),
        metadata={"description": "The same; now where left out.", "example": "2026-05-31T12:00:00Z"},
    )


class MomentOut(Schema):
    """A moment of a thing."""

    version = fields.Integer(required=True, metadata={"description": "The version that it had then."})
    at = fields.DateTime(
        required=True, metadata={"description": "The time that was asked for, or when the version was recorded."}
    )


class ChangeOut(Schema):
    """A field that differs, as it was at either moment."""

    before = fields.Raw(required=True, allow_none=True)
    after = fields.Raw(required=True, allow_none=True)


class DifferenceOut(Schema):
    """What changed of a thing from one moment to another."""

    id = fields.UUID(required=True)
    kind = fields.String(required=True, metadata={"example": "credential"})
    organisation_id = fields.UUID(required=True, allow_none=True)
    from_ = fields.Nested(MomentOut, data_key="from", required=True)
    to = fields.Nested(MomentOut, required=True)
    changes = fields.Dict(
        keys=fields.String(),
        values=fields.Nested(ChangeOut),
        required=True,
        metadata={"description": "By field. Time alone can change a status; all else comes of the events."},
    )
    events = fields.List(
        fields.Nested(HistoryEntry), required=True, metadata={"description": "The events between, oldest first."}
    )
    events_left_out = fields.Integer(
        required=True, metadata={"description": "How many more there are than the two hundred that are told."}
    )


class ActivityQuery(PageQuery):
    """Which events of an organisation."""

    aggregate_id = fields.UUID(
        metadata={"description": "What it happened to: a credential, an account, an operator, the organisation."}
    )
    actor = fields.String(
        validate=validate.Length(min=1, max=NAME_CHARS_MAX),
        metadata={"description": "Who did it, as events name them: `operator:<id>`."},
    )
    topic = fields.String(
        validate=validate.OneOf(sorted(TOPICS)),
        metadata={"description": "What kind of event.", "example": "credential.revoked"},
    )
    address = fields.String(
        validate=validate.Length(min=1, max=50), metadata={"description": "The address it came from."}
    )
    since = fields.AwareDateTime(metadata={"description": "From this time on."})
    until = fields.AwareDateTime(metadata={"description": "Before this time."})


class ActivityEntry(HappenedSchema):
    """One thing that happened in an organisation."""

    organisation_id = fields.UUID(required=True)
    aggregate = fields.String(required=True, metadata={"description": "credential, account, operator or organisation."})
    aggregate_id = fields.UUID(required=True)
    data = fields.Dict(required=True, metadata={"description": "The event's own fields, without personal ones."})


class ActivityPage(Schema):
    """A page of what happened, newest first."""

    data = fields.List(fields.Nested(ActivityEntry), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)
