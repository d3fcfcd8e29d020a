-- What format 2 added, too: what reconcile steps proved.

CREATE TABLE confiture.reconciliations (
    attempt       uuid NOT NULL,
    segment       integer NOT NULL,
    phase         text NOT NULL,
    number        integer NOT NULL,
    version       text NOT NULL,
    step          text NOT NULL,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    table_name    text NOT NULL,
    rows          bigint NOT NULL,
    groups        bigint NOT NULL,
    grouped_by    text,
    hash          numeric NOT NULL,
    compared      text[] NOT NULL,
    not_compared  jsonb NOT NULL,
    outcome       text NOT NULL CHECK (outcome IN ('equal', 'different')),
    differences   jsonb,
    duration_ms   double precision NOT NULL,
    PRIMARY KEY (attempt, segment, phase, number)
);
COMMENT ON TABLE confiture.reconciliations IS 'What reconcile steps proved; committed together with their segment';
COMMENT ON COLUMN confiture.reconciliations.hash IS 'The sum of the hashes of all rows';
COMMENT ON COLUMN confiture.reconciliations.not_compared IS 'The columns that were left out, each with the reason';
