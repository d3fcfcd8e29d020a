-- name: key_source
-- The table, its columns (name, type, base type, is NOT NULL, has a built-in base type), its primary key and its btree
-- indexes, which are the candidates for a batch key. An index column consists of a name, which is null if the column
-- does not have the default sort order, and a direction. The row count is the planner's estimate: the density as of the
-- last ANALYZE times the current number of pages, or null if the table was never analyzed.
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name,
       (
           SELECT CASE WHEN bool_and(l.reltuples >= 0 AND (l.relpages > 0 OR l.pages = 0))
                       THEN sum(l.reltuples / greatest(l.relpages, 1) * l.pages) END
           FROM (
               SELECT p.reltuples, p.relpages, pg_relation_size(p.oid) / current_setting('block_size')::bigint AS pages
               FROM (
                   SELECT relid::oid AS oid FROM pg_partition_tree(c.oid) WHERE isleaf
                   UNION
                   SELECT c.oid WHERE c.relkind <> 'p'
               ) AS leaves
               JOIN pg_class p ON p.oid = leaves.oid
           ) AS l
       )::bigint AS rows,
       ARRAY(
           SELECT ARRAY[
               a.attname::text,
               format_type(a.atttypid, a.atttypmod),
               format_type(b.oid, -1),
               (a.attnotnull AND NOT EXISTS (
                   -- since 18, NOT NULL may apply only to new rows
                   SELECT FROM pg_constraint k
                   WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated
               ))::text,
               (b.oid < 16384)::text,
               -- composite types, and ranges and arrays of user-defined types
               EXISTS (
                   SELECT FROM pg_type x
                   WHERE x.oid = b.oid AND x.oid >= 16384 AND (x.typtype IN ('c', 'r', 'm') OR x.typcategory = 'A')
               )::text
           ]
           FROM pg_attribute a
           CROSS JOIN LATERAL (
               WITH RECURSIVE under AS (
                   SELECT a.atttypid AS oid
                   UNION ALL
                   SELECT t.typbasetype FROM under u JOIN pg_type t ON t.oid = u.oid WHERE t.typbasetype <> 0
               )
               SELECT t.oid FROM under u JOIN pg_type t ON t.oid = u.oid WHERE t.typbasetype = 0
           ) AS b
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
           ORDER BY a.attnum
       ) AS columns,
       coalesce((
           SELECT ARRAY(
               SELECT a.attname::text
               FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, position)
               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
               ORDER BY u.position
           )
           FROM pg_constraint k
           WHERE k.conrelid = c.oid AND k.contype = 'p'
       ), '{}') AS primary_key,
       coalesce((
           SELECT jsonb_agg(i.columns)
           FROM (
               SELECT (
                   SELECT jsonb_agg(
                              jsonb_build_array(
                                  CASE WHEN o.opcdefault AND i.indcollation[u.position - 1] = a.attcollation THEN a.attname END,
                                  i.indoption[u.position - 1]
                              ) ORDER BY u.position
                          )
                   FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS u (attnum, position)
                   JOIN pg_opclass o ON o.oid = i.indclass[u.position - 1]
                   LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.attnum AND u.attnum <> 0
                   WHERE u.position <= i.indnkeyatts
               ) AS columns
               FROM pg_index i
               JOIN pg_class x ON x.oid = i.indexrelid
               JOIN pg_am m ON m.oid = x.relam
               WHERE i.indrelid = c.oid AND m.amname = 'btree' AND i.indisvalid AND i.indpred IS NULL
           ) AS i
       ), '[]') AS indexes
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass(%(table)s);

-- name: backfill
SELECT b.number, b.state, b.fingerprint
FROM confiture.backfills b
WHERE b.attempt = %(attempt)s AND b.segment = %(segment)s;

-- name: begin_backfill
INSERT INTO confiture.backfills
       (project, target, attempt, segment, version, step, into_table, source, key, fingerprint, estimated_rows, state)
VALUES (%(project)s, %(target)s, %(attempt)s, %(segment)s, %(version)s, %(step)s, %(into_table)s,
        %(source)s, %(key)s, %(fingerprint)s, %(estimated_rows)s, 'preparing')
RETURNING number;

-- name: fix_end
UPDATE confiture.backfills
SET state = 'filling', end_key = %(end_key)s
WHERE attempt = %(attempt)s AND segment = %(segment)s;

-- name: mark_draining
UPDATE confiture.backfills
SET state = 'draining', waiting_for = NULL
WHERE attempt = %(attempt)s AND segment = %(segment)s;

-- name: forget_backfill
DELETE FROM confiture.backfills WHERE attempt = %(attempt)s AND segment = %(segment)s;

-- name: add_range
INSERT INTO confiture.backfill_ranges (attempt, segment, number, prefix, after, edge, end_key)
VALUES (%(attempt)s, %(segment)s, %(number)s, %(prefix)s, %(after)s, %(edge)s, %(end_key)s);

-- name: open_ranges
SELECT r.number, r.end_key
FROM confiture.backfill_ranges r
WHERE r.attempt = %(attempt)s AND r.segment = %(segment)s AND NOT r.is_done
ORDER BY r.number;

-- name: ranges_complete
-- Whether all ranges exist, including finished ones: range numbers are consecutive, and the last range ends where the
-- backfill ends. An empty table has no ranges.
SELECT (SELECT count(*) = coalesce(max(r.number), 0)
        FROM confiture.backfill_ranges r
        WHERE r.attempt = b.attempt AND r.segment = b.segment)
       AND (b.end_key = '{}' OR b.end_key = (
               SELECT l.end_key
               FROM confiture.backfill_ranges l
               WHERE l.attempt = b.attempt AND l.segment = b.segment
               ORDER BY l.number DESC
               LIMIT 1
           )) AS is_complete
FROM confiture.backfills b
WHERE b.attempt = %(attempt)s AND b.segment = %(segment)s;

-- name: lock_range
-- This also waits for the server process of a killed run. That process locks this row until its statement ends.
SELECT r.prefix, r.after, r.edge, r.is_done
FROM confiture.backfill_ranges r
WHERE r.attempt = %(attempt)s AND r.segment = %(segment)s AND r.number = %(number)s
FOR UPDATE;

-- name: move_range
UPDATE confiture.backfill_ranges
SET prefix = %(prefix)s, after = %(after)s, edge = %(edge)s, is_done = %(is_done)s,
    batches = batches + 1, source_rows = source_rows + %(source_rows)s, written_rows = written_rows + %(written_rows)s,
    busy_ms = busy_ms + %(busy_ms)s
WHERE attempt = %(attempt)s AND segment = %(segment)s AND number = %(number)s;

-- name: backfill_totals
SELECT coalesce(sum(r.batches), 0)::bigint AS batches, coalesce(sum(r.source_rows), 0)::bigint AS source_rows,
       coalesce(sum(r.written_rows), 0)::bigint AS written_rows, coalesce(sum(r.busy_ms), 0) AS busy_ms
FROM confiture.backfill_ranges r
WHERE r.attempt = %(attempt)s AND r.segment = %(segment)s;

-- name: beat
-- Store the status of a running backfill, and return the requested control.
UPDATE confiture.backfills
SET beat_at = clock_timestamp(), waiting_for = %(waiting_for)s, batch_rows = %(batch_rows)s, runner = %(runner)s
WHERE attempt = %(attempt)s AND segment = %(segment)s
RETURNING control;

-- name: end_backfill
-- A pause or cancel requested at the last moment prevents the backfill from ending.
UPDATE confiture.backfills
SET state = 'done', waiting_for = NULL, finished_at = clock_timestamp()
WHERE attempt = %(attempt)s AND segment = %(segment)s AND control = 'run'
RETURNING number;

-- name: row_security_active
-- The first table with a policy that applies to this role.
SELECT u.name
FROM unnest(%(names)s::text[]) WITH ORDINALITY AS u (name, position)
WHERE row_security_active(to_regclass(u.name)::oid)
ORDER BY u.position
LIMIT 1;

-- name: read_tables
-- Resolve names: each table and, for views, the underlying tables.
WITH RECURSIVE named AS (
    SELECT to_regclass(u.name)::oid AS oid, u.name
    FROM unnest(%(names)s::text[]) AS u (name)
), behind AS (
    SELECT n.oid, n.name FROM named n WHERE n.oid IS NOT NULL
    UNION
    SELECT d.refobjid, b.name
    FROM behind b
    JOIN pg_class c ON c.oid = b.oid AND c.relkind IN ('v', 'm')
    JOIN pg_rewrite r ON r.ev_class = b.oid
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                    AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> b.oid
)
SELECT DISTINCT b.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       EXISTS (
           SELECT FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid
           WHERE i.inhparent = b.oid AND NOT p.relispartition
       ) AS is_inherited,
       EXISTS (
           SELECT FROM pg_partition_tree(b.oid) t JOIN pg_class p ON p.oid = t.relid WHERE p.relkind = 'f'
       ) AS has_foreign_partitions
FROM behind b
JOIN pg_class c ON c.oid = b.oid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
ORDER BY 2, 3;

-- name: captured_columns
-- The columns declared to contain the batch key: whether each exists, and whether it can be captured without a cast
-- that may fail or that calls a function defined by the type's owner.
SELECT u.name, a.attname IS NOT NULL AS is_there, format_type(a.atttypid, a.atttypmod) AS type,
       coalesce(b.oid = to_regtype(u.type)::oid OR EXISTS (
           SELECT FROM pg_cast c
           WHERE c.castsource = b.oid AND c.casttarget = to_regtype(u.type)::oid AND c.castcontext = 'i' AND c.castfunc < 16384
       ), false) AS fits
FROM unnest(%(names)s::text[], %(types)s::text[]) AS u (name, type)
LEFT JOIN pg_attribute a
       ON a.attrelid = %(table)s::oid AND a.attname = u.name AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN LATERAL (
    WITH RECURSIVE under AS (
        SELECT a.atttypid AS oid
        UNION ALL
        SELECT t.typbasetype FROM under u JOIN pg_type t ON t.oid = u.oid WHERE t.typbasetype <> 0
    )
    SELECT t.oid FROM under u JOIN pg_type t ON t.oid = u.oid WHERE t.typbasetype = 0
) AS b ON true;

-- name: partitions
SELECT n.nspname::text AS schema, c.relname::text AS name
FROM pg_partition_tree(to_regclass(%(table)s)) p
JOIN pg_class c ON c.oid = p.relid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.level > 0 AND c.relkind IN ('r', 'p');

-- name: holders_of_rows
-- A table, its partitions and its inheritance children.
WITH RECURSIVE tree AS (
    SELECT to_regclass(%(table)s)::oid AS oid
    UNION
    SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid
)
SELECT n.nspname::text AS schema, c.relname::text AS name
FROM tree
JOIN pg_class c ON c.oid = tree.oid
JOIN pg_namespace n ON n.oid = c.relnamespace;

-- name: leaves
SELECT p.relid::oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name
FROM pg_partition_tree(to_regclass(%(table)s)) p
JOIN pg_class c ON c.oid = p.relid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE p.level > 0 AND p.isleaf;

-- name: notes_comment
SELECT coalesce(obj_description(to_regclass(%(notes)s), 'pg_class'), '') AS comment;

-- name: cascades
-- Foreign keys that cascade a deletion from a table to other tables, without their copies on partitions.
SELECT k.conname::text AS name, k.conrelid::regclass::text AS table
FROM pg_constraint k
WHERE k.confrelid = to_regclass(%(table)s) AND k.contype = 'f' AND k.confdeltype IN ('c', 'n', 'd')
  AND NOT EXISTS (SELECT FROM pg_constraint p WHERE p.oid = k.conparentid AND p.confrelid = k.confrelid)
ORDER BY 1, 2;

-- name: remember_written
UPDATE confiture.backfills
SET written_before = %(rows)s
WHERE attempt = %(attempt)s AND segment = %(segment)s;

-- name: written_before
SELECT b.written_before AS rows
FROM confiture.backfills b
WHERE b.attempt = %(attempt)s AND b.segment = %(segment)s;

-- name: unfinished_of_version
SELECT b.attempt::text AS attempt, b.segment, b.number
FROM confiture.backfills b
WHERE b.project = %(project)s AND b.target = %(target)s AND b.version = %(version)s AND b.state <> 'done';

-- name: flush_statistics
-- Report this session's writes when this statement ends, not up to a second later.
SELECT pg_stat_force_next_flush();

-- name: written_so_far
-- Rows written to tables, including partitions, since the statistics were reset, as far as they have been reported.
SELECT coalesce(sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del), 0)::bigint AS rows
FROM unnest(%(tables)s::bigint[]) AS u (oid)
CROSS JOIN LATERAL (
    SELECT relid FROM pg_partition_tree(u.oid::oid::regclass)
    UNION
    SELECT u.oid::oid::regclass
) AS p
JOIN pg_stat_all_tables s ON s.relid = p.relid;

-- name: open_writers
-- Sessions with uncommitted writes to tables, including partitions. A prepared transaction has no process.
SELECT DISTINCT p.relid::text AS table,
       CASE WHEN l.pid IS NULL THEN 'a prepared transaction'
            ELSE format('%%s (process %%s)', coalesce(nullif(a.application_name, ''), 'a session'), l.pid) END AS who
FROM unnest(%(tables)s::bigint[]) AS u (oid)
CROSS JOIN LATERAL (
    SELECT relid FROM pg_partition_tree(u.oid::oid::regclass)
    UNION
    SELECT u.oid::oid::regclass
) AS p
JOIN pg_locks l ON l.locktype = 'relation' AND l.relation = p.relid AND l.mode = 'RowExclusiveLock' AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.pid IS DISTINCT FROM pg_backend_pid()
LEFT JOIN pg_stat_activity a ON a.pid = l.pid
ORDER BY 1, 2;

-- name: pressure
-- The replica lag, the WAL position and the age of the oldest transaction. An ordinary role sees neither replicas nor
-- the age of other roles' transactions, except prepared ones.
SELECT (SELECT count(*)::integer FROM pg_stat_replication r WHERE r.state IS NULL) AS unseen_replicas,
       (
           -- a replica that has caught up has no lag
           SELECT extract(epoch FROM max(r.replay_lag)) * 1000
           FROM pg_stat_replication r
           WHERE r.replay_lsn < pg_current_wal_flush_lsn()
       )::double precision AS lag_ms,
       pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint AS wal_bytes,
       (
           SELECT count(*)::integer
           FROM pg_stat_activity a
           WHERE a.datname = current_database() AND a.backend_type IS NULL AND a.application_name NOT LIKE 'confiture %'
       ) AS unseen_sessions,
       (
           SELECT extract(epoch FROM clock_timestamp() - min(t.since)) * 1000
           FROM (
               SELECT a.xact_start AS since
               FROM pg_stat_activity a
               WHERE a.datname = current_database() AND a.backend_type = 'client backend'
                 AND a.application_name NOT LIKE 'confiture %'
               UNION ALL
               SELECT p.prepared FROM pg_prepared_xacts p WHERE p.database = current_database()
           ) AS t
       )::double precision AS oldest_ms;

-- name: backfills
-- Format 2 does not have the columns project and into_table; its column target is now into_table.
SELECT b.attempt::text AS attempt, b.segment, b.number, b.version, b.step, b.source,
       coalesce(to_jsonb(b) ->> 'into_table', b.target) AS target, b.state, b.control,
       b.waiting_for, b.batch_rows, b.runner, b.estimated_rows, to_json(b.started_at) AS started_at,
       to_json(b.finished_at) AS finished_at,
       coalesce(b.beat_at > clock_timestamp() - interval '5 s', false) AND EXISTS (
           SELECT
           FROM pg_locks l
           WHERE l.locktype = 'advisory' AND l.granted
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
             AND l.objsubid = 1 AND (l.classid::bigint << 32) + l.objid::bigint = %(key)s
       ) AS is_running,
       coalesce(r.batches, 0)::bigint AS batches, coalesce(r.source_rows, 0)::bigint AS source_rows,
       coalesce(r.written_rows, 0)::bigint AS written_rows, coalesce(r.busy_ms, 0) AS busy_ms,
       coalesce(r.ranges, 0)::integer AS ranges, coalesce(r.ranges_done, 0)::integer AS ranges_done
FROM confiture.backfills b
CROSS JOIN LATERAL (
    SELECT coalesce(to_jsonb(b) ->> 'project', 'default') AS project,
           CASE WHEN to_jsonb(b) ->> 'project' IS NULL THEN '' ELSE b.target END AS target
) AS h
LEFT JOIN (
    SELECT attempt, segment, sum(batches) AS batches, sum(source_rows) AS source_rows, sum(written_rows) AS written_rows,
           sum(busy_ms) AS busy_ms, count(*) AS ranges, count(*) FILTER (WHERE is_done) AS ranges_done
    FROM confiture.backfill_ranges
    GROUP BY attempt, segment
) AS r ON r.attempt = b.attempt AND r.segment = b.segment
WHERE h.project = %(project)s AND h.target = %(target)s
ORDER BY b.number;

-- name: ask_backfill
UPDATE confiture.backfills
SET control = %(control)s
WHERE attempt = %(attempt)s AND segment = %(segment)s AND state <> 'done'
RETURNING state;

-- name: capture_identity
-- A backfill's triggers and their functions, with the transactions that last changed them. Disabling a trigger changes
-- it, even if the trigger is enabled again later.
SELECT 't' || t.oid::text AS object, t.xmin::text AS version
FROM pg_trigger t
JOIN pg_proc p ON p.oid = t.tgfoid
WHERE p.pronamespace = to_regnamespace('confiture') AND p.proname LIKE %(functions)s
UNION ALL
SELECT 'f' || p.oid::text, p.xmin::text
FROM pg_proc p
WHERE p.pronamespace = to_regnamespace('confiture') AND p.proname LIKE %(functions)s;

-- name: capture_triggers
-- Any table owner can create a trigger with such a name.
SELECT t.tgname::text AS name, n.nspname::text AS schema, c.relname::text AS table
FROM pg_trigger t
JOIN pg_proc p ON p.oid = t.tgfoid AND p.pronamespace = to_regnamespace('confiture') AND p.proname LIKE %(functions)s
JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE t.tgname = ANY (%(names)s) AND t.tgparentid = 0;

-- name: capture_installed
SELECT EXISTS (
    SELECT
    FROM pg_trigger t
    JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = to_regclass(%(table)s) AND t.tgname = %(trigger)s AND t.tgenabled = 'A'
      AND p.pronamespace = to_regnamespace('confiture') AND p.proname LIKE %(functions)s
) AS installed;

-- name: captured_types
-- A table with its partitions, and the types of the specified columns.
SELECT c.oid::bigint AS oid,
       ARRAY(
           SELECT a.atttypid::bigint
           FROM unnest(%(columns)s::text[]) WITH ORDINALITY AS u (name, position)
           JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = u.name
           ORDER BY u.position
       ) AS types,
       ARRAY(
           SELECT p.relid::oid::bigint FROM pg_partition_tree(c.oid) p UNION SELECT c.oid::bigint
       ) AS holders
FROM pg_class c
WHERE c.oid = to_regclass(%(table)s);

-- name: capture_functions
SELECT p.proname::text AS name
FROM pg_proc p
WHERE p.pronamespace = to_regnamespace('confiture') AND p.proname LIKE %(pattern)s;

-- name: cuts
-- Keys of sampled rows that split a table into roughly equal parts; none if the sample is too small.
SELECT n.key
FROM (
    SELECT s.key, s.nth, max(s.nth) OVER () AS found
    FROM (
        SELECT DISTINCT ON ({order}) ARRAY[{columns}] AS key, dense_rank() OVER (ORDER BY {order}) AS nth
        FROM {source} TABLESAMPLE SYSTEM ({percent})
        WHERE {before}
        ORDER BY {order}
    ) AS s
) AS n
WHERE n.found >= {least} AND n.nth * {parts} / n.found <> (n.nth - 1) * {parts} / n.found AND n.nth < n.found
ORDER BY n.nth;

-- name: take_notes
WITH taken AS (
    DELETE FROM {notes}
    WHERE entry IN (SELECT entry FROM {notes} ORDER BY entry LIMIT {limit})
    RETURNING *
)
SELECT count(*)::bigint AS notes, ARRAY[{keys}] AS key
FROM taken
GROUP BY {columns};

-- name: column_types
SELECT a.attname::text AS name, format_type(a.atttypid, -1) AS type
FROM pg_attribute a
WHERE a.attrelid = to_regclass(%(table)s) AND a.attnum > 0 AND NOT a.attisdropped;
