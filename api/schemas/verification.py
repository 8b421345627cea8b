"""Verification over HTTP."""

from marshmallow import Schema, fields, validate

from api.schemas import Strict
from ledger.secrets import SECRET_CHARS_MAX
from ledger.values import SCOPES_MAX, Channel, Kind, Mode
from ledger.verification import Code

QUESTIONS_MAX = 100  # some ten milliseconds where none is in memory


class VerifyIn(Strict):
    """What a gateway asks. Only the secret must be there; the public id too where the kind needs it."""

    secret = fields.String(
        required=True, validate=validate.Length(min=1, max=SECRET_CHARS_MAX), metadata={"writeOnly": True}
    )
    public_id = fields.String(allow_none=True, validate=validate.Length(max=200))
    client_ip = fields.String(allow_none=True, validate=validate.Length(max=50), metadata={"example": "192.0.2.7"})
    mode = fields.String(allow_none=True, validate=validate.OneOf(list(Mode)))
    channel = fields.String(allow_none=True, validate=validate.OneOf(list(Channel)))
    scopes = fields.List(
        fields.String(validate=validate.Length(max=100)), load_default=list, validate=validate.Length(max=SCOPES_MAX)
    )
    api = fields.String(allow_none=True, validate=validate.Length(max=200))


class VerifyBatchIn(Strict):
    """Several questions at once."""

    questions = fields.List(fields.Nested(VerifyIn), required=True, validate=validate.Length(min=1, max=QUESTIONS_MAX))


class VerifyOut(Schema):
    """The verdict. The credential is named where whoever asks may know of it."""

    valid = fields.Boolean(required=True)
    code = fields.String(required=True, validate=validate.OneOf(list(Code)))
    credential_id = fields.UUID(required=True, allow_none=True)
    organisation_id = fields.UUID(required=True, allow_none=True)
    application_id = fields.UUID(required=True, allow_none=True)
    kind = fields.String(required=True, allow_none=True, validate=validate.OneOf([*Kind, None]))
    public_id = fields.String(required=True, allow_none=True)
    mode = fields.String(required=True, allow_none=True)
    environment = fields.String(required=True, allow_none=True)
    channel = fields.String(required=True, allow_none=True)
    scopes = fields.List(fields.String(), required=True)
    expires_at = fields.DateTime(required=True, allow_none=True)
    request_id = fields.String(required=True)


class VerifyBatchOut(Schema):
    """The verdicts, in the order of the questions."""

    verdicts = fields.List(fields.Nested(VerifyOut), required=True)
