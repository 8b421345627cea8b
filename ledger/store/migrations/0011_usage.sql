-- Where credentials are used from, what was answered about them, and which lie idle.

-- Not derived from the log: from which addresses each secret was used. Whose data key is gone was erased: the addresses go
-- with the key, and none can be written again.
CREATE TABLE address_usage (
    credential_id uuid NOT NULL REFERENCES ledger_data_keys ON DELETE CASCADE,
    version integer NOT NULL,
    address inet NOT NULL,
    uses bigint NOT NULL,
    first_used_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    -- What is removed by: a day changes once a day, so that all other updates leave the index alone.
    last_used_on date GENERATED ALWAYS AS ((last_used_at AT TIME ZONE 'UTC')::date) STORED,
    PRIMARY KEY (credential_id, version, address)
) WITH (fillfactor = 70);
CREATE INDEX address_usage_age ON address_usage (last_used_on);

-- Not derived from the log: how often each code was answered about a credential, by day (UTC).
CREATE TABLE verification_count (
    credential_id uuid NOT NULL,
    day date NOT NULL,
    code text COLLATE "C" NOT NULL,
    verifications bigint NOT NULL,
    PRIMARY KEY (credential_id, day, code)
) WITH (fillfactor = 70);
CREATE INDEX verification_count_age ON verification_count (day);

-- Not derived from the log: a time at which a credential was in use, at most a day before its last use. The view's own
-- writes leave it alone; it is there to find what is idle without looking at what is in use.
ALTER TABLE credential_list ADD COLUMN seen_at timestamptz;
CREATE INDEX credential_list_idle ON credential_list (organisation_id, greatest(created_at, seen_at), credential_id)
    WHERE over_at > changed_at;
-- How many are idle: of a partial index the planner takes no statistics.
CREATE STATISTICS credential_list_idle_since ON greatest(created_at, seen_at) FROM credential_list;

-- What came of sending webhooks, for the metrics: deliveries go after a month, and counting them takes a while.
CREATE TABLE webhook_count (
    outcome text PRIMARY KEY,
    happened bigint NOT NULL
);
-- The oldest that waits, of each endpoint.
CREATE INDEX webhook_delivery_waiting ON webhook_delivery (endpoint_id, queued_at) WHERE finished_at IS NULL;
