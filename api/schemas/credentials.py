"""Credentials over HTTP."""

from marshmallow import Schema, fields, validate

from api.schemas import PageQuery, PaginationSchema, WholeNumber, Why
from api.schemas.catalogue import LABEL, LABEL_PER_GROUP
from ledger.catalogue import PRESETS
from ledger.values import (
    DESCRIPTION_CHARS_MAX,
    LABELS_MAX,
    NAME_CHARS_MAX,
    NETWORKS_MAX,
    OVERLAP_MAX,
    PASSWORD_BYTES_MAX,
    SCOPES_MAX,
    AccessLevel,
    Channel,
    Environment,
    Kind,
    Mode,
    RevocationReason,
    Status,
)

_NAME = fields.String(allow_none=True, validate=validate.Length(max=NAME_CHARS_MAX), metadata={"example": "Billing"})
_DESCRIPTION = fields.String(allow_none=True, validate=validate.Length(max=DESCRIPTION_CHARS_MAX))
_EMAIL = fields.String(allow_none=True, validate=validate.Length(max=254), metadata={"example": "dev@example.com"})
_LABELS = fields.Dict(
    keys=fields.String(),
    values=fields.String(),
    validate=validate.Length(max=LABELS_MAX),
    metadata={"description": "Your own key-value pairs.", "example": {"team": "payments"}},
)
_NETWORKS = fields.List(
    fields.String(validate=validate.Length(max=50)),
    validate=validate.Length(max=NETWORKS_MAX),
    metadata={
        "description": "Networks in CIDR form, or addresses, that it may be used from; empty for any.",
        "example": ["192.0.2.0/24"],
    },
)
_SECRET = fields.String(
    validate=validate.Length(max=PASSWORD_BYTES_MAX),
    metadata={"description": "A chosen password, for channel logins; generated where left out.", "writeOnly": True},
)
_PUBLIC_JWK = fields.Dict(
    keys=fields.String(validate=validate.Length(max=20)),
    allow_none=True,
    metadata={
        "description": "The public key of an OAuth client (RFC 7517: Ed25519, P-256 or RSA), which then signs in with "
        "private_key_jwt and has no secret.",
        "example": {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    },
)


class CredentialIn(Why):
    """A credential to create. What a kind does not need may be left out."""

    kind = fields.String(required=True, validate=validate.OneOf(list(Kind)))
    mode = fields.String(allow_none=True, validate=validate.OneOf(list(Mode)))
    environment = fields.String(allow_none=True, validate=validate.OneOf(list(Environment)))
    channel = fields.String(allow_none=True, validate=validate.OneOf(list(Channel)))
    login = fields.String(allow_none=True, validate=validate.Length(max=100))
    secret = _SECRET
    public_jwk = _PUBLIC_JWK
    name = _NAME
    description = _DESCRIPTION
    contact_email = _EMAIL
    labels = _LABELS
    access_level = fields.String(
        load_default=AccessLevel.FINE_GRAINED.value,
        validate=validate.OneOf(list(AccessLevel)),
        metadata={"description": "`full` takes every scope of the catalogue, frozen as it stands now."},
    )
    preset = fields.String(allow_none=True, validate=validate.OneOf(list(PRESETS)))
    scopes = fields.List(
        fields.String(validate=validate.Length(max=100)),
        validate=validate.Length(max=SCOPES_MAX),
        metadata={"example": ["customer:view"]},
    )
    account_id = fields.UUID(allow_none=True)
    application_id = fields.UUID(allow_none=True)
    allowlist = _NETWORKS
    expires_at = fields.AwareDateTime(allow_none=True, metadata={"description": "When it ends by itself."})
    supersedes = fields.UUID(allow_none=True, metadata={"description": "The credential that this one replaces."})


class DescriptionIn(Why):
    """What to change of how a credential is described; what is left out stays."""

    name = _NAME
    description = _DESCRIPTION
    contact_email = fields.String(validate=validate.Length(max=254))
    labels = _LABELS


class RotationIn(Why):
    """A new secret."""

    overlap_seconds = WholeNumber(
        load_default=0,
        validate=validate.Range(min=0, max=int(OVERLAP_MAX.total_seconds())),
        metadata={
            "description": "How long the old secret stays good beside the new one. 0 ends it at once, which breaks "
            "whatever still uses it."
        },
    )
    secret = _SECRET
    public_jwk = _PUBLIC_JWK
    login = fields.String(
        allow_none=True,
        validate=validate.Length(max=100),
        metadata={"description": "Another login for a channel login; the old one ends at once, so without an overlap."},
    )


class RevocationIn(Why):
    """Ending a credential for good."""

    revocation_reason = fields.String(
        load_default=RevocationReason.UNSPECIFIED.value, validate=validate.OneOf(list(RevocationReason))
    )
    effective_at = fields.AwareDateTime(metadata={"description": "A coming time; now where left out."})


class AllowlistIn(Why):
    """The whole allowlist."""

    allowlist = fields.List(
        fields.String(validate=validate.Length(max=50)),
        required=True,
        validate=validate.Length(max=NETWORKS_MAX),
        metadata={"example": ["192.0.2.0/24", "2001:db8::/32"]},
    )


# Bodies that the documentation shows.
CREATING = {
    "an API key": {
        "summary": "A key of a partner's billing job, from two networks",
        "value": {
            "kind": "api_key",
            "environment": "production",
            "name": "Billing",
            "contact_email": "dev@example.com",
            "scopes": ["customer:view", "payment_statement:view"],
            "allowlist": ["192.0.2.0/24", "2001:db8::/32"],
            "reason": "INC-1234",
        },
    },
    "a channel login": {
        "summary": "A login on FTP, with a generated secret",
        "value": {"kind": "channel_login", "mode": "test", "channel": "ftp", "login": "acme", "preset": "read_only"},
    },
}
DESCRIBING = {"a new contact": {"summary": "A new contact", "value": {"contact_email": "ops@example.com"}}}
ROTATING = {
    "with an overlap": {"summary": "Both secrets are good for an hour", "value": {"overlap_seconds": 3600}},
    "at once": {"summary": "The old secret ends now", "value": {"overlap_seconds": 0, "reason": "leaked"}},
}
REVOKING = {"a leak": {"summary": "The secret was seen", "value": {"revocation_reason": "compromised"}}}
RESTRICTING = {"a network": {"summary": "One network", "value": {"allowlist": ["192.0.2.0/24"]}}}


class SecretOut(Schema):
    """What is known of one version of a secret."""

    version = fields.Integer(required=True)
    hint = fields.String(
        required=True,
        metadata={
            "description": "Its last four characters; empty for a password, and for a live secret where the "
            "installation keeps those from whoever lacks the grant for production."
        },
    )
    created_at = fields.DateTime(required=True)
    expires_at = fields.DateTime(required=True, allow_none=True)
    last_used_at = fields.DateTime(required=True, allow_none=True)


class CredentialOut(Schema):
    """A credential."""

    id = fields.UUID(required=True)
    organisation_id = fields.UUID(required=True)
    account_id = fields.UUID(required=True, allow_none=True)
    application_id = fields.UUID(required=True, allow_none=True)
    kind = fields.String(required=True, validate=validate.OneOf(list(Kind)))
    public_id = fields.String(required=True)
    mode = fields.String(required=True, validate=validate.OneOf(list(Mode)))
    environment = fields.String(required=True, allow_none=True)
    channel = fields.String(required=True, allow_none=True)
    name = fields.String(required=True)
    description = fields.String(required=True)
    contact_email = fields.String(
        required=True, allow_none=True, metadata={"description": "null for none, and once it was erased."}
    )
    labels = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    access_level = fields.String(required=True)
    preset = LABEL
    presets = LABEL_PER_GROUP
    scopes = fields.List(fields.String(), required=True)
    catalogue_version = fields.Integer(required=True)
    allowlist = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "Empty for any address; beside an `erased_at` it is not known any more."},
    )
    status = fields.String(required=True, validate=validate.OneOf(list(Status)))
    active = fields.Boolean(required=True)
    secrets = fields.List(fields.Nested(SecretOut), required=True)
    created_at = fields.DateTime(required=True)
    rotated_at = fields.DateTime(required=True, allow_none=True)
    rotation_due_at = fields.DateTime(required=True, allow_none=True)
    expires_at = fields.DateTime(required=True, allow_none=True)
    suspended_at = fields.DateTime(required=True, allow_none=True)
    revoked_at = fields.DateTime(required=True, allow_none=True)
    revocation_reason = fields.String(required=True, allow_none=True)
    erased_at = fields.DateTime(
        required=True,
        allow_none=True,
        metadata={"description": "When its email, login and allowlist were destroyed; at a moment before that, too."},
    )
    supersedes = fields.UUID(required=True, allow_none=True)
    imported_from = fields.String(required=True, allow_none=True)
    version = fields.Integer(required=True)


class CredentialDetailOut(CredentialOut):
    """A credential, what its scopes grant now, and what took its place."""

    effective_scopes = fields.List(
        fields.String(),
        metadata={
            "description": "Those of its scopes that its application's APIs take and that the catalogue did not "
            "retire; absent where the past is read."
        },
    )
    superseded_by = fields.List(
        fields.UUID(),
        metadata={"description": "The credentials that took its place, a hundred at most; absent as above."},
    )


class CredentialWithSecretOut(CredentialOut):
    """A credential and its new secret, this once."""

    secret = fields.String(
        metadata={"description": "Shown in this answer and never again; absent where a public key was registered."}
    )


class CredentialPage(Schema):
    """A page of credentials."""

    data = fields.List(fields.Nested(CredentialOut), required=True)
    pagination = fields.Nested(PaginationSchema, required=True)


class CredentialQuery(PageQuery):
    """Which credentials."""

    status = fields.String(validate=validate.OneOf(list(Status)))
    kind = fields.String(validate=validate.OneOf(list(Kind)))
    mode = fields.String(validate=validate.OneOf(list(Mode)))
    environment = fields.String(validate=validate.OneOf(list(Environment)))
    channel = fields.String(validate=validate.OneOf(list(Channel)))
    account = fields.UUID()
    application = fields.UUID()
    contact_email = fields.String(validate=validate.Length(max=254))
    q = fields.String(
        validate=validate.Length(min=1, max=200), metadata={"description": "Words of name, email or public id."}
    )
    overdue = fields.Boolean(metadata={"description": "Good, and its rotation is overdue."})
    due_before = fields.AwareDateTime(
        metadata={"description": "Good, and its rotation is due before this time, or was already."}
    )
    unused_since = fields.AwareDateTime(metadata={"description": "Good, and not used since this time."})
    expiring_before = fields.AwareDateTime(metadata={"description": "Good, and ends by itself before this time."})
    without_owner = fields.Boolean(metadata={"description": "Good, and nobody's email is known for it."})
    as_of = fields.AwareDateTime(
        metadata={
            "description": "As they were at this time, newest first; takes a role that reads history, and not "
            "`unused_since`. A page may come short: go on as long as there is a cursor."
        }
    )
