-- Not derived from the log: how often each code was answered about an organisation's credentials, by day (UTC): the sums
-- of verification_count, kept so that nobody has to add up what a million credentials have.
CREATE TABLE organisation_verification_count (
    organisation_id uuid NOT NULL,
    day date NOT NULL,
    code text COLLATE "C" NOT NULL,
    verifications bigint NOT NULL,
    PRIMARY KEY (organisation_id, day, code)
) WITH (fillfactor = 70);
CREATE INDEX organisation_verification_count_age ON organisation_verification_count (day);

-- What a process of the release before counts from here on is missing in the sums, until it is replaced.
INSERT INTO organisation_verification_count (organisation_id, day, code, verifications)
SELECT e.organisation_id, v.day, v.code, sum(v.verifications)
FROM verification_count v
JOIN ledger_events e ON e.originator_id = v.credential_id AND e.originator_version = 1
WHERE e.organisation_id IS NOT NULL
GROUP BY e.organisation_id, v.day, v.code;
