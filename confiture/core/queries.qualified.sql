-- name: reset_session
RESET session_authorization;
RESET ALL;
CLOSE ALL;
UNLISTEN *;
DEALLOCATE ALL;
SELECT pg_catalog.pg_advisory_unlock_all();
DISCARD TEMP;
DISCARD SEQUENCES;
SET client_min_messages TO warning;
SET client_connection_check_interval TO {client_check_ms};
SET idle_session_timeout TO 0;
SET idle_in_transaction_session_timeout TO 0;
SET statement_timeout TO 0;
SET lock_timeout TO {lock_timeout};

-- name: server
SELECT pg_catalog.current_setting('server_version_num')::int AS version_number, pg_catalog.current_setting('server_version') AS version, pg_catalog.pg_is_in_recovery() AS in_recovery, pg_catalog.current_setting('default_transaction_read_only')::boolean AS read_only, pg_catalog.pg_backend_pid() AS backend_pid, pg_catalog.current_database() AS database, pg_catalog.current_setting('search_path') AS search_path, current_user::pg_catalog.text AS role;

-- name: state_schema
WITH trusted AS (SELECT r.oid FROM pg_catalog.pg_roles r CROSS JOIN (SELECT oid, rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user) me WHERE r.oid OPERATOR(pg_catalog.=) me.oid OR r.rolsuper OR (NOT me.rolsuper AND pg_catalog.pg_has_role(me.oid, r.oid, 'MEMBER')) OR r.oid OPERATOR(pg_catalog.=) (SELECT datdba FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())) SELECT pg_catalog.pg_get_userbyid(n.nspowner)::pg_catalog.text AS owner, n.nspowner OPERATOR(pg_catalog.=) ANY (SELECT oid FROM trusted) AS is_trusted, current_user::pg_catalog.text AS role, EXISTS (SELECT FROM pg_catalog.aclexplode(n.nspacl) a WHERE a.grantee OPERATOR(pg_catalog.=) 0 AND a.privilege_type OPERATOR(pg_catalog.=) 'CREATE') AS may_be_extended, COALESCE((SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', c.relname, 'kind', c.relkind, 'owner', pg_catalog.pg_get_userbyid(c.relowner), 'is_trusted', c.relowner OPERATOR(pg_catalog.=) ANY (SELECT oid FROM trusted), 'columns', (SELECT COALESCE(pg_catalog.json_agg(a.attname ORDER BY a.attnum), '[]') FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped), 'public', (SELECT COALESCE(pg_catalog.json_agg(DISTINCT p.privilege_type), '[]') FROM (SELECT a.grantee, a.privilege_type FROM pg_catalog.aclexplode(c.relacl) a UNION ALL SELECT a.grantee, a.privilege_type FROM pg_catalog.pg_attribute t CROSS JOIN LATERAL pg_catalog.aclexplode(t.attacl) a WHERE t.attrelid OPERATOR(pg_catalog.=) c.oid) p WHERE p.grantee OPERATOR(pg_catalog.=) 0 AND (p.privilege_type OPERATOR(pg_catalog.=) 'INSERT' OR p.privilege_type OPERATOR(pg_catalog.=) 'UPDATE' OR p.privilege_type OPERATOR(pg_catalog.=) 'DELETE' OR p.privilege_type OPERATOR(pg_catalog.=) 'TRUNCATE' OR p.privilege_type OPERATOR(pg_catalog.=) 'TRIGGER')), 'code', (SELECT COALESCE(pg_catalog.json_agg(x.label ORDER BY x.label), '[]') FROM ((((((SELECT 'the trigger ' OPERATOR(pg_catalog.||) t.tgname AS label FROM pg_catalog.pg_trigger t WHERE t.tgrelid OPERATOR(pg_catalog.=) c.oid AND NOT t.tgisinternal UNION ALL SELECT 'the rule ' OPERATOR(pg_catalog.||) r.rulename FROM pg_catalog.pg_rewrite r WHERE r.ev_class OPERATOR(pg_catalog.=) c.oid) UNION ALL SELECT 'the policy ' OPERATOR(pg_catalog.||) p.polname FROM pg_catalog.pg_policy p WHERE p.polrelid OPERATOR(pg_catalog.=) c.oid) UNION ALL SELECT 'row level security' WHERE c.relrowsecurity OR c.relforcerowsecurity) UNION ALL SELECT 'inheritance' FROM pg_catalog.pg_inherits i WHERE i.inhparent OPERATOR(pg_catalog.=) c.oid OR i.inhrelid OPERATOR(pg_catalog.=) c.oid) UNION ALL SELECT 'the type of the column ' OPERATOR(pg_catalog.||) a.attname FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.atttypid OPERATOR(pg_catalog.>=) 16384) UNION ALL SELECT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_catalog.pg_depend d WHERE (d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass OR d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass OR d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_opclass'::pg_catalog.regclass) AND d.refobjid OPERATOR(pg_catalog.>=) 16384 AND ((d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid OPERATOR(pg_catalog.=) ANY (SELECT f.oid FROM pg_catalog.pg_attrdef f WHERE f.adrelid OPERATOR(pg_catalog.=) c.oid)) OR (d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid OPERATOR(pg_catalog.=) ANY (SELECT k.oid FROM pg_catalog.pg_constraint k WHERE k.conrelid OPERATOR(pg_catalog.=) c.oid)) OR (d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid OPERATOR(pg_catalog.=) ANY (SELECT i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid OPERATOR(pg_catalog.=) c.oid)))) x)) ORDER BY c.relname) FROM pg_catalog.pg_class c WHERE c.relnamespace OPERATOR(pg_catalog.=) n.oid AND (c.relkind OPERATOR(pg_catalog.=) 'r' OR c.relkind OPERATOR(pg_catalog.=) 'p' OR c.relkind OPERATOR(pg_catalog.=) 'v' OR c.relkind OPERATOR(pg_catalog.=) 'm' OR c.relkind OPERATOR(pg_catalog.=) 'f')), '[]') AS relations FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) 'confiture';

-- name: changed_relations
WITH held AS (SELECT c.relname::pg_catalog.text AS name FROM pg_catalog.pg_class c WHERE c.relnamespace OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace('confiture') AND (c.relkind OPERATOR(pg_catalog.=) 'r' OR c.relkind OPERATOR(pg_catalog.=) 'p' OR c.relkind OPERATOR(pg_catalog.=) 'v' OR c.relkind OPERATOR(pg_catalog.=) 'm' OR c.relkind OPERATOR(pg_catalog.=) 'f')) SELECT name, false AS is_gone FROM held WHERE name OPERATOR(pg_catalog.<>) ALL(%(known)s::pg_catalog.text[]) AND name OPERATOR(pg_catalog.!~) '^backfill_[0-9]+_keys$' UNION ALL SELECT k.name, true FROM pg_catalog.unnest(%(oldest)s::pg_catalog.text[]) k(name) WHERE NOT k.name OPERATOR(pg_catalog.=) ANY (SELECT name FROM held) AND EXISTS (SELECT FROM held WHERE name OPERATOR(pg_catalog.=) ANY(%(known)s::pg_catalog.text[])) ORDER BY 2, 1;

-- name: close_tables
REVOKE ALL ON ALL TABLES IN SCHEMA confiture FROM public;

-- name: state_rights
SELECT n.oid IS NOT NULL AS has_schema, CASE WHEN n.oid IS NULL THEN pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') ELSE pg_catalog.has_schema_privilege(n.oid, 'CREATE') END AS may_install, current_user AS role FROM (SELECT 'confiture' AS name) ours LEFT JOIN pg_catalog.pg_namespace n ON n.nspname OPERATOR(pg_catalog.=) ours.name;

-- name: create_schema
CREATE SCHEMA confiture;
COMMENT ON SCHEMA confiture IS 'History and state of the migration tool confiture';

-- name: format_version
SELECT version FROM confiture.format;

-- name: history
SELECT m."position", m.version, m.name, m.state, m.origin, m.attempt::pg_catalog.text AS attempt, m.checksum, m.chain, m.steps, m.applied_at, m.applied_by, m.duration_ms, p.predicted_ms, p.low_ms, p.high_ms, p.measured_ms FROM (SELECT 'default' AS project, '' AS target) former CROSS JOIN LATERAL (SELECT t.*, project AS of_project, target AS of_target FROM confiture.migrations t) m LEFT JOIN confiture.predictions p ON p.attempt OPERATOR(pg_catalog.=) m.attempt WHERE m.of_project OPERATOR(pg_catalog.=) %(project)s AND m.of_target OPERATOR(pg_catalog.=) %(target)s ORDER BY m."position";

-- name: other_histories
SELECT m.of_project AS project, m.version, m.checksum FROM (SELECT 'default' AS project, '' AS target) former CROSS JOIN LATERAL (SELECT t.version, t.checksum, t."position", project AS of_project, target AS of_target FROM confiture.migrations t) m WHERE (m.of_project, m.of_target) OPERATOR(pg_catalog.<>) (%(project)s, %(target)s) ORDER BY m.of_project, m."position";

-- name: has_journal
SELECT EXISTS (SELECT FROM (SELECT 'default' AS project, '' AS target) former CROSS JOIN LATERAL (SELECT project AS of_project, target AS of_target FROM confiture.journal j) j WHERE j.of_project OPERATOR(pg_catalog.=) %(project)s AND j.of_target OPERATOR(pg_catalog.=) %(target)s) AS has_journal;

-- name: record_prediction
INSERT INTO confiture.predictions (project, target, attempt, version, predicted_ms, low_ms, high_ms, runs, measured_ms) SELECT %(project)s, %(target)s, %(attempt)s, %(version)s, %(predicted_ms)s, %(low_ms)s, %(high_ms)s, %(runs)s, COALESCE(pg_catalog.sum(ms), 0) FROM confiture.journal j CROSS JOIN LATERAL (SELECT (step OPERATOR(pg_catalog.->>) 'duration_ms')::double precision AS ms FROM pg_catalog.jsonb_array_elements(j.steps) step) steps WHERE j.attempt OPERATOR(pg_catalog.=) %(attempt)s;

-- name: journal
SELECT segment, state, fingerprint FROM confiture.journal WHERE attempt OPERATOR(pg_catalog.=) %(attempt)s ORDER BY segment;

-- name: insert_migration
INSERT INTO confiture.migrations (project, target, version, name, state, origin, attempt, checksum, chain, steps, started_at, applied_at, applied_by, duration_ms) VALUES (%(project)s, %(target)s, %(version)s, %(name)s, %(state)s, %(origin)s, %(attempt)s, %(checksum)s, %(chain)s, %(steps)s, pg_catalog.now(), CASE WHEN %(state)s OPERATOR(pg_catalog.=) 'applied' THEN pg_catalog.clock_timestamp() END, session_user, %(duration_ms)s);

-- name: finish_migration
UPDATE confiture.migrations SET state = 'applied', checksum = %(checksum)s, chain = %(chain)s, steps = %(steps)s, name = %(name)s, "position" = DEFAULT, applied_at = pg_catalog.clock_timestamp(), applied_by = session_user, duration_ms = (SELECT pg_catalog.sum(duration_ms) FROM confiture.journal WHERE attempt OPERATOR(pg_catalog.=) %(attempt)s) WHERE project OPERATOR(pg_catalog.=) %(project)s AND target OPERATOR(pg_catalog.=) %(target)s AND version OPERATOR(pg_catalog.=) %(version)s;

-- name: mark_reverting
UPDATE confiture.migrations SET state = 'reverting', attempt = %(attempt)s WHERE project OPERATOR(pg_catalog.=) %(project)s AND target OPERATOR(pg_catalog.=) %(target)s AND version OPERATOR(pg_catalog.=) %(version)s;

-- name: unmark_reverting
UPDATE confiture.migrations SET state = CASE WHEN applied_at IS NULL THEN 'running' ELSE 'applied' END, attempt = COALESCE((SELECT attempt FROM confiture.journal WHERE project OPERATOR(pg_catalog.=) %(project)s AND target OPERATOR(pg_catalog.=) %(target)s AND version OPERATOR(pg_catalog.=) %(version)s AND direction OPERATOR(pg_catalog.=) 'up' ORDER BY recorded_at DESC LIMIT 1), attempt) WHERE project OPERATOR(pg_catalog.=) %(project)s AND target OPERATOR(pg_catalog.=) %(target)s AND version OPERATOR(pg_catalog.=) %(version)s;

-- name: delete_journal
DELETE FROM confiture.journal WHERE attempt OPERATOR(pg_catalog.=) %(attempt)s AND segment OPERATOR(pg_catalog.=) %(segment)s;

-- name: delete_migration
DELETE FROM confiture.migrations WHERE project OPERATOR(pg_catalog.=) %(project)s AND target OPERATOR(pg_catalog.=) %(target)s AND version OPERATOR(pg_catalog.=) %(version)s;

-- name: record_segment
INSERT INTO confiture.journal (project, target, attempt, segment, version, direction, state, fingerprint, steps, duration_ms) VALUES (%(project)s, %(target)s, %(attempt)s, %(segment)s, %(version)s, %(direction)s, %(state)s, %(fingerprint)s, %(steps)s, %(duration_ms)s);

-- name: record_applied
WITH segment AS (INSERT INTO confiture.journal (project, target, attempt, segment, version, direction, state, fingerprint, steps, duration_ms) VALUES (%(project)s, %(target)s, %(attempt)s, %(segment)s, %(version)s, %(direction)s, 'done', %(fingerprint)s, %(segment_steps)s, %(duration_ms)s)) INSERT INTO confiture.migrations (project, target, version, name, state, origin, attempt, checksum, chain, steps, started_at, applied_at, applied_by, duration_ms) VALUES (%(project)s, %(target)s, %(version)s, %(name)s, 'applied', %(origin)s, %(attempt)s, %(checksum)s, %(chain)s, %(steps)s, pg_catalog.now(), pg_catalog.clock_timestamp(), session_user, %(duration_ms)s);

-- name: complete_intent
UPDATE confiture.journal SET state = 'done', steps = %(steps)s, duration_ms = %(duration_ms)s, recorded_at = pg_catalog.clock_timestamp(), recorded_by = session_user WHERE attempt OPERATOR(pg_catalog.=) %(attempt)s AND segment OPERATOR(pg_catalog.=) %(segment)s AND state OPERATOR(pg_catalog.=) 'intent';

-- name: lock_installation
SELECT pg_catalog.pg_advisory_xact_lock(%(key)s);

-- name: owner_of_state
SELECT pg_catalog.pg_get_userbyid(c.relowner) AS owner, pg_catalog.pg_has_role(c.relowner, 'USAGE') AS is_ours FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass('confiture.format');

-- name: rename_project
WITH journal AS (UPDATE confiture.journal SET project = %(new)s WHERE project OPERATOR(pg_catalog.=) %(old)s), predictions AS (UPDATE confiture.predictions SET project = %(new)s WHERE project OPERATOR(pg_catalog.=) %(old)s), reconciliations AS (UPDATE confiture.reconciliations SET project = %(new)s WHERE project OPERATOR(pg_catalog.=) %(old)s), backfills AS (UPDATE confiture.backfills SET project = %(new)s WHERE project OPERATOR(pg_catalog.=) %(old)s) UPDATE confiture.migrations SET project = %(new)s WHERE project OPERATOR(pg_catalog.=) %(old)s;

-- name: try_lock
SELECT pg_catalog.pg_try_advisory_lock(%(key)s) AS locked;

-- name: lock_holder
SELECT a.pid, a.usename, a.application_name, a.client_addr::pg_catalog.text AS client_addr, a.backend_start FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) l.pid WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.granted AND l.database OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()) AND l.objsubid OPERATOR(pg_catalog.=) 1 AND ((l.classid::bigint OPERATOR(pg_catalog.<<) 32) OPERATOR(pg_catalog.+) l.objid::bigint) OPERATOR(pg_catalog.=) %(key)s;

-- name: index_state
SELECT i.indisvalid AND i.indisready AS valid, n.nspname AS schema, c.relname AS name, i.indrelid AS table_oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index i ON i.indexrelid OPERATOR(pg_catalog.=) c.oid JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE c.relname OPERATOR(pg_catalog.=) %(name)s AND CASE WHEN %(table)s::pg_catalog.text IS NOT NULL THEN i.indrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(pg_catalog.concat_ws('.', pg_catalog.quote_ident(%(schema)s), pg_catalog.quote_ident(%(table)s))) ELSE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(pg_catalog.concat_ws('.', pg_catalog.quote_ident(%(schema)s), pg_catalog.quote_ident(%(name)s))) END;

-- name: index_builders
SELECT l.pid FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) l.pid WHERE l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.relation OPERATOR(pg_catalog.=) %(table_oid)s AND l.mode OPERATOR(pg_catalog.=) 'ShareUpdateExclusiveLock' AND l.granted AND l.database OPERATOR(pg_catalog.=) (SELECT oid FROM pg_catalog.pg_database WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database()) AND l.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid() AND NOT COALESCE(a.backend_type OPERATOR(pg_catalog.=) 'autovacuum worker', a.backend_type IS NULL AND 'autovacuum worker' IS NULL);

-- name: rebuilt_halves
SELECT n.nspname AS schema, c.relname AS name, i.indrelid AS table_oid FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace WHERE NOT i.indisvalid AND c.relname OPERATOR(pg_catalog.~) '_cc(new|old)[0-9]*$' AND CASE WHEN %(kind)s OPERATOR(pg_catalog.=) 'table' THEN i.indrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(%(name)s) WHEN %(kind)s OPERATOR(pg_catalog.=) 'index' THEN i.indrelid OPERATOR(pg_catalog.=) (SELECT indrelid FROM pg_catalog.pg_index WHERE indexrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(%(name)s)) WHEN %(kind)s OPERATOR(pg_catalog.=) 'schema' THEN n.oid OPERATOR(pg_catalog.=) pg_catalog.to_regnamespace(%(name)s) ELSE %(kind)s OPERATOR(pg_catalog.=) 'database' END;

-- name: partition_state
SELECT inhdetachpending AS pending FROM pg_catalog.pg_inherits WHERE inhrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(%(partition)s);

-- name: deferrable
SELECT pg_catalog.string_agg(name, ', ') AS everything, pg_catalog.string_agg(name, ', ') FILTER (WHERE initially_deferred) AS deferred FROM (SELECT (pg_catalog.quote_ident(n.nspname) OPERATOR(pg_catalog.||) '.') OPERATOR(pg_catalog.||) pg_catalog.quote_ident(k.conname) AS name, pg_catalog.bool_and(k.condeferred) AS initially_deferred FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) k.connamespace WHERE pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND NOT pg_catalog.pg_is_other_temp_schema(n.oid) GROUP BY n.nspname, k.conname HAVING pg_catalog.bool_or(k.condeferrable)) named;

-- name: backend_alive
SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE pid OPERATOR(pg_catalog.=) %(pid)s) AS alive;

-- name: pages
SELECT COALESCE(pg_catalog.sum(pg_catalog.pg_relation_size(p.relid)), 0)::bigint OPERATOR(pg_catalog./) pg_catalog.current_setting('block_size')::bigint AS pages FROM (SELECT relid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass(%(table)s)) UNION SELECT pg_catalog.to_regclass(%(table)s)) p;

-- name: operator_schemas
WITH RECURSIVE compared AS (SELECT o.opcintype AS type, r.oprnamespace AS namespace FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_am m ON m.oid OPERATOR(pg_catalog.=) o.opcmethod JOIN pg_catalog.pg_amop p ON p.amopfamily OPERATOR(pg_catalog.=) o.opcfamily AND p.amoplefttype OPERATOR(pg_catalog.=) o.opcintype AND p.amoprighttype OPERATOR(pg_catalog.=) o.opcintype AND p.amopstrategy OPERATOR(pg_catalog.=) 3 JOIN pg_catalog.pg_operator r ON r.oid OPERATOR(pg_catalog.=) p.amopopr WHERE o.oid OPERATOR(pg_catalog.>=) 16384 AND o.opcdefault AND m.amname OPERATOR(pg_catalog.=) 'btree' UNION ALL SELECT t.oid, c.namespace FROM compared c JOIN pg_catalog.pg_type t ON t.typbasetype OPERATOR(pg_catalog.=) c.type) SELECT pg_catalog.format_type(t.oid, -1) AS name, (pg_catalog.quote_ident(s.nspname) OPERATOR(pg_catalog.||) '.') OPERATOR(pg_catalog.||) pg_catalog.quote_ident(t.typname) AS full_name, n.nspname::pg_catalog.text AS schema FROM compared c JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) c.type JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) t.typnamespace JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.namespace;
