-- Drops what tests make in a database. What it leaves, tests/databases.py finds.
SET search_path = ''; SET client_min_messages = 'error'; SET lock_timeout = '10s';
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('DROP %s IF EXISTS %s CASCADE', kind, string_agg(name, ', '))
        FROM (
            -- event triggers first: they would see the rest go
            SELECT 1 AS turn, 'EVENT TRIGGER' AS kind, quote_ident(evtname) AS name FROM pg_event_trigger
            UNION ALL SELECT 2, 'PUBLICATION', quote_ident(pubname) FROM pg_publication
            UNION ALL SELECT 3, 'EXTENSION', quote_ident(extname) FROM pg_extension WHERE extname <> 'plpgsql'
            UNION ALL SELECT 4, 'SCHEMA', quote_ident(nspname) FROM pg_namespace WHERE oid >= 16384
            UNION ALL
            SELECT 5, CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
                      WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END, oid::regclass::text
            FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f', 'c')
            UNION ALL
            -- those of identity columns go with their tables, and cannot go before them
            SELECT 6, 'SEQUENCE', oid::regclass::text
            FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
            UNION ALL
            SELECT 7, 'TYPE', oid::regtype::text FROM pg_type
            WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd', 'r')
            UNION ALL
            SELECT 8, 'ROUTINE', oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        ) AS made
        GROUP BY turn, kind
        ORDER BY turn, kind
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$
