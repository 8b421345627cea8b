"""OAuth 2 over HTTP: what its endpoints answer. What they take are forms, documented with the operations."""

from marshmallow import Schema, fields

from ledger.values import Channel, Environment, Mode


class _SigningIn(Schema):
    """How a client signs in where it does not do so with Basic."""

    client_id = fields.String(metadata={"description": "The credential's public id."})
    client_secret = fields.String(metadata={"description": "Its secret.", "format": "password", "writeOnly": True})
    client_assertion_type = fields.String(
        metadata={"example": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
    )
    client_assertion = fields.String(
        metadata={"description": "A JWT that the client signed with its key, in place of a secret (RFC 7523)."}
    )


class TokenIn(_SigningIn):
    """What a client asks for. Each parameter may be there once; those of other names are passed over."""

    grant_type = fields.String(required=True, metadata={"enum": ["client_credentials"]})
    scope = fields.String(metadata={"description": "Scopes, separated by spaces; all that it has where left out."})
    resource = fields.String(
        metadata={"description": "The API that the token is for (RFC 8707); the organisation where left out."}
    )


class RevokeTokenIn(_SigningIn):
    """Which token."""

    token = fields.String(required=True, metadata={"description": "The access token."})
    token_type_hint = fields.String(metadata={"description": "Not needed: there is one type."})


class IntrospectionIn(RevokeTokenIn):
    """Which token, and where it was presented, for a gateway as at `/v1/verify`."""

    client_ip = fields.String(metadata={"description": "The address that it came from; an allowlist needs it."})
    mode = fields.String(metadata={"enum": list(Mode), "description": "The mode that the credential must have."})
    channel = fields.String(metadata={"enum": list(Channel), "description": "Where it was presented."})


class AccessTokenOut(Schema):
    """An access token (RFC 6749 section 5.1)."""

    access_token = fields.String(required=True, metadata={"description": "A JWT (RFC 9068). Present it as Bearer."})
    token_type = fields.String(required=True, metadata={"example": "Bearer"})
    expires_in = fields.Integer(required=True, metadata={"description": "Seconds for which it is good."})
    scope = fields.String(required=True, metadata={"example": "customer:view order:view"})


class IntrospectionOut(Schema):
    """What a token is good for (RFC 7662 section 2.2). Of one that is not good, `active` alone."""

    active = fields.Boolean(required=True)
    iss = fields.String()
    sub = fields.String()
    aud = fields.String()
    client_id = fields.String()
    iat = fields.Integer()
    exp = fields.Integer()
    jti = fields.String()
    scope = fields.String(metadata={"description": "What it was issued for, as far as the credential still has it."})
    token_type = fields.String()
    credential_id = fields.UUID()
    organisation_id = fields.UUID()
    application_id = fields.UUID(allow_none=True)
    mode = fields.String(metadata={"enum": list(Mode)})
    environment = fields.String(allow_none=True, metadata={"enum": [*Environment, None]})
    channel = fields.String(allow_none=True, metadata={"enum": [*Channel, None]})


class RevokedOut(Schema):
    """Nothing: the token is not good any more, or never was."""


class OAuthErrorOut(Schema):
    """A refusal (RFC 6749 section 5.2)."""

    error = fields.String(required=True, metadata={"example": "invalid_scope"})
    error_description = fields.String()


class SigningKeyOut(Schema):
    """A public key (RFC 7517 section 4)."""

    kty = fields.String(required=True, metadata={"example": "OKP"})
    crv = fields.String(required=True, metadata={"example": "Ed25519"})
    x = fields.String(required=True)
    y = fields.String(metadata={"description": "Of keys for ES256 alone."})
    kid = fields.String(required=True)
    alg = fields.String(required=True, metadata={"example": "EdDSA"})
    use = fields.String(required=True, metadata={"example": "sig"})


class KeySetOut(Schema):
    """The keys that tokens are checked with (RFC 7517 section 5)."""

    keys = fields.List(fields.Nested(SigningKeyOut), required=True)


class ServerMetadataOut(Schema):
    """Where the endpoints are and what they take (RFC 8414 section 2)."""

    issuer = fields.String(required=True)
    token_endpoint = fields.String(required=True)
    introspection_endpoint = fields.String(required=True)
    revocation_endpoint = fields.String(required=True)
    jwks_uri = fields.String(required=True)
    response_types_supported = fields.List(fields.String(), required=True)
    grant_types_supported = fields.List(fields.String(), required=True)
    token_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)
    introspection_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)
    revocation_endpoint_auth_methods_supported = fields.List(fields.String(), required=True)
    token_endpoint_auth_signing_alg_values_supported = fields.List(fields.String())
    introspection_endpoint_auth_signing_alg_values_supported = fields.List(fields.String())
    revocation_endpoint_auth_signing_alg_values_supported = fields.List(fields.String())
