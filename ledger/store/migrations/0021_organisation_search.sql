-- Organisations are found by the words of their names. Of those that there are already the words are split here, without
-- what a rebuild of the view knows of accents; the release before gives none.
ALTER TABLE organisation_status ADD COLUMN search tsvector NOT NULL DEFAULT '';
UPDATE organisation_status
    SET search = array_to_tsvector(array_remove(regexp_split_to_array(lower(name), '[^[:alnum:]]+'), ''));
-- fastupdate off: a pending list would make every search read what was just registered, unsorted.
CREATE INDEX organisation_status_search ON organisation_status USING gin (search) WITH (fastupdate = off);
