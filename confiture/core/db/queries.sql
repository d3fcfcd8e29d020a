-- name: reset_session
-- Reset the session, so that one migration's settings do not affect the next. One simple query needs only one round
-- trip.
RESET SESSION AUTHORIZATION;
RESET ALL;
CLOSE ALL;
UNLISTEN *;
DEALLOCATE ALL;
SELECT pg_advisory_unlock_all();
DISCARD TEMP;
DISCARD SEQUENCES;

-- name: session_settings
-- The settings of a new session, which RESET ALL removes.
SET client_min_messages = notice;
SET row_security = off;
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
       quote_ident(current_database()) AS database,
       current_setting('search_path') AS search_path, current_schema()::text AS schema_name,
       current_user::text AS role;

-- name: state_schema
-- The owners of the schema and the history tables, the roles that can write to them, and foreign code that runs on
-- writes to them. Foreign code runs as current_user and can switch to session_user or to the role that logged in, so a
-- role is trusted only if all three of these roles trust it. A superuser trusts only superusers. Any other role trusts
-- superusers, itself, the database owner, and the roles that one of these has made it a member of. Grants by other
-- roles do not count, because any role can grant membership in itself. The exceptions are grants by a role that can
-- grant the current role to itself, or that a superuser has made a member of the database owner. A membership without
-- INHERIT and SET does not count either, because since version 16, a role receives one in each role that it creates.
WITH RECURSIVE
me AS MATERIALIZED (
    SELECT r.oid, r.rolsuper FROM pg_roles r WHERE r.rolname IN (%(login)s, session_user, current_user)
),
chief AS MATERIALIZED (
    SELECT r.oid FROM pg_roles r WHERE r.rolsuper
),
owner AS MATERIALIZED (
    SELECT d.datdba AS oid FROM pg_database d WHERE d.datname = current_database()
),
-- version 15 does not have these options
membership AS MATERIALIZED (
    SELECT m.roleid, m.member, m.grantor, m.admin_option,
           coalesce((to_jsonb(m) ->> 'inherit_option')::boolean OR (to_jsonb(m) ->> 'set_option')::boolean, true) AS counts
    FROM pg_auth_members m
),
granted (me, role) AS (
    SELECT me.oid, me.oid FROM me
    UNION
    SELECT g.me, m.roleid
    FROM granted g
    JOIN membership m ON m.member = g.role AND m.counts
    WHERE m.grantor = g.me OR m.grantor IN (SELECT oid FROM chief UNION ALL SELECT oid FROM owner)
       OR EXISTS (
           SELECT
           FROM membership o
           WHERE o.roleid = (SELECT oid FROM owner) AND o.member = m.grantor AND o.counts
             AND o.grantor IN (SELECT oid FROM chief)
       )
       OR EXISTS (
           SELECT
           FROM membership a
           WHERE a.roleid = g.me AND a.member = m.grantor AND a.admin_option AND a.grantor IN (SELECT oid FROM chief)
       )
),
trusted AS MATERIALIZED (
    SELECT oid FROM chief
    UNION
    SELECT r.oid
    FROM pg_roles r
    WHERE NOT EXISTS (SELECT FROM me WHERE me.rolsuper)
      AND (r.oid = (SELECT oid FROM owner) OR r.rolname = 'pg_database_owner'
           OR NOT EXISTS (
               SELECT FROM me WHERE NOT EXISTS (SELECT FROM granted g WHERE g.me = me.oid AND g.role = r.oid)
           ))
),
held AS MATERIALIZED (
    SELECT d.classid, d.objid
    FROM pg_depend d
    WHERE d.refclassid = 'pg_namespace'::regclass AND d.deptype = 'n'
      AND d.refobjid = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = 'confiture')
),
ours AS MATERIALIZED (
    SELECT c.oid, c.relname::text AS name, c.relkind, c.relowner, c.relacl, c.relrowsecurity, c.relforcerowsecurity,
           c.reloftype
    FROM held h
    JOIN pg_class c ON c.oid = h.objid
    WHERE h.classid = 'pg_class'::regclass AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND (c.relname = ANY (%(known)s::text[]) OR c.relname ~ '^backfill_[0-9]+_keys$')
),
counter AS MATERIALIZED (
    SELECT s.oid, s.relname::text AS name, s.relacl, s.relowner, o.name AS of_table
    FROM held h
    JOIN pg_class s ON s.oid = h.objid AND s.relkind = 'S'
    JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('a', 'i')
                    AND d.refclassid = 'pg_class'::regclass
    JOIN ours o ON o.oid = d.refobjid
    WHERE h.classid = 'pg_class'::regclass
),
our_function AS MATERIALIZED (
    SELECT p.oid, p.proowner, p.proname::text AS name, p.proacl
    FROM held h
    JOIN pg_proc p ON p.oid = h.objid
    WHERE h.classid = 'pg_proc'::regclass
      AND (p.proname ~ '^backfill_[0-9]+_note_[0-9]+$' OR (p.proname = 'refuse_change' AND p.pronargs = 0))
),
append_only AS MATERIALIZED (
    -- the trigger that the statement append_only creates: BEFORE (2), DELETE (8), UPDATE (16), TRUNCATE (32)
    SELECT t.oid
    FROM ours o
    JOIN pg_trigger t ON t.tgrelid = o.oid
    JOIN our_function f ON f.oid = t.tgfoid
    JOIN pg_proc p ON p.oid = f.oid
    JOIN pg_language l ON l.oid = p.prolang
    WHERE o.name = 'history_events' AND t.tgname = 'append_only' AND NOT t.tgisinternal AND t.tgtype = 58
      AND t.tgenabled = 'A' AND t.tgqual IS NULL AND t.tgnargs = 0 AND t.tgattr::text = ''
      AND p.proname = 'refuse_change' AND l.lanname = 'plpgsql' AND p.prosrc = %(append_only_body)s
      AND NOT p.prosecdef AND p.proconfig IS NULL
),
acl AS (
    SELECT 'TABLE' AS kind, o.name, o.name AS of_table, o.relowner AS owner, a.grantee, a.privilege_type
    FROM ours o CROSS JOIN LATERAL aclexplode(o.relacl) a
    UNION ALL
    SELECT 'TABLE', o.name, o.name, o.relowner, a.grantee, a.privilege_type
    FROM ours o JOIN pg_attribute t ON t.attrelid = o.oid CROSS JOIN LATERAL aclexplode(t.attacl) a
    UNION ALL
    SELECT 'SEQUENCE', s.name, s.of_table, s.relowner, a.grantee, a.privilege_type
    FROM counter s CROSS JOIN LATERAL aclexplode(s.relacl) a
    UNION ALL
    -- not the default, which applies to functions created by earlier versions
    SELECT 'FUNCTION', p.name, NULL, p.proowner, a.grantee, a.privilege_type
    FROM our_function p CROSS JOIN LATERAL aclexplode(p.proacl) a
    UNION ALL
    SELECT 'SCHEMA', n.nspname::text, NULL, n.nspowner, a.grantee, a.privilege_type
    FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) a
    WHERE n.nspname = 'confiture' AND a.privilege_type = 'CREATE'
),
code (relation, label, fix) AS MATERIALIZED (
    SELECT t.tgrelid,
           CASE WHEN t.tgisinternal THEN pg_describe_object('pg_constraint'::regclass, t.tgconstraint, 0)
                ELSE 'the trigger ' || t.tgname END,
           CASE WHEN NOT t.tgisinternal THEN format('DROP TRIGGER %%I ON %%s', t.tgname, t.tgrelid::regclass)
                WHEN t.tgconstrrelid <> 0 THEN (
                    SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', k.conrelid::regclass, k.conname)
                    FROM pg_constraint k WHERE k.oid = t.tgconstraint
                ) END
    FROM pg_trigger t
    WHERE t.tgrelid IN (SELECT oid FROM ours)
      AND (NOT t.tgisinternal OR (t.tgconstrrelid <> 0 AND t.tgconstrrelid NOT IN (SELECT oid FROM ours)))
      AND t.oid NOT IN (SELECT oid FROM append_only)
    UNION ALL
    SELECT r.ev_class, 'the rule ' || r.rulename,
           CASE WHEN r.ev_type <> '1' THEN format('DROP RULE %%I ON %%s', r.rulename, r.ev_class::regclass) END
    FROM pg_rewrite r WHERE r.ev_class IN (SELECT oid FROM ours)
    UNION ALL
    SELECT p.polrelid, 'the policy ' || p.polname, format('DROP POLICY %%I ON %%s', p.polname, p.polrelid::regclass)
    FROM pg_policy p WHERE p.polrelid IN (SELECT oid FROM ours)
    UNION ALL
    SELECT o.oid, 'row level security',
           format('ALTER TABLE %%s DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY', o.oid::regclass)
    FROM ours o WHERE o.relrowsecurity OR o.relforcerowsecurity
    UNION ALL
    SELECT o.oid, 'the type of the table', format('ALTER TABLE %%s NOT OF', o.oid::regclass)
    FROM ours o WHERE o.reloftype <> 0
    UNION ALL
    SELECT o.oid, 'inheritance',
           format('ALTER TABLE %%s NO INHERIT %%s', i.inhrelid::regclass, i.inhparent::regclass)
    FROM ours o JOIN pg_inherits i ON o.oid IN (i.inhparent, i.inhrelid)
    UNION ALL
    SELECT s.stxrelid, 'the statistics ' || s.stxname,
           format('DROP STATISTICS %%s.%%I', s.stxnamespace::regnamespace, s.stxname)
    FROM pg_statistic_ext s WHERE s.stxrelid IN (SELECT oid FROM ours)
    UNION ALL
    -- built-in types have smaller OIDs; a backfill's change log uses the types of the batch key
    SELECT a.attrelid, 'the column ' || a.attname, NULL
    FROM ours o
    JOIN pg_attribute a ON a.attrelid = o.oid
    WHERE a.attgenerated <> '' OR (a.atttypid >= %(first_oid)s AND o.name = ANY (%(known)s::text[]))
    UNION ALL
    SELECT i.indrelid, pg_describe_object('pg_class'::regclass, i.indexrelid, 0),
           CASE WHEN NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
                THEN format('DROP INDEX %%s', i.indexrelid::regclass) END
    FROM pg_index i
    WHERE i.indrelid IN (SELECT oid FROM ours)
      AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL
           OR EXISTS (SELECT FROM unnest(i.indclass::oid[]) AS used (oid) WHERE used.oid >= %(first_oid)s))
    UNION ALL
    SELECT f.adrelid, pg_describe_object('pg_attrdef'::regclass, f.oid, 0), NULL
    FROM pg_attrdef f
    WHERE f.adrelid IN (SELECT oid FROM ours) AND f.adbin::text ~ %(foreign_expression)s
    UNION ALL
    SELECT k.conrelid, pg_describe_object('pg_constraint'::regclass, k.oid, 0),
           format('ALTER TABLE %%s DROP CONSTRAINT %%I', k.conrelid::regclass, k.conname)
    FROM pg_constraint k
    WHERE k.conrelid IN (SELECT oid FROM ours) AND (k.contype = 'x' OR k.conbin::text ~ %(foreign_expression)s)
),
distrust AS MATERIALIZED (
    -- the session role that does not trust another role
    SELECT r.oid, (
               SELECT quote_ident(m.rolname)
               FROM pg_roles m
               JOIN me ON me.oid = m.oid
               WHERE NOT EXISTS (SELECT FROM granted g WHERE g.me = me.oid AND g.role = r.oid)
               ORDER BY me.rolsuper DESC, m.rolname = current_user
               LIMIT 1
           ) AS role
    FROM pg_roles r
    WHERE r.oid NOT IN (SELECT oid FROM trusted)
)
SELECT n.oid IS NOT NULL AS has_schema, quote_ident(pg_get_userbyid(n.nspowner)) AS owner,
       n.nspowner IN (SELECT oid FROM trusted) AS is_trusted,
       (SELECT d.role FROM distrust d WHERE d.oid = n.nspowner) AS role,
       quote_ident(current_user) AS maker,
       (SELECT d.role FROM distrust d JOIN pg_roles r ON r.oid = d.oid WHERE r.rolname = current_user) AS maker_distrusted_by,
       EXISTS (SELECT FROM me WHERE me.rolsuper) AS is_superuser,
       EXISTS (SELECT FROM append_only) AS is_append_only,
       coalesce((
           SELECT json_agg(json_build_object(
               'name', o.name,
               'kind', o.relkind,
               'owner', quote_ident(pg_get_userbyid(o.relowner)),
               'is_trusted', o.relowner IN (SELECT oid FROM trusted),
               'role', (SELECT d.role FROM distrust d WHERE d.oid = o.relowner),
               'code', ARRAY(SELECT DISTINCT code.label FROM code WHERE code.relation = o.oid ORDER BY 1),
               'fixes', ARRAY(
                   SELECT DISTINCT code.fix FROM code WHERE code.relation = o.oid AND code.fix IS NOT NULL ORDER BY 1
               ),
               'is_fixable', NOT EXISTS (SELECT FROM code WHERE code.relation = o.oid AND code.fix IS NULL)
           ) ORDER BY o.name)
           FROM ours o
       ), '[]') AS relations,
       (
           SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
           FROM ours o
           JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
           WHERE o.name = 'format'
       ) AS format_columns,
       coalesce((
           SELECT json_agg(json_build_object(
               'kind', p.kind, 'name', p.name, 'table', p.of_table, 'grantee', p.grantee, 'privileges', p.privileges
           ) ORDER BY p.name, p.grantee)
           FROM (
               SELECT acl.kind, acl.name, acl.of_table,
                      CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END AS grantee,
                      array_agg(DISTINCT acl.privilege_type ORDER BY acl.privilege_type) AS privileges
               FROM acl
               WHERE acl.privilege_type <> 'SELECT' AND acl.grantee <> acl.owner
                 AND acl.grantee NOT IN (SELECT oid FROM trusted)
               GROUP BY acl.kind, acl.name, acl.of_table, acl.grantee
           ) AS p
       ), '[]') AS privileges,
       coalesce((
           SELECT json_agg(json_build_object(
               'name', p.oid::regprocedure::text, 'owner', quote_ident(pg_get_userbyid(p.proowner)),
               'role', (SELECT d.role FROM distrust d WHERE d.oid = p.proowner)
           ))
           FROM our_function p
           WHERE p.proowner NOT IN (SELECT oid FROM trusted)
       ), '[]') AS functions,
       coalesce((
           SELECT json_agg(x.label ORDER BY x.label)
           FROM (
               SELECT pg_describe_object(h.classid, h.objid, 0) AS label
               FROM held h
               WHERE h.objid NOT IN (
                   SELECT oid FROM ours UNION ALL SELECT oid FROM counter UNION ALL SELECT oid FROM our_function
               )
           ) AS x
       ), '[]') AS others
FROM (SELECT 'confiture' AS name) AS our
LEFT JOIN pg_namespace n ON n.nspname = our.name;

-- name: schema_content
-- The content of Confiture's schema: Confiture's tables by name, and foreign objects. Objects created for other
-- projects' backfills come and go, so they are ignored.
WITH held AS MATERIALIZED (
    SELECT d.classid, d.objid
    FROM pg_depend d
    WHERE d.refclassid = 'pg_namespace'::regclass AND d.deptype = 'n'
      AND d.refobjid = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = 'confiture')
),
ours AS MATERIALIZED (
    SELECT c.oid, c.relname, c.relowner
    FROM held h
    JOIN pg_class c ON c.oid = h.objid
    WHERE h.classid = 'pg_class'::regclass AND c.relkind = 'r'
      AND (c.relname = ANY (%(known)s::text[]) OR c.relname ~ '^backfill_[0-9]+_keys$')
)
SELECT n.oid::bigint AS schema, n.nspowner::bigint AS owner,
       coalesce((
           SELECT json_object_agg(o.relname, json_build_array(o.oid::bigint, o.relowner::bigint))
           FROM ours o
           WHERE o.relname = ANY (%(known)s::text[])
       ), '{}') AS tables,
       -- A change writes a row version with the xmin of its transaction, so that ENABLE after DISABLE is visible too. In
       -- a dry run, the same transaction has created the trigger. Its row versions differ in ctid, which VACUUM FULL
       -- changes for older ones.
       (
           SELECT concat_ws(' ', t.oid, t.xmin, CASE WHEN age(t.xmin) <= 0 THEN t.ctid END,
                                 p.oid, p.xmin, CASE WHEN age(p.xmin) <= 0 THEN p.ctid END)
           FROM ours o
           JOIN pg_trigger t ON t.tgrelid = o.oid AND NOT t.tgisinternal
           JOIN pg_proc p ON p.oid = t.tgfoid
           WHERE o.relname = 'history_events' AND t.tgname = 'append_only'
       ) AS append_only,
       coalesce((
           SELECT json_object_agg(concat_ws(' ', h.classid, h.objid), pg_describe_object(h.classid, h.objid, 0))
           FROM held h
           WHERE h.objid NOT IN (SELECT oid FROM ours)
             AND NOT EXISTS (
                 SELECT
                 FROM pg_depend d
                 WHERE d.classid = h.classid AND d.objid = h.objid AND d.deptype IN ('a', 'i')
                   AND d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM ours)
             )
             AND NOT EXISTS (
                 SELECT FROM pg_proc p
                 WHERE h.classid = 'pg_proc'::regclass AND p.oid = h.objid
                   AND (p.proname ~ '^backfill_[0-9]+_note_[0-9]+$' OR (p.proname = 'refuse_change' AND p.pronargs = 0))
             )
       ), '{}') AS others
FROM pg_namespace n
WHERE n.nspname = 'confiture';

-- name: append_only
-- Make the table of events append-only, also for its owner. Belongs to format 4. The check of the schema accepts exactly
-- this function and this trigger.
CREATE OR REPLACE FUNCTION confiture.refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE EXCEPTION 'the table confiture.history_events is append-only' USING ERRCODE = 'restrict_violation'; END$$;
REVOKE ALL ON FUNCTION confiture.refuse_change() FROM PUBLIC;
CREATE OR REPLACE TRIGGER append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON confiture.history_events
    FOR EACH STATEMENT EXECUTE FUNCTION confiture.refuse_change();
ALTER TABLE confiture.history_events ENABLE ALWAYS TRIGGER append_only;

-- name: close_tables
-- Revoke the default privileges from PUBLIC.
REVOKE ALL ON ALL TABLES IN SCHEMA confiture FROM PUBLIC;

-- name: state_rights
-- A role with more privileges may have created the schema. Do not use to_regnamespace. Within a transaction, it may
-- have cached that the schema does not exist although another run has since created it.
SELECT n.oid IS NOT NULL AS has_schema,
       CASE WHEN n.oid IS NULL
            THEN has_database_privilege(current_database(), 'CREATE')
            ELSE has_schema_privilege(n.oid, 'CREATE') END AS may_install,
       quote_ident(current_user) AS role, quote_ident(current_database()) AS database
FROM (SELECT 'confiture' AS name) AS ours
LEFT JOIN pg_namespace n ON n.nspname = ours.name;

-- name: create_schema
CREATE SCHEMA confiture;
COMMENT ON SCHEMA confiture IS 'History and state of the migration tool confiture';

-- name: format_version
-- One row, unless the table was changed manually.
SELECT version FROM confiture.format LIMIT 2;

-- name: history
-- Times as JSON, because the driver cannot parse times in every DateStyle.
-- Former formats do not have the columns project and target, texts, or inputs, so these names then refer to `former`.
SELECT m.position, m.version, m.name, m.state, m.origin, m.attempt::text AS attempt, m.checksum, m.chain, m.steps,
       m.of_texts AS texts, m.of_inputs AS inputs, to_json(m.applied_at) AS applied_at, m.applied_by, m.duration_ms, p.predicted_ms, p.low_ms,
       p.high_ms, p.measured_ms
FROM (SELECT 'default' AS project, '' AS target, NULL::jsonb AS texts, NULL::jsonb AS inputs) AS former
CROSS JOIN LATERAL (
    SELECT t.*, project AS of_project, target AS of_target, texts AS of_texts, inputs AS of_inputs
    FROM confiture.migrations t
) AS m
LEFT JOIN confiture.predictions p ON p.attempt = m.attempt
WHERE m.of_project = %(project)s AND m.of_target = %(target)s
ORDER BY m.position;

-- name: applied_versions
-- The versions that are applied. As above, formats 1 and 2 contain only the project `default`.
SELECT m.version
FROM (SELECT 'default' AS project, '' AS target) AS former
CROSS JOIN LATERAL (
    SELECT t.version, t.state, project AS of_project, target AS of_target
    FROM confiture.migrations t
) AS m
WHERE m.of_project = %(project)s AND m.of_target = %(target)s AND m.state = 'applied';

-- name: other_histories
-- The applied migrations in other projects. As above, formats 1 and 2 contain only the project `default`.
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

-- name: identities
SELECT project, target, environment, is_declared, is_protected, schema_name, search_path, to_json(since) AS since, set_by
FROM confiture.identity
ORDER BY project, target;

-- name: record_identity
-- A declared environment replaces the default environment. Protection is only ever added.
INSERT INTO confiture.identity AS i
    (project, target, environment, is_declared, is_protected, schema_name, search_path)
VALUES
    (%(project)s, %(target)s, %(environment)s, %(is_declared)s, %(is_protected)s, %(schema_name)s, %(search_path)s)
ON CONFLICT (project, target) DO UPDATE
SET environment = excluded.environment, is_declared = excluded.is_declared,
    is_protected = i.is_protected OR excluded.is_protected, since = clock_timestamp(), set_by = session_user
WHERE (excluded.is_declared AND NOT i.is_declared) OR (excluded.is_protected AND NOT i.is_protected);

-- name: set_identity
INSERT INTO confiture.identity
    (project, target, environment, is_declared, is_protected, schema_name, search_path)
VALUES
    (%(project)s, %(target)s, %(environment)s, %(is_declared)s, %(is_protected)s, %(schema_name)s, %(search_path)s)
ON CONFLICT (project, target) DO UPDATE
SET environment = excluded.environment, is_declared = excluded.is_declared, is_protected = excluded.is_protected,
    schema_name = excluded.schema_name, search_path = excluded.search_path, since = clock_timestamp(),
    set_by = session_user;

-- name: record_schema
-- A migration may have created or dropped the first schema on the search path. The migration may also have changed the
-- search path of this transaction, so do not use current_schema().
UPDATE confiture.identity AS i
SET schema_name = r.schema_name, search_path = %(search_path)s
FROM (
    SELECT (
        SELECT n.nspname::text
        FROM unnest(%(search_path)s::text[]) WITH ORDINALITY AS path (name, position)
        JOIN pg_namespace n ON n.nspname = path.name AND has_schema_privilege(n.oid, 'USAGE')
        ORDER BY path.position
        LIMIT 1
    ) AS schema_name
) AS r
WHERE i.project = %(project)s AND i.target = %(target)s AND i.schema_name IS DISTINCT FROM r.schema_name;

-- name: record_event
INSERT INTO confiture.history_events
    (project, target, event, environment, version, name, run, attempt, os_user, host, process, ci_run, ci_actor, commit,
     is_dirty, tool_version, reason, predicted_ms, low_ms, high_ms, duration_ms, details)
VALUES
    (%(project)s, %(target)s, %(event)s, %(environment)s, %(version)s, %(name)s, %(run)s, %(attempt)s, %(os_user)s, %(host)s,
     %(process)s, %(ci_run)s, %(ci_actor)s, %(commit)s, %(is_dirty)s, %(tool_version)s, %(reason)s, %(predicted_ms)s,
     %(low_ms)s, %(high_ms)s,
     CASE WHEN %(event)s = 'applied' OR %(event)s = 'undone'
          THEN coalesce(
              %(duration_ms)s, (SELECT sum(j.duration_ms) FROM confiture.journal j WHERE j.attempt = %(attempt)s))
          ELSE %(duration_ms)s END,
     %(details)s);

-- name: record_planned
-- now(): if this is the first run, these rows are inserted together with the first segment.
INSERT INTO confiture.history_events
    (project, target, at, event, environment, version, name, run, os_user, host, process, ci_run, ci_actor, commit, is_dirty,
     tool_version, reason, details)
SELECT %(project)s, %(target)s, now(), %(event)s, %(environment)s, m.version, m.name, %(run)s, %(os_user)s, %(host)s,
       %(process)s, %(ci_run)s, %(ci_actor)s, %(commit)s, %(is_dirty)s, %(tool_version)s, %(reason)s, %(details)s
FROM unnest(%(versions)s::text[], %(names)s::text[]) WITH ORDINALITY AS m (version, name, position)
ORDER BY m.position;

-- name: events
-- Newest first, including the events that happened under the former names of the project, and without those of another
-- project that had this name before.
WITH RECURSIVE names (project, before) AS (
    SELECT %(project)s::text, 9223372036854775807
    UNION
    SELECT e.details ->> 'project', e.number
    FROM names n
    JOIN confiture.history_events e ON e.project = n.project AND e.number < n.before
    WHERE e.event = 'adopted' AND e.target = %(target)s
),
bounds AS (
    SELECT n.project, n.before, (
        SELECT coalesce(max(e.number), 0)
        FROM confiture.history_events e
        WHERE e.event = 'adopted' AND e.target = %(target)s AND e.details ->> 'project' = n.project AND e.number < n.before
    ) AS after
    FROM names n
)
SELECT e.number, to_json(e.at) AS at, e.event, e.environment, e.version, e.name, e.run::text AS run,
       e.attempt::text AS attempt, e.role, e.os_user, e.host, e.process, e.ci_run, e.ci_actor, e.commit, e.is_dirty,
       e.tool_version, e.reason, e.predicted_ms, e.low_ms, e.high_ms, e.duration_ms, e.details
FROM bounds b
JOIN confiture.history_events e ON e.project = b.project AND e.number < b.before AND e.number > b.after
WHERE e.target = %(target)s
  AND (%(event)s::text IS NULL OR e.event = %(event)s)
  AND (%(since)s::timestamptz IS NULL OR e.at >= %(since)s)
ORDER BY e.number DESC;

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
-- The migration started with its first transaction, which is the current one.
INSERT INTO confiture.migrations
    (project, target, version, name, state, origin, attempt, checksum, chain, steps, texts, inputs, started_at,
     applied_at, applied_by, duration_ms)
VALUES
    (%(project)s, %(target)s, %(version)s, %(name)s, %(state)s, %(origin)s, %(attempt)s, %(checksum)s, %(chain)s, %(steps)s,
     %(texts)s, %(inputs)s, now(), CASE WHEN %(state)s = 'applied' THEN clock_timestamp() END, session_user, %(duration_ms)s);

-- name: finish_migration
-- The position is assigned at the end because the checksum chain follows it, and other migrations may have been applied
-- in the meantime.
UPDATE confiture.migrations
SET state = 'applied', checksum = %(checksum)s, chain = %(chain)s, steps = %(steps)s, texts = %(texts)s,
    inputs = %(inputs)s, name = %(name)s,    position = DEFAULT, applied_at = clock_timestamp(), applied_by = session_user,
    duration_ms = (SELECT sum(duration_ms) FROM confiture.journal WHERE attempt = %(attempt)s)
WHERE project = %(project)s AND target = %(target)s AND version = %(version)s;

-- name: store_texts
-- In the order of the hashes, so that two projects that store the same texts do not deadlock.
INSERT INTO confiture.texts (hash, content, bytes)
SELECT t.hash, t.content, t.bytes
FROM unnest(%(hashes)s::text[], %(contents)s::bytea[], %(bytes)s::integer[]) AS t (hash, content, bytes)
ORDER BY t.hash
ON CONFLICT (hash) DO NOTHING;

-- name: texts
SELECT hash, content
FROM confiture.texts
WHERE hash = ANY (%(hashes)s::text[]);

-- name: mark_reverting
UPDATE confiture.migrations
SET state = 'reverting', attempt = %(attempt)s
WHERE project = %(project)s AND target = %(target)s AND version = %(version)s;

-- name: unmark_reverting
-- Restore the former state: applied, or interrupted in `up`, with the attempt that reached that state.
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
-- Insert a migration together with its only segment and its event. This saves round trips for most migrations. The
-- migration started with this transaction.
WITH segment AS (
    INSERT INTO confiture.journal
        (project, target, attempt, segment, version, direction, state, fingerprint, steps, duration_ms)
    VALUES
        (%(project)s, %(target)s, %(attempt)s, %(segment)s, %(version)s, %(direction)s, 'done', %(fingerprint)s,
         %(segment_steps)s, %(duration_ms)s)
),
event AS (
    INSERT INTO confiture.history_events
        (project, target, event, environment, version, name, run, attempt, os_user, host, process, ci_run, ci_actor, commit,
         is_dirty, tool_version, reason, predicted_ms, low_ms, high_ms, duration_ms, details)
    VALUES
        (%(project)s, %(target)s, %(event)s, %(environment)s, %(version)s, %(name)s, %(run)s, %(attempt)s, %(os_user)s,
         %(host)s, %(process)s, %(ci_run)s, %(ci_actor)s, %(commit)s, %(is_dirty)s, %(tool_version)s, %(reason)s,
         %(predicted_ms)s, %(low_ms)s, %(high_ms)s, %(duration_ms)s, %(details)s)
)
INSERT INTO confiture.migrations
    (project, target, version, name, state, origin, attempt, checksum, chain, steps, texts, inputs, started_at,
     applied_at, applied_by, duration_ms)
VALUES
    (%(project)s, %(target)s, %(version)s, %(name)s, 'applied', %(origin)s, %(attempt)s, %(checksum)s, %(chain)s, %(steps)s,
     %(texts)s, %(inputs)s, now(), clock_timestamp(), session_user, %(duration_ms)s);

-- name: complete_intent
UPDATE confiture.journal
SET state = 'done', steps = %(steps)s, duration_ms = %(duration_ms)s,
    recorded_at = clock_timestamp(), recorded_by = session_user
WHERE attempt = %(attempt)s AND segment = %(segment)s AND state = 'intent';

-- name: lock_installation
-- Each project has its own lock, so creating or upgrading the tables requires a common lock.
SELECT pg_advisory_xact_lock(%(key)s);

-- name: owner_of_state
SELECT pg_get_userbyid(c.relowner) AS owner, pg_has_role(c.relowner, 'USAGE') AS is_ours
FROM pg_class c
WHERE c.oid = to_regclass('confiture.format');

-- name: rename_identity
-- If both names have an identity, the stricter protection stays.
WITH former AS (
    DELETE FROM confiture.identity WHERE project = %(old)s
    RETURNING target, environment, is_declared, is_protected, schema_name, search_path, since, set_by
)
INSERT INTO confiture.identity AS i
    (project, target, environment, is_declared, is_protected, schema_name, search_path, since, set_by)
SELECT %(new)s, target, environment, is_declared, is_protected, schema_name, search_path, since, set_by FROM former
ON CONFLICT (project, target) DO UPDATE
SET environment = excluded.environment, is_declared = excluded.is_declared,
    is_protected = i.is_protected OR excluded.is_protected, schema_name = excluded.schema_name,
    search_path = excluded.search_path, since = excluded.since, set_by = excluded.set_by;

-- name: rename_project
WITH journal AS (UPDATE confiture.journal SET project = %(new)s WHERE project = %(old)s),
     predictions AS (UPDATE confiture.predictions SET project = %(new)s WHERE project = %(old)s),
     reconciliations AS (UPDATE confiture.reconciliations SET project = %(new)s WHERE project = %(old)s),
     backfills AS (UPDATE confiture.backfills SET project = %(new)s WHERE project = %(old)s)
UPDATE confiture.migrations SET project = %(new)s WHERE project = %(old)s;

-- name: try_lock
SELECT pg_try_advisory_lock(%(key)s) AS locked;

-- name: lock_holder
SELECT a.pid, a.usename, a.application_name, a.client_addr::text AS client_addr,
       to_json(a.backend_start) AS backend_start
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.objsubid = 1 AND (l.classid::bigint << 32) + l.objid::bigint = %(key)s;

-- name: index_state
-- An index is in the same schema as its table. An unqualified name in a DROP is looked up on the search path.
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
-- A concurrent index build holds this lock on its table throughout. VACUUM does the same; autovacuum yields.
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
-- Constraints that are checked on commit and deferred again in the next transaction. SET CONSTRAINTS cannot distinguish
-- constraints with the same name, and cannot name those in an inaccessible schema or in another session's temporary
-- schema.
SELECT string_agg(name, ', ') AS everything, string_agg(name, ', ') FILTER (WHERE initially_deferred) AS deferred
FROM (
    SELECT quote_ident(n.nspname) || '.' || quote_ident(k.conname) AS name, bool_and(k.condeferred) AS initially_deferred
    FROM pg_constraint k
    JOIN pg_namespace n ON n.oid = k.connamespace
    WHERE has_schema_privilege(n.oid, 'USAGE') AND NOT pg_is_other_temp_schema(n.oid)
    GROUP BY n.nspname, k.conname
    HAVING bool_or(k.condeferrable)
) named;

-- name: follow_default_mode
-- A transaction that is read-only by default stays so: a real run would fail there.
SELECT set_config('transaction_read_only', 'on', true) WHERE current_setting('default_transaction_read_only') = 'on';

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
-- The schemas that contain comparison operators outside pg_catalog, by type, according to the default btree operator
-- class. A domain has the operators of its base type. The base types of domains are also returned.
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
),
below AS (
    SELECT t.oid AS type, t.typbasetype AS base FROM pg_type t WHERE t.typtype = 'd'
    UNION ALL
    SELECT b.type, t.typbasetype FROM below b JOIN pg_type t ON t.oid = b.base AND t.typtype = 'd'
)
SELECT format_type(t.oid, -1) AS name, quote_ident(s.nspname) || '.' || quote_ident(t.typname) AS full_name,
       n.nspname::text AS schema, format_type(b.base, -1) AS base
FROM pg_type t
JOIN pg_namespace s ON s.oid = t.typnamespace
LEFT JOIN compared c ON c.type = t.oid
LEFT JOIN pg_namespace n ON n.oid = c.namespace
LEFT JOIN (
    SELECT u.type, u.base FROM below u JOIN pg_type k ON k.oid = u.base AND k.typtype <> 'd'
) AS b ON b.type = t.oid
WHERE c.type IS NOT NULL OR b.type IS NOT NULL;

-- name: deadlocks
SELECT pg_stat_get_db_deadlocks(d.oid) AS deadlocks FROM pg_database AS d WHERE d.datname = current_database();
