"""Exports over HTTP."""

from marshmallow import Schema, fields, validate

from api.exporting.files import BUNDLE, EventFormat
from api.exporting.manifests import FORMAT as MANIFEST_FORMAT
from api.schemas import PaginationSchema, Strict
from ledger.export import AGGREGATES_MAX
from ledger.tlog.canonical import SIZE_MAX
from ledger.values import REASON_CHARS_MAX

TOPICS_MAX = 100  # more than there are kinds of events

ASKING = {
    "everything": {"summary": "The whole log", "value": {"reason": "audit of 2026"}},
    "a year": {
        "summary": "A year of what happened to credentials",
        "value": {
            "filter": {"from": "2026-01-01T00:00:00Z", "to": "2027-01-01T00:00:00Z", "topics": ["credential"]},
            "reason": "audit of 2026",
        },
    },
}


class ExportFilterIn(Strict):
    """Which events: all that is given must hold."""

    begin = fields.AwareDateTime(data_key="from", metadata={"description": "Not before this."})
    end = fields.AwareDateTime(data_key="to", metadata={"description": "Before this."})
    credential_ids = fields.List(
        fields.UUID(),
        validate=validate.Length(min=1, max=AGGREGATES_MAX),
        metadata={"description": "What happened to these: credentials, or whatever else has a history."},
    )
    topics = fields.List(
        fields.String(validate=validate.Length(min=1, max=201)),
        validate=validate.Length(min=1, max=TOPICS_MAX),
        metadata={
            "description": "Events of these kinds (`credential.revoked`), or of all kinds that a thing has "
            "(`credential`).",
            "example": ["credential"],
        },
    )


class ExportIn(Strict):
    """What to take out, and why."""

    filter = fields.Nested(ExportFilterIn, metadata={"description": "Which events; without it, all."})
    personal = fields.Boolean(
        load_default=False,
        truthy={True},
        falsy={False},
        metadata={"description": "With personal fields in clear, beside the sealed ones that proofs cover."},
    )
    reason = fields.String(
        required=True,
        validate=validate.Length(min=1, max=REASON_CHARS_MAX),
        metadata={"description": "Why; it stays in the history, and in the export.", "example": "audit of 2026"},
    )


class ContentQuery(Strict):
    """In which format, and where to go on."""

    format = fields.String(
        load_default=BUNDLE,
        validate=validate.OneOf([BUNDLE, *EventFormat]),
        metadata={"description": "The bundle that proves itself, or a file for other tools: docs/exports.md."},
    )
    first = fields.Integer(
        load_default=0,
        data_key="from",
        validate=validate.Range(min=0, max=SIZE_MAX),
        metadata={"description": "Of a bundle, the first leaf to send; the manifest is before leaf 0."},
    )


class ManifestQuery(Strict):
    """Of the file in which format."""

    format = fields.String(
        required=True,
        validate=validate.OneOf(list(EventFormat)),
        metadata={"description": "The format that it was fetched in."},
    )


class WrittenOut(Schema):
    """What a file holds."""

    manifest = fields.String(required=True, validate=validate.Equal(MANIFEST_FORMAT))
    format = fields.String(required=True)
    made_at = fields.AwareDateTime(required=True)
    rows = fields.Integer(required=True)
    counts = fields.Dict(
        keys=fields.String(), values=fields.Integer(), required=True, metadata={"description": "Rows of each kind."}
    )
    bytes = fields.Integer(required=True)
    sha256 = fields.String(required=True, metadata={"description": "Of the whole file, in hex."})


class ExportFilterOut(Schema):
    """Which events."""

    begin = fields.AwareDateTime(required=True, allow_none=True, data_key="from")
    end = fields.AwareDateTime(required=True, allow_none=True, data_key="to")
    credential_ids = fields.List(fields.UUID(), required=True)
    topics = fields.List(fields.String(), required=True)


class DownloadOut(Schema):
    """How far the newest download of an export in one format has come."""

    format = fields.String(required=True, validate=validate.OneOf([BUNDLE, *EventFormat]))
    preparing = fields.Boolean(
        required=True,
        metadata={"description": "Whether its length is still being found out, before the first byte is sent."},
    )
    started_at = fields.AwareDateTime(required=True)
    reached_at = fields.AwareDateTime(
        required=True,
        metadata={"description": "When this was noted: a second or so ago, while it goes on."},
    )
    leaves_done = fields.Integer(required=True, metadata={"description": "Of how many leaves it has what they give."})
    leaves = fields.Integer(required=True, metadata={"description": "How many leaves there are."})
    finished_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata={"description": "When it was handed out to its end; null before."}
    )


class ExportAskedOut(Schema):
    """What was asked for."""

    id = fields.UUID(required=True)
    organisation_id = fields.UUID(required=True)
    requested_at = fields.AwareDateTime(required=True)
    requested_by = fields.String(required=True)
    reason = fields.String(required=True)
    filter = fields.Nested(ExportFilterOut, required=True)
    personal = fields.Boolean(required=True)
    status = fields.String(
        required=True,
        validate=validate.OneOf(["sealing", "ready"]),
        metadata={"description": "`ready` when its own request is in a signed head: a second or so after it was made."},
    )
    leaves = fields.Integer(
        required=True, allow_none=True, metadata={"description": "How many it has; null until it is ready."}
    )
    version = fields.Integer(required=True)


class ExportOut(ExportAskedOut):
    """An export."""

    downloads = fields.List(
        fields.Nested(DownloadOut),
        required=True,
        metadata={"description": "Of each format that somebody fetched, the newest time."},
    )


class ExportPage(Schema):
    """A page of exports, newest first."""

    data = fields.List(fields.Nested(ExportOut), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)


class ExportManifestOut(WrittenOut):
    """The manifest of an export's file."""

    asked = fields.Nested(ExportAskedOut, required=True)
