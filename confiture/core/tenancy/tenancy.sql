-- The isolation proof. Internal names contain a space so that they do not hide tables in the query.

-- name: functions_called
-- The properties of all functions with these names, including overloads.
SELECT CASE WHEN n.oid = pg_my_temp_schema() THEN 'pg_temp' ELSE n.nspname::text END AS schema, p.proname::text AS name,
       CASE p.provolatile WHEN 'v' THEN 'volatile' WHEN 's' THEN 'stable' ELSE 'immutable' END AS volatility,
       CASE WHEN t.typtype <> 'p' AND NOT p.proretset THEN format_type(b.oid, -1) END AS returns
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN pg_type t ON t.oid = p.prorettype
CROSS JOIN LATERAL (
    WITH RECURSIVE under AS (
        SELECT p.prorettype AS oid
        UNION ALL
        SELECT u.typbasetype FROM under JOIN pg_type u ON u.oid = under.oid WHERE u.typtype = 'd'
    )
    SELECT u.oid FROM under JOIN pg_type u ON u.oid = under.oid WHERE u.typtype <> 'd'
) AS b
WHERE p.proname = ANY (%(names)s);

-- name: isolation_alone
-- The query's result over one tenant's data alone.
SELECT {literal}::text AS tenant, coalesce({tenant} OPERATOR({operators}.=) CAST({literal} AS {type}), false) AS is_own,
       {tenant} IS NULL AS is_unowned, {row} AS "row", count(*) AS times
FROM ({one}) AS q ({columns})
GROUP BY 2, 3, 4

-- name: isolation_differences
-- For each tenant: rows that the query returns over all data but not over the tenant's data alone (foreign), rows for
-- the reverse case (lost), and rows that the query returns over the tenant's data for another tenant (astray) or for no
-- tenant (unowned). Rows that the query returns over no data at all are not counted.
WITH "confiture tenants" AS MATERIALIZED (
    SELECT * FROM ({tenant_pairs}) AS given (tenant, value)
), "confiture whole" AS (
    SELECT p.tenant, {row} AS "row", count(*) AS times
    FROM "confiture tenants" p
    JOIN ({all}) AS q ({columns}) ON {tenant} OPERATOR({operators}.=) p.value
    WHERE {tenant} OPERATOR({operators}.=) ANY ({tenants}::{type}[])
    GROUP BY 1, 2
), "confiture alone" AS (
    {alone}
), "confiture none" AS (
    SELECT {row} AS "row", count(*) AS times
    FROM ({none}) AS q ({columns})
    GROUP BY 1
), "confiture differing" AS (
    SELECT coalesce(w.tenant, a.tenant) AS tenant,
           CASE WHEN coalesce(w.times, 0) > coalesce(a.times, 0) THEN 'foreign' ELSE 'lost' END AS kind,
           coalesce(w."row", a."row") AS "row", abs(coalesce(w.times, 0) - coalesce(a.times, 0)) AS times
    FROM "confiture whole" w
    FULL JOIN (SELECT * FROM "confiture alone" WHERE is_own) AS a ON a.tenant = w.tenant AND a."row" = w."row"
    WHERE coalesce(w.times, 0) <> coalesce(a.times, 0)
    UNION ALL
    SELECT a.tenant, CASE WHEN a.is_unowned THEN 'unowned' ELSE 'astray' END, a."row", a.times - coalesce(n.times, 0)
    FROM "confiture alone" a
    LEFT JOIN "confiture none" n ON n."row" = a."row"
    WHERE NOT a.is_own AND a.times > coalesce(n.times, 0)
), "confiture counted" AS (
    SELECT tenant, kind, "row", (sum(times) OVER (PARTITION BY tenant, kind))::bigint AS found,
           row_number() OVER (PARTITION BY tenant, kind ORDER BY "row") AS place
    FROM "confiture differing"
)
SELECT c.tenant, c.kind, c."row", c.found, t.compared
FROM (SELECT coalesce(sum(times), 0)::bigint AS compared FROM "confiture whole") AS t
LEFT JOIN "confiture counted" c ON c.place <= {shown}
ORDER BY c.tenant, c.kind, c.place;

-- name: isolation_shared
-- Rows claimed by several tenants, at least one of them sampled.
SELECT min({tenant_text}) FILTER (WHERE {tenant} OPERATOR({operators}.=) ANY ({tenants}::{type}[])) AS tenant,
       array_agg(DISTINCT {tenant_text}) FILTER (WHERE {tenant} IS NOT NULL) AS claiming, ARRAY[{key}] AS "row", count(*) OVER () AS found
FROM ({all}) AS q ({columns})
WHERE {known}
GROUP BY {group}
HAVING count(DISTINCT {tenant}) > 1 AND bool_or({tenant} OPERATOR({operators}.=) ANY ({tenants}::{type}[]))
ORDER BY 1, 3
LIMIT {shown};

-- name: temporary_tables
-- This session's temporary tables.
SELECT c.relname::text AS name,
       json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull)
                ORDER BY a.attnum) AS columns
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = pg_my_temp_schema() AND c.relkind IN ('r', 'p')
GROUP BY c.oid, c.relname;

-- name: search_path
SELECT current_schemas(false)::text[] AS path;

-- name: materialized_columns
-- The base type of the column with this name in each materialized view.
SELECT n.nspname::text AS schema, c.relname::text AS name, format_type(b.oid, -1) AS type
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = %(column)s AND NOT a.attisdropped
CROSS JOIN LATERAL (
    WITH RECURSIVE under AS (
        SELECT a.atttypid AS oid
        UNION ALL
        SELECT u.typbasetype FROM under JOIN pg_type u ON u.oid = under.oid WHERE u.typtype = 'd'
    )
    SELECT u.oid FROM under JOIN pg_type u ON u.oid = under.oid WHERE u.typtype <> 'd'
) AS b
WHERE c.relkind = 'm';

-- name: type_names
SELECT array_agg(format_type(t.oid, -1) ORDER BY t.place) AS names
FROM unnest(%(oids)s::oid[]) WITH ORDINALITY AS t (oid, place);
