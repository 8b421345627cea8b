-- OAuth 2: the keys that access tokens are signed with, and what must not be taken twice or any more.

CREATE TABLE signing_key_status (
    kid text PRIMARY KEY,
    algorithm text NOT NULL,
    master_key_id text NOT NULL,
    public_jwk jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    version bigint NOT NULL
);

-- Not derived from the log: access tokens that were revoked one by one, until they would have expired.
CREATE TABLE revoked_token (
    jti text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX revoked_token_expiry ON revoked_token (expires_at);

-- Not derived from the log: assertions that clients signed in with, until they would have expired.
CREATE TABLE used_assertion (
    digest text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX used_assertion_expiry ON used_assertion (expires_at);
