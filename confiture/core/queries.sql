-- name: reset_session
-- Back to a fresh session: whatever a migration set, it set for itself. One simple query, one round trip.
RESET SESSION AUTHORIZATION;
RESET ALL;
CLOSE ALL;
UNLISTEN *;
DEALLOCATE ALL;
SELECT pg_advisory_unlock_all();
DISCARD TEMP;
DISCARD SEQUENCES;
SET client_min_messages = warning;
SET client_connection_check_interval = {client_check_ms};
SET idle_session_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET statement_timeout = 0;
SET lock_timeout = {lock_timeout};

-- name: server
SELECT current_setting('server_version_num')::int AS version_number,
       current_setting('server_version') AS version,
       pg_is_in_recovery() AS in_recovery,
       current_setting('default_transaction_read_only')::bool AS read_only,
       pg_backend_pid() AS backend_pid,
       current_database() AS database;

-- name: state_format
SELECT to_regclass('confiture.format') IS NOT NULL AS installed;

-- name: state_rights
-- The schema may have been made for us by somebody who may more than we.
SELECT to_regnamespace('confiture') IS NOT NULL AS has_schema,
       CASE WHEN to_regnamespace('confiture') IS NULL
            THEN has_database_privilege(current_database(), 'CREATE')
            ELSE has_schema_privilege('confiture', 'CREATE') END AS may_install,
       current_user AS role;

-- name: create_schema
CREATE SCHEMA confiture;
COMMENT ON SCHEMA confiture IS 'History and state of the migration tool confiture';

-- name: format_version
SELECT version FROM confiture.format;

-- name: history
SELECT m.position, m.version, m.name, m.state, m.origin, m.attempt::text AS attempt, m.checksum, m.chain, m.steps,
       m.applied_at, m.applied_by, m.duration_ms, p.predicted_ms, p.low_ms, p.high_ms, p.measured_ms
FROM confiture.migrations m
LEFT JOIN confiture.predictions p ON p.attempt = m.attempt
ORDER BY m.position;

-- name: record_prediction
INSERT INTO confiture.predictions (attempt, version, predicted_ms, low_ms, high_ms, runs, measured_ms)
SELECT %(attempt)s, %(version)s, %(predicted_ms)s, %(low_ms)s, %(high_ms)s, %(runs)s, COALESCE(sum(ms), 0)
FROM confiture.journal j
CROSS JOIN LATERAL (SELECT (step ->> 'duration_ms')::float8 AS ms FROM jsonb_array_elements(j.steps) AS step) AS steps
WHERE j.attempt = %(attempt)s;

-- name: journal
SELECT segment, state, fingerprint
FROM confiture.journal
WHERE attempt = %(attempt)s
ORDER BY segment;

-- name: insert_migration
-- It began with its first transaction, which this one is.
INSERT INTO confiture.migrations
    (version, name, state, origin, attempt, checksum, chain, steps, started_at, applied_at, applied_by, duration_ms)
VALUES
    (%(version)s, %(name)s, %(state)s, %(origin)s, %(attempt)s, %(checksum)s, %(chain)s, %(steps)s,
     now(), CASE WHEN %(state)s = 'applied' THEN clock_timestamp() END, session_user, %(duration_ms)s);

-- name: finish_migration
-- The position is that of its end: the chain of checksums follows it, and others may have been applied meanwhile.
UPDATE confiture.migrations
SET state = 'applied', checksum = %(checksum)s, chain = %(chain)s, steps = %(steps)s, name = %(name)s,
    position = DEFAULT, applied_at = clock_timestamp(), applied_by = session_user,
    duration_ms = (SELECT sum(duration_ms) FROM confiture.journal WHERE attempt = %(attempt)s)
WHERE version = %(version)s;

-- name: mark_reverting
UPDATE confiture.migrations
SET state = 'reverting', attempt = %(attempt)s
WHERE version = %(version)s;

-- name: unmark_reverting
-- Back to what it was: applied, or stopped midway on the way up, by the attempt that came that far.
UPDATE confiture.migrations
SET state = CASE WHEN applied_at IS NULL THEN 'running' ELSE 'applied' END,
    attempt = coalesce(
        (SELECT attempt FROM confiture.journal
         WHERE version = %(version)s AND direction = 'up' ORDER BY recorded_at DESC LIMIT 1),
        attempt)
WHERE version = %(version)s;

-- name: delete_journal
DELETE FROM confiture.journal WHERE attempt = %(attempt)s AND segment = %(segment)s;

-- name: delete_migration
DELETE FROM confiture.migrations WHERE version = %(version)s;

-- name: record_segment
INSERT INTO confiture.journal (attempt, segment, version, direction, state, fingerprint, steps, duration_ms)
VALUES (%(attempt)s, %(segment)s, %(version)s, %(direction)s, %(state)s, %(fingerprint)s, %(steps)s, %(duration_ms)s);

-- name: record_applied
-- A migration with its only segment: one round trip less than one after the other, for most migrations. It began with
-- this transaction.
WITH segment AS (
    INSERT INTO confiture.journal (attempt, segment, version, direction, state, fingerprint, steps, duration_ms)
    VALUES
        (%(attempt)s, %(segment)s, %(version)s, %(direction)s, 'done', %(fingerprint)s, %(segment_steps)s,
         %(duration_ms)s)
)
INSERT INTO confiture.migrations
    (version, name, state, origin, attempt, checksum, chain, steps, started_at, applied_at, applied_by, duration_ms)
VALUES
    (%(version)s, %(name)s, 'applied', %(origin)s, %(attempt)s, %(checksum)s, %(chain)s, %(steps)s,
     now(), clock_timestamp(), session_user, %(duration_ms)s);

-- name: complete_intent
UPDATE confiture.journal
SET state = 'done', steps = %(steps)s, duration_ms = %(duration_ms)s,
    recorded_at = clock_timestamp(), recorded_by = session_user
WHERE attempt = %(attempt)s AND segment = %(segment)s AND state = 'intent';

-- name: try_lock
SELECT pg_try_advisory_lock(%(key)s) AS locked;

-- name: lock_holder
SELECT a.pid, a.usename, a.application_name, a.client_addr::text AS client_addr, a.backend_start
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.objsubid = 1 AND (l.classid::bigint << 32) + l.objid::bigint = %(key)s;

-- name: index_state
-- An index lives in its table's schema; a bare name in a DROP is looked up by the search path.
SELECT i.indisvalid AND i.indisready AS valid, n.nspname AS schema, c.relname AS name, i.indrelid AS table_oid
FROM pg_class c
JOIN pg_index i ON i.indexrelid = c.oid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = %(name)s
  AND CASE
      WHEN %(table)s::text IS NOT NULL THEN
          i.indrelid = to_regclass(concat_ws('.', quote_ident(%(schema)s), quote_ident(%(table)s)))
      ELSE c.oid = to_regclass(concat_ws('.', quote_ident(%(schema)s), quote_ident(%(name)s)))
  END;

-- name: index_builders
-- Whoever builds an index CONCURRENTLY holds this lock on its table from the beginning to the end. So does a vacuum;
-- an automatic one gives way.
SELECT l.pid
FROM pg_locks l
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.relation = %(table_oid)s AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.pid <> pg_backend_pid() AND a.backend_type IS DISTINCT FROM 'autovacuum worker';

-- name: rebuilt_halves
SELECT n.nspname AS schema, c.relname AS name, i.indrelid AS table_oid
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$'
  AND CASE %(kind)s
      WHEN 'table' THEN i.indrelid = to_regclass(%(name)s)
      WHEN 'index' THEN i.indrelid = (SELECT indrelid FROM pg_index WHERE indexrelid = to_regclass(%(name)s))
      WHEN 'schema' THEN n.oid = to_regnamespace(%(name)s)
      ELSE %(kind)s = 'database'
  END;

-- name: partition_state
SELECT inhdetachpending AS pending FROM pg_inherits WHERE inhrelid = to_regclass(%(partition)s);

-- name: deferrable
-- What a commit checks, and what is deferred again in the next transaction; names that stand twice are told apart by
-- neither. What stands in a schema that is closed to us, or in that of another session, cannot be named in SET CONSTRAINTS.
SELECT string_agg(name, ', ') AS everything, string_agg(name, ', ') FILTER (WHERE initially_deferred) AS deferred
FROM (
    SELECT quote_ident(n.nspname) || '.' || quote_ident(k.conname) AS name, bool_and(k.condeferred) AS initially_deferred
    FROM pg_constraint k
    JOIN pg_namespace n ON n.oid = k.connamespace
    WHERE has_schema_privilege(n.oid, 'USAGE') AND NOT pg_is_other_temp_schema(n.oid)
    GROUP BY n.nspname, k.conname
    HAVING bool_or(k.condeferrable)
) named;

-- name: backend_alive
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %(pid)s) AS alive;

-- name: pages
SELECT coalesce(sum(pg_relation_size(p.relid)), 0)::bigint / current_setting('block_size')::bigint AS pages
FROM (
    SELECT relid FROM pg_partition_tree(to_regclass(%(table)s))
    UNION
    SELECT to_regclass(%(table)s)
) AS p;

-- name: operator_schemas
-- The schemas of comparison operators that are not in pg_catalog, by type: those of the default class for btree. A domain
-- has those of its base type.
WITH RECURSIVE compared AS (
    SELECT o.opcintype AS type, r.oprnamespace AS namespace
    FROM pg_opclass o
    JOIN pg_am m ON m.oid = o.opcmethod
    JOIN pg_amop p ON p.amopfamily = o.opcfamily AND p.amoplefttype = o.opcintype AND p.amoprighttype = o.opcintype
                  AND p.amopstrategy = 3
    JOIN pg_operator r ON r.oid = p.amopopr
    WHERE o.oid >= 16384 AND o.opcdefault AND m.amname = 'btree'
    UNION ALL
    SELECT t.oid, c.namespace FROM compared c JOIN pg_type t ON t.typbasetype = c.type
)
SELECT format_type(t.oid, -1) AS name, quote_ident(s.nspname) || '.' || quote_ident(t.typname) AS full_name,
       n.nspname::text AS schema
FROM compared c
JOIN pg_type t ON t.oid = c.type
JOIN pg_namespace s ON s.oid = t.typnamespace
JOIN pg_namespace n ON n.oid = c.namespace;
