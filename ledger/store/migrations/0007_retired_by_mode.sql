-- A permission may be retired for live credentials and go on for test ones, or the other way round.

ALTER TABLE catalogue_status
    ALTER COLUMN retired TYPE jsonb
    USING jsonb_build_object('live', to_jsonb(retired), 'test', to_jsonb(retired));
