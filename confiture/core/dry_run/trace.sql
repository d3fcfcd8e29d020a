-- name: relations
-- All relations by OID. The names must be read before a statement runs, because a dropped relation has no name
-- afterwards.
SELECT c.oid::bigint AS oid, c.oid::regclass::text AS name, c.relkind::text AS kind,
       pg_relation_filenode(c.oid)::bigint AS filenode,
       pg_stat_get_xact_numscans(c.oid) AS scans, pg_stat_get_xact_tuples_returned(c.oid) AS rows_read,
       pg_stat_get_xact_tuples_inserted(c.oid) AS inserted, pg_stat_get_xact_tuples_updated(c.oid) AS updated,
       pg_stat_get_xact_tuples_deleted(c.oid) AS deleted, pg_stat_get_tuples_returned(c.oid) AS read_elsewhere
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid >= 16384 AND n.nspname !~ '^pg_(toast|temp)' AND c.relkind <> 'c';

-- name: last_relation
-- The highest OID of all relations. An uncommitted relation in another session may have a higher OID.
SELECT max(oid)::bigint AS oid FROM pg_class;

-- name: prepare_touched
-- The relations that this session has locked or created, with the session's own counters, all of which last until the
-- transaction ends. Reads by all other processes are included too, because parallel workers report their reads
-- separately when they exit, within the statement. Only relations that are new or changed since the last poll are
-- returned; $4 contains the marks of that poll. Only the first row contains the WAL position and the settings. The query runs after
-- every statement, and planning it would take five times as long as running it, so it is prepared. Reading the locks
-- takes the longest, and only locks on older relations, with OIDs up to $1, matter. If there are none, the locks are
-- not read. A session holds locks on relations in its own database and on shared relations, which have lower OIDs. Lock
-- modes are stored as bits, indexed by the length of the mode name, because all eight lengths differ. Newer relations
-- have higher OIDs. Relations above $2 are new since the last poll. They belong to this session if their transaction
-- or, for a subtransaction, their lock does. The upper bound keeps the planner from scanning the whole catalog. Of the
-- known new relations, only tables ($3) matter, because of their rows.
PREPARE "confiture: touched relations" (oid, oid, oid[], bigint[]) AS
SELECT NULL AS oid, NULL AS name, NULL AS kind, NULL AS modes, NULL AS filenode, NULL AS scans, NULL AS rows_read,
       NULL AS inserted, NULL AS updated, NULL AS deleted, NULL AS read_elsewhere,
       pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS mark,
       pg_size_bytes(current_setting('maintenance_work_mem')) AS maintenance_work_mem,
       NULLIF(pg_size_bytes(current_setting('temp_file_limit')), -1) AS temp_file_limit,
       current_setting('client_min_messages') AS client_min_messages,
       current_setting('log_temp_files') = '0' AS logs_temp_files,
       current_setting('log_lock_waits')::bool AS logs_lock_waits
UNION ALL
SELECT m.relation::bigint, m.relation::regclass::text, (SELECT c.relkind::text FROM pg_class c WHERE c.oid = m.relation),
       m.modes, m.filenode, m.scans, m.rows_read, m.inserted, m.updated, m.deleted, m.read_elsewhere, m.mark,
       NULL, NULL, NULL, NULL, NULL
FROM (
    SELECT *, hash_record_extended(counted, 0) AS mark
    FROM (
        SELECT h.relation, h.modes,
               pg_relation_filenode(h.relation)::bigint AS filenode,
               pg_stat_get_xact_numscans(h.relation) AS scans, pg_stat_get_xact_tuples_returned(h.relation) AS rows_read,
               pg_stat_get_xact_tuples_inserted(h.relation) AS inserted,
               pg_stat_get_xact_tuples_updated(h.relation) AS updated,
               pg_stat_get_xact_tuples_deleted(h.relation) AS deleted,
               pg_stat_get_tuples_returned(h.relation) AS read_elsewhere
        FROM (
            SELECT l.relation, bit_or(1 << octet_length(l.mode)) AS modes
            FROM pg_locks l
            WHERE $1 >= 16384 AND l.relation BETWEEN 16384 AND $1
              AND l.pid = pg_backend_pid() AND l.granted AND l.locktype = 'relation'
            GROUP BY l.relation
            UNION ALL
            SELECT c.oid, 0
            FROM pg_class c
            WHERE c.oid > $2 AND c.oid <= 4294967295
              AND (c.xmin = pg_current_xact_id_if_assigned()::xid
                   OR EXISTS (SELECT FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.relation = c.oid))
            UNION ALL
            SELECT made.oid, 0 FROM unnest($3) AS made (oid)
        ) h
        OFFSET 0
    ) counted
    OFFSET 0
) m
WHERE NOT EXISTS (SELECT FROM unnest($4) AS known (mark) WHERE known.mark = m.mark);

-- name: touched_is_prepared
SELECT EXISTS (SELECT FROM pg_prepared_statements WHERE name = 'confiture: touched relations') AS prepared;

-- name: wal_position
SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS bytes;

-- name: waiters
-- Sessions that wait for a lock held by this process, or queue behind this process. Autovacuum is omitted because it
-- has no role. An ordinary role sees neither backend_type nor query for other roles' sessions, but sees all locks. A
-- session that waits for a row waits for the transaction that wrote the row. The waiting session's own locks identify
-- the table.
SELECT a.pid, a.usename::text AS usename, a.application_name,
       CASE WHEN a.backend_type IS NULL THEN '(to see it needs pg_read_all_stats)' ELSE left(a.query, 500) END AS query,
       l.mode,
       CASE
           WHEN l.locktype IN ('transactionid', 'tuple', 'spectoken') THEN
               'a row' || COALESCE(' of ' || COALESCE(l.relation, (
                   SELECT min(t.relation::bigint)::oid FROM pg_locks t
                   WHERE t.pid = l.pid AND t.locktype = 'tuple'
               ), (
                   SELECT min(t.relation::bigint)::oid FROM pg_locks t
                   JOIN pg_class c ON c.oid = t.relation AND c.relkind IN ('r', 'm')
                   WHERE t.pid = l.pid AND t.locktype = 'relation' AND t.granted
                     AND t.mode IN ('RowShareLock', 'RowExclusiveLock')
                   HAVING count(DISTINCT t.relation) = 1
               ))::regclass::text, '')
           WHEN l.relation IS NOT NULL THEN l.relation::regclass::text
           ELSE l.locktype
       END AS target,
       COALESCE(extract(epoch FROM clock_timestamp() - l.waitstart) * 1000, 0)::float8 AS waited_ms
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
WHERE NOT l.granted AND a.backend_type IS DISTINCT FROM 'autovacuum worker' AND a.usesysid IS NOT NULL
  AND %(pid)s = ANY (pg_blocking_pids(l.pid));

-- name: cancel
SELECT pg_cancel_backend(%(pid)s) AS cancelled;

-- name: running_sessions
-- Confiture's sessions that are active or in a transaction, except those that only hold the migration lock or poll.
-- An ordinary role does not see other roles' transactions, but sees the locks that every transaction holds.
SELECT a.pid, a.application_name, COALESCE(a.state, 'unknown') AS state,
       CASE WHEN a.backend_type IS NULL THEN '(to see it needs pg_read_all_stats)' ELSE left(a.query, 500) END AS query,
       (extract(epoch FROM clock_timestamp() - a.xact_start) * 1000)::float8 AS transaction_ms
FROM pg_stat_activity a
WHERE a.application_name LIKE 'confiture %%' AND a.datname = current_database()
  AND a.pid <> pg_backend_pid()
  AND (a.xact_start IS NOT NULL
       OR a.pid IN (SELECT l.pid FROM pg_locks l WHERE l.locktype IN ('relation', 'virtualxid')))
  AND a.application_name NOT LIKE 'confiture watch%%'
  AND a.leader_pid IS NULL  -- parallel workers' locks are listed with those of the leader
ORDER BY a.xact_start, a.pid;

-- name: locks_of
-- Parallel workers hold locks on behalf of their leader. Relations created in the transaction are invisible to other
-- sessions and have no waiters. They are not in this session's catalog either.
SELECT DISTINCT c.oid::regclass::text AS relation, l.mode, l.granted
FROM pg_locks l
JOIN pg_class c ON c.oid = l.relation
WHERE (l.pid = %(pid)s OR l.pid IN (SELECT a.pid FROM pg_stat_activity a WHERE a.leader_pid = %(pid)s))
  AND l.locktype = 'relation' AND l.relation >= 16384
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY l.granted, relation;

-- name: blockers_of
-- A prepared transaction has the process ID 0. The awaited lock that it holds identifies the transaction.
SELECT a.pid, a.usename::text AS usename, a.application_name, COALESCE(a.state, 'unknown') AS state,
       CASE WHEN a.backend_type IS NULL THEN '(to see it needs pg_read_all_stats)' ELSE left(a.query, 500) END AS query,
       (extract(epoch FROM clock_timestamp() - a.xact_start) * 1000)::float8 AS transaction_ms
FROM pg_stat_activity a
WHERE a.pid = ANY (pg_blocking_pids(%(pid)s))
UNION ALL
SELECT DISTINCT NULL::integer, p.owner::text, 'prepared transaction ' || quote_literal(p.gid), 'prepared',
       'it ends by COMMIT PREPARED or ROLLBACK PREPARED',
       (extract(epoch FROM clock_timestamp() - p.prepared) * 1000)::float8
FROM pg_locks w
JOIN pg_locks h ON h.granted AND h.pid IS NULL AND h.locktype = w.locktype
    AND (h.database, h.relation, h.transactionid) IS NOT DISTINCT FROM (w.database, w.relation, w.transactionid)
JOIN pg_locks own ON own.pid IS NULL AND own.locktype = 'transactionid'
    AND own.virtualtransaction = h.virtualtransaction
JOIN pg_prepared_xacts p ON p.transaction = own.transactionid
WHERE 0 = ANY (pg_blocking_pids(%(pid)s)) AND w.pid = %(pid)s AND NOT w.granted;

-- name: row_counts
-- The row counts as of the last ANALYZE or VACUUM. They are below 0 if neither ever ran.
SELECT c.oid::regclass::text AS name, c.reltuples::float8 AS rows
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm', 'p') AND c.oid >= 16384 AND n.nspname !~ '^pg_';

-- name: holders
-- Sessions that hold locks on the specified relations, except those in a transaction younger than a second. An ordinary
-- role does not see the age of other roles' transactions, so an unknown age does not count as young. Prepared
-- transactions have no process. The lock on their own transaction ID identifies them. '-1/' || transaction, as in the
-- manual, does not work, because prepared transactions keep their virtual transaction ID until the server restarts.
WITH held AS (
    SELECT l.pid, CASE WHEN l.pid IS NULL THEN l.virtualtransaction END AS prepared, l.relation,
           array_agg(DISTINCT l.mode) AS modes
    FROM pg_locks l
    WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
      AND l.database IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND l.relation = ANY (SELECT to_regclass(name) FROM unnest(%(names)s::text[]) AS name)
    GROUP BY l.pid, prepared, l.relation
),
holder AS (
    SELECT a.pid, NULL AS prepared, NULL AS gid, a.usename::text AS usename, a.application_name,
           COALESCE(a.state, 'state unknown') AS state, a.xact_start AS since
    FROM pg_stat_activity a
    UNION ALL
    SELECT NULL, own.virtualtransaction, p.gid, p.owner::text, NULL, 'prepared', p.prepared
    FROM pg_prepared_xacts p
    JOIN pg_locks own ON own.pid IS NULL AND own.locktype = 'transactionid' AND own.transactionid = p.transaction
)
SELECT a.pid, a.gid, a.usename, a.application_name, a.state,
       (extract(epoch FROM clock_timestamp() - a.since) * 1000)::float8 AS transaction_ms,
       json_agg(json_build_object('relation', h.relation::regclass::text, 'modes', h.modes)
                ORDER BY h.relation::regclass::text) AS held
FROM held h
JOIN holder a ON a.pid = h.pid OR a.prepared = h.prepared
WHERE a.since IS NULL OR a.since < clock_timestamp() - interval '1 second'
GROUP BY a.pid, a.gid, a.usename, a.application_name, a.state, a.since
ORDER BY a.since, a.pid;

-- name: relation_kind
SELECT c.relkind::text AS kind,
       EXISTS (
           SELECT FROM pg_partitioned_table p WHERE p.partrelid = c.oid AND p.partdefid <> 0
       ) AS has_default,
       c.oid < 16384 AS is_catalog,
       EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = c.oid AND i.indisexclusion) AS is_exclusion
FROM pg_class c
WHERE c.oid = to_regclass(%(relation)s);

-- name: messages_in_english
SELECT set_config('lc_messages', 'C', true) WHERE current_setting('lc_messages') !~ '^(C|en)([^[:alpha:]]|$)';

-- name: default_limits
-- The values that settings have if nothing sets them.
SELECT s.name, s.boot_val FROM pg_settings s WHERE s.name IN ('work_mem', 'hash_mem_multiplier');

-- name: load_auto_explain
LOAD 'auto_explain';

-- name: auto_explain_is_loaded
SELECT current_setting('auto_explain.log_analyze', true) IS NOT NULL AS loaded;

-- name: report_plans
-- Report the plan of each query that takes 5 ms or more. With a lower threshold, loops in functions would spend most of
-- their time on reports. Messages with the level INFO are sent to the client only, whatever the migration sets. Queries
-- in functions and triggers are reported only for statements that ask for it, because counting their rows takes time.
SET LOCAL auto_explain.log_min_duration = 5;
SET LOCAL auto_explain.sample_rate = 1;
SET LOCAL auto_explain.log_analyze = on;
SET LOCAL auto_explain.log_timing = off;
SET LOCAL auto_explain.log_buffers = off;
SET LOCAL auto_explain.log_wal = off;
SET LOCAL auto_explain.log_verbose = on;
SET LOCAL auto_explain.log_triggers = on;
SET LOCAL auto_explain.log_settings = on;
SET LOCAL auto_explain.log_format = json;
SET LOCAL auto_explain.log_level = info;
SET LOCAL auto_explain.log_nested_statements = off;

-- name: hides_messages
-- Whether a function hides the messages about temporary files and lock waits from the client while it runs.
SELECT EXISTS (
    SELECT FROM pg_proc p
    WHERE p.proconfig IS NOT NULL
      AND EXISTS (SELECT FROM unnest(p.proconfig) AS made (setting)
                  WHERE made.setting ~ '^(client_min_messages|log_temp_files|log_lock_waits)=')
) AS hidden;

-- name: temp_file_limit
SELECT NULLIF(pg_size_bytes(current_setting('temp_file_limit')), -1) AS bytes;
