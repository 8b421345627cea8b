-- Who is signed in to the console. Not derived from the log: a session lives for hours, and each use moves its end.

CREATE TABLE console_session (
    digest bytea PRIMARY KEY,
    operator_id uuid NOT NULL,
    token_digest text NOT NULL,
    created_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX console_session_expiry ON console_session (expires_at);
