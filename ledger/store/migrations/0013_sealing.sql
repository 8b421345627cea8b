-- The provable log (docs/provable-log.md): one tree for each organisation, one for the installation (the nil UUID), and
-- the root tree that holds their heads (the max UUID). All of it follows from the events, but for salts and labels.

-- A tree as it stands. `frontier` are the roots of the complete subtrees along its right edge, largest first, which is
-- all it takes to go on; `label` names the tree in the root tree and tells nothing of whose it is. The checkpoint is
-- signed a moment after the leaves are in: of `signed_size` leaves, under an origin that begins with `base`, by the key `kid`.
CREATE TABLE sealed_tree (
    tree uuid PRIMARY KEY,
    label text NOT NULL UNIQUE,
    size bigint NOT NULL,
    frontier bytea NOT NULL,
    base text NOT NULL,
    kid text NOT NULL DEFAULT '',
    signed_size bigint NOT NULL DEFAULT 0,
    checkpoint text NOT NULL DEFAULT '',
    signed_at timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
CREATE INDEX sealed_tree_unsigned ON sealed_tree (tree) WHERE signed_size < size;

-- The leaves of the organisations' trees: the exact bytes of each entry, the salt of its digest, and whose event it is.
CREATE TABLE sealed_leaf (
    tree uuid NOT NULL,
    leaf_index bigint NOT NULL,
    aggregate_id uuid NOT NULL,
    aggregate_version bigint NOT NULL,
    position bigint NOT NULL,
    salt bytea NOT NULL,
    entry bytea NOT NULL,
    CONSTRAINT sealed_leaf_pkey PRIMARY KEY (tree, leaf_index)
);
CREATE UNIQUE INDEX sealed_leaf_event ON sealed_leaf (aggregate_id, aggregate_version);

-- The leaves of the root tree: heads of the other trees, each behind its label and a salted digest.
CREATE TABLE sealed_head (
    leaf_index bigint PRIMARY KEY,
    tree uuid NOT NULL,
    origin text NOT NULL,
    size bigint NOT NULL,
    root bytea NOT NULL,
    salt bytea NOT NULL,
    entry bytea NOT NULL
);
CREATE INDEX sealed_head_tree ON sealed_head (tree, size);

-- How far sealing and signing have come. They begin now, however old the events are that there are already.
INSERT INTO projection_tracking (name, position) VALUES ('sealing', 0), ('signing', 0) ON CONFLICT DO NOTHING;

-- Tiles of 256 hashes (C2SP tlog-tiles). On level 0 those that are full, as the rest follows from the leaves; above it
-- also the one that grows, once in 256 leaves.
CREATE TABLE sealed_tile (
    tree uuid NOT NULL,
    level smallint NOT NULL,
    tile_index bigint NOT NULL,
    hashes bytea NOT NULL,
    CONSTRAINT sealed_tile_pkey PRIMARY KEY (tree, level, tile_index)
);
ALTER TABLE sealed_tile ALTER COLUMN hashes SET STORAGE EXTERNAL;  -- hashes do not compress
