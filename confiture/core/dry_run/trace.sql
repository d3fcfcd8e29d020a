-- name: relations
-- Every relation that is there, by its OID: names must be known before, because what a statement drops has none after.
SELECT c.oid::bigint AS oid, c.oid::regclass::text AS name, c.relkind::text AS kind,
       pg_relation_filenode(c.oid)::bigint AS filenode,
       pg_stat_get_xact_numscans(c.oid) AS scans, pg_stat_get_xact_tuples_returned(c.oid) AS rows_read,
       pg_stat_get_xact_tuples_inserted(c.oid) AS inserted, pg_stat_get_xact_tuples_updated(c.oid) AS updated,
       pg_stat_get_xact_tuples_deleted(c.oid) AS deleted
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid >= 16384 AND n.nspname !~ '^pg_(toast|temp)' AND c.relkind <> 'c';

-- name: touched
-- What this session holds locks on, and its own counters, both of which last until the transaction ends; of those only
-- what is new or has changed since the last look, whose marks are given. The first row alone has the WAL position.
WITH held AS (
    SELECT l.relation, array_agg(DISTINCT l.mode) AS modes
    FROM pg_locks l
    WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted AND l.relation >= 16384
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    GROUP BY l.relation
), counted AS (
    SELECT h.relation, h.modes,
           pg_relation_filenode(h.relation)::bigint AS filenode,
           pg_stat_get_xact_numscans(h.relation) AS scans, pg_stat_get_xact_tuples_returned(h.relation) AS rows_read,
           pg_stat_get_xact_tuples_inserted(h.relation) AS inserted,
           pg_stat_get_xact_tuples_updated(h.relation) AS updated,
           pg_stat_get_xact_tuples_deleted(h.relation) AS deleted
    FROM held h
), marked AS (
    SELECT *, hashtextextended(concat_ws(' ', modes, filenode, scans, rows_read, inserted, updated, deleted), 0) AS mark
    FROM counted
)
SELECT NULL AS oid, NULL AS name, NULL AS kind, NULL AS modes, NULL AS filenode, NULL AS scans, NULL AS rows_read,
       NULL AS inserted, NULL AS updated, NULL AS deleted,
       pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS mark
UNION ALL
SELECT m.relation::bigint, m.relation::regclass::text, c.relkind::text, m.modes, m.filenode, m.scans, m.rows_read,
       m.inserted, m.updated, m.deleted, m.mark
FROM marked m
LEFT JOIN pg_class c ON c.oid = m.relation
LEFT JOIN unnest(%(oids)s::bigint[], %(marks)s::bigint[]) AS known (oid, mark) ON known.oid = m.relation
WHERE (c.oid IS NULL OR c.relnamespace <> 'pg_toast'::regnamespace)
  AND known.mark IS DISTINCT FROM m.mark;

-- name: wal_position
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS bytes;

-- name: waiters
-- Sessions that wait for a lock of this process, or behind its own waiting for one. Autovacuum can wait.
SELECT a.pid, a.usename::text AS usename, a.application_name, left(a.query, 500) AS query,
       l.mode, CASE WHEN l.relation IS NOT NULL THEN l.relation::regclass::text ELSE l.locktype END AS target,
       COALESCE(extract(epoch FROM clock_timestamp() - l.waitstart) * 1000, 0)::float8 AS waited_ms
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
WHERE NOT l.granted AND a.backend_type = 'client backend'
  AND %(pid)s = ANY (pg_blocking_pids(l.pid));

-- name: cancel
SELECT pg_cancel_backend(%(pid)s) AS cancelled;

-- name: running_sessions
-- Sessions of our runs that are in a transaction or at work; those that only hold the lock or watch are left out.
SELECT a.pid, a.application_name, a.state, left(a.query, 500) AS query,
       (extract(epoch FROM clock_timestamp() - a.xact_start) * 1000)::float8 AS transaction_ms
FROM pg_stat_activity a
WHERE a.application_name LIKE 'confiture %%' AND a.datname = current_database()
  AND a.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL
  AND a.application_name NOT LIKE 'confiture watch%%'
ORDER BY a.xact_start;

-- name: locks_of
SELECT COALESCE(l.relation::regclass::text, l.relation::text) AS relation, l.mode, l.granted
FROM pg_locks l
WHERE l.pid = %(pid)s AND l.locktype = 'relation' AND l.relation >= 16384
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY l.granted, l.relation;

-- name: blockers_of
SELECT a.pid, a.usename::text AS usename, a.application_name, a.state, left(a.query, 500) AS query,
       (extract(epoch FROM clock_timestamp() - a.xact_start) * 1000)::float8 AS transaction_ms
FROM pg_stat_activity a
WHERE a.pid = ANY (pg_blocking_pids(%(pid)s));

-- name: row_counts
-- What ANALYZE or VACUUM last counted; below 0 where neither ever did.
SELECT c.oid::regclass::text AS name, c.reltuples::float8 AS rows
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p') AND c.oid >= 16384 AND n.nspname !~ '^pg_';

-- name: holders
-- Sessions in a transaction older than a second that hold locks on the relations named.
SELECT a.pid, a.usename::text AS usename, a.application_name, a.state,
       min(l.relation::regclass::text) AS relation, array_agg(DISTINCT l.mode) AS modes,
       (extract(epoch FROM clock_timestamp() - a.xact_start) * 1000)::float8 AS transaction_ms
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
  AND l.relation = ANY (SELECT to_regclass(name) FROM unnest(%(names)s::text[]) AS name)
  AND a.xact_start < clock_timestamp() - interval '1 second'
GROUP BY a.pid, a.usename, a.application_name, a.state, a.xact_start
ORDER BY a.xact_start;
