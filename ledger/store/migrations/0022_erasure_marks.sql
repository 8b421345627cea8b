-- Up to where each list of erasures outside this database was compared with it. A restored backup has an older mark, or
-- none, which tells from where on the list has to be looked at.
CREATE TABLE erasure_mark (
    mark bytea PRIMARY KEY
);
