"""Accounts over HTTP."""

from marshmallow import Schema, fields, validate

from api.schemas import PageQuery, PaginationSchema, Why
from api.schemas.credentials import CredentialWithSecretOut
from ledger.values import NAME_CHARS_MAX, REASON_CHARS_MAX, REFERENCE_CHARS_MAX, AccountKind, Channel, Kind, Mode

STATUSES = ("open", "closed")

_REFERENCE = fields.String(
    allow_none=True,
    validate=validate.Length(max=REFERENCE_CHARS_MAX),
    metadata={"description": "Your own number or key for it.", "example": "C-10017"},
)


class AccountIn(Why):
    """An account to open."""

    kind = fields.String(required=True, validate=validate.OneOf(list(AccountKind)))
    name = fields.String(
        required=True, validate=validate.Length(min=1, max=NAME_CHARS_MAX), metadata={"example": "Acme Messaging"}
    )
    parent_id = fields.UUID(allow_none=True, metadata={"description": "A sub-account's master; of no other kind."})
    reference = _REFERENCE
    opened_on = fields.Date(
        allow_none=True,
        metadata={
            "description": "Since when it exists: a day from 1900 on that is not to come, today where left out. A "
            "master of before "
            "the installation's cut-off day begins with channel logins."
        },
    )


class AccountDescriptionIn(Why):
    """What to change of how an account is described; what is left out stays."""

    name = fields.String(validate=validate.Length(min=1, max=NAME_CHARS_MAX))
    reference = _REFERENCE


class ClosingIn(Why):
    """The end of an account."""

    reason = fields.String(
        required=True,
        validate=validate.Length(min=1, max=REASON_CHARS_MAX),
        metadata={"description": "Why it is closed; it stays in every history that this ends.", "example": "moved"},
    )


class AccountQuery(PageQuery):
    """Which accounts."""

    kind = fields.String(
        validate=validate.OneOf(list(AccountKind)), metadata={"description": "Of which kind they are."}
    )
    parent = fields.UUID(metadata={"description": "The master whose sub-accounts are meant."})
    status = fields.String(
        validate=validate.OneOf(STATUSES), metadata={"description": "A sub-account is closed with its master."}
    )
    q = fields.String(
        validate=validate.Length(min=1, max=NAME_CHARS_MAX),
        metadata={"description": "A part of the name or of the reference."},
    )


# Bodies that the documentation shows.
OPENING = {
    "a merchant": {"summary": "A merchant's account", "value": {"kind": "merchant", "name": "Corner Shop"}},
    "an old master": {
        "summary": "A master account of before the cut-off day, which begins with channel logins",
        "value": {"kind": "master", "name": "Acme Messaging", "reference": "C-10017", "opened_on": "2021-03-01"},
    },
}
DESCRIBING = {"another name": {"summary": "Another name", "value": {"name": "Acme Messages"}}}
CLOSING = {"a contract's end": {"summary": "The contract ended", "value": {"reason": "contract ended, CRM-77"}}}


class ActiveChannelOut(Schema):
    """A channel on which a key of the account is good."""

    channel = fields.String(required=True, validate=validate.OneOf(list(Channel)))
    credential_id = fields.UUID(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(list(Kind)))
    public_id = fields.String(required=True, metadata={"description": "Its login, or its public identifier."})
    mode = fields.String(required=True, validate=validate.OneOf(list(Mode)))


class AccountOut(Schema):
    """An account."""

    id = fields.UUID(required=True)
    organisation_id = fields.UUID(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(list(AccountKind)))
    parent_id = fields.UUID(required=True, allow_none=True)
    name = fields.String(required=True)
    reference = fields.String(required=True)
    opened_on = fields.Date(required=True)
    status = fields.String(
        required=True,
        validate=validate.OneOf(STATUSES),
        metadata={"description": "A sub-account is closed with its master."},
    )
    closed_at = fields.DateTime(required=True, allow_none=True)
    closed_by = fields.String(required=True, allow_none=True)
    closed_reason = fields.String(required=True, allow_none=True)
    channels = fields.List(
        fields.Nested(ActiveChannelOut),
        metadata={"description": "Where a key of its own is good now; absent in the past."},
    )
    version = fields.Integer(required=True)


class OpenedAccountOut(AccountOut):
    """An account as it begins, with its channel logins' secrets, this once."""

    credentials = fields.List(
        fields.Nested(CredentialWithSecretOut),
        required=True,
        metadata={"description": "The channel logins it begins with. Their secrets are shown in this answer alone."},
    )


class AccountPage(Schema):
    """A page of accounts."""

    data = fields.List(fields.Nested(AccountOut), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)
