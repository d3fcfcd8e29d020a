-- name: key_source
SELECT c.oid::bigint AS oid, n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name, (SELECT CASE WHEN pg_catalog.bool_and(l.reltuples OPERATOR(pg_catalog.>=) 0 AND (l.relpages OPERATOR(pg_catalog.>) 0 OR l.pages OPERATOR(pg_catalog.=) 0)) THEN pg_catalog.sum((l.reltuples OPERATOR(pg_catalog./) GREATEST(l.relpages, 1)) OPERATOR(pg_catalog.*) l.pages) END FROM (SELECT p.reltuples, p.relpages, pg_catalog.pg_relation_size(p.oid) OPERATOR(pg_catalog./) pg_catalog.current_setting('block_size')::bigint AS pages FROM (SELECT relid::pg_catalog.oid AS oid FROM pg_catalog.pg_partition_tree(c.oid) WHERE isleaf UNION SELECT c.oid WHERE c.relkind OPERATOR(pg_catalog.<>) 'p') leaves JOIN pg_catalog.pg_class p ON p.oid OPERATOR(pg_catalog.=) leaves.oid) l)::bigint AS rows, ARRAY(SELECT ARRAY[a.attname::pg_catalog.text, pg_catalog.format_type(a.atttypid, a.atttypmod), pg_catalog.format_type(b.oid, -1), (a.attnotnull AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conrelid OPERATOR(pg_catalog.=) a.attrelid AND k.contype OPERATOR(pg_catalog.=) 'n' AND k.conkey OPERATOR(pg_catalog.=) ARRAY[a.attnum] AND NOT k.convalidated))::pg_catalog.text, (b.oid OPERATOR(pg_catalog.<) 16384)::pg_catalog.text, EXISTS (SELECT FROM pg_catalog.pg_type x WHERE x.oid OPERATOR(pg_catalog.=) b.oid AND x.oid OPERATOR(pg_catalog.>=) 16384 AND (x.typtype OPERATOR(pg_catalog.=) 'c' OR x.typtype OPERATOR(pg_catalog.=) 'r' OR x.typtype OPERATOR(pg_catalog.=) 'm' OR x.typcategory OPERATOR(pg_catalog.=) 'A'))::pg_catalog.text] FROM pg_catalog.pg_attribute a CROSS JOIN LATERAL (WITH RECURSIVE under AS (SELECT a.atttypid AS oid UNION ALL SELECT t.typbasetype FROM under u JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) u.oid WHERE t.typbasetype OPERATOR(pg_catalog.<>) 0) SELECT t.oid FROM under u JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) u.oid WHERE t.typbasetype OPERATOR(pg_catalog.=) 0) b WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped ORDER BY a.attnum) AS columns, COALESCE((SELECT ARRAY(SELECT a.attname::pg_catalog.text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY u(attnum, "position") JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) k.conrelid AND a.attnum OPERATOR(pg_catalog.=) u.attnum ORDER BY u."position") FROM pg_catalog.pg_constraint k WHERE k.conrelid OPERATOR(pg_catalog.=) c.oid AND k.contype OPERATOR(pg_catalog.=) 'p'), '{}') AS primary_key, COALESCE((SELECT pg_catalog.jsonb_agg(i.columns) FROM (SELECT (SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(CASE WHEN o.opcdefault AND i.indcollation[u."position" OPERATOR(pg_catalog.-) 1] OPERATOR(pg_catalog.=) a.attcollation THEN a.attname END, i.indoption[u."position" OPERATOR(pg_catalog.-) 1]) ORDER BY u."position") FROM pg_catalog.unnest(i.indkey::smallint[]) WITH ORDINALITY u(attnum, "position") JOIN pg_catalog.pg_opclass o ON o.oid OPERATOR(pg_catalog.=) i.indclass[u."position" OPERATOR(pg_catalog.-) 1] LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid AND a.attnum OPERATOR(pg_catalog.=) u.attnum AND u.attnum OPERATOR(pg_catalog.<>) 0 WHERE u."position" OPERATOR(pg_catalog.<=) i.indnkeyatts) AS columns FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid JOIN pg_catalog.pg_am m ON m.oid OPERATOR(pg_catalog.=) x.relam WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid AND m.amname OPERATOR(pg_catalog.=) 'btree' AND i.indisvalid AND i.indpred IS NULL) i), '[]') AS indexes FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(%(table)s);

-- name: backfill
SELECT b.number, b.state, b.fingerprint FROM confiture.backfills b WHERE b.attempt OPERATOR(pg_catalog.=) %(attempt)s AND b.segment OPERATOR(pg_catalog.=) %(segment)s;

-- name: begin_backfill
INSERT INTO confiture.backfills (project, target, attempt, segment, version, step, into_table, source, key, fingerprint, estimated_rows, state) VALUES (%(project)s, %(target)s, %(attempt)s, %(segment)s, %(version)s, %(step)s, %(into_table)s, %(source)s, %(key)s, %(fingerprint)s, %(estimated_rows)s, 'preparing') RETURNING number;

-- name: fix_end
UPDATE confiture.backfills SET state = 'filling', end_key = %(end_key)s WHERE attempt OPERATOR(pg_catalog.=) %(attempt)s AND segment OPERATOR(pg_catalog.=) %(segment)s;

-- name: mark_draining
UPDATE confiture.backfills SET state = 'draining', waiting_for = NULL WHERE attempt OPERATOR(pg_catalog.=) %(attempt)s AND segment OPERATOR(pg_catalog.=) %(segment)s;

-- name: forget_backfill
DELETE FROM confiture.backfills WHERE attempt OPERATOR(pg_catalog.=) %(attempt)s AND segment OPERATOR(pg_catalog.=) %(segment)s;

-- name: add_range
INSERT INTO confiture.backfill_ranges (attempt, segment, number, prefix, after, edge, end_key) VALUES (%(attempt)s, %(segment)s, %(number)s, %(prefix)s, %(after)s, %(edge)s, %(end_key)s);

-- name: open_ranges
SELECT r.number, r.end_key FROM confiture.backfill_ranges r WHERE r.attempt OPERATOR(pg_catalog.=) %(attempt)s AND r.segment OPERATOR(pg_catalog.=) %(segment)s AND NOT r.is_done ORDER BY r.number;

-- name: ranges_complete
SELECT (SELECT pg_catalog.count(*) OPERATOR(pg_catalog.=) COALESCE(pg_catalog.max(r.number), 0) FROM confiture.backfill_ranges r WHERE r.attempt OPERATOR(pg_catalog.=) b.attempt AND r.segment OPERATOR(pg_catalog.=) b.segment) AND (b.end_key OPERATOR(pg_catalog.=) '{}' OR b.end_key OPERATOR(pg_catalog.=) (SELECT l.end_key FROM confiture.backfill_ranges l WHERE l.attempt OPERATOR(pg_catalog.=) b.attempt AND l.segment OPERATOR(pg_catalog.=) b.segment ORDER BY l.number DESC LIMIT 1)) AS is_complete FROM confiture.backfills b WHERE b.attempt OPERATOR(pg_catalog.=) %(attempt)s AND b.segment OPERATOR(pg_catalog.=) %(segment)s;

-- name: lock_range
SELECT r.prefix, r.after, r.edge, r.is_done FROM confiture.backfill_ranges r WHERE r.attempt OPERATOR(pg_catalog.=) %(attempt)s AND r.segment OPERATOR(pg_catalog.=) %(segment)s AND r.number OPERATOR(pg_catalog.=) %(number)s FOR UPDATE;

-- name: move_range
UPDATE confiture.backfill_ranges SET prefix = %(prefix)s, after = %(after)s, edge = %(edge)s, is_done = %(is_done)s, batches = batches OPERATOR(pg_catalog.+) 1, source_rows = source_rows OPERATOR(pg_catalog.+) %(source_rows)s, written_rows = written_rows OPERATOR(pg_catalog.+) %(written_rows)s, busy_ms = busy_ms OPERATOR(pg_catalog.+) %(busy_ms)s WHERE attempt OPERATOR(pg_catalog.=) %(attempt)s AND segment OPERATOR(pg_catalog.=) %(segment)s AND number OPERATOR(pg_catalog.=) %(number)s;

-- name: backfill_totals
SELECT COALESCE(pg_catalog.sum(r.batches), 0)::bigint AS batches, COALESCE(pg_catalog.sum(r.source_rows), 0)::bigint AS source_rows, COALESCE(pg_catalog.sum(r.written_rows), 0)::bigint AS written_rows, COALESCE(pg_catalog.sum(r.busy_ms), 0) AS busy_ms FROM confiture.backfill_ranges r WHERE r.attempt OPERATOR(pg_catalog.=) %(attempt)s AND r.segment OPERATOR(pg_catalog.=) %(segment)s;

-- name: beat
UPDATE confiture.backfills SET beat_at = pg_catalog.clock_timestamp(), waiting_for = %(waiting_for)s, batch_rows = %(batch_rows)s, runner = %(runner)s WHERE attempt OPERATOR(pg_catalog.=) %(attempt)s AND segment OPERATOR(pg_catalog.=) %(segment)s RETURNING control;

-- name: end_backfill
UPDATE confiture.backfills SET state = 'done', waiting_for = NULL, finished_at = pg_catalog.clock_timestamp() WHERE attempt OPERATOR(pg_catalog.=) %(attempt)s AND segment OPERATOR(pg_catalog.=) %(segment)s AND control OPERATOR(pg_catalog.=) 'run' RETURNING number;

-- name: row_security_active
SELECT u.name FROM pg_catalog.unnest(%(names)s::pg_catalog.text[]) WITH ORDINALITY u(name, "position") WHERE pg_catalog.row_security_active(pg_catalog.to_regclass(u.name)::pg_catalog.oid) ORDER BY u."position" LIMIT 1;

-- name: read_tables
WITH RECURSIVE named AS (SELECT pg_catalog.to_regclass(u.name)::pg_catalog.oid AS oid, u.name FROM pg_catalog.unnest(%(names)s::pg_catalog.text[]) u(name)), behind AS (SELECT n.oid, n.name FROM named n WHERE n.oid IS NOT NULL UNION SELECT d.refobjid, b.name FROM behind b JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) b.oid AND (c.relkind OPERATOR(pg_catalog.=) 'v' OR c.relkind OPERATOR(pg_catalog.=) 'm') JOIN pg_catalog.pg_rewrite r ON r.ev_class OPERATOR(pg_catalog.=) b.oid JOIN pg_catalog.pg_depend d ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid OPERATOR(pg_catalog.=) r.oid AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid OPERATOR(pg_catalog.<>) b.oid) SELECT DISTINCT b.oid::bigint AS oid, n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name, c.relkind::pg_catalog.text AS kind, EXISTS (SELECT FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class p ON p.oid OPERATOR(pg_catalog.=) i.inhrelid WHERE i.inhparent OPERATOR(pg_catalog.=) b.oid AND NOT p.relispartition) AS is_inherited, EXISTS (SELECT FROM pg_catalog.pg_partition_tree(b.oid) t JOIN pg_catalog.pg_class p ON p.oid OPERATOR(pg_catalog.=) t.relid WHERE p.relkind OPERATOR(pg_catalog.=) 'f') AS has_foreign_partitions FROM behind b JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) b.oid JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE (c.relkind OPERATOR(pg_catalog.=) 'r' OR c.relkind OPERATOR(pg_catalog.=) 'p' OR c.relkind OPERATOR(pg_catalog.=) 'm' OR c.relkind OPERATOR(pg_catalog.=) 'f') AND n.nspname OPERATOR(pg_catalog.<>) 'pg_catalog' AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema' ORDER BY 2, 3;

-- name: captured_columns
SELECT u.name, a.attname IS NOT NULL AS is_there, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, COALESCE(b.oid OPERATOR(pg_catalog.=) pg_catalog.to_regtype(u.type)::pg_catalog.oid OR EXISTS (SELECT FROM pg_catalog.pg_cast c WHERE c.castsource OPERATOR(pg_catalog.=) b.oid AND c.casttarget OPERATOR(pg_catalog.=) pg_catalog.to_regtype(u.type)::pg_catalog.oid AND c.castcontext OPERATOR(pg_catalog.=) 'i' AND c.castfunc OPERATOR(pg_catalog.<) 16384), false) AS fits FROM unnest(%(names)s::pg_catalog.text[], %(types)s::pg_catalog.text[]) u(name, type) LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) %(table)s::pg_catalog.oid AND a.attname OPERATOR(pg_catalog.=) u.name AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped LEFT JOIN LATERAL (WITH RECURSIVE under AS (SELECT a.atttypid AS oid UNION ALL SELECT t.typbasetype FROM under u JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) u.oid WHERE t.typbasetype OPERATOR(pg_catalog.<>) 0) SELECT t.oid FROM under u JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) u.oid WHERE t.typbasetype OPERATOR(pg_catalog.=) 0) b ON true;

-- name: partitions
SELECT n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass(%(table)s)) p JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) p.relid JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE p.level OPERATOR(pg_catalog.>) 0 AND (c.relkind OPERATOR(pg_catalog.=) 'r' OR c.relkind OPERATOR(pg_catalog.=) 'p');

-- name: holders_of_rows
WITH RECURSIVE tree AS (SELECT pg_catalog.to_regclass(%(table)s)::pg_catalog.oid AS oid UNION SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent OPERATOR(pg_catalog.=) tree.oid) SELECT n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name FROM tree JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) tree.oid JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace;

-- name: leaves
SELECT p.relid::pg_catalog.oid::bigint AS oid, n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS name FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass(%(table)s)) p JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) p.relid JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE p.level OPERATOR(pg_catalog.>) 0 AND p.isleaf;

-- name: notes_comment
SELECT COALESCE(pg_catalog.obj_description(pg_catalog.to_regclass(%(notes)s), 'pg_class'), '') AS comment;

-- name: cascades
SELECT k.conname::pg_catalog.text AS name, k.conrelid::pg_catalog.regclass::pg_catalog.text AS "table" FROM pg_catalog.pg_constraint k WHERE k.confrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(%(table)s) AND k.contype OPERATOR(pg_catalog.=) 'f' AND (k.confdeltype OPERATOR(pg_catalog.=) 'c' OR k.confdeltype OPERATOR(pg_catalog.=) 'n' OR k.confdeltype OPERATOR(pg_catalog.=) 'd') AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint p WHERE p.oid OPERATOR(pg_catalog.=) k.conparentid AND p.confrelid OPERATOR(pg_catalog.=) k.confrelid) ORDER BY 1, 2;

-- name: remember_written
UPDATE confiture.backfills SET written_before = %(rows)s WHERE attempt OPERATOR(pg_catalog.=) %(attempt)s AND segment OPERATOR(pg_catalog.=) %(segment)s;

-- name: written_before
SELECT b.written_before AS rows FROM confiture.backfills b WHERE b.attempt OPERATOR(pg_catalog.=) %(attempt)s AND b.segment OPERATOR(pg_catalog.=) %(segment)s;

-- name: unfinished_of_version
SELECT b.attempt::pg_catalog.text AS attempt, b.segment, b.number FROM confiture.backfills b WHERE b.project OPERATOR(pg_catalog.=) %(project)s AND b.target OPERATOR(pg_catalog.=) %(target)s AND b.version OPERATOR(pg_catalog.=) %(version)s AND b.state OPERATOR(pg_catalog.<>) 'done';

-- name: flush_statistics
SELECT pg_catalog.pg_stat_force_next_flush();

-- name: written_so_far
SELECT COALESCE(pg_catalog.sum((s.n_tup_ins OPERATOR(pg_catalog.+) s.n_tup_upd) OPERATOR(pg_catalog.+) s.n_tup_del), 0)::bigint AS rows FROM pg_catalog.unnest(%(tables)s::bigint[]) u(oid) CROSS JOIN LATERAL (SELECT relid FROM pg_catalog.pg_partition_tree(u.oid::pg_catalog.oid::pg_catalog.regclass) UNION SELECT u.oid::pg_catalog.oid::pg_catalog.regclass) p JOIN pg_catalog.pg_stat_all_tables s ON s.relid OPERATOR(pg_catalog.=) p.relid;

-- name: open_writers
SELECT DISTINCT p.relid::pg_catalog.text AS "table", CASE WHEN l.pid IS NULL THEN 'a prepared transaction' ELSE pg_catalog.format('%%s (process %%s)', COALESCE(CASE WHEN a.application_name OPERATOR(pg_catalog.=) '' THEN NULL ELSE a.application_name END, 'a session'), l.pid) END AS who FROM pg_catalog.unnest(%(tables)s::bigint[]) u(oid) CROSS JOIN LATERAL (SELECT relid FROM pg_catalog.pg_partition_tree(u.oid::pg_catalog.oid::pg_catalog.regclass) UNION SELECT u.oid::pg_catalog.oid::pg_catalog.regclass) p JOIN pg_catalog.pg_locks l ON l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.relation OPERATOR(pg_catalog.=) p.relid AND l.mode OPERATOR(pg_catalog.=) 'RowExclusiveLock' AND l.granted AND l.database OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()) AND NOT COALESCE(l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid(), l.pid IS NULL AND pg_catalog.pg_backend_pid() IS NULL) LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) l.pid ORDER BY 1, 2;

-- name: pressure
SELECT (SELECT pg_catalog.count(*)::int FROM pg_catalog.pg_stat_replication r WHERE r.state IS NULL) AS unseen_replicas, (SELECT extract ('epoch' FROM pg_catalog.max(r.replay_lag)) OPERATOR(pg_catalog.*) 1000 FROM pg_catalog.pg_stat_replication r WHERE r.replay_lsn OPERATOR(pg_catalog.<) pg_catalog.pg_current_wal_flush_lsn())::double precision AS lag_ms, pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::bigint AS wal_bytes, (SELECT pg_catalog.count(*)::int FROM pg_catalog.pg_stat_activity a WHERE a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database() AND a.backend_type IS NULL AND a.application_name OPERATOR(pg_catalog.!~~) 'confiture %') AS unseen_sessions, (SELECT extract ('epoch' FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.min(t.since)) OPERATOR(pg_catalog.*) 1000 FROM (SELECT a.xact_start AS since FROM pg_catalog.pg_stat_activity a WHERE a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database() AND a.backend_type OPERATOR(pg_catalog.=) 'client backend' AND a.application_name OPERATOR(pg_catalog.!~~) 'confiture %' UNION ALL SELECT p.prepared FROM pg_catalog.pg_prepared_xacts p WHERE p.database OPERATOR(pg_catalog.=) pg_catalog.current_database()) t)::double precision AS oldest_ms;

-- name: backfills
SELECT b.attempt::pg_catalog.text AS attempt, b.segment, b.number, b.version, b.step, b.source, COALESCE(pg_catalog.to_jsonb(b) OPERATOR(pg_catalog.->>) 'into_table', b.target) AS target, b.state, b.control, b.waiting_for, b.batch_rows, b.runner, b.estimated_rows, pg_catalog.to_json(b.started_at) AS started_at, pg_catalog.to_json(b.finished_at) AS finished_at, COALESCE(b.beat_at OPERATOR(pg_catalog.>) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) '5 s'::interval), false) AND EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted AND l.database OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()) AND l.objsubid OPERATOR(pg_catalog.=) 1 AND ((l.classid::bigint OPERATOR(pg_catalog.<<) 32) OPERATOR(pg_catalog.+) l.objid::bigint) OPERATOR(pg_catalog.=) %(key)s) AS is_running, COALESCE(r.batches, 0)::bigint AS batches, COALESCE(r.source_rows, 0)::bigint AS source_rows, COALESCE(r.written_rows, 0)::bigint AS written_rows, COALESCE(r.busy_ms, 0) AS busy_ms, COALESCE(r.ranges, 0)::int AS ranges, COALESCE(r.ranges_done, 0)::int AS ranges_done FROM confiture.backfills b CROSS JOIN LATERAL (SELECT COALESCE(pg_catalog.to_jsonb(b) OPERATOR(pg_catalog.->>) 'project', 'default') AS project, CASE WHEN pg_catalog.to_jsonb(b) OPERATOR(pg_catalog.->>) 'project' IS NULL THEN '' ELSE b.target END AS target) h LEFT JOIN (SELECT attempt, segment, pg_catalog.sum(batches) AS batches, pg_catalog.sum(source_rows) AS source_rows, pg_catalog.sum(written_rows) AS written_rows, pg_catalog.sum(busy_ms) AS busy_ms, pg_catalog.count(*) AS ranges, pg_catalog.count(*) FILTER (WHERE is_done) AS ranges_done FROM confiture.backfill_ranges GROUP BY attempt, segment) r ON r.attempt OPERATOR(pg_catalog.=) b.attempt AND r.segment OPERATOR(pg_catalog.=) b.segment WHERE h.project OPERATOR(pg_catalog.=) %(project)s AND h.target OPERATOR(pg_catalog.=) %(target)s ORDER BY b.number;

-- name: ask_backfill
UPDATE confiture.backfills SET control = %(control)s WHERE attempt OPERATOR(pg_catalog.=) %(attempt)s AND segment OPERATOR(pg_catalog.=) %(segment)s AND state OPERATOR(pg_catalog.<>) 'done' RETURNING state;

-- name: capture_identity
SELECT 't' OPERATOR(pg_catalog.||) t.oid::pg_catalog.text AS object, t.xmin::pg_catalog.text AS version FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid WHERE p.pronamespace OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace('confiture') AND p.proname OPERATOR(pg_catalog.~~) %(functions)s UNION ALL SELECT 'f' OPERATOR(pg_catalog.||) p.oid::pg_catalog.text, p.xmin::pg_catalog.text FROM pg_catalog.pg_proc p WHERE p.pronamespace OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace('confiture') AND p.proname OPERATOR(pg_catalog.~~) %(functions)s;

-- name: capture_triggers
SELECT t.tgname::pg_catalog.text AS name, n.nspname::pg_catalog.text AS schema, c.relname::pg_catalog.text AS "table" FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid AND p.pronamespace OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace('confiture') AND p.proname OPERATOR(pg_catalog.~~) %(functions)s JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) t.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE t.tgname OPERATOR(pg_catalog.=) ANY(%(names)s) AND t.tgparentid OPERATOR(pg_catalog.=) 0;

-- name: capture_installed
SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid WHERE t.tgrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(%(table)s) AND t.tgname OPERATOR(pg_catalog.=) %(trigger)s AND t.tgenabled OPERATOR(pg_catalog.=) 'A' AND p.pronamespace OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace('confiture') AND p.proname OPERATOR(pg_catalog.~~) %(functions)s) AS installed;

-- name: captured_types
SELECT c.oid::bigint AS oid, ARRAY(SELECT a.atttypid::bigint FROM pg_catalog.unnest(%(columns)s::pg_catalog.text[]) WITH ORDINALITY u(name, "position") JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attname OPERATOR(pg_catalog.=) u.name ORDER BY u."position") AS types, ARRAY(SELECT p.relid::pg_catalog.oid::bigint FROM pg_catalog.pg_partition_tree(c.oid) p UNION SELECT c.oid::bigint) AS holders FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(%(table)s);

-- name: capture_functions
SELECT p.proname::pg_catalog.text AS name FROM pg_catalog.pg_proc p WHERE p.pronamespace OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace('confiture') AND p.proname OPERATOR(pg_catalog.~~) %(pattern)s;

-- name: cuts
SELECT n.key FROM (SELECT s.key, s.nth, pg_catalog.max(s.nth) OVER () AS found FROM (SELECT DISTINCT ON ({order}) ARRAY[{columns}] AS key, pg_catalog.dense_rank() OVER (ORDER BY {order}) AS nth FROM {source} TABLESAMPLE pg_catalog.system({percent}) WHERE {before} ORDER BY {order}) s) n WHERE n.found OPERATOR(pg_catalog.>=) {least} AND ((n.nth OPERATOR(pg_catalog.*) {parts}) OPERATOR(pg_catalog./) n.found) OPERATOR(pg_catalog.<>) (((n.nth OPERATOR(pg_catalog.-) 1) OPERATOR(pg_catalog.*) {parts}) OPERATOR(pg_catalog./) n.found) AND n.nth OPERATOR(pg_catalog.<) n.found ORDER BY n.nth;

-- name: take_notes
WITH taken AS (DELETE FROM {notes} WHERE entry OPERATOR(pg_catalog.=) ANY (SELECT entry FROM {notes} ORDER BY entry LIMIT {limit}) RETURNING *) SELECT pg_catalog.count(*)::bigint AS notes, ARRAY[{keys}] AS key FROM taken GROUP BY {columns};

-- name: column_types
SELECT a.attname::pg_catalog.text AS name, pg_catalog.format_type(a.atttypid, -1) AS type FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(%(table)s) AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped;
