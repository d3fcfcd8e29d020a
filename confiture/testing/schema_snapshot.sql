-- The schema of a database, with one fact per row: the object's name according to pg_identify_object, its parent, and
-- the fact. No value depends on numbers that change when an object is recreated (OIDs, column positions). Data and
-- objects that belong to extensions, the server or Confiture are omitted. Runs with an empty search_path, so that every
-- name is qualified.

WITH spaces AS (
    SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'confiture')
), members AS (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), relations AS (
    SELECT c.*
    FROM pg_class c
    WHERE c.relnamespace IN (TABLE spaces)
      AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
), types AS (
    -- except row types of tables, and arrays
    SELECT t.*
    FROM pg_type t
    WHERE t.typnamespace IN (TABLE spaces) AND t.typtype <> 'c'
      AND NOT EXISTS (SELECT FROM pg_type element WHERE element.typarray = t.oid)
      AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
), functions AS (
    -- except constructors of range types
    SELECT p.*
    FROM pg_proc p
    WHERE p.pronamespace IN (TABLE spaces)
      AND NOT EXISTS (
          SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i')
      )
), constraints AS (
    -- NOT NULL is a fact of columns; constraint triggers are triggers; copies of foreign keys belong to their originals
    SELECT k.*
    FROM pg_constraint k
    WHERE k.contype NOT IN ('n', 't') AND (k.contype <> 'f' OR k.conparentid = 0)
      AND (k.conrelid IN (SELECT oid FROM relations) OR k.contypid IN (SELECT oid FROM types))
), casts AS (
    -- except casts from range types to their multiranges
    SELECT c.*
    FROM pg_cast c
    WHERE NOT EXISTS (
        SELECT FROM pg_depend d WHERE d.classid = 'pg_cast'::regclass AND d.objid = c.oid AND d.deptype = 'i'
    )
), others AS (
    SELECT 'pg_am'::regclass AS class, oid FROM pg_am
    UNION ALL SELECT 'pg_cast'::regclass, oid FROM casts
    UNION ALL SELECT 'pg_collation'::regclass, oid FROM pg_collation
    UNION ALL SELECT 'pg_conversion'::regclass, oid FROM pg_conversion
    UNION ALL SELECT 'pg_default_acl'::regclass, oid FROM pg_default_acl
    UNION ALL SELECT 'pg_event_trigger'::regclass, oid FROM pg_event_trigger
    UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid FROM pg_foreign_data_wrapper
    UNION ALL SELECT 'pg_foreign_server'::regclass, oid FROM pg_foreign_server
    UNION ALL SELECT 'pg_user_mapping'::regclass, umid FROM pg_user_mappings
    UNION ALL SELECT 'pg_language'::regclass, oid FROM pg_language
    UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass
    UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily
    UNION ALL SELECT 'pg_operator'::regclass, oid FROM pg_operator
    UNION ALL SELECT 'pg_publication'::regclass, oid FROM pg_publication
    UNION ALL SELECT 'pg_publication_rel'::regclass, oid FROM pg_publication_rel
    UNION ALL SELECT DISTINCT classid, objid FROM pg_depend -- this catalog was added in 15
              WHERE classid = to_regclass('pg_catalog.pg_publication_namespace')
    UNION ALL SELECT 'pg_statistic_ext'::regclass, oid FROM pg_statistic_ext
    UNION ALL SELECT 'pg_transform'::regclass, oid FROM pg_transform
    UNION ALL SELECT 'pg_ts_config'::regclass, oid FROM pg_ts_config
    UNION ALL SELECT 'pg_ts_dict'::regclass, oid FROM pg_ts_dict
    UNION ALL SELECT 'pg_ts_parser'::regclass, oid FROM pg_ts_parser
    UNION ALL SELECT 'pg_ts_template'::regclass, oid FROM pg_ts_template
), facts (class, oid, column_number, parent_class, parent, fact, value) AS (

    -- schemas and extensions
    SELECT 'pg_namespace'::regclass, oid, 0, 0::oid, 0::oid, 'exists', '' FROM spaces
    UNION ALL
    SELECT 'pg_extension'::regclass, oid, 0, 0, 0, 'version', extversion || ' in schema ' || extnamespace::regnamespace
    FROM pg_extension

    -- tables, views, sequences, composite types
    UNION ALL
    SELECT 'pg_class'::regclass, c.oid, 0, owner.refclassid, coalesce(owner.refobjid, 0), fact, value
    FROM relations c
    LEFT JOIN pg_sequence s ON s.seqrelid = c.oid
    LEFT JOIN pg_index i ON i.indexrelid = c.oid
    LEFT JOIN pg_class toast ON toast.oid = c.reltoastrelid
    LEFT JOIN pg_foreign_table f ON f.ftrelid = c.oid
    LEFT JOIN pg_foreign_server server ON server.oid = f.ftserver
    LEFT JOIN LATERAL (
        -- the table of an index or owned sequence
        SELECT 'pg_class'::regclass::oid AS refclassid, i.indrelid AS refobjid WHERE i.indrelid IS NOT NULL
        UNION ALL
        SELECT d.refclassid, d.refobjid
        FROM pg_depend d
        WHERE c.relkind = 'S' AND d.classid = 'pg_class'::regclass AND d.objid = c.oid
          AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
        LIMIT 1
    ) AS owner ON true
    CROSS JOIN LATERAL (
        VALUES ('persistence', CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE 'permanent' END),
               ('row security', CASE WHEN c.relrowsecurity THEN 'enabled' END),
               ('row security for the owner', CASE WHEN c.relforcerowsecurity THEN 'forced' END),
               ('replica identity', CASE WHEN c.relkind NOT IN ('r', 'p') OR c.relreplident = 'd' THEN NULL
                    WHEN c.relreplident = 'f' THEN 'full'
                    ELSE coalesce((
                        SELECT x.indexrelid::regclass::text
                        FROM pg_index x
                        WHERE x.indrelid = c.oid AND x.indisreplident
                    ), 'nothing') END),
               ('clustered on', (
                    SELECT x.indexrelid::regclass::text FROM pg_index x WHERE x.indrelid = c.oid AND x.indisclustered)),
               ('options', CASE WHEN i.indexrelid IS NULL THEN (
                    SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) o) END),
               ('options of its TOAST table', (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(toast.reloptions) o)),
               ('tablespace', (SELECT spcname::text FROM pg_tablespace t WHERE t.oid = c.reltablespace)),
               ('access method', CASE WHEN i.indexrelid IS NULL THEN (
                    SELECT amname::text FROM pg_am a WHERE a.oid = c.relam) END),
               ('partitioned by', pg_get_partkeydef(c.oid)),
               ('partition', pg_get_expr(c.relpartbound, c.oid)),
               ('parents', (
                    SELECT string_agg(h.inhparent::regclass::text, ', ' ORDER BY h.inhseqno)
                    FROM pg_inherits h
                    WHERE h.inhrelid = c.oid)),
               ('of type', CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END),
               ('query', CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END),
               ('definition', CASE WHEN i.indexrelid IS NOT NULL THEN pg_get_indexdef(i.indexrelid)
                    || CASE WHEN NOT i.indisvalid THEN ' (invalid)' ELSE '' END END),
               ('sequence', CASE WHEN s.seqrelid IS NOT NULL THEN format(
                    'AS %s START %s INCREMENT %s MINVALUE %s MAXVALUE %s CACHE %s%s',
                    format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
                    CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END) END),
               ('owned by', CASE WHEN c.relkind = 'S' THEN (
                    SELECT format('%s.%I', d.refobjid::regclass, a.attname)
                    FROM pg_depend d
                    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                      AND d.refclassid = 'pg_class'::regclass) END),
               ('server', server.srvname::text || coalesce(' ' || f.ftoptions::text, ''))
    ) AS properties (fact, value)
    -- a constraint's index belongs to the constraint
    WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S', 'c') OR c.relkind IN ('i', 'I') AND NOT EXISTS (
        SELECT FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x')
    )
    UNION ALL
    SELECT 'pg_class'::regclass, c.oid, a.attnum, 'pg_class'::regclass, c.oid, fact, value
    FROM relations c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_constraint k ON k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum] -- since 18
    CROSS JOIN LATERAL (
        VALUES ('type', format_type(a.atttypid, a.atttypmod)),
               ('not null', CASE WHEN NOT a.attnotnull THEN 'no'
                    WHEN NOT coalesce(k.convalidated, true) THEN 'not valid' ELSE 'yes' END),
               ('default', pg_get_expr(d.adbin, d.adrelid)),
               ('generated', CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' END),
               ('identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END),
               ('collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END),
               ('storage', CASE WHEN a.attstorage = t.typstorage THEN NULL
                    ELSE CASE a.attstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external' WHEN 'm' THEN 'main'
                         ELSE 'extended' END END),
               ('compression', CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END),
               ('statistics', nullif(a.attstattarget, -1)::text),
               ('options', (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(a.attoptions || a.attfdwoptions) o))
    ) AS properties (fact, value)
    WHERE c.relkind IN ('r', 'p', 'f', 'c') OR c.relkind = 'v' AND d.oid IS NOT NULL
    UNION ALL
    SELECT 'pg_constraint'::regclass, k.oid, 0,
           CASE WHEN k.conrelid <> 0 THEN 'pg_class'::regclass ELSE 'pg_type'::regclass END,
           greatest(k.conrelid, k.contypid), 'definition', pg_get_constraintdef(k.oid)
    FROM constraints k
    UNION ALL
    SELECT 'pg_trigger'::regclass, g.oid, 0, 'pg_class'::regclass, g.tgrelid, fact, value
    FROM pg_trigger g
    CROSS JOIN LATERAL (
        VALUES ('definition', pg_get_triggerdef(g.oid)),
               ('enabled', CASE g.tgenabled WHEN 'D' THEN 'no' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always'
                    ELSE 'yes' END)
    ) AS properties (fact, value)
    WHERE NOT g.tgisinternal AND g.tgrelid IN (SELECT oid FROM relations)
    UNION ALL
    SELECT 'pg_rewrite'::regclass, r.oid, 0, 'pg_class'::regclass, r.ev_class, fact, value
    FROM pg_rewrite r
    CROSS JOIN LATERAL (
        VALUES ('definition', pg_get_ruledef(r.oid)),
               ('enabled', CASE r.ev_enabled WHEN 'D' THEN 'no' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always'
                    ELSE 'yes' END)
    ) AS properties (fact, value)
    WHERE r.rulename <> '_RETURN' AND r.ev_class IN (SELECT oid FROM relations)
    UNION ALL
    SELECT 'pg_policy'::regclass, p.oid, 0, 'pg_class'::regclass, p.polrelid, fact, value
    FROM pg_policy p
    CROSS JOIN LATERAL (
        VALUES ('command', CASE p.polcmd WHEN '*' THEN 'all' WHEN 'r' THEN 'select' WHEN 'a' THEN 'insert'
                    WHEN 'w' THEN 'update' ELSE 'delete' END),
               ('kind', CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END),
               ('roles', (
                    SELECT string_agg(x.name, ', ' ORDER BY x.name)
                    FROM unnest(p.polroles) role
                    CROSS JOIN LATERAL (
                        SELECT CASE role WHEN 0 THEN 'public' ELSE pg_get_userbyid(role)::text END) AS x (name))),
               ('using', pg_get_expr(p.polqual, p.polrelid)),
               ('with check', pg_get_expr(p.polwithcheck, p.polrelid))
    ) AS properties (fact, value)
    WHERE p.polrelid IN (SELECT oid FROM relations)

    -- types and functions
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid, 0, 'pg_type'::regclass, coalesce(whole.rngtypid, 0), fact, value
    FROM types t
    LEFT JOIN pg_range r ON r.rngtypid = t.oid
    LEFT JOIN pg_range whole ON whole.rngmultitypid = t.oid
    CROSS JOIN LATERAL (
        VALUES ('kind', CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range'
                    WHEN 'm' THEN 'multirange' ELSE 'base' END),
               ('labels', (
                    SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
                    FROM pg_enum e
                    WHERE e.enumtypid = t.oid)),
               ('over', CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END),
               ('not null', CASE WHEN t.typnotnull THEN 'yes' END),
               ('default', t.typdefault),
               ('collation', CASE WHEN t.typtype = 'd' THEN nullif(t.typcollation, 0)::regcollation::text END),
               ('functions', CASE WHEN t.typtype = 'b' THEN concat_ws(' ', t.typinput, t.typoutput, t.typreceive,
                    t.typsend, t.typmodin, t.typmodout, t.typanalyze) END),
               ('range of', (
                    SELECT concat_ws(' ', format_type(r.rngsubtype, NULL), nullif(r.rngcollation, 0)::regcollation,
                         o.opcname, r.rngcanonical, r.rngsubdiff)
                    FROM pg_opclass o
                    WHERE o.oid = r.rngsubopc))
    ) AS properties (fact, value)
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid, 0, 0, 0, 'definition',
           CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid)
                ELSE concat_ws(' ', a.aggkind, a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn,
                     a.aggdeserialfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn, a.aggfinalextra,
                     nullif(a.aggsortop, 0)::regoperator, format_type(a.aggtranstype, NULL), a.agginitval,
                     p.proparallel) END
    FROM functions p
    LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid

    -- rarer kinds: their existence, and facts about some of them
    UNION ALL
    SELECT o.class, o.oid, 0, 0, 0, 'exists', ''
    FROM others o
    WHERE o.oid >= 16384 AND NOT EXISTS (SELECT FROM members m WHERE m.classid = o.class AND m.objid = o.oid)
    UNION ALL
    SELECT member.class, member.oid, 0, 'pg_opfamily'::regclass, member.family, 'exists', ''
    FROM (
        SELECT 'pg_amop'::regclass AS class, oid, amopfamily AS family FROM pg_amop
        UNION ALL
        SELECT 'pg_amproc'::regclass, oid, amprocfamily FROM pg_amproc
    ) AS member
    WHERE member.oid >= 16384 AND NOT EXISTS (
        SELECT FROM members m
        WHERE (m.classid, m.objid) IN ((member.class, member.oid), ('pg_opfamily'::regclass, member.family))
    )
    UNION ALL
    SELECT 'pg_statistic_ext'::regclass, oid, 0, 'pg_class'::regclass, stxrelid, 'definition',
           concat_ws(' target ', pg_get_statisticsobjdef(oid), nullif(to_jsonb(s) ->> 'stxstattarget', '-1'))
    FROM pg_statistic_ext s
    WHERE stxnamespace IN (TABLE spaces)
    UNION ALL
    SELECT 'pg_event_trigger'::regclass, oid, 0, 0, 0, 'definition',
           concat_ws(' ', evtevent, evtfoid::regprocedure, evttags, evtenabled)
    FROM pg_event_trigger
    UNION ALL
    SELECT 'pg_publication'::regclass, oid, 0, 0, 0, 'definition',
           (to_jsonb(p) - 'oid' - 'pubname' - 'pubowner')::text
    FROM pg_publication p
    UNION ALL
    SELECT 'pg_publication_rel'::regclass, r.oid, 0, 'pg_class'::regclass, r.prrelid, fact, value
    FROM pg_publication_rel r
    JOIN pg_publication p ON p.oid = r.prpubid
    JOIN pg_class c ON c.oid = r.prrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_publication_tables t ON (t.pubname, t.schemaname, t.tablename) = (p.pubname, n.nspname, c.relname)
    CROSS JOIN LATERAL (
        -- both since 15
        VALUES ('columns', CASE WHEN to_jsonb(r) ->> 'prattrs' IS NOT NULL THEN (
                    SELECT string_agg(a, ', ' ORDER BY a)
                    FROM jsonb_array_elements_text(to_jsonb(t) -> 'attnames') a) END),
               ('rows', to_jsonb(t) ->> 'rowfilter')
    ) AS properties (fact, value)
    UNION ALL
    SELECT 'pg_operator'::regclass, oid, 0, 0, 0, 'definition',
           concat_ws(' ', oprcode, format_type(oprresult, NULL), nullif(oprcom, 0)::regoperator,
                     nullif(oprnegate, 0)::regoperator, oprrest, oprjoin,
                     CASE WHEN oprcanmerge THEN 'MERGES' END, CASE WHEN oprcanhash THEN 'HASHES' END)
    FROM pg_operator
    WHERE oprnamespace IN (TABLE spaces)
    UNION ALL
    SELECT 'pg_cast'::regclass, oid, 0, 0, 0, 'definition',
           concat_ws(' ', castmethod, castcontext, nullif(castfunc, 0)::regprocedure)
    FROM casts
    WHERE oid >= 16384
    UNION ALL
    SELECT 'pg_collation'::regclass, oid, 0, 0, 0, 'definition',
           (to_jsonb(c) - 'oid' - 'collname' - 'collnamespace' - 'collowner')::text
    FROM pg_collation c
    WHERE collnamespace IN (TABLE spaces)
    UNION ALL
    SELECT 'pg_ts_config'::regclass, t.oid, 0, 0, 0, 'dictionaries',
           string_agg(m.maptokentype || ' ' || m.mapdict::regdictionary, ', ' ORDER BY m.maptokentype, m.mapseqno)
    FROM pg_ts_config t
    JOIN pg_ts_config_map m ON m.mapcfg = t.oid
    WHERE t.cfgnamespace IN (TABLE spaces)
    GROUP BY t.oid
    UNION ALL
    SELECT 'pg_ts_dict'::regclass, d.oid, 0, 0, 0, 'definition', concat_ws(' ', t.tmplname, d.dictinitoption)
    FROM pg_ts_dict d
    JOIN pg_ts_template t ON t.oid = d.dicttemplate
    WHERE d.dictnamespace IN (TABLE spaces)
    UNION ALL
    SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0, 0, 0, 'definition',
           concat_ws(' ', nullif(fdwhandler, 0)::regproc, nullif(fdwvalidator, 0)::regproc, fdwoptions)
    FROM pg_foreign_data_wrapper
    WHERE oid >= 16384
    UNION ALL
    SELECT 'pg_foreign_server'::regclass, s.oid, 0, 0, 0, 'definition',
           concat_ws(' ', w.fdwname, s.srvtype, s.srvversion, s.srvoptions)
    FROM pg_foreign_server s
    JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    UNION ALL
    SELECT 'pg_user_mapping'::regclass, umid, 0, 0, 0, 'options', umoptions::text FROM pg_user_mappings

    -- owners, comments, labels, privileges
    UNION ALL
    SELECT d.classid, d.objid, d.objsubid, 0, 0, 'owner', pg_get_userbyid(d.refobjid)::text
    FROM pg_shdepend d
    WHERE d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND d.deptype = 'o'
      AND d.classid NOT IN ('pg_largeobject'::regclass, 'pg_largeobject_metadata'::regclass)
    UNION ALL
    SELECT classoid, objoid, objsubid, 0, 0, 'comment', description
    FROM pg_description
    WHERE (objoid >= 16384 OR classoid = 'pg_namespace'::regclass AND objoid IN (TABLE spaces))
      AND classoid <> 'pg_largeobject'::regclass
    UNION ALL
    SELECT classoid, objoid, objsubid, 0, 0, 'security label for ' || provider, label
    FROM pg_seclabel
    WHERE classoid <> 'pg_largeobject'::regclass
    UNION ALL
    SELECT class, oid, column_number, 0, 0, 'privileges', (
        SELECT string_agg(
            CASE x.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(x.grantee)::text END
                || ' ' || lower(x.privilege_type) || CASE WHEN x.is_grantable THEN ' with grant option' ELSE '' END,
            ', ' ORDER BY pg_get_userbyid(x.grantee), x.grantee, x.privilege_type
        )
        FROM aclexplode(acl) x
    )
    FROM (
        -- an ACL that was changed and reverted is explicit, although it equals the implicit default
        SELECT 'pg_namespace'::regclass, oid, 0, coalesce(nspacl, acldefault('n', nspowner))
        FROM pg_namespace
        WHERE oid IN (TABLE spaces)
        UNION ALL
        SELECT 'pg_class'::regclass, oid, 0,
               coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, relowner))
        FROM relations
        WHERE relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
        UNION ALL
        SELECT 'pg_class'::regclass, attrelid, attnum, attacl
        FROM pg_attribute
        WHERE attrelid IN (SELECT oid FROM relations) AND attacl IS NOT NULL AND NOT attisdropped
        UNION ALL
        SELECT 'pg_type'::regclass, oid, 0, coalesce(typacl, acldefault('T', typowner)) FROM types
        UNION ALL
        SELECT 'pg_proc'::regclass, oid, 0, coalesce(proacl, acldefault('f', proowner)) FROM functions
        UNION ALL
        SELECT 'pg_language'::regclass, oid, 0, coalesce(lanacl, acldefault('l', lanowner)) FROM pg_language
        UNION ALL
        SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0, coalesce(fdwacl, acldefault('F', fdwowner))
        FROM pg_foreign_data_wrapper
        UNION ALL
        SELECT 'pg_foreign_server'::regclass, oid, 0, coalesce(srvacl, acldefault('S', srvowner))
        FROM pg_foreign_server
        UNION ALL
        SELECT 'pg_default_acl'::regclass, oid, 0, defaclacl FROM pg_default_acl
    ) AS lists (class, oid, column_number, acl)
), objects AS (
    SELECT DISTINCT ON (class, oid, column_number) class, oid, column_number,
           identified.type || ' ' || identified.identity AS name
    FROM facts
    CROSS JOIN LATERAL pg_identify_object(class, oid, column_number) AS identified
    WHERE value IS NOT NULL
      AND NOT EXISTS (SELECT FROM members m WHERE m.classid = class AND m.objid = oid)
)
-- parents by OID: the planner expects few rows, and would otherwise use a nested loop
SELECT f.class::bigint, f.oid::bigint, f.column_number, o.name, f.parent_class::bigint, f.parent::bigint,
       f.fact, f.value
FROM facts f
JOIN objects o ON o.class = f.class AND o.oid = f.oid AND o.column_number = f.column_number
-- Confiture's tables are omitted by name if the catalog contains no schema for them
WHERE f.value IS NOT NULL AND o.name !~ ' confiture[.]' AND o.name <> 'schema confiture'
