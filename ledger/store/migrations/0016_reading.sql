-- Erasure, retention, and who read what.

-- Of a removed operator whose name and email were destroyed.
ALTER TABLE operator_status ADD COLUMN erased_at timestamptz;

-- What was erased, by when, for those who list it outside the database.
CREATE INDEX credential_status_erased ON credential_status (erased_at, credential_id) WHERE erased_at IS NOT NULL;

-- Those that a retention policy erases one day, by when they end.
CREATE INDEX credential_list_to_erase ON credential_list (organisation_id, over_at, credential_id)
    WHERE erased_at IS NULL AND over_at < 'infinity';

-- The answers that are kept about a thing, for a few minutes: they go when it is erased.
CREATE INDEX ledger_idempotency_aggregate ON ledger_idempotency (aggregate_id) WHERE answer IS NOT NULL;

-- Runs by the email that their credentials were chosen by, which goes when one of them is erased.
CREATE INDEX bulk_revocation_status_contact ON bulk_revocation_status (organisation_id, lower(contact_email))
    WHERE contact_email <> '';

-- Not derived from the log: who read what. Written in batches, a moment later; it goes after KEYLEDGER_READING_DAYS.
CREATE TABLE reading (
    reading_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id uuid,
    aggregate_id uuid,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    roles text[] NOT NULL,
    via text NOT NULL,
    what text[] NOT NULL,
    route text NOT NULL,
    request_id text NOT NULL,
    address text NOT NULL
);
CREATE INDEX reading_at ON reading (at, reading_id);
CREATE INDEX reading_page ON reading (organisation_id, at, reading_id);
CREATE INDEX reading_actor ON reading (organisation_id, actor, at, reading_id);
CREATE INDEX reading_aggregate ON reading (organisation_id, aggregate_id, at, reading_id)
    WHERE aggregate_id IS NOT NULL;
