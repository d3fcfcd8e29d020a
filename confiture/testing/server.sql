-- name: rights
SELECT current_user AS role, r.rolcreatedb OR r.rolsuper AS may FROM pg_roles r WHERE r.rolname = current_user;

-- name: left_behind
SELECT d.datname::text AS name
FROM pg_database d
WHERE d.datname ~ '^confiture_test_[0-9]+_[0-9a-f]{8}_[0-9]+$' AND pg_get_userbyid(d.datdba) = current_user
  AND NOT EXISTS (
      SELECT FROM pg_locks l
      WHERE l.locktype = 'advisory' AND l.classid = %(locks)s
        AND l.objid::bigint = ('x' || substring(d.datname, '_([0-9a-f]{8})_[0-9]+$'))::bit(32)::bigint
  );

-- name: sessions
SELECT count(*) AS sessions FROM pg_stat_activity a WHERE a.datname = %(name)s;

-- name: reload
SELECT pg_reload_conf();

-- name: lock
SELECT pg_advisory_lock(%(locks)s, %(session)s);
