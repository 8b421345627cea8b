-- Lists that stay as quick when most of what a ledger holds has ended.

-- An account's channels, without reading its keys that have none.
CREATE INDEX credential_status_channels ON credential_status (account_id)
    WHERE account_id IS NOT NULL AND channel IS NOT NULL;

-- What had ended when it last changed never becomes good again: the lists of what is good leave it out, instead of passing
-- over it. What expired since is still passed over in the index.
DROP INDEX credential_list_due, credential_list_ends, credential_list_without_owner, credential_list_suspended,
    credential_list_overlaps;
CREATE INDEX credential_list_due ON credential_list (organisation_id, secret_set_at, credential_id, over_at)
    WHERE over_at > changed_at;
CREATE INDEX credential_list_ends ON credential_list (organisation_id, over_at, credential_id)
    WHERE over_at > changed_at;
CREATE INDEX credential_list_without_owner ON credential_list (organisation_id, created_at, credential_id, over_at)
    WHERE contact_email = '' AND over_at > changed_at;
CREATE INDEX credential_list_suspended ON credential_list (organisation_id, created_at, credential_id, over_at)
    WHERE suspended_at IS NOT NULL AND over_at > changed_at;
CREATE INDEX credential_list_overlaps ON credential_list (organisation_id, overlap_ends_at, credential_id)
    WHERE overlap_ends_at IS NOT NULL AND over_at > changed_at;
