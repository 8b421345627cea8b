-- Operators who sign in at an identity provider, and their sessions, which no token opened. The release before finds no
-- operator for such a session, so it asks them to sign in.

ALTER TABLE operator_status ADD COLUMN issuer text NOT NULL DEFAULT '', ADD COLUMN subject text NOT NULL DEFAULT '';
CREATE INDEX operator_status_identity ON operator_status (issuer, subject) WHERE issuer <> '';

ALTER TABLE console_session ALTER COLUMN token_digest DROP NOT NULL;
