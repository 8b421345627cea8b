"""The provable log over HTTP."""

from marshmallow import Schema, fields, validate

from api.schemas import Strict
from ledger.tlog.canonical import SIZE_MAX
from projections.history import VERSION_MAX

_HASHES = {"description": "Base64 of SHA-256 hashes (RFC 4648 section 4), the lowest in the tree first."}


class SealedLogOut(Schema):
    """A log as it stands."""

    origin = fields.String(required=True, metadata={"description": "What its checkpoints begin with."})
    label = fields.String(required=True, metadata={"description": "Its name in the root log, which tells nothing."})
    size = fields.Integer(required=True, metadata={"description": "How many events its newest checkpoint covers."})
    signed_at = fields.DateTime(required=True, allow_none=True)
    keys = fields.List(
        fields.String,
        required=True,
        metadata={
            "description": "Keys that sign its checkpoints, newest first, as C2SP signed-note has them. Get them once, "
            "on a way that you trust, and keep them."
        },
    )


class EventProofQuery(Strict):
    """Which event to prove."""

    aggregate_id = fields.UUID(required=True, metadata={"description": "What it happened to."})
    version = fields.Integer(
        required=True,
        validate=validate.Range(min=1, max=VERSION_MAX),
        metadata={"description": "Which of the things that happened to it."},
    )


class RootCheckpointQuery(Strict):
    """Which of the root log's checkpoints."""

    witnessed = fields.Boolean(
        load_default=False, metadata={"description": "The newest that a quorum of witnesses cosigned."}
    )


class HeadProofSchema(Schema):
    """That the log's head was entered into the root log."""

    index = fields.Integer(required=True)
    entry = fields.String(required=True, metadata={"description": "The root log's entry: a label and a digest."})
    salt = fields.String(required=True, metadata={"description": "Base64 of the 16 bytes before what is digested."})
    hashes = fields.List(fields.String, required=True, metadata=_HASHES)
    checkpoint = fields.String(required=True, metadata={"description": "The root log's signed checkpoint."})
    witnessed = fields.Boolean(
        required=True, metadata={"description": "Whether a quorum of the operator's witnesses cosigned that."}
    )


class EventProofOut(Schema):
    """That an event is in its organisation's log (RFC 6962 section 2.1.1)."""

    index = fields.Integer(required=True)
    entry = fields.String(required=True, metadata={"description": "The leaf: which event it is, and its digest."})
    salt = fields.String(required=True, metadata={"description": "Base64 of the 16 bytes before what is digested."})
    hashes = fields.List(fields.String, required=True, metadata=_HASHES)
    checkpoint = fields.String(required=True, metadata={"description": "The signed checkpoint of the tree it is in."})
    head = fields.Nested(HeadProofSchema, required=True, allow_none=True)


class TimestampProofOut(Schema):
    """That an event was there at a time: in its tree, whose head is in the root log, whose checkpoint was stamped."""

    index = fields.Integer(required=True)
    entry = fields.String(required=True, metadata={"description": "The leaf: which event it is, and its digest."})
    salt = fields.String(required=True, metadata={"description": "Base64 of the 16 bytes before what is digested."})
    hashes = fields.List(fields.String, required=True, metadata=_HASHES)
    text = fields.String(
        required=True,
        metadata={"description": "The checkpoint of its tree without signatures, over which the head's digest is."},
    )
    head = fields.Nested(HeadProofSchema, required=True)
    timestamp = fields.String(
        required=True,
        metadata={
            "description": "Base64 of the authority's response (RFC 3161) over the root log's checkpoint without "
            "signatures."
        },
    )
    stamped_at = fields.DateTime(required=True, metadata={"description": "When it was asked for, by our own clock."})


class ConsistencyQuery(Strict):
    """Between which sizes."""

    old = fields.Integer(
        required=True,
        validate=validate.Range(min=0, max=SIZE_MAX),
        metadata={"description": "The size that an older checkpoint tells."},
    )
    new = fields.Integer(
        validate=validate.Range(min=0, max=SIZE_MAX), metadata={"description": "The newest checkpoint's, unless given."}
    )


class ConsistencyProofOut(Schema):
    """That the newer tree begins with the older one (RFC 6962 section 2.1.2)."""

    old = fields.Integer(required=True)
    new = fields.Integer(required=True)
    hashes = fields.List(fields.String, required=True, metadata=_HASHES)
