"""Bulk revocations over HTTP."""

from marshmallow import Schema, fields, validate

from api.schemas import PaginationSchema, Strict, Why
from api.schemas.credentials import CredentialOut
from ledger.values import LABEL_CHARS_MAX, Channel, Environment, Kind, Mode, RevocationReason

# As many as fit a body of the default bound. Longer lists are several runs, or what they have in common.
NAMED_MAX = 1_000

LOOKING = {
    "look": {
        "summary": "What did somebody who left answer for?",
        "value": {
            "filter": {"contact_email": "ada@example.com"},
            "revocation_reason": "owner_left",
            "dry_run": True,
        },
    },
    "confirm": {
        "summary": "Revoke just that",
        "value": {
            "filter": {"contact_email": "ada@example.com"},
            "revocation_reason": "owner_left",
            "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "reason": "HR-2041: Ada left",
        },
    },
}


class LabelIn(Strict):
    """A label, and the value it must have."""

    name = fields.String(required=True, validate=validate.Length(min=1, max=LABEL_CHARS_MAX))
    value = fields.String(required=True, validate=validate.Length(max=LABEL_CHARS_MAX))


class SelectionIn(Strict):
    """By what credentials are chosen: all that is given must hold, and one of these must be given."""

    contact_email = fields.String(validate=validate.Length(max=254), metadata={"example": "ada@example.com"})
    account_id = fields.UUID()
    application_id = fields.UUID()
    label = fields.Nested(LabelIn)
    ids = fields.List(
        fields.UUID(), validate=validate.Length(min=1, max=NAMED_MAX), metadata={"description": "Named by their ids."}
    )
    public_ids = fields.List(
        fields.String(validate=validate.Length(min=1, max=200)),
        validate=validate.Length(min=1, max=NAMED_MAX),
        metadata={"description": "Named by their public identifiers or logins."},
    )
    kind = fields.String(validate=validate.OneOf(list(Kind)))
    mode = fields.String(validate=validate.OneOf(list(Mode)))
    environment = fields.String(validate=validate.OneOf(list(Environment)))
    channel = fields.String(validate=validate.OneOf(list(Channel)))
    created_before = fields.AwareDateTime()


class BulkRevocationIn(Why):
    """What to revoke: a dry run, or the digest of one."""

    filter = fields.Nested(SelectionIn, required=True)
    revocation_reason = fields.String(required=True, validate=validate.OneOf(list(RevocationReason)))
    dry_run = fields.Boolean(
        load_default=False, truthy={True}, falsy={False}, metadata={"description": "Look, and touch nothing."}
    )
    digest = fields.String(
        validate=validate.Regexp("^[0-9a-f]{64}$", error="Must be the digest of a dry run."),
        metadata={"description": "The dry run's, which confirms that what it showed is to be revoked."},
    )


class DryRunOut(Schema):
    """What would be revoked, in the order of ids."""

    count = fields.Integer(required=True)
    digest = fields.String(required=True, metadata={"description": "Send it back to confirm just these."})
    credentials = fields.List(fields.Nested(CredentialOut), required=True, metadata={"description": "The first ones."})
    truncated = fields.Boolean(required=True, metadata={"description": "Whether there are more than are shown."})


class BulkRevocationOut(Schema):
    """A run, and how far it has come."""

    id = fields.UUID(required=True)
    organisation_id = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.OneOf(["running", "finished"]))
    contact_email = fields.String(required=True, allow_none=True)
    selection = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata={"description": "By what its credentials were chosen, but for the email."},
    )
    revocation_reason = fields.String(required=True)
    reason = fields.String(required=True)
    digest = fields.String(required=True)
    total = fields.Integer(required=True)
    revoked = fields.Integer(required=True)
    skipped = fields.Integer(required=True, metadata={"description": "Revoked by others before it came to them."})
    remaining = fields.Integer(required=True)
    started_by = fields.String(required=True)
    started_at = fields.DateTime(required=True)
    finished_at = fields.DateTime(required=True, allow_none=True)
    version = fields.Integer(required=True)


class BulkRevocationPage(Schema):
    """A page of runs."""

    data = fields.List(fields.Nested(BulkRevocationOut), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)
