"""A credential's usage over HTTP."""

from marshmallow import Schema, fields

from ledger.verification import Code
from projections.usage import ADDRESSES_MAX


class AddressOut(Schema):
    """An address that a secret was used from."""

    version = fields.Integer(required=True, metadata={"description": "The version of the secret."})
    address = fields.String(required=True, metadata={"example": "192.0.2.7"})
    uses = fields.Integer(required=True)
    first_used_at = fields.DateTime(required=True)
    last_used_at = fields.DateTime(required=True)


class DayOut(Schema):
    """What was answered about a credential on one day, in UTC."""

    day = fields.Date(required=True)
    codes = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={
            "description": f"How often each code was answered: {', '.join(Code)}.",
            "example": {"VALID": 5120, "IP_NOT_ALLOWED": 2},
        },
    )


class UsageOut(Schema):
    """How a credential is used."""

    addresses = fields.List(
        fields.Nested(AddressOut),
        required=True,
        metadata={"description": f"Of uses for which an address was told, the newest first; {ADDRESSES_MAX} at most."},
    )
    days = fields.List(fields.Nested(DayOut), required=True, metadata={"description": "The newest first."})
