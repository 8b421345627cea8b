-- Reports.

-- Those with nobody to write to. With over_at in it, those that ended are passed over without reading them.
CREATE INDEX credential_list_without_owner ON credential_list (organisation_id, created_at, credential_id, over_at)
    WHERE contact_email = '';

-- What replaced a credential.
CREATE INDEX credential_status_supersedes ON credential_status (supersedes, credential_id) WHERE supersedes IS NOT NULL;

-- Reports come by the time that they are about, so their indexes go on with the id as pages do. Those that ended are
-- passed over in the index of what is due.
CREATE INDEX credential_list_due ON credential_list (organisation_id, secret_set_at, credential_id, over_at);
CREATE INDEX credential_list_ends ON credential_list (organisation_id, over_at, credential_id);
CREATE INDEX credential_list_expires ON credential_list (organisation_id, expires_at, credential_id)
    WHERE expires_at IS NOT NULL;
CREATE INDEX credential_list_overlaps ON credential_list (organisation_id, overlap_ends_at, credential_id)
    WHERE overlap_ends_at IS NOT NULL;
DROP INDEX credential_list_rotation, credential_list_over, credential_list_expiry, credential_list_overlap;

-- How many credentials each report holds, of all organisations: counted once in a while, for the metrics.
CREATE TABLE report_count (
    report text PRIMARY KEY,
    credentials bigint NOT NULL,
    counted_at timestamptz NOT NULL
);
