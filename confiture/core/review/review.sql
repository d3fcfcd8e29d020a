-- name: relation_activity
-- The rows, size and use of relations, including their partitions and inheritance children. `rows` is 0 only if no
-- table file contains a page; it is null if the number is unknown. Reads and writes are counted since the statistics
-- were reset. `locked` is whether another session holds a lock on the relation now.
WITH RECURSIVE
wanted AS (
    SELECT c.oid AS root, c.oid, n.nspname AS schema, c.relname AS name
    FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS w (schema, name)
    JOIN pg_namespace n ON n.nspname = w.schema
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
),
tree AS (
    SELECT w.root, w.oid FROM wanted w
    UNION
    SELECT t.root, i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid
),
part AS (
    SELECT t.root, t.oid,
           CASE WHEN c.relkind IN ('r', 'm', 't') THEN pg_relation_size(c.oid) ELSE 0 END AS bytes,
           CASE WHEN c.relkind IN ('r', 'm', 't') THEN pg_total_relation_size(c.oid) ELSE 0 END AS total_bytes,
           greatest(c.reltuples, pg_stat_get_live_tuples(c.oid), 0)::bigint AS rows,
           c.relkind IN ('r', 'm') AS is_counted,
           pg_stat_get_numscans(c.oid) + coalesce((
               SELECT sum(pg_stat_get_numscans(x.indexrelid)) FROM pg_index x WHERE x.indrelid = c.oid
           ), 0) AS reads,
           pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid)
               + pg_stat_get_tuples_deleted(c.oid) AS writes
    FROM tree t
    JOIN pg_class c ON c.oid = t.oid
)
SELECT w.schema::text AS schema, w.name::text AS name,
       CASE WHEN bool_or(p.is_counted AND p.bytes > 0 AND p.rows = 0) AND sum(p.rows) = 0 THEN NULL
            WHEN bool_or(p.is_counted) IS NOT TRUE AND sum(p.rows) = 0 THEN NULL
            ELSE sum(p.rows) END::bigint AS rows,
       sum(p.total_bytes)::bigint AS total_bytes,
       sum(p.reads)::bigint AS reads,
       sum(p.writes)::bigint AS writes,
       EXISTS (
           SELECT
           FROM pg_locks l
           WHERE l.locktype = 'relation' AND l.relation = w.root AND l.pid IS DISTINCT FROM pg_backend_pid()
       ) AS locked
FROM wanted w
JOIN part p ON p.root = w.root
GROUP BY w.root, w.schema, w.name;

-- name: open_transactions
-- Transactions of other sessions in this database that are older than `age_ms`, with the lock modes that they hold on
-- the relations. Prepared transactions have no process.
WITH held AS (
    SELECT l.pid, CASE WHEN l.pid IS NULL THEN l.virtualtransaction END AS prepared,
           json_agg(json_build_object('schema', n.nspname, 'name', c.relname, 'mode', l.mode)
                    ORDER BY n.nspname, c.relname, l.mode) AS locks
    FROM pg_locks l
    JOIN pg_class c ON c.oid = l.relation
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE l.locktype = 'relation' AND l.granted
      AND l.database IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    GROUP BY l.pid, prepared
),
open AS (
    SELECT a.pid, NULL AS prepared, a.usename::text AS usename, a.application_name, a.state, a.xact_start AS since
    FROM pg_stat_activity a
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
      AND a.application_name NOT LIKE 'confiture %%'
    UNION ALL
    SELECT NULL, own.virtualtransaction, p.owner::text, p.gid, 'prepared', p.prepared
    FROM pg_prepared_xacts p
    JOIN pg_locks own ON own.pid IS NULL AND own.locktype = 'transactionid' AND own.transactionid = p.transaction
    WHERE p.database = current_database()
)
SELECT o.pid, o.usename, o.application_name, o.state,
       (extract(epoch FROM clock_timestamp() - o.since) * 1000)::float8 AS age_ms,
       coalesce(h.locks, '[]'::json) AS locks
FROM open o
LEFT JOIN held h ON h.pid = o.pid OR h.prepared = o.prepared
WHERE o.since < clock_timestamp() - make_interval(secs => %(age_ms)s::float8 / 1000)
ORDER BY o.since, o.pid;

-- name: server_load
-- Sizes and limits of the server, and what the role may see of other sessions.
SELECT pg_database_size(current_database()) AS database_bytes,
       (SELECT CASE WHEN s.setting = '-1' THEN NULL ELSE s.setting::bigint * 1024 END
        FROM pg_settings s WHERE s.name = 'temp_file_limit') AS temp_file_limit_bytes,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_sessions,
       (
           SELECT extract(epoch FROM max(r.replay_lag)) * 1000
           FROM pg_stat_replication r
           WHERE r.replay_lsn < pg_current_wal_flush_lsn()
       )::float8 AS replica_lag_ms;

-- name: plan_target
-- The database that a saved plan is for. A database that is dropped and created again has another number.
SELECT (SELECT c.system_identifier::text FROM pg_control_system() c) AS system_identifier,
       current_database()::text AS database,
       (SELECT d.oid::bigint FROM pg_database d WHERE d.datname = current_database()) AS database_oid,
       current_setting('server_version_num')::integer AS server_version,
       current_user::text AS role,
       (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user) AS is_superuser,
       pg_encoding_to_char((SELECT d.encoding FROM pg_database d WHERE d.datname = current_database()))::text AS encoding;

-- name: server_settings
-- The settings that a session of this role starts with and that differ from PostgreSQL's own, without those that only
-- change the log.
SELECT s.name::text AS name, s.reset_val AS value
FROM pg_settings s
WHERE s.context IN ('user', 'superuser') AND s.reset_val IS DISTINCT FROM s.boot_val
  AND s.name !~ '^(log_|track_|debug_|transaction_|application_name$|client_encoding$|session_authorization$|role$|lc_messages$)'
ORDER BY s.name;

-- name: server_time
SELECT clock_timestamp() AS at;
