-- name: reset_session
-- Back to a fresh session: whatever a migration set, it set for itself. One simple query, one round trip.
RESET SESSION AUTHORIZATION;
RESET ALL;
CLOSE ALL;
UNLISTEN *;
DEALLOCATE ALL;
SELECT pg_advisory_unlock_all();
DISCARD TEMP;
SET client_min_messages = warning;
SET client_connection_check_interval = {client_check_ms};
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

-- name: format_version
SELECT version FROM confiture.format;

-- name: history
SELECT position, version, name, state, origin, attempt::text AS attempt, checksum, chain, steps,
       applied_at, applied_by, duration_ms
FROM confiture.migrations
ORDER BY position;

-- name: journal
SELECT segment, state, fingerprint
FROM confiture.journal
WHERE attempt = %(attempt)s
ORDER BY segment;

-- name: insert_migration
INSERT INTO confiture.migrations
    (version, name, state, origin, attempt, checksum, chain, steps, started_at, applied_at, applied_by, duration_ms)
VALUES
    (%(version)s, %(name)s, %(state)s, %(origin)s, %(attempt)s, %(checksum)s, %(chain)s, %(steps)s,
     clock_timestamp(), CASE WHEN %(state)s = 'applied' THEN clock_timestamp() END, session_user, %(duration_ms)s);

-- name: finish_migration
UPDATE confiture.migrations
SET state = 'applied', checksum = %(checksum)s, chain = %(chain)s, steps = %(steps)s, name = %(name)s,
    applied_at = clock_timestamp(), applied_by = session_user,
    duration_ms = (SELECT sum(duration_ms) FROM confiture.journal WHERE attempt = %(attempt)s)
WHERE version = %(version)s;

-- name: mark_reverting
UPDATE confiture.migrations
SET state = 'reverting', attempt = %(attempt)s
WHERE version = %(version)s;

-- name: unmark_reverting
UPDATE confiture.migrations SET state = 'applied' WHERE version = %(version)s;

-- name: delete_journal
DELETE FROM confiture.journal WHERE attempt = %(attempt)s AND segment = %(segment)s;

-- name: delete_migration
DELETE FROM confiture.migrations WHERE version = %(version)s;

-- name: record_segment
INSERT INTO confiture.journal (attempt, segment, version, direction, state, fingerprint, steps, duration_ms)
VALUES (%(attempt)s, %(segment)s, %(version)s, %(direction)s, %(state)s, %(fingerprint)s, %(steps)s, %(duration_ms)s)
ON CONFLICT (attempt, segment) DO UPDATE
SET state = EXCLUDED.state, steps = EXCLUDED.steps, duration_ms = EXCLUDED.duration_ms,
    recorded_at = clock_timestamp(), recorded_by = session_user;

-- name: try_lock
SELECT pg_try_advisory_lock(%(key)s) AS locked;

-- name: lock_holder
SELECT a.pid, a.usename, a.application_name, a.client_addr::text AS client_addr, a.query_start
FROM pg_locks l
JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.objsubid = 1 AND (l.classid::bigint << 32) + l.objid::bigint = %(key)s;

-- name: blockers
SELECT a.pid, a.usename, a.application_name, a.state, a.xact_start, left(a.query, 200) AS query
FROM pg_stat_activity a
WHERE a.pid = ANY (pg_blocking_pids(%(pid)s));

-- name: index_state
-- An index lives in its table's schema; a bare name in a DROP is looked up by the search path.
SELECT i.indisvalid AND i.indisready AS valid, n.nspname AS schema, c.relname AS name,
       (SELECT min(pid) FROM pg_stat_progress_create_index WHERE index_relid = c.oid) AS builder
FROM pg_class c
JOIN pg_index i ON i.indexrelid = c.oid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = %(name)s
  AND CASE
      WHEN %(table)s::text IS NOT NULL THEN
          i.indrelid = to_regclass(concat_ws('.', quote_ident(%(schema)s), quote_ident(%(table)s)))
      ELSE c.oid = to_regclass(concat_ws('.', quote_ident(%(schema)s), quote_ident(%(name)s)))
  END;

-- name: backend_alive
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %(pid)s) AS alive;
