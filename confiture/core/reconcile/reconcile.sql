-- name: reconciled_table
-- The table, its columns with the base types of domains, and its candidate keys, best first. String types are returned
-- without their length, because a cast to that length would truncate values that an INSERT would reject.
SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relname::text AS name,
       row_security_active(c.oid) AS hides_rows,
       (
           SELECT coalesce(jsonb_agg(jsonb_build_object(
                      'name', a.attname,
                      'type', format_type(t.base, CASE WHEN t.base <> ALL (
                          ARRAY['bpchar', 'varchar', 'bit', 'varbit', 'bpchar[]', 'varchar[]', 'bit[]', 'varbit[]']
                          ::regtype[]::oid[]
                      ) THEN t.modifier ELSE -1 END),
                      'is_builtin', t.base < 16384,
                      'is_collatable', (SELECT typcollation <> 0 FROM pg_type WHERE oid = t.base)
                  ) ORDER BY a.attnum), '[]')
           FROM pg_attribute a
           CROSS JOIN LATERAL (
               WITH RECURSIVE below AS (
                   SELECT a.atttypid AS base, a.atttypmod AS modifier, 0 AS depth
                   UNION ALL
                   SELECT d.typbasetype, d.typtypmod, b.depth + 1
                   FROM below b
                   JOIN pg_type d ON d.oid = b.base AND d.typtype = 'd'
               )
               SELECT b.base, b.modifier FROM below b ORDER BY b.depth DESC LIMIT 1
           ) AS t
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       ) AS columns,
       (
           SELECT coalesce(jsonb_agg(k.columns ORDER BY k.indisprimary DESC, k.nullable, k.indexrelid), '[]')
           FROM (
               SELECT i.indisprimary, i.indexrelid, jsonb_agg(a.attname ORDER BY u.position) AS columns,
                      bool_or(NOT a.attnotnull OR EXISTS (
                          -- since 18, NOT NULL may apply only to new rows
                          SELECT FROM pg_constraint n
                          WHERE n.conrelid = a.attrelid AND n.contype = 'n' AND n.conkey = ARRAY[a.attnum]
                                AND NOT n.convalidated
                      )) AS nullable
               FROM pg_index i
               CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS u (attnum, position)
               LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = u.attnum AND u.attnum <> 0
               WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL
                     AND u.position <= i.indnkeyatts
               GROUP BY i.indisprimary, i.indexrelid
               HAVING bool_and(a.attnum IS NOT NULL)
           ) AS k
       ) AS keys
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass(%(table)s);

-- name: row_security
SELECT current_setting('row_security') AS setting;

-- name: volatile_functions
-- The volatile functions called by a query. If the arguments and the search path are ambiguous, any overload counts.
SELECT u.position
FROM unnest(%(schemas)s::text[], %(names)s::text[], %(arguments)s::integer[]) WITH ORDINALITY
     AS u (schema, name, arguments, position)
WHERE EXISTS (
    SELECT
    FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.proname = u.name AND p.provolatile = 'v' AND p.prokind IN ('f', 'w')
          AND (n.nspname = u.schema OR u.schema IS NULL AND pg_function_is_visible(p.oid))
          AND (u.arguments BETWEEN p.pronargs - p.pronargdefaults AND p.pronargs
               OR p.provariadic <> 0 AND u.arguments >= p.pronargs - 1)
);

-- name: foreign_casts
-- Casts of these types, or of their element types, that call a function owned by a role that is neither a superuser nor
-- the current role.
SELECT u.position, f.oid::regprocedure::text AS function, pg_get_userbyid(f.proowner)::text AS owner
FROM unnest(%(sources)s::oid[], %(targets)s::text[]) WITH ORDINALITY AS u (source, target, position)
JOIN pg_type s ON s.oid = u.source
JOIN pg_type t ON t.oid = to_regtype(u.target)::oid
JOIN pg_cast c ON (c.castsource = s.oid AND c.casttarget = t.oid)
               OR (c.castsource = s.typelem AND c.casttarget = t.typelem)
JOIN pg_proc f ON f.oid = c.castfunc
JOIN pg_roles r ON r.oid = f.proowner
WHERE NOT r.rolsuper AND NOT (r.rolname = current_user AND r.rolname = session_user);

-- name: hash_groups
-- The count and hash sum of each group on both sides, in one statement and so in one snapshot. A sum is used because
-- duplicates would cancel out in an exclusive or. PostgreSQL's row hash is hashed again, because it is a weighted sum
-- over the columns, so values swapped between rows would not change the total.
WITH sides AS (
    SELECT e.part, 0 AS side, count(*) AS n, sum({hash}) AS h
    FROM ({expected}) AS e
    GROUP BY e.part
    UNION ALL
    SELECT e.part, 1, count(*), sum({hash})
    FROM ({actual}) AS e
    GROUP BY e.part
), parts AS (
    SELECT s.part,
           coalesce(max(s.n) FILTER (WHERE s.side = 0), 0) AS expected_rows,
           coalesce(max(s.n) FILTER (WHERE s.side = 1), 0) AS rows,
           coalesce(max(s.h) FILTER (WHERE s.side = 0), 0) AS expected_hash,
           coalesce(max(s.h) FILTER (WHERE s.side = 1), 0) AS hash
    FROM sides s
    GROUP BY s.part
), differing AS (
    SELECT p.part, p.expected_rows + p.rows AS rows
    FROM parts p
    WHERE (p.expected_rows, p.expected_hash) IS DISTINCT FROM (p.rows, p.hash)
)
SELECT count(*) AS groups,
       coalesce(sum(p.rows), 0)::bigint AS rows, coalesce(sum(p.expected_rows), 0)::bigint AS expected_rows,
       coalesce(sum(p.hash), 0)::text AS hash, coalesce(sum(p.expected_hash), 0)::text AS expected_hash,
       (SELECT count(*) FROM differing) AS differing,
       (SELECT coalesce(sum(d.rows), 0)::bigint FROM differing d) AS differing_rows,
       ARRAY(SELECT {part_text} FROM differing d ORDER BY d.part LIMIT {most}) AS differing_groups
FROM parts p;

-- name: hash_buckets
-- The same for rows in the differing groups, by a hash of the key. It returns the buckets that differ, with their row
-- counts.
WITH sides AS (
    SELECT hash_record_extended(ROW({key}), 0) & 255 AS bucket, 0 AS side, count(*) AS n,
           sum({hash}) AS h
    FROM ({expected}) AS e
    WHERE {chosen}
    GROUP BY 1
    UNION ALL
    SELECT hash_record_extended(ROW({key}), 0) & 255, 1, count(*), sum({hash})
    FROM ({actual}) AS e
    WHERE {chosen}
    GROUP BY 1
)
SELECT s.bucket, sum(s.n)::bigint AS rows
FROM sides s
GROUP BY s.bucket
HAVING (max(s.n) FILTER (WHERE s.side = 0), max(s.h) FILTER (WHERE s.side = 0))
       IS DISTINCT FROM (max(s.n) FILTER (WHERE s.side = 1), max(s.h) FILTER (WHERE s.side = 1))
ORDER BY s.bucket;

-- name: differing_rows
-- EXCEPT ALL in both directions, with one pass over each side. It returns how often each row occurs more on one side.
WITH sides AS (
    SELECT {columns}, 1 AS weight FROM ({expected}) AS e WHERE {chosen}
    UNION ALL
    SELECT {columns}, -1 FROM ({actual}) AS e WHERE {chosen}
), left_over AS (
    SELECT {columns}, sum(e.weight) AS surplus
    FROM sides e
    GROUP BY {columns}
    HAVING sum(e.weight) <> 0
), keyed AS (
    SELECT {key},
           coalesce(sum(e.surplus) FILTER (WHERE e.surplus > 0), 0) AS lacking,
           coalesce(-sum(e.surplus) FILTER (WHERE e.surplus < 0), 0) AS too_many,
           jsonb_agg(jsonb_build_object('surplus', e.surplus, 'values', ARRAY[{texts}]::text[]) ORDER BY e.surplus) AS found
    FROM left_over e
    GROUP BY {key}
), shown AS (
    SELECT e.found FROM keyed e ORDER BY {key} LIMIT {most}
)
SELECT coalesce(sum(greatest(k.lacking - k.too_many, 0)), 0)::bigint AS missing,
       coalesce(sum(greatest(k.too_many - k.lacking, 0)), 0)::bigint AS extra,
       coalesce(sum(least(k.lacking, k.too_many)), 0)::bigint AS changed,
       ARRAY(SELECT s.found FROM shown s) AS shown
FROM keyed k;

-- name: record_reconciliation
INSERT INTO confiture.reconciliations
       (project, target, attempt, segment, phase, number, version, step, table_name, rows, groups, grouped_by, hash,
        compared, not_compared, outcome, differences, duration_ms)
VALUES (%(project)s, %(target)s, %(attempt)s, %(segment)s, %(phase)s, %(number)s, %(version)s, %(step)s, %(table)s, %(rows)s, %(groups)s,
        %(by)s, %(hash)s::numeric, %(compared)s, %(not_compared)s, %(outcome)s, %(differences)s, %(duration_ms)s);
