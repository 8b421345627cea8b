-- Accounts, as they are listed, and as verification looks whether what hangs on one is still good. Inline.
CREATE TABLE account_status (
    account_id uuid PRIMARY KEY,
    organisation_id uuid NOT NULL,
    kind text COLLATE "C" NOT NULL,
    parent_id uuid,
    name text NOT NULL,
    reference text NOT NULL,
    opened_on date NOT NULL,
    closed_at timestamptz,
    closed_by text NOT NULL,
    closed_reason text NOT NULL,
    closed_request_id text NOT NULL,
    version bigint NOT NULL
);
CREATE INDEX account_status_page ON account_status (organisation_id, account_id);
CREATE INDEX account_status_parent ON account_status (parent_id, account_id) WHERE parent_id IS NOT NULL;
-- Where the sweep begins that revokes what hangs on them.
CREATE INDEX account_status_closed ON account_status (account_id) WHERE closed_at IS NOT NULL;

-- An account's channels, and what is left to revoke of a closed one, without looking at what was revoked before.
CREATE INDEX credential_status_account ON credential_status (account_id, (coalesce(revoked_at, 'infinity'::timestamptz)))
    WHERE account_id IS NOT NULL;
