-- Confiture's tables in a database, in the schema confiture. Runs inside a transaction.

CREATE TABLE confiture.format (version integer PRIMARY KEY);
COMMENT ON TABLE confiture.format IS 'The version of these tables: one row';
INSERT INTO confiture.format VALUES (1);

CREATE TABLE confiture.migrations (
    version     text PRIMARY KEY,
    position    bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    name        text NOT NULL,
    state       text NOT NULL CHECK (state IN ('applied', 'running', 'reverting')),
    origin      text NOT NULL CHECK (origin IN ('run', 'baseline')),
    attempt     uuid NOT NULL,
    checksum    text NOT NULL,
    chain       text NOT NULL,
    steps       jsonb NOT NULL,
    started_at  timestamptz NOT NULL,
    applied_at  timestamptz,
    applied_by  text NOT NULL,
    duration_ms double precision
);
COMMENT ON TABLE confiture.migrations IS 'Migrations that are applied, or stopped midway';
COMMENT ON COLUMN confiture.migrations.attempt IS 'The run whose journal lists the committed segments';
COMMENT ON COLUMN confiture.migrations.checksum IS 'Of the file''s up phases, blind to white space and comments';
COMMENT ON COLUMN confiture.migrations.chain IS 'Of this checksum and those of all rows before';
COMMENT ON COLUMN confiture.migrations.steps IS 'The checksum of each step, so that drift can be named';
COMMENT ON COLUMN confiture.migrations.duration_ms IS 'The time that its segments took';

CREATE TABLE confiture.journal (
    attempt     uuid NOT NULL,
    segment     integer NOT NULL,
    version     text NOT NULL,
    direction   text NOT NULL CHECK (direction IN ('up', 'down')),
    state       text NOT NULL CHECK (state IN ('intent', 'done')),
    fingerprint text NOT NULL,
    steps       jsonb NOT NULL DEFAULT '[]',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    recorded_by text NOT NULL DEFAULT session_user,
    duration_ms double precision,
    PRIMARY KEY (attempt, segment)
);
COMMENT ON TABLE confiture.journal IS 'Each segment of each run, committed together with what it did';
COMMENT ON COLUMN confiture.journal.state IS 'intent: about to run outside a transaction; done: committed';
COMMENT ON COLUMN confiture.journal.steps IS 'Phase, name, rows and milliseconds of each step';

CREATE TABLE confiture.predictions (
    attempt      uuid PRIMARY KEY,
    version      text NOT NULL,
    predicted_ms double precision NOT NULL,
    low_ms       double precision,
    high_ms      double precision,
    runs         integer NOT NULL,
    measured_ms  double precision NOT NULL
);
COMMENT ON TABLE confiture.predictions IS 'What dry runs had predicted for the steps of a run, and what they then took';
