-- Runs of bulk revocation: inline, so that one that was just confirmed can be asked about.

CREATE TABLE bulk_revocation_status (
    run_id uuid PRIMARY KEY,
    organisation_id uuid NOT NULL,
    contact_email text NOT NULL,
    selection jsonb NOT NULL,
    revocation_reason text NOT NULL,
    reason text NOT NULL,
    digest text NOT NULL,
    total integer NOT NULL,
    revoked integer NOT NULL,
    skipped integer NOT NULL,
    started_by text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    version bigint NOT NULL
);
CREATE INDEX bulk_revocation_status_organisation ON bulk_revocation_status (organisation_id, run_id);
CREATE INDEX bulk_revocation_status_unfinished ON bulk_revocation_status (run_id) WHERE finished_at IS NULL;
