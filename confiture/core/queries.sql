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
       current_database() AS database,
       current_setting('search_path') AS search_path,
       current_user::text AS role;

-- name: state_schema
-- Who owns the schema and our tables, who else may write them, and what runs code of others there. A role is trusted if
-- it is ours, one that we are a member of (a superuser is a member of all: that says nothing), the owner of the
-- database, or a superuser.
WITH trusted AS (
    SELECT r.oid
    FROM pg_roles r
    CROSS JOIN (SELECT oid, rolsuper FROM pg_roles WHERE rolname = current_user) AS me
    WHERE r.oid = me.oid OR r.rolsuper OR (NOT me.rolsuper AND pg_has_role(me.oid, r.oid, 'MEMBER'))
       OR r.oid = (SELECT datdba FROM pg_database WHERE datname = current_database())
)
SELECT pg_get_userbyid(n.nspowner)::text AS owner, n.nspowner IN (SELECT oid FROM trusted) AS is_trusted,
       current_user::text AS role,
       EXISTS (
           SELECT FROM aclexplode(n.nspacl) a WHERE a.grantee = 0 AND a.privilege_type = 'CREATE'
       ) AS may_be_extended,
       coalesce((
           SELECT json_agg(json_build_object(
               'name', c.relname,
               'kind', c.relkind,
               'owner', pg_get_userbyid(c.relowner),
               'is_trusted', c.relowner IN (SELECT oid FROM trusted),
               'columns', (
                   SELECT coalesce(json_agg(a.attname ORDER BY a.attnum), '[]')
                   FROM pg_attribute a
                   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               ),
               'public', (
                   SELECT coalesce(json_agg(DISTINCT p.privilege_type), '[]')
                   FROM (
                       SELECT a.grantee, a.privilege_type FROM aclexplode(c.relacl) a
                       UNION ALL
                       SELECT a.grantee, a.privilege_type
                       FROM pg_attribute t CROSS JOIN LATERAL aclexplode(t.attacl) a
                       WHERE t.attrelid = c.oid
                   ) AS p
                   WHERE p.grantee = 0 AND p.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER')
               ),
               'code', (
                   SELECT coalesce(json_agg(x.label ORDER BY x.label), '[]')
                   FROM (
                       SELECT 'the trigger ' || t.tgname AS label
                       FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
                       UNION ALL
                       SELECT 'the rule ' || r.rulename FROM pg_rewrite r WHERE r.ev_class = c.oid
                       UNION ALL
                       SELECT 'the policy ' || p.polname FROM pg_policy p WHERE p.polrelid = c.oid
                       UNION ALL
                       SELECT 'row level security' WHERE c.relrowsecurity OR c.relforcerowsecurity
                       UNION ALL
                       SELECT 'inheritance' FROM pg_inherits i WHERE i.inhparent = c.oid OR i.inhrelid = c.oid
                       UNION ALL
                       -- what PostgreSQL came with has smaller numbers
                       SELECT 'the type of the column ' || a.attname
                       FROM pg_attribute a WHERE a.attrelid = c.oid AND a.atttypid >= 16384
                       UNION ALL
                       SELECT pg_describe_object(d.classid, d.objid, d.objsubid)
                       FROM pg_depend d
                       WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_opclass'::regclass)
                         AND d.refobjid >= 16384
                         AND (
                             (d.classid = 'pg_attrdef'::regclass
                              AND d.objid IN (SELECT f.oid FROM pg_attrdef f WHERE f.adrelid = c.oid))
                             OR (d.classid = 'pg_constraint'::regclass
                                 AND d.objid IN (SELECT k.oid FROM pg_constraint k WHERE k.conrelid = c.oid))
                             OR (d.classid = 'pg_class'::regclass
                                 AND d.objid IN (SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = c.oid))
                         )
                   ) AS x
               )
           ) ORDER BY c.relname)
           FROM pg_class c
           WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
       ), '[]') AS relations
FROM pg_namespace n
WHERE n.nspname = 'confiture';

-- name: changed_relations
-- What a migration did to our schema: tables and views that are not ours, and tables of ours that are gone.
WITH held AS (
    SELECT c.relname::text AS name
    FROM pg_class c
    WHERE c.relnamespace = to_regnamespace('confiture') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
)
SELECT name, false AS is_gone
FROM held
WHERE name <> ALL (%(known)s::text[]) AND name !~ '^backfill_[0-9]+_keys$'
UNION ALL
SELECT k.name, true
FROM unnest(%(oldest)s::text[]) AS k (name)
WHERE k.name NOT IN (SELECT name FROM held) AND EXISTS (SELECT FROM held WHERE name = ANY (%(known)s::text[]))
ORDER BY 2, 1;

-- name: close_tables
-- Whatever default privileges give to everyone.
REVOKE ALL ON ALL TABLES IN SCHEMA confiture FROM PUBLIC;

-- name: state_rights
-- A role with more rights may have made the schema for us. Not by to_regnamespace: within a transaction it may remember
-- that there was no such schema, after another run has made it.
SELECT n.oid IS NOT NULL AS has_schema,
       CASE WHEN n.oid IS NULL
            THEN has_database_privilege(current_database(), 'CREATE')
            ELSE has_schema_privilege(n.oid, 'CREATE') END AS may_install,
       current_user AS role
FROM (SELECT 'confiture' AS name) AS ours
LEFT JOIN pg_namespace n ON n.nspname = ours.name;

-- name: create_schema
CREATE SCHEMA confiture;
COMMENT ON SCHEMA confiture IS 'History and state of the migration tool confiture';

-- name: format_version
SELECT version FROM confiture.format;

-- name: history
-- Formats 1 and 2 have no columns project and target: there, these names mean those of `former`.
SELECT m.position, m.version, m.name, m.state, m.origin, m.attempt::text AS attempt, m.checksum, m.chain, m.steps,
       m.applied_at, m.applied_by, m.duration_ms, p.predicted_ms, p.low_ms, p.high_ms, p.measured_ms
FROM (SELECT 'default' AS project, '' AS target) AS former
CROSS JOIN LATERAL (
    SELECT t.*, project AS of_project, target AS of_target
    FROM confiture.migrations t
) AS m
LEFT JOIN confiture.predictions p ON p.attempt = m.attempt
WHERE m.of_project = %(project)s AND m.of_target = %(target)s
ORDER BY m.position;

-- name: other_histories
-- What other projects have applied. As above, formats 1 and 2 have only the project `default`.
SELECT m.of_project AS project, m.version, m.checksum
FROM (SELECT 'default' AS project, '' AS target) AS former
CROSS JOIN LATERAL (
    SELECT t.version, t.checksum, t.position, project AS of_project, target AS of_target
    FROM confiture.migrations t
) AS m
WHERE (m.of_project, m.of_target) <> (%(project)s, %(target)s)
ORDER BY m.of_project, m.position;

-- name: has_journal
-- As above, for formats 1 and 2.
SELECT EXISTS (
    SELECT
    FROM (SELECT 'default' AS project, '' AS target) AS former
    CROSS JOIN LATERAL (SELECT project AS of_project, target AS of_target FROM confiture.journal j) AS j
    WHERE j.of_project = %(project)s AND j.of_target = %(target)s
) AS has_journal;

-- name: record_prediction
INSERT INTO confiture.predictions
    (project, target, attempt, version, predicted_ms, low_ms, high_ms, runs, measured_ms)
SELECT %(project)s, %(target)s, %(attempt)s, %(version)s, %(predicted_ms)s, %(low_ms)s, %(high_ms)s, %(runs)s,
       COALESCE(sum(ms), 0)
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
    (project, target, version, name, state, origin, attempt, checksum, chain, steps, started_at, applied_at, applied_by,
     duration_ms)
VALUES
    (%(project)s, %(target)s, %(version)s, %(name)s, %(state)s, %(origin)s, %(attempt)s, %(checksum)s, %(chain)s, %(steps)s,
     now(), CASE WHEN %(state)s = 'applied' THEN clock_timestamp() END, session_user, %(duration_ms)s);

-- name: finish_migration
-- The position is that of its end: the chain of checksums follows it, and others may have been applied meanwhile.
UPDATE confiture.migrations
SET state = 'applied', checksum = %(checksum)s, chain = %(chain)s, steps = %(steps)s, name = %(name)s,
    position = DEFAULT, applied_at = clock_timestamp(), applied_by = session_user,
    duration_ms = (SELECT sum(duration_ms) FROM confiture.journal WHERE attempt = %(attempt)s)
WHERE project = %(project)s AND target = %(target)s AND version = %(version)s;

-- name: mark_reverting
UPDATE confiture.migrations
SET state = 'reverting', attempt = %(attempt)s
WHERE project = %(project)s AND target = %(target)s AND version = %(version)s;

-- name: unmark_reverting
-- Back to what it was: applied, or stopped midway on the way up, by the attempt that came that far.
UPDATE confiture.migrations
SET state = CASE WHEN applied_at IS NULL THEN 'running' ELSE 'applied' END,
    attempt = coalesce(
        (SELECT attempt FROM confiture.journal
         WHERE project = %(project)s AND target = %(target)s AND version = %(version)s
           AND direction = 'up'
         ORDER BY recorded_at DESC LIMIT 1),
        attempt)
WHERE project = %(project)s AND target = %(target)s AND version = %(version)s;

-- name: delete_journal
DELETE FROM confiture.journal WHERE attempt = %(attempt)s AND segment = %(segment)s;

-- name: delete_migration
DELETE FROM confiture.migrations WHERE project = %(project)s AND target = %(target)s AND version = %(version)s;

-- name: record_segment
INSERT INTO confiture.journal
    (project, target, attempt, segment, version, direction, state, fingerprint, steps, duration_ms)
VALUES
    (%(project)s, %(target)s, %(attempt)s, %(segment)s, %(version)s, %(direction)s, %(state)s, %(fingerprint)s,
     %(steps)s, %(duration_ms)s);

-- name: record_applied
-- A migration with its only segment: one round trip less than one after the other, for most migrations. It began with
-- this transaction.
WITH segment AS (
    INSERT INTO confiture.journal
        (project, target, attempt, segment, version, direction, state, fingerprint, steps, duration_ms)
    VALUES
        (%(project)s, %(target)s, %(attempt)s, %(segment)s, %(version)s, %(direction)s, 'done', %(fingerprint)s,
         %(segment_steps)s, %(duration_ms)s)
)
INSERT INTO confiture.migrations
    (project, target, version, name, state, origin, attempt, checksum, chain, steps, started_at, applied_at, applied_by,
     duration_ms)
VALUES
    (%(project)s, %(target)s, %(version)s, %(name)s, 'applied', %(origin)s, %(attempt)s, %(checksum)s, %(chain)s, %(steps)s,
     now(), clock_timestamp(), session_user, %(duration_ms)s);

-- name: complete_intent
UPDATE confiture.journal
SET state = 'done', steps = %(steps)s, duration_ms = %(duration_ms)s,
    recorded_at = clock_timestamp(), recorded_by = session_user
WHERE attempt = %(attempt)s AND segment = %(segment)s AND state = 'intent';

-- name: lock_installation
-- Projects have locks of their own: one of them at a time makes or upgrades our tables.
SELECT pg_advisory_xact_lock(%(key)s);

-- name: owner_of_state
SELECT pg_get_userbyid(c.relowner) AS owner, pg_has_role(c.relowner, 'USAGE') AS is_ours
FROM pg_class c
WHERE c.oid = to_regclass('confiture.format');

-- name: rename_project
WITH journal AS (UPDATE confiture.journal SET project = %(new)s WHERE project = %(old)s),
     predictions AS (UPDATE confiture.predictions SET project = %(new)s WHERE project = %(old)s),
     reconciliations AS (UPDATE confiture.reconciliations SET project = %(new)s WHERE project = %(old)s),
     backfills AS (UPDATE confiture.backfills SET project = %(new)s WHERE project = %(old)s)
UPDATE confiture.migrations SET project = %(new)s WHERE project = %(old)s;

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
