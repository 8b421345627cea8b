-- The asynchronous views, which the projector keeps up with the log. Every query of theirs names the organisation
-- first, so that a tenant's cost does not depend on its neighbours; every order is (time, id), so that a page begins
-- where the one before ended.

CREATE TABLE credential_list (
    credential_id uuid PRIMARY KEY,
    organisation_id uuid NOT NULL,
    account_id uuid,
    application_id uuid,
    kind text COLLATE "C" NOT NULL,  -- words of ours: compared as bytes, their indexes are built in half the time
    public_id text NOT NULL,
    mode text COLLATE "C" NOT NULL,
    environment text COLLATE "C",
    channel text COLLATE "C",
    name text NOT NULL,
    description text NOT NULL,
    contact_email text NOT NULL,
    labels jsonb NOT NULL,
    access_level text NOT NULL,
    scopes text[] NOT NULL,
    catalogue_version integer NOT NULL,
    allowlist text[] NOT NULL,
    secrets jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    rotated_at timestamptz,
    expires_at timestamptz,
    suspended_at timestamptz,
    revoked_at timestamptz,
    revocation_reason text,
    erased_at timestamptz,
    supersedes uuid,
    imported_from text NOT NULL,
    version bigint NOT NULL,
    changed_at timestamptz NOT NULL,
    -- The sooner of revocation and expiry, or infinity: a status is a comparison with now, so none is stored.
    over_at timestamptz NOT NULL,
    secret_set_at timestamptz NOT NULL,
    overlap_ends_at timestamptz,
    -- The words of name, email, public id, description and labels, each after the end of the organisation's id.
    search tsvector NOT NULL
) WITH (fillfactor = 85);

CREATE INDEX credential_list_page ON credential_list (organisation_id, created_at, credential_id);
CREATE INDEX credential_list_kind ON credential_list (organisation_id, kind, created_at, credential_id);
CREATE INDEX credential_list_mode ON credential_list (organisation_id, mode, created_at, credential_id);
CREATE INDEX credential_list_environment ON credential_list (organisation_id, environment, created_at, credential_id)
    WHERE environment IS NOT NULL;
CREATE INDEX credential_list_channel ON credential_list (organisation_id, channel, created_at, credential_id)
    WHERE channel IS NOT NULL;
CREATE INDEX credential_list_account ON credential_list (organisation_id, account_id, created_at, credential_id)
    WHERE account_id IS NOT NULL;
CREATE INDEX credential_list_application
    ON credential_list (organisation_id, application_id, created_at, credential_id)
    WHERE application_id IS NOT NULL;
CREATE INDEX credential_list_contact
    ON credential_list (organisation_id, lower(contact_email), created_at, credential_id)
    WHERE contact_email <> '';
CREATE INDEX credential_list_revoked ON credential_list (organisation_id, created_at, credential_id)
    WHERE revoked_at IS NOT NULL;
-- With over_at in it, those that were suspended and then revoked are passed over without reading them.
CREATE INDEX credential_list_suspended ON credential_list (organisation_id, created_at, credential_id, over_at)
    WHERE suspended_at IS NOT NULL;
-- For what is rare the planner takes one of these and sorts; for what is common it walks credential_list_page.
CREATE INDEX credential_list_over ON credential_list (organisation_id, over_at);
CREATE INDEX credential_list_expiry ON credential_list (organisation_id, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX credential_list_overlap ON credential_list (organisation_id, overlap_ends_at)
    WHERE overlap_ends_at IS NOT NULL;
CREATE INDEX credential_list_rotation ON credential_list (organisation_id, secret_set_at, over_at);
-- fastupdate off: a pending list would make every search read what the projector just wrote, unsorted.
CREATE INDEX credential_list_search ON credential_list USING gin (search) WITH (fastupdate = off);

CREATE TABLE activity (
    position bigint PRIMARY KEY,
    organisation_id uuid,
    aggregate_id uuid NOT NULL,
    aggregate_version bigint NOT NULL,
    aggregate text NOT NULL,
    topic text NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    via text NOT NULL,
    reason text NOT NULL,
    request_id text NOT NULL,
    address text NOT NULL,
    changes jsonb NOT NULL
);
CREATE INDEX activity_at ON activity (at, position);
CREATE INDEX activity_page ON activity (organisation_id, at, position);
CREATE INDEX activity_aggregate ON activity (aggregate_id, at, position);
CREATE INDEX activity_actor ON activity (organisation_id, actor, at, position);
CREATE INDEX activity_topic ON activity (organisation_id, topic, at, position);
CREATE INDEX activity_address ON activity (organisation_id, address, at, position) WHERE address <> '';

-- Answers that are still kept, for their removal: the rows outlive them by a day.
CREATE INDEX ledger_idempotency_answers ON ledger_idempotency (created_at) WHERE answer IS NOT NULL;
