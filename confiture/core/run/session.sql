-- name: session_settings_in_force
-- The settings made in this session, the roles, and custom settings, which pg_settings does not show.
SELECT made.name, made.setting, made.reset_val
FROM (
    SELECT s.name, s.setting, s.reset_val
    FROM pg_settings s
    WHERE s.source = 'session' AND s.context <> 'internal' AND s.name <> 'statement_timeout'
    UNION ALL
    SELECT r.name, current_setting(r.name), NULL
    FROM unnest(ARRAY['role', 'session_authorization']) AS r (name)
    UNION ALL
    SELECT c.name, coalesce(current_setting(c.name, true), ''), NULL
    FROM unnest(%(custom)s::text[]) AS c (name)
) AS made;

-- name: lift_statement_timeout
-- The statement timeout, which would also limit the queries below.
SELECT current_setting('statement_timeout') AS statement_timeout, set_config('statement_timeout', '0', true) AS lifted;

-- name: custom_settings_in_functions
-- The names of custom settings that functions make.
SELECT DISTINCT lower(m.found[1]) AS name
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
CROSS JOIN LATERAL regexp_matches(
    p.prosrc, '(?:set_config\s*\(\s*''|\mset\s+(?:session\s+|local\s+)?|\mreset\s+)([a-z_][\w$]*\.[a-z_][\w$]*)', 'gi'
) AS m (found)
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.prosrc LIKE '%%.%%';

-- name: functions_with_setting
-- The code of functions that may make a setting until the transaction ends.
SELECT p.prosrc AS code
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND strpos(lower(p.prosrc), %(name)s) > 0 AND p.prosrc ~* 'set_config|\mlocal\M';

-- name: session_objects
-- The objects that end with the session. An index belongs to its table, and the types of relations to the relations.
SELECT made.noun, made.name
FROM (
    SELECT CASE c.relkind
               WHEN 'v' THEN 'temporary view'
               WHEN 'S' THEN 'temporary sequence'
               WHEN 'c' THEN 'temporary type'
               ELSE 'temporary table'
           END AS noun, c.relname::text AS name
    FROM pg_class c
    WHERE pg_my_temp_schema() <> 0 AND c.relnamespace = pg_my_temp_schema() AND c.relkind NOT IN ('i', 'I', 't')
    UNION ALL
    SELECT 'temporary function', p.proname::text
    FROM pg_proc p
    WHERE pg_my_temp_schema() <> 0 AND p.pronamespace = pg_my_temp_schema()
    UNION ALL
    SELECT 'temporary type', t.typname::text
    FROM pg_type t
    WHERE pg_my_temp_schema() <> 0 AND t.typnamespace = pg_my_temp_schema() AND t.typrelid = 0 AND t.typelem = 0
    UNION ALL
    SELECT 'prepared statement', p.name FROM pg_prepared_statements p WHERE p.from_sql AND p.name <> %(own_statement)s
    UNION ALL
    SELECT 'cursor', c.name FROM pg_cursors c WHERE c.is_holdable AND c.name <> ''
    UNION ALL
    SELECT 'channel', l.name FROM pg_listening_channels() AS l (name)
) AS made;

-- name: release_session_locks
-- Release this session's advisory locks that do not end with the transaction, and return one row for each. PostgreSQL
-- releases only such locks, and does not show which ones they are.
SELECT r.released
FROM (
    SELECT CASE
               WHEN l.objsubid = 1 AND l.mode = 'ExclusiveLock'
                   THEN pg_advisory_unlock((l.classid::bigint << 32) | l.objid::bigint)
               WHEN l.objsubid = 1 THEN pg_advisory_unlock_shared((l.classid::bigint << 32) | l.objid::bigint)
               WHEN l.mode = 'ExclusiveLock'
                   THEN pg_advisory_unlock(l.classid::bigint::bit(32)::int, l.objid::bigint::bit(32)::int)
               ELSE pg_advisory_unlock_shared(l.classid::bigint::bit(32)::int, l.objid::bigint::bit(32)::int)
           END AS released
    FROM pg_locks l
    WHERE l.locktype = 'advisory' AND l.granted AND l.pid = pg_backend_pid()
) AS r
WHERE r.released;

-- name: login_settings
-- The settings with which new sessions of a role in this database begin, those that take precedence last.
SELECT s.setdatabase <> 0 AS of_database, s.setrole <> 0 AS of_role, split_part(c.setting, '=', 1) AS name,
       substr(c.setting, strpos(c.setting, '=') + 1) AS value,
       coalesce(g.context = 'user', true)
           OR current_setting('is_superuser')::bool AS can_be_set
FROM pg_db_role_setting s
CROSS JOIN LATERAL unnest(s.setconfig) AS c (setting)
LEFT JOIN pg_settings g ON g.name = split_part(c.setting, '=', 1)
WHERE s.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
  AND s.setrole IN (0, (SELECT r.oid FROM pg_roles r WHERE r.rolname = %(role)s))
ORDER BY s.setrole <> 0, s.setdatabase <> 0, c.setting;

-- name: login_session
-- The role that connected, and the settings that a trigger on the connection made, which RESET ALL would remove.
SELECT session_user::text AS login, current_setting('role') AS role,
       ARRAY(SELECT ARRAY[s.name, s.setting] FROM pg_settings s WHERE s.source = 'session' AND s.context <> 'internal')
           AS settings;

-- name: connection_limits
-- The free connections for a role: by its own limit, the limit of the database, and the server's. Negative limits are
-- unlimited, and superusers have none of the first two.
SELECT CASE WHEN r.rolsuper OR r.rolconnlimit < 0 THEN NULL
            ELSE r.rolconnlimit - (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid
                                   AND a.backend_type = 'client backend')
       END AS of_role,
       CASE WHEN r.rolsuper OR d.datconnlimit < 0 THEN NULL
            ELSE d.datconnlimit - (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid
                                   AND a.backend_type = 'client backend')
       END AS of_database,
       current_setting('max_connections')::int
           - CASE WHEN r.rolsuper THEN 0
                  ELSE current_setting('superuser_reserved_connections')::int
             END
           - (SELECT count(*) FROM pg_stat_activity a WHERE a.backend_type = 'client backend') AS of_server
FROM pg_roles r, pg_database d
WHERE r.rolname = session_user AND d.datname = current_database();
