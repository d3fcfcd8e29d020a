-- Format 4 added the identity of the database, the events of each history, and the texts that ran. Runs inside a
-- transaction.

CREATE TABLE confiture.identity (
    project      text NOT NULL,
    target       text NOT NULL,
    environment  text NOT NULL,
    is_declared  boolean NOT NULL,
    is_protected boolean NOT NULL,
    schema_name  text,
    search_path  text[] NOT NULL,
    since        timestamptz NOT NULL DEFAULT clock_timestamp(),
    set_by       text NOT NULL DEFAULT session_user,
    PRIMARY KEY (project, target)
);
COMMENT ON TABLE confiture.identity IS 'The environment that this database is, one row for each history';
COMMENT ON COLUMN confiture.identity.is_declared IS 'false: the default environment, which no setting or option names';
COMMENT ON COLUMN confiture.identity.is_protected IS 'Whether commands that write need the name of the environment';
COMMENT ON COLUMN confiture.identity.schema_name IS 'The schema in which unqualified names are created';
COMMENT ON COLUMN confiture.identity.search_path IS 'The search path that leads to that schema';

CREATE TABLE confiture.history_events (
    number       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project      text NOT NULL,
    target       text NOT NULL,
    at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    event        text NOT NULL,
    environment  text NOT NULL,
    version      text,
    name         text,
    run          uuid NOT NULL,
    attempt      uuid,
    role         text NOT NULL DEFAULT session_user,
    os_user      text,
    host         text,
    process      integer,
    ci_run       text,
    ci_actor     text,
    commit       text,
    is_dirty     boolean,
    tool_version text NOT NULL,
    reason       text,
    predicted_ms double precision,
    low_ms       double precision,
    high_ms      double precision,
    duration_ms  double precision,
    details      jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE confiture.history_events IS 'What happened to each migration, who did it and why; rows are never changed';
COMMENT ON COLUMN confiture.history_events.run IS 'The events of one command have the same value';
COMMENT ON COLUMN confiture.history_events.attempt IS 'The attempt whose segments are in the journal';
COMMENT ON COLUMN confiture.history_events.ci_run IS 'The URL of the CI job';
COMMENT ON COLUMN confiture.history_events.is_dirty IS 'Whether the work tree had changes that were not in the commit';
CREATE INDEX history_events_of_migration ON confiture.history_events (project, target, version);

CREATE TABLE confiture.texts (
    hash    text PRIMARY KEY,
    content bytea NOT NULL,
    bytes   integer NOT NULL
);
COMMENT ON TABLE confiture.texts IS 'The texts of migrations before rendering, each once';
COMMENT ON COLUMN confiture.texts.hash IS 'SHA-256, of the text in UTF-8';
COMMENT ON COLUMN confiture.texts.content IS 'The text in UTF-8, compressed by zlib';
COMMENT ON COLUMN confiture.texts.bytes IS 'The length of the text in UTF-8';

ALTER TABLE confiture.migrations ADD COLUMN texts jsonb;
COMMENT ON COLUMN confiture.migrations.texts IS 'The hashes of its texts; NULL if another version recorded it';
ALTER TABLE confiture.migrations ADD COLUMN inputs jsonb;
COMMENT ON COLUMN confiture.migrations.inputs IS
    'Kind, name and hash of variables from outside, hooks and modules; NULL if another version recorded it';

UPDATE confiture.format SET version = 4;
