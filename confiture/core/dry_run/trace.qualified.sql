-- name: relations
SELECT c.oid::bigint AS oid, c.oid::pg_catalog.regclass::pg_catalog.text AS name, c.relkind::pg_catalog.text AS kind, pg_catalog.pg_relation_filenode(c.oid)::bigint AS filenode, pg_catalog.pg_stat_get_xact_numscans(c.oid) AS scans, pg_catalog.pg_stat_get_xact_tuples_returned(c.oid) AS rows_read, pg_catalog.pg_stat_get_xact_tuples_inserted(c.oid) AS inserted, pg_catalog.pg_stat_get_xact_tuples_updated(c.oid) AS updated, pg_catalog.pg_stat_get_xact_tuples_deleted(c.oid) AS deleted, pg_catalog.pg_stat_get_tuples_returned(c.oid) AS read_elsewhere FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE c.oid OPERATOR(pg_catalog.>=) 16384 AND n.nspname OPERATOR(pg_catalog.!~) '^pg_(toast|temp)' AND c.relkind OPERATOR(pg_catalog.<>) 'c';

-- name: last_relation
SELECT pg_catalog.max(oid)::bigint AS oid FROM pg_catalog.pg_class;

-- name: prepare_touched
PREPARE "confiture: touched relations"(pg_catalog.oid, pg_catalog.oid, pg_catalog.oid[], bigint[]) AS SELECT NULL AS oid, NULL AS name, NULL AS kind, NULL AS modes, NULL AS filenode, NULL AS scans, NULL AS rows_read, NULL AS inserted, NULL AS updated, NULL AS deleted, NULL AS read_elsewhere, pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::bigint AS mark, pg_catalog.pg_size_bytes(pg_catalog.current_setting('maintenance_work_mem')) AS maintenance_work_mem, CASE WHEN pg_catalog.pg_size_bytes(pg_catalog.current_setting('temp_file_limit')) OPERATOR(pg_catalog.=) -1 THEN NULL ELSE pg_catalog.pg_size_bytes(pg_catalog.current_setting('temp_file_limit')) END AS temp_file_limit, pg_catalog.current_setting('client_min_messages') AS client_min_messages, pg_catalog.current_setting('log_temp_files') OPERATOR(pg_catalog.=) '0' AS logs_temp_files, pg_catalog.current_setting('log_lock_waits')::boolean AS logs_lock_waits UNION ALL SELECT m.relation::bigint, m.relation::pg_catalog.regclass::pg_catalog.text, (SELECT c.relkind::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) m.relation), m.modes, m.filenode, m.scans, m.rows_read, m.inserted, m.updated, m.deleted, m.read_elsewhere, m.mark, NULL, NULL, NULL, NULL, NULL FROM (SELECT *, pg_catalog.hash_record_extended(counted, 0) AS mark FROM (SELECT h.relation, h.modes, pg_catalog.pg_relation_filenode(h.relation)::bigint AS filenode, pg_catalog.pg_stat_get_xact_numscans(h.relation) AS scans, pg_catalog.pg_stat_get_xact_tuples_returned(h.relation) AS rows_read, pg_catalog.pg_stat_get_xact_tuples_inserted(h.relation) AS inserted, pg_catalog.pg_stat_get_xact_tuples_updated(h.relation) AS updated, pg_catalog.pg_stat_get_xact_tuples_deleted(h.relation) AS deleted, pg_catalog.pg_stat_get_tuples_returned(h.relation) AS read_elsewhere FROM ((SELECT l.relation, pg_catalog.bit_or(1 OPERATOR(pg_catalog.<<) pg_catalog.octet_length(l.mode)) AS modes FROM pg_catalog.pg_locks l WHERE $1 OPERATOR(pg_catalog.>=) 16384 AND l.relation OPERATOR(pg_catalog.>=) 16384 AND l.relation OPERATOR(pg_catalog.<=) $1 AND l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.granted AND l.locktype OPERATOR(pg_catalog.=) 'relation' GROUP BY l.relation UNION ALL SELECT c.oid, 0 FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.>) $2 AND c.oid OPERATOR(pg_catalog.<=) 4294967295 AND (c.xmin OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id_if_assigned()::pg_catalog.xid OR EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.relation OPERATOR(pg_catalog.=) c.oid))) UNION ALL SELECT made.oid, 0 FROM pg_catalog.unnest($3) made(oid)) h OFFSET 0) counted OFFSET 0) m WHERE NOT EXISTS (SELECT FROM pg_catalog.unnest($4) known(mark) WHERE known.mark OPERATOR(pg_catalog.=) m.mark);

-- name: touched_is_prepared
SELECT EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE name OPERATOR(pg_catalog.=) 'confiture: touched relations') AS prepared;

-- name: wal_position
SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::bigint AS bytes;

-- name: waiters
SELECT a.pid, a.usename::pg_catalog.text AS usename, a.application_name, CASE WHEN a.backend_type IS NULL THEN '(to see it needs pg_read_all_stats)' ELSE pg_catalog."left"(a.query, 500) END AS query, l.mode, CASE WHEN l.locktype OPERATOR(pg_catalog.=) 'transactionid' OR l.locktype OPERATOR(pg_catalog.=) 'tuple' OR l.locktype OPERATOR(pg_catalog.=) 'spectoken' THEN 'a row' OPERATOR(pg_catalog.||) COALESCE(' of ' OPERATOR(pg_catalog.||) COALESCE(l.relation, (SELECT pg_catalog.min(t.relation::bigint)::pg_catalog.oid FROM pg_catalog.pg_locks t WHERE t.pid OPERATOR(pg_catalog.=) l.pid AND t.locktype OPERATOR(pg_catalog.=) 'tuple'), (SELECT pg_catalog.min(t.relation::bigint)::pg_catalog.oid FROM pg_catalog.pg_locks t JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) t.relation AND (c.relkind OPERATOR(pg_catalog.=) 'r' OR c.relkind OPERATOR(pg_catalog.=) 'm') WHERE t.pid OPERATOR(pg_catalog.=) l.pid AND t.locktype OPERATOR(pg_catalog.=) 'relation' AND t.granted AND (t.mode OPERATOR(pg_catalog.=) 'RowShareLock' OR t.mode OPERATOR(pg_catalog.=) 'RowExclusiveLock') HAVING pg_catalog.count(DISTINCT t.relation) OPERATOR(pg_catalog.=) 1))::pg_catalog.regclass::pg_catalog.text, '') WHEN l.relation IS NOT NULL THEN l.relation::pg_catalog.regclass::pg_catalog.text ELSE l.locktype END AS target, COALESCE(extract ('epoch' FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) l.waitstart) OPERATOR(pg_catalog.*) 1000, 0)::double precision AS waited_ms FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) l.pid WHERE NOT l.granted AND NOT COALESCE(a.backend_type OPERATOR(pg_catalog.=) 'autovacuum worker', a.backend_type IS NULL AND 'autovacuum worker' IS NULL) AND a.usesysid IS NOT NULL AND %(pid)s OPERATOR(pg_catalog.=) ANY(pg_catalog.pg_blocking_pids(l.pid));

-- name: cancel
SELECT pg_catalog.pg_cancel_backend(%(pid)s) AS cancelled;

-- name: running_sessions
SELECT a.pid, a.application_name, COALESCE(a.state, 'unknown') AS state, CASE WHEN a.backend_type IS NULL THEN '(to see it needs pg_read_all_stats)' ELSE pg_catalog."left"(a.query, 500) END AS query, (extract ('epoch' FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) a.xact_start) OPERATOR(pg_catalog.*) 1000)::double precision AS transaction_ms FROM pg_catalog.pg_stat_activity a WHERE a.application_name OPERATOR(pg_catalog.~~) 'confiture %%' AND a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database() AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid() AND (a.xact_start IS NOT NULL OR a.pid OPERATOR(pg_catalog.=) ANY (SELECT l.pid FROM pg_catalog.pg_locks l WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' OR l.locktype OPERATOR(pg_catalog.=) 'virtualxid')) AND a.application_name OPERATOR(pg_catalog.!~~) 'confiture watch%%' AND a.leader_pid IS NULL ORDER BY a.xact_start, a.pid;

-- name: locks_of
SELECT DISTINCT c.oid::pg_catalog.regclass::pg_catalog.text AS relation, l.mode, l.granted FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) l.relation WHERE (l.pid OPERATOR(pg_catalog.=) %(pid)s OR l.pid OPERATOR(pg_catalog.=) ANY (SELECT a.pid FROM pg_catalog.pg_stat_activity a WHERE a.leader_pid OPERATOR(pg_catalog.=) %(pid)s)) AND l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.relation OPERATOR(pg_catalog.>=) 16384 AND l.database OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()) ORDER BY l.granted, relation;

-- name: blockers_of
SELECT a.pid, a.usename::pg_catalog.text AS usename, a.application_name, COALESCE(a.state, 'unknown') AS state, CASE WHEN a.backend_type IS NULL THEN '(to see it needs pg_read_all_stats)' ELSE pg_catalog."left"(a.query, 500) END AS query, (extract ('epoch' FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) a.xact_start) OPERATOR(pg_catalog.*) 1000)::double precision AS transaction_ms FROM pg_catalog.pg_stat_activity a WHERE a.pid OPERATOR(pg_catalog.=) ANY(pg_catalog.pg_blocking_pids(%(pid)s)) UNION ALL SELECT DISTINCT NULL::int, p.owner::pg_catalog.text, 'prepared transaction ' OPERATOR(pg_catalog.||) pg_catalog.quote_literal(p.gid), 'prepared', 'it ends by COMMIT PREPARED or ROLLBACK PREPARED', (extract ('epoch' FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) p.prepared) OPERATOR(pg_catalog.*) 1000)::double precision FROM pg_catalog.pg_locks w JOIN pg_catalog.pg_locks h ON h.granted AND h.pid IS NULL AND h.locktype OPERATOR(pg_catalog.=) w.locktype AND COALESCE(h.database OPERATOR(pg_catalog.=) w.database, h.database IS NULL AND w.database IS NULL) AND COALESCE(h.relation OPERATOR(pg_catalog.=) w.relation, h.relation IS NULL AND w.relation IS NULL) AND COALESCE(h.transactionid OPERATOR(pg_catalog.=) w.transactionid, h.transactionid IS NULL AND w.transactionid IS NULL) JOIN pg_catalog.pg_locks own ON own.pid IS NULL AND own.locktype OPERATOR(pg_catalog.=) 'transactionid' AND own.virtualtransaction OPERATOR(pg_catalog.=) h.virtualtransaction JOIN pg_catalog.pg_prepared_xacts p ON p.transaction OPERATOR(pg_catalog.=) own.transactionid WHERE 0 OPERATOR(pg_catalog.=) ANY(pg_catalog.pg_blocking_pids(%(pid)s)) AND w.pid OPERATOR(pg_catalog.=) %(pid)s AND NOT w.granted;

-- name: row_counts
SELECT c.oid::pg_catalog.regclass::pg_catalog.text AS name, c.reltuples::double precision AS rows FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE (c.relkind OPERATOR(pg_catalog.=) 'r' OR c.relkind OPERATOR(pg_catalog.=) 'm' OR c.relkind OPERATOR(pg_catalog.=) 'p') AND c.oid OPERATOR(pg_catalog.>=) 16384 AND n.nspname OPERATOR(pg_catalog.!~) '^pg_';

-- name: holders
WITH held AS (SELECT l.pid, CASE WHEN l.pid IS NULL THEN l.virtualtransaction END AS prepared, l.relation, pg_catalog.array_agg(DISTINCT l.mode) AS modes FROM pg_catalog.pg_locks l WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.granted AND NOT COALESCE(l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid(), l.pid IS NULL AND pg_catalog.pg_backend_pid() IS NULL) AND (l.database OPERATOR(pg_catalog.=) 0 OR l.database OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())) AND l.relation OPERATOR(pg_catalog.=) ANY (SELECT pg_catalog.to_regclass(name) FROM pg_catalog.unnest(%(names)s::pg_catalog.text[]) name) GROUP BY l.pid, prepared, l.relation), holder AS (SELECT a.pid, NULL AS prepared, NULL AS gid, a.usename::pg_catalog.text AS usename, a.application_name, COALESCE(a.state, 'state unknown') AS state, a.xact_start AS since FROM pg_catalog.pg_stat_activity a UNION ALL SELECT NULL, own.virtualtransaction, p.gid, p.owner::pg_catalog.text, NULL, 'prepared', p.prepared FROM pg_catalog.pg_prepared_xacts p JOIN pg_catalog.pg_locks own ON own.pid IS NULL AND own.locktype OPERATOR(pg_catalog.=) 'transactionid' AND own.transactionid OPERATOR(pg_catalog.=) p.transaction) SELECT a.pid, a.gid, a.usename, a.application_name, a.state, (extract ('epoch' FROM pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) a.since) OPERATOR(pg_catalog.*) 1000)::double precision AS transaction_ms, pg_catalog.json_agg(pg_catalog.json_build_object('relation', h.relation::pg_catalog.regclass::pg_catalog.text, 'modes', h.modes) ORDER BY h.relation::pg_catalog.regclass::pg_catalog.text) AS held FROM held h JOIN holder a ON a.pid OPERATOR(pg_catalog.=) h.pid OR a.prepared OPERATOR(pg_catalog.=) h.prepared WHERE a.since IS NULL OR a.since OPERATOR(pg_catalog.<) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) '1 second'::interval) GROUP BY a.pid, a.gid, a.usename, a.application_name, a.state, a.since ORDER BY a.since, a.pid;

-- name: relation_kind
SELECT c.relkind::pg_catalog.text AS kind, EXISTS (SELECT FROM pg_catalog.pg_partitioned_table p WHERE p.partrelid OPERATOR(pg_catalog.=) c.oid AND p.partdefid OPERATOR(pg_catalog.<>) 0) AS has_default, c.oid OPERATOR(pg_catalog.<) 16384 AS is_catalog, EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indexrelid OPERATOR(pg_catalog.=) c.oid AND i.indisexclusion) AS is_exclusion FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(%(relation)s);

-- name: messages_in_english
SELECT pg_catalog.set_config('lc_messages', 'C', true) WHERE pg_catalog.current_setting('lc_messages') OPERATOR(pg_catalog.!~) '^(C|en)([^[:alpha:]]|$)';

-- name: default_limits
SELECT s.name, s.boot_val FROM pg_catalog.pg_settings s WHERE s.name OPERATOR(pg_catalog.=) 'work_mem' OR s.name OPERATOR(pg_catalog.=) 'hash_mem_multiplier';

-- name: load_auto_explain
LOAD 'auto_explain';

-- name: auto_explain_is_loaded
SELECT pg_catalog.current_setting('auto_explain.log_analyze', true) IS NOT NULL AS loaded;

-- name: report_plans
SET LOCAL "auto_explain.log_min_duration" TO 5;
SET LOCAL "auto_explain.sample_rate" TO 1;
SET LOCAL "auto_explain.log_analyze" TO ON;
SET LOCAL "auto_explain.log_timing" TO OFF;
SET LOCAL "auto_explain.log_buffers" TO OFF;
SET LOCAL "auto_explain.log_wal" TO OFF;
SET LOCAL "auto_explain.log_verbose" TO ON;
SET LOCAL "auto_explain.log_triggers" TO ON;
SET LOCAL "auto_explain.log_settings" TO ON;
SET LOCAL "auto_explain.log_format" TO "json";
SET LOCAL "auto_explain.log_level" TO info;
SET LOCAL "auto_explain.log_nested_statements" TO OFF;

-- name: hides_messages
SELECT EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.proconfig IS NOT NULL AND EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) made(setting) WHERE made.setting OPERATOR(pg_catalog.~) '^(client_min_messages|log_temp_files|log_lock_waits)=')) AS hidden;

-- name: temp_file_limit
SELECT CASE WHEN pg_catalog.pg_size_bytes(pg_catalog.current_setting('temp_file_limit')) OPERATOR(pg_catalog.=) -1 THEN NULL ELSE pg_catalog.pg_size_bytes(pg_catalog.current_setting('temp_file_limit')) END AS bytes;
