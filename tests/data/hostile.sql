-- What tests/hostile.py makes objects with, and the number of the function that was called last.

CREATE SCHEMA hostile;
GRANT USAGE ON SCHEMA hostile TO PUBLIC;
CREATE SEQUENCE hostile.calls MAXVALUE 9223372036854775807;
GRANT ALL ON hostile.calls TO PUBLIC;
CREATE TYPE public.hostile AS ENUM ('hostile');

CREATE FUNCTION hostile.make(name text, arguments oid[], result oid, is_set boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    function text := format('public.%I(%s)', name, (
        SELECT string_agg(format_type(t.type, NULL), ', ' ORDER BY t.place)
        FROM unnest(arguments) WITH ORDINALITY AS t (type, place)
    ));
BEGIN
    IF to_regprocedure(function) IS NOT NULL THEN RETURN; END IF;
    EXECUTE format(
        'CREATE FUNCTION %s RETURNS %s %s LANGUAGE plpgsql AS %L', function, CASE WHEN is_set THEN 'SETOF' ELSE '' END,
        format_type(result, NULL), 'BEGIN END'
    );
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION %s RETURNS %s %s LANGUAGE plpgsql AS %L', function,
        CASE WHEN is_set THEN 'SETOF' ELSE '' END, format_type(result, NULL),
        format(
            'BEGIN PERFORM pg_catalog.setval(''hostile.calls'', %s); RETURN%s; END', to_regprocedure(function)::oid,
            CASE WHEN is_set THEN '' ELSE ' NULL' END
        )
    );
END $$;

CREATE FUNCTION hostile.operators(names text[], types oid[], everywhere oid[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    one record;
    is_unary boolean;
BEGIN
    FOR one IN
        WITH own AS (
            SELECT o.oprname::text AS name, o.oprleft, o.oprright, o.oprresult
            FROM pg_operator o
            WHERE o.oprname = ANY (names) AND o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprresult <> 0
              AND NOT EXISTS (
                  SELECT FROM pg_type t
                  WHERE t.oid IN (o.oprleft, o.oprright, o.oprresult) AND t.typtype = 'p'
                    AND t.typname NOT LIKE 'any%'
              )
        )
        SELECT name, oprleft, oprright, oprresult FROM own
        UNION ALL
        SELECT u.name, l.type, r.type, coalesce((
            SELECT o.oprresult FROM own o
            WHERE o.name = u.name AND o.oprresult NOT IN (SELECT oid FROM pg_type WHERE typtype = 'p')
            GROUP BY o.oprresult ORDER BY count(*) DESC LIMIT 1
        ), 'boolean'::regtype)
        FROM unnest(names) AS u (name), unnest(types) AS l (type), unnest(types) AS r (type)
        WHERE (l.type = r.type OR l.type = ANY (everywhere) AND r.type = ANY (everywhere))
          AND NOT EXISTS (
              SELECT FROM own o WHERE o.name = u.name AND o.oprleft = l.type AND o.oprright = r.type
          )
    LOOP
        is_unary := one.oprleft = 0;
        PERFORM hostile.make(
            'operator_' || one.oprresult, CASE WHEN is_unary THEN ARRAY[one.oprright] ELSE ARRAY[one.oprleft, one.oprright] END,
            one.oprresult
        );
        EXECUTE format(
            'CREATE OPERATOR public.%s (%s RIGHTARG = %s, FUNCTION = public.operator_%s)', one.name,
            CASE WHEN is_unary THEN '' ELSE format('LEFTARG = %s,', format_type(one.oprleft, NULL)) END,
            format_type(one.oprright, NULL), one.oprresult
        );
    END LOOP;
END $$;

CREATE FUNCTION hostile.functions(names text[], counts integer[], types oid[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE one record;
BEGIN
    FOR one IN
        WITH own AS (
            SELECT u.name, u.count, p.proargtypes::oid[] AS arguments, p.prorettype AS result, p.proretset AS is_set
            FROM unnest(names, counts) AS u (name, count)
            JOIN pg_proc p ON p.proname = u.name AND p.pronamespace = 'pg_catalog'::regnamespace
        )
        SELECT name, arguments,
               CASE WHEN (SELECT typtype FROM pg_type WHERE oid = result) = 'p' THEN 'text'::regtype ELSE result END
                   AS result, is_set
        FROM own
        WHERE NOT EXISTS (
            SELECT FROM unnest(arguments) AS u (type) JOIN pg_type t ON t.oid = u.type
            WHERE t.typtype = 'p' AND t.typname NOT LIKE 'any_%'
        )
        UNION
        SELECT u.name, array_fill('anyelement'::regtype::oid, ARRAY[u.count]), 'text'::regtype, false
        FROM unnest(names, counts) AS u (name, count)
        UNION
        SELECT u.name, array_fill('anycompatible'::regtype::oid, ARRAY[u.count]), 'text'::regtype, false
        FROM unnest(names, counts) AS u (name, count)
        UNION
        SELECT u.name, array_fill(t.type, ARRAY[u.count]), 'text'::regtype, false
        FROM unnest(names, counts) AS u (name, count), unnest(types) AS t (type)
        WHERE u.count BETWEEN 1 AND 2
    LOOP
        PERFORM hostile.make(one.name, one.arguments, one.result, one.is_set);
    END LOOP;
END $$;

CREATE FUNCTION hostile.casts(types oid[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE type oid;
BEGIN
    FOREACH type IN ARRAY types LOOP
        PERFORM hostile.make('cast', ARRAY[type], 'public.hostile'::regtype);
        EXECUTE format(
            'CREATE CAST (%1$s AS public.hostile) WITH FUNCTION public.cast(%1$s) AS IMPLICIT', format_type(type, NULL)
        );
    END LOOP;
END $$;

CREATE FUNCTION hostile.domain(name text, schema text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE own regtype := to_regtype('pg_catalog.' || quote_ident(name));
BEGIN
    IF own IS NOT NULL AND (SELECT typtype FROM pg_type WHERE oid = own) = 'b' THEN
        EXECUTE format('CREATE DOMAIN %s.%I AS pg_catalog.%I', schema, name, name);
    END IF;
END $$;

CREATE FUNCTION hostile.relation(name text, schema text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE columns text;
BEGIN
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO columns
    FROM pg_attribute a
    WHERE a.attrelid = to_regclass('pg_catalog.' || quote_ident(name)) AND a.attnum > 0 AND NOT a.attisdropped
      AND a.atttypid NOT IN (SELECT oid FROM pg_type WHERE typtype = 'p');
    IF columns IS NOT NULL THEN
        EXECUTE format('CREATE VIEW %s.%I AS SELECT %s FROM pg_catalog.%I', schema, name, columns, name);
    END IF;
END $$;
