-- Format 3 added projects and their targets. One database may contain the histories of several projects. Runs inside a
-- transaction. Existing rows belong to the project `default`.

ALTER TABLE confiture.migrations
    ADD COLUMN project text NOT NULL DEFAULT 'default',
    ADD COLUMN target text NOT NULL DEFAULT '',
    DROP CONSTRAINT migrations_pkey,
    ADD PRIMARY KEY (project, target, version);
ALTER TABLE confiture.migrations ALTER COLUMN project DROP DEFAULT, ALTER COLUMN target DROP DEFAULT;
COMMENT ON COLUMN confiture.migrations.project IS 'The setting `project` of the project whose history it is';
COMMENT ON COLUMN confiture.migrations.target IS 'Empty: a project has one target';

ALTER TABLE confiture.journal
    ADD COLUMN project text NOT NULL DEFAULT 'default',
    ADD COLUMN target text NOT NULL DEFAULT '';
ALTER TABLE confiture.journal ALTER COLUMN project DROP DEFAULT, ALTER COLUMN target DROP DEFAULT;
CREATE INDEX journal_of_migration ON confiture.journal (project, target, version);

ALTER TABLE confiture.predictions
    ADD COLUMN project text NOT NULL DEFAULT 'default',
    ADD COLUMN target text NOT NULL DEFAULT '';
ALTER TABLE confiture.predictions ALTER COLUMN project DROP DEFAULT, ALTER COLUMN target DROP DEFAULT;
CREATE INDEX predictions_of_migration ON confiture.predictions (project, target, version);

ALTER TABLE confiture.reconciliations
    ADD COLUMN project text NOT NULL DEFAULT 'default',
    ADD COLUMN target text NOT NULL DEFAULT '';
ALTER TABLE confiture.reconciliations ALTER COLUMN project DROP DEFAULT, ALTER COLUMN target DROP DEFAULT;
CREATE INDEX reconciliations_of_migration ON confiture.reconciliations (project, target, version);

ALTER TABLE confiture.backfills RENAME COLUMN target TO into_table;
ALTER TABLE confiture.backfills
    ADD COLUMN project text NOT NULL DEFAULT 'default',
    ADD COLUMN target text NOT NULL DEFAULT '';
ALTER TABLE confiture.backfills ALTER COLUMN project DROP DEFAULT, ALTER COLUMN target DROP DEFAULT;
CREATE INDEX backfills_of_migration ON confiture.backfills (project, target, version);

-- event triggers may require a primary key; tables from formats 1 and 2 have none
ALTER TABLE confiture.format DROP CONSTRAINT IF EXISTS format_pkey, ADD PRIMARY KEY (version);
-- without a replica identity, a publication for all tables rejects updates and deletes
ALTER TABLE confiture.format REPLICA IDENTITY FULL;
UPDATE confiture.format SET version = 3;
