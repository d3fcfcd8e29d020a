-- Format 2 added proofs from reconcile steps, and batched backfills. Runs inside a transaction.

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

CREATE TABLE confiture.backfills (
    attempt        uuid NOT NULL,
    segment        integer NOT NULL,
    number         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    version        text NOT NULL,
    step           text NOT NULL,
    target         text NOT NULL,
    source         text NOT NULL,
    key            text[] NOT NULL,
    end_key        text[],
    fingerprint    text NOT NULL,
    estimated_rows bigint,
    written_before bigint,
    state          text NOT NULL CHECK (state IN ('preparing', 'filling', 'draining', 'done')),
    control        text NOT NULL DEFAULT 'run' CHECK (control IN ('run', 'pause', 'cancel')),
    waiting_for    text,
    batch_rows     bigint,
    runner         text,
    beat_at        timestamptz,
    started_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at    timestamptz,
    PRIMARY KEY (attempt, segment)
);
COMMENT ON TABLE confiture.backfills IS 'Batched backfills, running or done';
COMMENT ON COLUMN confiture.backfills.number IS 'Names its triggers, and its table of keys that others wrote';
COMMENT ON COLUMN confiture.backfills.end_key IS 'The greatest key when it began; what comes later is not its work';
COMMENT ON COLUMN confiture.backfills.written_before IS
    'Rows written, by the statistics, to the tables that it reads, if no other session was to write them';
COMMENT ON COLUMN confiture.backfills.control IS 'The requested action, which the run checks before each batch';
COMMENT ON COLUMN confiture.backfills.beat_at IS 'The time of the last heartbeat';

CREATE TABLE confiture.backfill_ranges (
    attempt      uuid NOT NULL,
    segment      integer NOT NULL,
    number       integer NOT NULL,
    prefix       text[] NOT NULL,
    after        text,
    edge         integer NOT NULL,
    end_key      text[] NOT NULL,
    is_done      boolean NOT NULL DEFAULT false,
    batches      bigint NOT NULL DEFAULT 0,
    source_rows  bigint NOT NULL DEFAULT 0,
    written_rows bigint NOT NULL DEFAULT 0,
    busy_ms      double precision NOT NULL DEFAULT 0,
    PRIMARY KEY (attempt, segment, number),
    FOREIGN KEY (attempt, segment) REFERENCES confiture.backfills ON DELETE CASCADE
);
COMMENT ON TABLE confiture.backfill_ranges IS 'How far each range of a backfill is; committed together with its rows';
COMMENT ON COLUMN confiture.backfill_ranges.prefix IS 'With after: the key up to which all is done';

-- without a replica identity, a publication for all tables rejects updates and deletes
ALTER TABLE confiture.format REPLICA IDENTITY FULL;
UPDATE confiture.format SET version = 2;
