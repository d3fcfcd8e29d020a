-- name: build_settings
-- The settings of a build session, also after RESET ALL.
SET client_min_messages = warning;
SET idle_session_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET statement_timeout = 0;
SET lock_timeout = {lock_timeout};
SET client_connection_check_interval = {client_check_ms};
SET check_function_bodies = {check_function_bodies};

-- name: shared_catalog_changes
-- How many rows this session has changed in the catalogs that all databases share, also if PostgreSQL releases the lock
-- early. A database's objects add rows to pg_shdepend, and event triggers change the database's own row.
SELECT c.relname::text AS catalog,
       pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
           + pg_stat_get_xact_tuples_deleted(c.oid) AS changes
FROM pg_class c
WHERE c.relisshared AND c.relkind = 'r' AND c.relname NOT IN ('pg_shdepend', 'pg_database');

-- name: changed_shared_objects
-- What this transaction has changed outside its database. PostgreSQL keeps locks until the end of a transaction that
-- creates, alters or comments on a shared object, but not if it changes privileges or owners. Visible rows of a
-- transaction in progress are this transaction's own, or of one of its subtransactions, whose numbers are higher.
-- Older rows, whose numbers are compared modulo 2^32, are excluded by their distance.
WITH own AS (
    SELECT pg_current_xact_id()::text::bigint AS xid
), written (catalog, xmin) AS (
    SELECT 'pg_database', d.xmin FROM pg_database d WHERE d.datname <> current_database()
    UNION ALL SELECT 'pg_tablespace', t.xmin FROM pg_tablespace t
    UNION ALL SELECT 'pg_parameter_acl', a.xmin FROM pg_parameter_acl a
    UNION ALL SELECT 'pg_auth_members', m.xmin FROM pg_auth_members m
    UNION ALL SELECT 'pg_db_role_setting', s.xmin FROM pg_db_role_setting s
    UNION ALL SELECT 'pg_shdescription', d.xmin FROM pg_shdescription d
    UNION ALL SELECT 'pg_shseclabel', l.xmin FROM pg_shseclabel l
    UNION ALL
    SELECT 'pg_shdepend', s.xmin FROM pg_shdepend s
    WHERE s.dbid <> (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
), distance (catalog, xid, later) AS (
    SELECT w.catalog, o.xid, (w.xmin::text::bigint - o.xid % 4294967296 + 4294967296) % 4294967296
    FROM written w, own o
)
SELECT d.catalog
FROM distance d
WHERE CASE WHEN d.later < 100000000 THEN pg_xact_status((d.xid + d.later)::text::xid8) = 'in progress' ELSE false END
UNION
SELECT l.relation::regclass::text
FROM pg_locks l
WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.database = 0 AND l.granted
  AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
ORDER BY 1;

-- name: lock_build
-- Two builds of the same database run one after the other: the second finds it not empty.
SELECT pg_advisory_xact_lock(%(locks)s, 0);

-- name: existing_objects
-- The objects that a new database does not have, without parts of other objects, members of extensions, and schemas
-- made for extensions. initdb gives its objects numbers below 16384.
WITH candidate (classid, objid) AS (
    SELECT 'pg_namespace'::regclass, n.oid FROM pg_namespace n
    WHERE n.nspname <> 'public' AND n.nspname !~ '^pg_(toast|temp)'
      AND NOT EXISTS (SELECT FROM pg_extension e WHERE e.extnamespace = n.oid)
    UNION ALL
    SELECT 'pg_class'::regclass, c.oid FROM pg_class c
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') AND c.relpersistence <> 't'
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid FROM pg_type t WHERE t.typtype IN ('b', 'd', 'e', 'r')
    UNION ALL SELECT 'pg_proc'::regclass, p.oid FROM pg_proc p
    UNION ALL SELECT 'pg_operator'::regclass, o.oid FROM pg_operator o
    UNION ALL SELECT 'pg_opclass'::regclass, o.oid FROM pg_opclass o
    UNION ALL SELECT 'pg_opfamily'::regclass, o.oid FROM pg_opfamily o
    UNION ALL SELECT 'pg_cast'::regclass, c.oid FROM pg_cast c
    UNION ALL SELECT 'pg_collation'::regclass, c.oid FROM pg_collation c
    UNION ALL SELECT 'pg_conversion'::regclass, c.oid FROM pg_conversion c
    UNION ALL SELECT 'pg_ts_config'::regclass, c.oid FROM pg_ts_config c
    UNION ALL SELECT 'pg_ts_dict'::regclass, d.oid FROM pg_ts_dict d
    UNION ALL SELECT 'pg_ts_parser'::regclass, p.oid FROM pg_ts_parser p
    UNION ALL SELECT 'pg_ts_template'::regclass, t.oid FROM pg_ts_template t
    UNION ALL SELECT 'pg_statistic_ext'::regclass, s.oid FROM pg_statistic_ext s
    UNION ALL SELECT 'pg_language'::regclass, l.oid FROM pg_language l
    UNION ALL SELECT 'pg_transform'::regclass, t.oid FROM pg_transform t
    UNION ALL SELECT 'pg_am'::regclass, a.oid FROM pg_am a
    UNION ALL SELECT 'pg_event_trigger'::regclass, t.oid FROM pg_event_trigger t
    UNION ALL SELECT 'pg_publication'::regclass, p.oid FROM pg_publication p
    UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, f.oid FROM pg_foreign_data_wrapper f
    UNION ALL SELECT 'pg_foreign_server'::regclass, f.oid FROM pg_foreign_server f
    UNION ALL SELECT 'pg_user_mapping'::regclass, u.umid FROM pg_user_mappings u
    UNION ALL SELECT 'pg_largeobject'::regclass, l.oid FROM pg_largeobject_metadata l
)
SELECT i.type, i.identity
FROM candidate c, LATERAL pg_identify_object(c.classid, c.objid, 0) i
WHERE c.objid >= 16384
  AND NOT EXISTS (
      SELECT FROM pg_depend d
      WHERE d.classid = c.classid AND d.objid = c.objid AND d.deptype IN ('e', 'i', 'a')
  )
ORDER BY i.type, i.identity;

-- name: template_database
-- The comment and the owner of a database.
SELECT shobj_description(d.oid, 'pg_database') AS comment,
       pg_get_userbyid(d.datdba)::text AS owner,
       d.datistemplate AS is_template
FROM pg_database d
WHERE d.datname = %(name)s;

-- name: lock_template
SELECT pg_advisory_lock(%(locks)s, hashtext(%(name)s));

-- name: unlock_template
SELECT pg_advisory_unlock(%(locks)s, hashtext(%(name)s));
