"""Revocation by possession, and the pattern of secrets, over HTTP."""

from marshmallow import Schema, ValidationError, fields, validate

from api.schemas import Why
from ledger.secret_format import SECRET_PATTERN, claims_our_format, well_formed
from ledger.secrets import SECRET_CHARS_MAX

SECRETS_MAX = 100  # each may take a commit of its own: what one request may take up of the service is some seconds

# Well-formed and never issued: they are among the published vectors.
_EXAMPLES = [
    "kl_api_key_test_0000000000000000000000000000002C8GjS",
    "kl_operator_live_0000000000000000000000000000002C8GjS",
]

PRESENTING = {
    "one": {"summary": "A secret found in a public repository", "value": {"secret": _EXAMPLES[0]}},
    "many": {
        "summary": "What a scanner found",
        "value": {"secrets": _EXAMPLES, "reason": "seen at https://example.com"},
    },
}


def _can_have_been_issued(secret: str) -> None:
    if claims_our_format(secret) and not well_formed(secret):
        raise ValidationError("Was never issued: its form or its checksum is wrong.")


class PresentedIn(Why):
    """What whoever holds a secret presents: one `secret`, or up to a hundred generated `secrets`."""

    secret = fields.String(
        validate=[validate.Length(min=1, max=SECRET_CHARS_MAX), _can_have_been_issued], metadata={"writeOnly": True}
    )
    public_id = fields.String(
        allow_none=True,
        validate=validate.Length(max=200),
        metadata={"description": "Its public id; needed where an imported secret is not an API key's."},
    )
    secrets = fields.List(
        fields.String(
            validate=[validate.Regexp(f"^{SECRET_PATTERN}$", error="Not a valid secret."), _can_have_been_issued]
        ),
        validate=validate.Length(min=1, max=SECRETS_MAX),
        metadata={"writeOnly": True},
    )


class PresentedOut(Schema):
    """The same whatever the secrets opened, if anything."""

    accepted = fields.Integer(required=True, metadata={"description": "How many secrets were presented."})


class ChecksumOut(Schema):
    """How the last characters of a secret follow from those before."""

    algorithm = fields.String(required=True)
    characters = fields.Integer(required=True, metadata={"description": "How many, at the secret's end."})
    of_characters = fields.Integer(required=True, metadata={"description": "How many before them it is computed over."})
    alphabet = fields.String(required=True, metadata={"description": "The digits of base 62, lowest first."})


class ReportingOut(Schema):
    """Where to present what was found."""

    method = fields.String(required=True)
    path = fields.String(required=True)
    secrets_max = fields.Integer(required=True)


class SecretPatternOut(Schema):
    """What scanners need to know."""

    pattern = fields.String(required=True, metadata={"description": "A regular expression that finds each secret."})
    prefix = fields.String(required=True, metadata={"description": "What each begins with, to look for first."})
    checksum = fields.Nested(ChecksumOut, required=True)
    report = fields.Nested(ReportingOut, required=True)
