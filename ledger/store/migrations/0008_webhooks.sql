-- Webhook endpoints: inline, as whoever registered one sees it at once. Their signing secrets stay sealed in the log.
CREATE TABLE webhook_endpoint_status (
    endpoint_id uuid PRIMARY KEY,
    organisation_id uuid NOT NULL,
    url text NOT NULL,
    description text NOT NULL,
    event_types text[] NOT NULL,
    secrets jsonb NOT NULL,
    registered_at timestamptz NOT NULL,
    disabled_at timestamptz,
    disabled_reason text NOT NULL,
    removed_at timestamptz,
    version bigint NOT NULL
);
CREATE INDEX webhook_endpoint_status_page ON webhook_endpoint_status (organisation_id, endpoint_id);
-- Those that are sent messages, of all organisations.
CREATE INDEX webhook_endpoint_status_enabled ON webhook_endpoint_status (organisation_id)
    WHERE removed_at IS NULL AND disabled_at IS NULL;

-- A row for each message and endpoint: what is to be sent, and what became of it. No view: what was sent is not in the
-- log. The sequence is the order in which a credential's messages go to an endpoint.
CREATE TABLE webhook_delivery (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery_id uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    organisation_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    credential_id uuid NOT NULL,
    message_id text NOT NULL,
    type text NOT NULL,
    body text NOT NULL,
    queued_at timestamptz NOT NULL DEFAULT now(),
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,  -- since it was queued or replayed: how far along the schedule it is
    finished_at timestamptz,
    delivered boolean NOT NULL DEFAULT false,
    UNIQUE (endpoint_id, message_id)
) WITH (fillfactor = 85);
CREATE INDEX webhook_delivery_due ON webhook_delivery (endpoint_id, next_attempt_at, sequence)
    WHERE finished_at IS NULL;
CREATE INDEX webhook_delivery_order ON webhook_delivery (endpoint_id, credential_id, sequence)
    WHERE finished_at IS NULL;
CREATE INDEX webhook_delivery_page ON webhook_delivery (endpoint_id, sequence);
CREATE INDEX webhook_delivery_failed ON webhook_delivery (endpoint_id, sequence)
    WHERE finished_at IS NOT NULL AND NOT delivered;
CREATE INDEX webhook_delivery_queued ON webhook_delivery (queued_at);

CREATE TABLE webhook_attempt (
    sequence bigint NOT NULL REFERENCES webhook_delivery ON DELETE CASCADE,
    attempt integer NOT NULL,
    at timestamptz NOT NULL,
    milliseconds integer NOT NULL,
    status integer,
    error text NOT NULL,
    response text NOT NULL,
    PRIMARY KEY (sequence, attempt)
);

-- For which due date a credential's notice was queued last, so that each is once.
CREATE TABLE webhook_notice (
    credential_id uuid NOT NULL,
    type text NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (credential_id, type)
);
