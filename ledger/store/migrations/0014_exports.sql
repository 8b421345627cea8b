-- The signed checkpoint that each export ends with, so that an export is the same however often it is fetched. It is
-- taken when the export is first fetched and its own request is sealed; what is proved with it follows from the log.
CREATE TABLE sealed_export (
    export_id uuid PRIMARY KEY,
    tree uuid NOT NULL,
    size bigint NOT NULL,
    checkpoint text NOT NULL
);
