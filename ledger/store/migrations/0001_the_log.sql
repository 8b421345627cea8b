-- The log, what is recorded with it in the same transaction, and the inline views. One schema holds one ledger; the
-- runner sets the search path, so nothing here names it.

-- One row: the position of the newest event. Whoever appends locks it first, so positions are given in commit order and
-- without gaps, and what is checked under the lock stays true until the commit.
CREATE TABLE ledger_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL
);
INSERT INTO ledger_head (position) VALUES (0);

-- The columns of the eventsourcing library, and the tenant.
CREATE TABLE ledger_events (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigint NOT NULL,
    organisation_id uuid,
    CONSTRAINT ledger_events_pkey PRIMARY KEY (originator_id, originator_version)
) WITH (
    -- Rows are only ever added: vacuuming is for the visibility map, analysing for the planner.
    autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_vacuum_insert_scale_factor = 0.1,
    autovacuum_analyze_scale_factor = 0.05
);
CREATE UNIQUE INDEX ledger_events_position ON ledger_events (notification_id);
CREATE INDEX ledger_events_organisation ON ledger_events (organisation_id, notification_id);

CREATE FUNCTION ledger_events_are_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events are immutable: % refused', TG_OP;
END $$;
CREATE TRIGGER ledger_events_are_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_events
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_events_are_immutable();

-- Names that only one aggregate may have.
CREATE TABLE ledger_claims (
    claim text NOT NULL,
    name text NOT NULL,
    aggregate_id uuid NOT NULL,
    CONSTRAINT ledger_claims_pkey PRIMARY KEY (claim, name)
);
CREATE INDEX ledger_claims_aggregate ON ledger_claims (aggregate_id);

-- The keys of personal fields, wrapped by the master key. Deleting a row erases what it sealed.
CREATE TABLE ledger_data_keys (
    aggregate_id uuid PRIMARY KEY,
    master_key_id text NOT NULL,
    wrapped bytea NOT NULL
);

-- The master keys this ledger was written with, by a value that tells nothing about them.
CREATE TABLE ledger_master_keys (
    key_id text PRIMARY KEY,
    check_value bytea NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now()
);

-- What was asked under which Idempotency-Key. The answer is sealed, and is removed before the row is.
CREATE TABLE ledger_idempotency (
    actor text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    aggregate_id uuid NOT NULL,
    answer bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ledger_idempotency_pkey PRIMARY KEY (actor, key)
);
CREATE INDEX ledger_idempotency_created_at ON ledger_idempotency (created_at);

-- How far each projection has come.
CREATE TABLE projection_tracking (
    name text PRIMARY KEY,
    position bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (
    -- A handful of rows updated all day: vacuum often and leave room for updates in place.
    fillfactor = 10, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0
);

-- Inline views: written with the events themselves.

CREATE TABLE organisation_status (
    organisation_id uuid PRIMARY KEY,
    name text NOT NULL,
    registered_at timestamptz NOT NULL,
    version bigint NOT NULL
);

CREATE TABLE operator_status (
    operator_id uuid PRIMARY KEY,
    organisation_id uuid,
    name text NOT NULL,
    email text NOT NULL,
    roles text[] NOT NULL,
    production boolean NOT NULL,
    secrets jsonb NOT NULL,
    enrolled_at timestamptz NOT NULL,
    removed_at timestamptz,
    version bigint NOT NULL
);
CREATE INDEX operator_status_organisation ON operator_status (organisation_id, operator_id);

CREATE TABLE operator_token (
    digest text PRIMARY KEY,
    operator_id uuid NOT NULL,
    expires_at timestamptz
);

CREATE TABLE credential_status (
    credential_id uuid PRIMARY KEY,
    organisation_id uuid NOT NULL,
    account_id uuid,
    application_id uuid,
    kind text NOT NULL,
    public_id text NOT NULL,
    mode text NOT NULL,
    environment text,
    channel text,
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
    changed_at timestamptz NOT NULL
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX credential_status_login ON credential_status (channel, lower(public_id))
    WHERE kind = 'channel_login' AND public_id <> '';
CREATE UNIQUE INDEX credential_status_public_id ON credential_status (public_id)
    WHERE kind <> 'channel_login';

CREATE TABLE credential_secret (
    credential_id uuid NOT NULL,
    version integer NOT NULL,
    algorithm text NOT NULL,
    digest text NOT NULL,
    password_hash text NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (credential_id, version)
);
CREATE UNIQUE INDEX credential_secret_digest ON credential_secret (digest) WHERE digest <> '';

-- Not derived from the log: when each secret was last seen, written in batches.
CREATE TABLE secret_usage (
    credential_id uuid NOT NULL,
    version integer NOT NULL,
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (credential_id, version)
) WITH (fillfactor = 70);
