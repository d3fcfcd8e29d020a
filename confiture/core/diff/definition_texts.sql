-- name: print_view
SELECT pg_get_viewdef(%(name)s::regclass);

-- name: print_constraint
SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k WHERE k.conname = %(name)s;

-- name: print_index
SELECT pg_get_indexdef(%(name)s::regclass);

-- name: print_trigger
SELECT pg_get_triggerdef(g.oid)
FROM pg_trigger g
WHERE g.tgrelid = %(table)s::regclass AND NOT g.tgisinternal AND g.tgname <> %(other)s
ORDER BY g.oid DESC
LIMIT 1;

-- name: print_rule
SELECT pg_get_ruledef(r.oid)
FROM pg_rewrite r
WHERE r.ev_class = %(table)s::regclass AND r.rulename NOT IN ('_RETURN', %(other)s)
ORDER BY r.oid DESC
LIMIT 1;

-- name: print_function
SELECT pg_get_functiondef(%(name)s::regprocedure);

-- name: print_statistics
SELECT pg_get_statisticsobjdef(s.oid) FROM pg_statistic_ext s WHERE s.stxname <> %(other)s ORDER BY s.oid DESC LIMIT 1;
