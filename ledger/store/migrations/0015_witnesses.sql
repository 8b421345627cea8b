-- What others attest of the root log (docs/witnesses.md): cosignatures of witnesses and timestamps of an authority.

-- What became of asking each witness last, and the size of the root log that it is known to have cosigned, from which
-- the next consistency proof goes on. A witness is its key; `origin` is the root log's name at the time.
CREATE TABLE witness (
    vkey text PRIMARY KEY,
    name text NOT NULL,
    origin text NOT NULL,
    size bigint NOT NULL,
    cosigned_at timestamptz,
    asked_at timestamptz NOT NULL,
    outcome text NOT NULL,
    detail text NOT NULL
);

-- The newest checkpoint of the root log that a quorum cosigned, with the cosignatures.
CREATE TABLE witnessed_root (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    origin text NOT NULL,
    size bigint NOT NULL,
    checkpoint text NOT NULL,
    witnessed_at timestamptz NOT NULL
);

-- For each tree the newest signed checkpoint whose head that one holds, and (`submitted_`) the one whose head is held by
-- the root checkpoint that witnesses are asked for now. A busy tree has a newer checkpoint by the time they answer.
CREATE TABLE witnessed_head (
    tree uuid PRIMARY KEY,
    submitted_origin text NOT NULL,
    submitted_size bigint NOT NULL,
    submitted_checkpoint text NOT NULL,
    origin text NOT NULL DEFAULT '',
    size bigint NOT NULL DEFAULT 0,
    checkpoint text NOT NULL DEFAULT ''
) WITH (fillfactor = 70);

-- RFC 3161 responses over the text of root checkpoints. All are kept: the oldest that covers an event is the best.
CREATE TABLE root_timestamp (
    origin text NOT NULL,
    size bigint NOT NULL,
    checkpoint text NOT NULL,
    response bytea NOT NULL,
    stamped_at timestamptz NOT NULL,
    CONSTRAINT root_timestamp_pkey PRIMARY KEY (origin, size)
);
