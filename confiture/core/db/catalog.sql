-- These queries run in one transaction with search_path `public`, so that only other schemas are printed. The queries
-- omit objects that belong to extensions, the server or Confiture.

-- name: catalog_schemas
SELECT n.nspname::text AS name
FROM pg_namespace n
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'confiture')
ORDER BY 1;

-- name: catalog_extensions
SELECT extname::text AS name FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1;

-- name: catalog_relations
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       c.relpersistence::text AS persistence, c.relrowsecurity AS row_security, c.relforcerowsecurity AS force_row_security,
       CASE c.relreplident WHEN 'd' THEN 'default' WHEN 'f' THEN 'full' WHEN 'n' THEN 'nothing' ELSE coalesce((
           SELECT 'index ' || x.relname
           FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
           WHERE i.indrelid = c.oid AND i.indisreplident
       ), 'nothing') END AS replica_identity,
       pg_get_partkeydef(c.oid) AS partition_key, pg_get_expr(c.relpartbound, c.oid) AS partition_bound,
       obj_description(c.oid, 'pg_class') AS comment,
       CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END AS query,
       coalesce('security_invoker=true' = ANY (c.reloptions) OR 'security_invoker=on' = ANY (c.reloptions), false)
           AS security_invoker,
       ARRAY(
           SELECT i.inhparent::bigint FROM pg_inherits i WHERE i.inhrelid = c.oid ORDER BY i.inhseqno
       ) AS parents,
       ARRAY(
           SELECT DISTINCT d.refobjid::bigint
           FROM pg_rewrite r
           JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
           WHERE r.ev_class = c.oid AND c.relkind IN ('v', 'm')
             AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid
           ORDER BY 1
       ) AS reads,
       (
           SELECT ARRAY[d.refobjid::bigint::text, a.attname::text]
           FROM pg_depend d
           JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
           WHERE c.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = c.oid
             AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
           LIMIT 1
       ) AS owner
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'confiture')
  AND NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
  )
ORDER BY c.oid;

-- name: catalog_columns
SELECT a.attrelid::bigint AS relation, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
       a.attnotnull AND coalesce(k.convalidated, true) AS not_null, k.conname::text AS not_null_constraint,
       pg_get_expr(d.adbin, d.adrelid) AS default,
       CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END AS identity,
       CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' END AS generated,
       CASE WHEN a.attcollation <> t.typcollation THEN l.collname::text END AS collation,
       col_description(a.attrelid, a.attnum) AS comment
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_collation l ON l.oid = a.attcollation
LEFT JOIN pg_constraint k ON k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] -- since 18
WHERE a.attrelid::bigint = ANY (%(relations)s::bigint[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum;

-- name: catalog_constraints
SELECT k.conrelid::bigint AS relation, k.conname::text AS name, k.contype::text AS kind,
       ARRAY(
           SELECT a.attname::text
           FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, position)
           JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum
           ORDER BY u.position
       ) AS columns,
       CASE WHEN k.contype = 'c' THEN pg_get_expr(k.conbin, k.conrelid) END AS expression,
       nullif(k.confrelid, 0)::bigint AS target,
       ARRAY(
           SELECT a.attname::text
           FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, position)
           JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum
           ORDER BY u.position
       ) AS target_columns,
       k.confupdtype::text AS on_update, k.confdeltype::text AS on_delete,
       k.convalidated AS validated, k.condeferrable AS deferrable, obj_description(k.oid, 'pg_constraint') AS comment
FROM pg_constraint k
WHERE k.conrelid::bigint = ANY (%(relations)s::bigint[]) AND k.contype IN ('p', 'u', 'f', 'c', 'x')
ORDER BY k.oid;

-- name: catalog_indexes
SELECT i.indrelid::bigint AS relation, c.relname::text AS name, m.amname::text AS method,
       ARRAY(
           SELECT a.attname::text
           FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS u (attnum, position)
           LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.attnum AND u.attnum <> 0
           ORDER BY u.position
       ) AS columns,
       i.indnkeyatts AS keys,
       ARRAY(
           SELECT pg_get_indexdef(i.indexrelid, u.position::integer, true)
           FROM unnest(i.indkey::smallint[]) WITH ORDINALITY AS u (attnum, position)
           WHERE u.attnum = 0
           ORDER BY u.position
       ) AS expressions,
       ARRAY(
           SELECT concat_ws(
               ' ',
               CASE WHEN u.collation_oid <> coalesce(a.attcollation, l.oid) THEN 'COLLATE ' || quote_ident(l.collname) END,
               CASE WHEN NOT o.opcdefault THEN quote_ident(o.opcname) END,
               CASE WHEN u.flags & 1 = 1 THEN 'DESC' END,
               CASE u.flags WHEN 1 THEN 'NULLS LAST' WHEN 2 THEN 'NULLS FIRST' END
           )
           FROM unnest(i.indclass::oid[], i.indcollation::oid[], i.indoption::smallint[]) WITH ORDINALITY
               AS u (class, collation_oid, flags, position)
           JOIN pg_opclass o ON o.oid = u.class
           LEFT JOIN pg_collation l ON l.oid = u.collation_oid
           LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[u.position - 1] AND a.attnum <> 0
           ORDER BY u.position
       ) AS key_options,
       coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) AS nulls_not_distinct, -- since 15
       i.indisunique AS unique, pg_get_expr(i.indpred, i.indrelid) AS predicate, i.indisvalid AS valid,
       (
           SELECT k.conname::text
           FROM pg_constraint k
           WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
           LIMIT 1
       ) AS constraint,
       obj_description(i.indexrelid, 'pg_class') AS comment
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
JOIN pg_am m ON m.oid = c.relam
WHERE i.indrelid::bigint = ANY (%(relations)s::bigint[])
ORDER BY i.indexrelid;

-- name: catalog_policies
SELECT p.polrelid::bigint AS relation, p.polname::text AS name,
       CASE p.polcmd WHEN '*' THEN 'all' WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert' WHEN 'w' THEN 'update'
                     WHEN 'd' THEN 'delete' END AS command,
       p.polpermissive AS permissive,
       ARRAY(SELECT r.rolname::text FROM pg_roles r WHERE r.oid = ANY (p.polroles) ORDER BY 1) AS roles,
       pg_get_expr(p.polqual, p.polrelid) AS using, pg_get_expr(p.polwithcheck, p.polrelid) AS with_check
FROM pg_policy p
WHERE p.polrelid::bigint = ANY (%(relations)s::bigint[])
ORDER BY p.oid;

-- name: catalog_triggers
SELECT t.tgrelid::bigint AS relation, t.tgname::text AS name, n.nspname::text AS function_schema,
       f.proname::text AS function, t.tgtype::integer AS type
FROM pg_trigger t
JOIN pg_proc f ON f.oid = t.tgfoid
JOIN pg_namespace n ON n.oid = f.pronamespace
WHERE t.tgrelid::bigint = ANY (%(relations)s::bigint[]) AND NOT t.tgisinternal
ORDER BY t.oid;

-- name: catalog_types
SELECT n.nspname::text AS schema, t.typname::text AS name, t.typtype::text AS kind,
       format_type(nullif(t.typbasetype, 0), t.typtypmod) AS base, t.typnotnull AS not_null, t.typdefault AS default,
       (SELECT format_type(r.rngsubtype, NULL) FROM pg_range r WHERE r.rngtypid = t.oid) AS subtype,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) AS labels,
       ARRAY(
           SELECT ARRAY[a.attname::text, format_type(a.atttypid, a.atttypmod)]
           FROM pg_attribute a
           WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
           ORDER BY a.attnum
       ) AS attributes,
       ARRAY(
           SELECT ARRAY[k.conname::text, pg_get_expr(k.conbin, 0), k.convalidated::text]
           FROM pg_constraint k
           WHERE k.contypid = t.oid AND k.contype = 'c'
           ORDER BY k.oid
       ) AS checks
FROM pg_type t
JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE (t.typtype IN ('e', 'd', 'r') OR t.typtype = 'c' AND c.relkind = 'c')
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'confiture')
  AND NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
  )
ORDER BY t.oid;

-- name: catalog_functions
SELECT n.nspname::text AS schema, p.proname::text AS name,
       ARRAY(
           SELECT format_type(u.type, NULL)
           FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS u (type, position)
           ORDER BY u.position
       ) AS arguments,
       CASE WHEN p.prokind <> 'p' THEN pg_get_function_result(p.oid) END AS returns, l.lanname::text AS language,
       CASE p.provolatile WHEN 'v' THEN 'volatile' WHEN 's' THEN 'stable' ELSE 'immutable' END AS volatility,
       p.prosecdef AS security_definer, coalesce(p.proconfig, '{}') AS settings,
       coalesce(pg_get_function_sqlbody(p.oid), p.prosrc) AS body,
       p.proacl IS NULL OR EXISTS (
           SELECT FROM aclexplode(p.proacl) x WHERE x.grantee = 0 AND x.privilege_type = 'EXECUTE'
       ) AS public_execute, obj_description(p.oid, 'pg_proc') AS comment
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_language l ON l.oid = p.prolang
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'confiture') AND p.prokind IN ('f', 'p', 'w')
  AND NOT EXISTS (
      -- belongs to an extension, or is a range type's constructor
      SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i')
  )
ORDER BY p.oid;

-- name: catalog_grants
-- Privileges granted to roles other than the owner, without the defaults present in every database.
SELECT g.kind, g.object, coalesce(r.rolname::text, 'public') AS grantee, lower(x.privilege_type) AS privilege
FROM (
    SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind, c.oid::regclass::text AS object,
           c.relacl AS acl, c.relowner AS owner
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'confiture')
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text, p.proacl, p.proowner
    FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'confiture')
    UNION ALL
    SELECT 'schema', n.nspname::text, n.nspacl, n.nspowner
    FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'confiture')
    UNION ALL
    SELECT 'type', t.oid::regtype::text, t.typacl, t.typowner
    FROM pg_type t
    JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'confiture')
) AS g
CROSS JOIN LATERAL aclexplode(g.acl) AS x
LEFT JOIN pg_roles r ON r.oid = x.grantee
WHERE x.grantee <> g.owner AND NOT (g.kind = 'schema' AND g.object = 'public' AND x.privilege_type = 'USAGE')
ORDER BY 1, 2, 3, 4;

-- name: catalog_table_rows
-- Each table's row count as of the last VACUUM or ANALYZE.
SELECT n.nspname::text AS schema, c.relname::text AS name, c.reltuples::bigint AS rows
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND c.reltuples >= 0
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'confiture')
  AND NOT EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
  );
