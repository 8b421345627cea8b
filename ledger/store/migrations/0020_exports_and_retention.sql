-- Exports whose progress is told, and a retention of each organisation's own.

-- Not derived from the log: how far the newest download of each export in each format has come, for whoever waits for it.
CREATE TABLE export_progress (
    export_id uuid NOT NULL,
    format text COLLATE "C" NOT NULL,
    preparing boolean NOT NULL,
    started_at timestamptz NOT NULL,
    reached_at timestamptz NOT NULL,
    leaves_done bigint NOT NULL,
    leaves bigint NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (export_id, format)
) WITH (fillfactor = 50);

-- Which of the versions of a file this is: those of one tag are the same to the byte. The release before gives none.
ALTER TABLE exported_file ADD COLUMN tag text COLLATE "C" NOT NULL DEFAULT '';

-- How many of an organisation's credentials were erased, which is what its files depend on beside the log.
CREATE INDEX credential_status_erased_of ON credential_status (organisation_id) WHERE erased_at IS NOT NULL;

-- NULL is what the installation says.
ALTER TABLE organisation_status ADD COLUMN retention_days integer;
