-- Catalogues and applications. Both are read with every verification, by key.

-- One row for each organisation whose catalogue was ever changed; without one it is the default catalogue.
CREATE TABLE catalogue_status (
    organisation_id uuid PRIMARY KEY,
    version integer NOT NULL,
    retired text[] NOT NULL,
    -- {name: [scopes]}
    apis jsonb NOT NULL
);

CREATE TABLE application_status (
    application_id uuid PRIMARY KEY,
    organisation_id uuid NOT NULL,
    account_id uuid,
    title text NOT NULL,
    description text NOT NULL,
    apis text[] NOT NULL,
    created_at timestamptz NOT NULL,
    archived_at timestamptz,
    archived_by text,
    archived_reason text,
    archived_request_id text,
    version bigint NOT NULL
);
-- A page of them, newest first.
CREATE INDEX application_status_page ON application_status (organisation_id, application_id);
-- Few are archived; the sweeper that revokes their credentials looks at these alone.
CREATE INDEX application_status_archived ON application_status (application_id) WHERE archived_at IS NOT NULL;

-- An application's credentials that are not revoked, or not yet.
CREATE INDEX credential_status_application
    ON credential_status (application_id, (coalesce(revoked_at, 'infinity'::timestamptz)))
    WHERE application_id IS NOT NULL;
