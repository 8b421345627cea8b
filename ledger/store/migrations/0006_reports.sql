-- Reports.

-- Those with nobody to write to. With over_at in it, those that ended are passed over without reading them.
CREATE INDEX credential_list_without_owner ON credential_list (organisation_id, created_at, credential_id, over_at)
    WHERE contact_email = '';

-- What replaced a credential.
CREATE INDEX credential_status_supersedes ON credential_status (supersedes, credential_id) WHERE supersedes IS NOT NULL;
