-- name: rights
SELECT current_user AS role, r.rolcreatedb OR r.rolsuper AS may FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) current_user;

-- name: left_behind
SELECT d.datname::pg_catalog.text AS name FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.~) '^confiture_test_[0-9]+_[0-9a-f]{8}_[0-9]+$' AND pg_catalog.pg_get_userbyid(d.datdba) OPERATOR(pg_catalog.=) current_user AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.classid OPERATOR(pg_catalog.=) %(locks)s AND l.objid::bigint OPERATOR(pg_catalog.=) ('x' OPERATOR(pg_catalog.||) pg_catalog."substring"(d.datname, '_([0-9a-f]{8})_[0-9]+$'))::pg_catalog.bit(32)::bigint);

-- name: sessions
SELECT pg_catalog.count(*) AS sessions FROM pg_catalog.pg_stat_activity a WHERE a.datname OPERATOR(pg_catalog.=) %(name)s;

-- name: reload
SELECT pg_catalog.pg_reload_conf();

-- name: lock
SELECT pg_catalog.pg_advisory_lock(%(locks)s, %(session)s);
