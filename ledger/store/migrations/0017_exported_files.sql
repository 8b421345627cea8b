-- Not derived from the log: the newest file that was handed out whole of each export and access review, in each format,
-- so that whoever has it can compare: what is in it can change, by an erasure or by a use.
CREATE TABLE exported_file (
    export_id uuid NOT NULL,
    format text COLLATE "C" NOT NULL,
    made_at timestamptz NOT NULL,
    rows bigint NOT NULL,
    counts jsonb NOT NULL,
    bytes bigint NOT NULL,
    sha256 text COLLATE "C" NOT NULL,
    PRIMARY KEY (export_id, format)
);
