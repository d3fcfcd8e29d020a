-- name: left_behind
SELECT d.datname::pg_catalog.text AS name FROM pg_catalog.pg_database d WHERE (d.datname OPERATOR(pg_catalog.~) '^confiture_[a-z]+_[a-z0-9]+_[0-9]{8}t[0-9]{6}_[0-9a-f]{8}_[0-9]+$' OR d.datname OPERATOR(pg_catalog.~) '^confiture_test_[0-9]+_[0-9a-f]{8}_[0-9]+$') AND pg_catalog.pg_get_userbyid(d.datdba) OPERATOR(pg_catalog.=) current_user AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.classid OPERATOR(pg_catalog.=) %(locks)s AND l.objid::bigint OPERATOR(pg_catalog.=) ('x' OPERATOR(pg_catalog.||) pg_catalog."substring"(d.datname, '_([0-9a-f]{8})_[0-9]+$'))::pg_catalog.bit(32)::bigint);

-- name: creation_right
SELECT current_user::pg_catalog.text AS role, r.rolcreatedb OR r.rolsuper AS can_create_databases FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) current_user;

-- name: database_sessions
SELECT pg_catalog.count(*) AS sessions FROM pg_catalog.pg_stat_activity a WHERE a.datname OPERATOR(pg_catalog.=) %(name)s;

-- name: reload_configuration
SELECT pg_catalog.pg_reload_conf();

-- name: lock_throwaway_session
SELECT pg_catalog.pg_advisory_lock(%(locks)s, %(session)s);

-- name: target_profile
SELECT pg_catalog.pg_encoding_to_char(d.encoding)::pg_catalog.text AS encoding, d.datcollate::pg_catalog.text AS "collate", d.datctype::pg_catalog.text AS ctype, d.datlocprovider::pg_catalog.text AS provider, COALESCE(pg_catalog.to_jsonb(d) OPERATOR(pg_catalog.->>) 'datlocale', pg_catalog.to_jsonb(d) OPERATOR(pg_catalog.->>) 'daticulocale') AS locale, pg_catalog.to_jsonb(d) OPERATOR(pg_catalog.->>) 'daticurules' AS icu_rules, pg_catalog.current_setting('server_version_num')::int AS version_number, current_user::pg_catalog.text AS role, (r.rolcreatedb OR r.rolsuper) AND NOT pg_catalog.pg_is_in_recovery() AND NOT pg_catalog.current_setting('default_transaction_read_only')::boolean AS can_create_databases FROM pg_catalog.pg_database d, pg_catalog.pg_roles r WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database() AND r.rolname OPERATOR(pg_catalog.=) current_user;

-- name: installed_extensions
SELECT e.extname::pg_catalog.text AS name, e.extversion AS version, n.nspname::pg_catalog.text AS schema FROM pg_catalog.pg_extension e, pg_catalog.pg_namespace n WHERE n.oid OPERATOR(pg_catalog.=) e.extnamespace AND e.extname OPERATOR(pg_catalog.<>) 'plpgsql' ORDER BY e.oid;

-- name: available_extensions
SELECT e.name::pg_catalog.text AS name FROM pg_catalog.pg_available_extensions e;

-- name: roles_of_database
SELECT DISTINCT r.rolname::pg_catalog.text AS name FROM pg_catalog.pg_shdepend s, pg_catalog.pg_database d, pg_catalog.pg_roles r WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database() AND s.dbid OPERATOR(pg_catalog.=) d.oid AND s.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_authid'::pg_catalog.regclass AND r.oid OPERATOR(pg_catalog.=) s.refobjid ORDER BY 1;

-- name: existing_roles
SELECT r.rolname::pg_catalog.text AS name FROM pg_catalog.pg_roles r;

-- name: database_settings
SELECT s.name, s.setting AS value FROM pg_catalog.pg_settings s WHERE s.context OPERATOR(pg_catalog.=) 'user' AND (s.source OPERATOR(pg_catalog.=) 'database' OR s.source OPERATOR(pg_catalog.=) 'database user');

-- name: search_path_setting
SELECT pg_catalog.current_setting('search_path') AS value;

-- name: set_setting
SELECT pg_catalog.set_config(%(name)s, %(value)s, false);
