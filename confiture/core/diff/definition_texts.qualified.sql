-- name: print_view
SELECT pg_catalog.pg_get_viewdef(%(name)s::pg_catalog.regclass);

-- name: print_constraint
SELECT pg_catalog.pg_get_constraintdef(k.oid) FROM pg_catalog.pg_constraint k WHERE k.conname OPERATOR(pg_catalog.=) %(name)s;

-- name: print_index
SELECT pg_catalog.pg_get_indexdef(%(name)s::pg_catalog.regclass);

-- name: print_trigger
SELECT pg_catalog.pg_get_triggerdef(g.oid) FROM pg_catalog.pg_trigger g WHERE g.tgrelid OPERATOR(pg_catalog.=) %(table)s::pg_catalog.regclass AND NOT g.tgisinternal AND g.tgname OPERATOR(pg_catalog.<>) %(other)s ORDER BY g.oid DESC LIMIT 1;

-- name: print_rule
SELECT pg_catalog.pg_get_ruledef(r.oid) FROM pg_catalog.pg_rewrite r WHERE r.ev_class OPERATOR(pg_catalog.=) %(table)s::pg_catalog.regclass AND r.rulename OPERATOR(pg_catalog.<>) '_RETURN' AND r.rulename OPERATOR(pg_catalog.<>) %(other)s ORDER BY r.oid DESC LIMIT 1;

-- name: print_function
SELECT pg_catalog.pg_get_functiondef(%(name)s::pg_catalog.regprocedure);

-- name: print_statistics
SELECT pg_catalog.pg_get_statisticsobjdef(s.oid) FROM pg_catalog.pg_statistic_ext s WHERE s.stxname OPERATOR(pg_catalog.<>) %(other)s ORDER BY s.oid DESC LIMIT 1;
