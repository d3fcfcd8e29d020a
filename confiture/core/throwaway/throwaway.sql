-- name: left_behind
-- The throwaway databases of this role whose session no longer holds its lock. Earlier versions wrote the names of test
-- databases in a shorter form.
SELECT d.datname::text AS name
FROM pg_database d
WHERE (d.datname ~ '^confiture_[a-z]+_[a-z0-9]+_[0-9]{8}t[0-9]{6}_[0-9a-f]{8}_[0-9]+$'
       OR d.datname ~ '^confiture_test_[0-9]+_[0-9a-f]{8}_[0-9]+$')
  AND pg_get_userbyid(d.datdba) = current_user
  AND NOT EXISTS (
      SELECT FROM pg_locks l
      WHERE l.locktype = 'advisory' AND l.classid = %(locks)s
        AND l.objid::bigint = ('x' || substring(d.datname, '_([0-9a-f]{8})_[0-9]+$'))::bit(32)::bigint
  );

-- name: creation_right
SELECT current_user::text AS role, (r.rolcreatedb OR r.rolsuper) AS can_create_databases
FROM pg_roles r WHERE r.rolname = current_user;

-- name: database_sessions
SELECT count(*) AS sessions FROM pg_stat_activity a WHERE a.datname = %(name)s;

-- name: reload_configuration
SELECT pg_reload_conf();

-- name: lock_throwaway_session
SELECT pg_advisory_lock(%(locks)s, %(session)s);

-- name: target_profile
-- Columns that only some versions have are read as JSON.
SELECT pg_encoding_to_char(d.encoding)::text AS encoding,
       d.datcollate::text AS collate,
       d.datctype::text AS ctype,
       d.datlocprovider::text AS provider,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS locale,
       to_jsonb(d) ->> 'daticurules' AS icu_rules,
       current_setting('server_version_num')::int AS version_number,
       current_user::text AS role,
       (r.rolcreatedb OR r.rolsuper) AND NOT pg_is_in_recovery()
           AND NOT current_setting('default_transaction_read_only')::bool AS can_create_databases
FROM pg_database d, pg_roles r
WHERE d.datname = current_database() AND r.rolname = current_user;

-- name: installed_extensions
SELECT e.extname::text AS name, e.extversion AS version, n.nspname::text AS schema
FROM pg_extension e, pg_namespace n
WHERE n.oid = e.extnamespace AND e.extname <> 'plpgsql'
ORDER BY e.oid;

-- name: available_extensions
SELECT e.name::text AS name FROM pg_available_extensions e;

-- name: roles_of_database
-- The roles that own objects in this database, or have privileges on them.
SELECT DISTINCT r.rolname::text AS name
FROM pg_shdepend s, pg_database d, pg_roles r
WHERE d.datname = current_database() AND s.dbid = d.oid AND s.refclassid = 'pg_authid'::regclass AND r.oid = s.refobjid
ORDER BY 1;

-- name: existing_roles
SELECT r.rolname::text AS name FROM pg_roles r;

-- name: database_settings
-- The settings that apply in this database but not in a new one, and that any role may change.
SELECT s.name, s.setting AS value
FROM pg_settings s
WHERE s.context = 'user' AND s.source IN ('database', 'database user');

-- name: search_path_setting
SELECT current_setting('search_path') AS value;

-- name: set_setting
SELECT set_config(%(name)s, %(value)s, false);
