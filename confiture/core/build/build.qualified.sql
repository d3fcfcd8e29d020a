-- name: build_settings
SET client_min_messages TO warning;
SET idle_session_timeout TO 0;
SET idle_in_transaction_session_timeout TO 0;
SET statement_timeout TO 0;
SET lock_timeout TO {lock_timeout};
SET client_connection_check_interval TO {client_check_ms};
SET check_function_bodies TO {check_function_bodies};

-- name: changed_shared_objects
SELECT l.relation::pg_catalog.regclass::pg_catalog.text AS catalog FROM pg_catalog.pg_locks l WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.locktype OPERATOR(pg_catalog.=) 'relation' AND l.database OPERATOR(pg_catalog.=) 0 AND l.granted AND (l.mode OPERATOR(pg_catalog.=) 'RowExclusiveLock' OR l.mode OPERATOR(pg_catalog.=) 'ShareRowExclusiveLock' OR l.mode OPERATOR(pg_catalog.=) 'ExclusiveLock' OR l.mode OPERATOR(pg_catalog.=) 'AccessExclusiveLock') ORDER BY 1;

-- name: lock_build
SELECT pg_catalog.pg_advisory_xact_lock(%(locks)s, 0);

-- name: existing_objects
WITH candidate(classid, objid) AS (((((((((((((((((((((((SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass, n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.<>) 'public' AND n.nspname OPERATOR(pg_catalog.!~) '^pg_(toast|temp)' AND NOT EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE e.extnamespace OPERATOR(pg_catalog.=) n.oid) UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid FROM pg_catalog.pg_class c WHERE (c.relkind OPERATOR(pg_catalog.=) 'r' OR c.relkind OPERATOR(pg_catalog.=) 'p' OR c.relkind OPERATOR(pg_catalog.=) 'v' OR c.relkind OPERATOR(pg_catalog.=) 'm' OR c.relkind OPERATOR(pg_catalog.=) 'S' OR c.relkind OPERATOR(pg_catalog.=) 'f' OR c.relkind OPERATOR(pg_catalog.=) 'c') AND c.relpersistence OPERATOR(pg_catalog.<>) 't') UNION ALL SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid FROM pg_catalog.pg_type t WHERE t.typtype OPERATOR(pg_catalog.=) 'b' OR t.typtype OPERATOR(pg_catalog.=) 'd' OR t.typtype OPERATOR(pg_catalog.=) 'e' OR t.typtype OPERATOR(pg_catalog.=) 'r') UNION ALL SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid FROM pg_catalog.pg_proc p) UNION ALL SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass, o.oid FROM pg_catalog.pg_operator o) UNION ALL SELECT 'pg_catalog.pg_opclass'::pg_catalog.regclass, o.oid FROM pg_catalog.pg_opclass o) UNION ALL SELECT 'pg_catalog.pg_opfamily'::pg_catalog.regclass, o.oid FROM pg_catalog.pg_opfamily o) UNION ALL SELECT 'pg_catalog.pg_cast'::pg_catalog.regclass, c.oid FROM pg_catalog.pg_cast c) UNION ALL SELECT 'pg_catalog.pg_collation'::pg_catalog.regclass, c.oid FROM pg_catalog.pg_collation c) UNION ALL SELECT 'pg_catalog.pg_conversion'::pg_catalog.regclass, c.oid FROM pg_catalog.pg_conversion c) UNION ALL SELECT 'pg_catalog.pg_ts_config'::pg_catalog.regclass, c.oid FROM pg_catalog.pg_ts_config c) UNION ALL SELECT 'pg_catalog.pg_ts_dict'::pg_catalog.regclass, d.oid FROM pg_catalog.pg_ts_dict d) UNION ALL SELECT 'pg_catalog.pg_ts_parser'::pg_catalog.regclass, p.oid FROM pg_catalog.pg_ts_parser p) UNION ALL SELECT 'pg_catalog.pg_ts_template'::pg_catalog.regclass, t.oid FROM pg_catalog.pg_ts_template t) UNION ALL SELECT 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, s.oid FROM pg_catalog.pg_statistic_ext s) UNION ALL SELECT 'pg_catalog.pg_language'::pg_catalog.regclass, l.oid FROM pg_catalog.pg_language l) UNION ALL SELECT 'pg_catalog.pg_transform'::pg_catalog.regclass, t.oid FROM pg_catalog.pg_transform t) UNION ALL SELECT 'pg_catalog.pg_am'::pg_catalog.regclass, a.oid FROM pg_catalog.pg_am a) UNION ALL SELECT 'pg_catalog.pg_event_trigger'::pg_catalog.regclass, t.oid FROM pg_catalog.pg_event_trigger t) UNION ALL SELECT 'pg_catalog.pg_publication'::pg_catalog.regclass, p.oid FROM pg_catalog.pg_publication p) UNION ALL SELECT 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass, f.oid FROM pg_catalog.pg_foreign_data_wrapper f) UNION ALL SELECT 'pg_catalog.pg_foreign_server'::pg_catalog.regclass, f.oid FROM pg_catalog.pg_foreign_server f) UNION ALL SELECT 'pg_catalog.pg_user_mapping'::pg_catalog.regclass, u.umid FROM pg_catalog.pg_user_mappings u) UNION ALL SELECT 'pg_catalog.pg_largeobject'::pg_catalog.regclass, l.oid FROM pg_catalog.pg_largeobject_metadata l) SELECT i.type, i.identity FROM candidate c, LATERAL pg_catalog.pg_identify_object(c.classid, c.objid, 0) i WHERE c.objid OPERATOR(pg_catalog.>=) 16384 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid OPERATOR(pg_catalog.=) c.classid AND d.objid OPERATOR(pg_catalog.=) c.objid AND (d.deptype OPERATOR(pg_catalog.=) 'e' OR d.deptype OPERATOR(pg_catalog.=) 'i' OR d.deptype OPERATOR(pg_catalog.=) 'a')) ORDER BY i.type, i.identity;

-- name: template_database
SELECT pg_catalog.shobj_description(d.oid, 'pg_database') AS comment, pg_catalog.pg_get_userbyid(d.datdba)::pg_catalog.text AS owner, d.datistemplate AS is_template FROM pg_catalog.pg_database d WHERE d.datname OPERATOR(pg_catalog.=) %(name)s;

-- name: lock_template
SELECT pg_catalog.pg_advisory_lock(%(locks)s, pg_catalog.hashtext(%(name)s));

-- name: unlock_template
SELECT pg_catalog.pg_advisory_unlock(%(locks)s, pg_catalog.hashtext(%(name)s));
