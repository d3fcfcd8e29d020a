-- name: schema_facts
-- The schema of a database, with one fact per row: the object's kind and name according to pg_identify_object, its
-- parent, and the fact. No value depends on numbers that change when an object is recreated; the fact `inherited from`
-- names another object by its number, which the reader replaces. A deparse function that returns NULL because of
-- concurrent DDL yields the value of the parameter `unreadable`. Data and objects that belong to extensions, the server or Confiture
-- are omitted. Runs with an empty search_path, so that every name is qualified.

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
    UNION ALL SELECT 'pg_language'::regclass, oid FROM pg_language
    UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass
    UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily
    UNION ALL SELECT 'pg_operator'::regclass, oid FROM pg_operator
    UNION ALL SELECT 'pg_publication'::regclass, oid FROM pg_publication
    UNION ALL SELECT 'pg_publication_rel'::regclass, oid FROM pg_publication_rel
    UNION ALL SELECT 'pg_publication_namespace'::regclass, oid FROM pg_publication_namespace
    UNION ALL SELECT 'pg_statistic_ext'::regclass, oid FROM pg_statistic_ext
    UNION ALL SELECT 'pg_transform'::regclass, oid FROM pg_transform
    UNION ALL SELECT 'pg_ts_config'::regclass, oid FROM pg_ts_config
    UNION ALL SELECT 'pg_ts_dict'::regclass, oid FROM pg_ts_dict
    UNION ALL SELECT 'pg_ts_parser'::regclass, oid FROM pg_ts_parser
    UNION ALL SELECT 'pg_ts_template'::regclass, oid FROM pg_ts_template
), foreign_options (class, oid, column_number, options) AS (
    -- they can contain passwords: only their names and a digest leave the server
    SELECT 'pg_class'::regclass::oid, ftrelid, 0, ftoptions FROM pg_foreign_table
    UNION ALL
    SELECT 'pg_class'::regclass, attrelid, attnum, attfdwoptions
    FROM pg_attribute
    WHERE attfdwoptions IS NOT NULL AND NOT attisdropped
    UNION ALL
    SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0, fdwoptions FROM pg_foreign_data_wrapper
    UNION ALL
    SELECT 'pg_foreign_server'::regclass, oid, 0, srvoptions FROM pg_foreign_server
    UNION ALL
    SELECT 'pg_user_mapping'::regclass, umid, 0, umoptions FROM pg_user_mappings
), composite_types AS (
    SELECT t.* FROM pg_type t JOIN relations c ON c.oid = t.typrelid WHERE c.relkind = 'c'
), facts (class, oid, column_number, parent_class, parent, fact, value) AS (

    -- schemas and extensions
    SELECT 'pg_namespace'::regclass, oid, 0, 0::oid, 0::oid, 'exists', '' FROM spaces
    UNION ALL
    SELECT 'pg_extension'::regclass, oid, 0, 0, 0, fact, value
    FROM pg_extension
    CROSS JOIN LATERAL (
        VALUES ('schema', extnamespace::regnamespace::text), ('version', extversion)
    ) AS properties (fact, value)

    -- tables, views, sequences, composite types
    UNION ALL
    SELECT 'pg_class'::regclass, c.oid, 0, owner.refclassid, coalesce(owner.refobjid, 0), fact, value
    FROM relations c
    LEFT JOIN pg_sequence s ON s.seqrelid = c.oid
    LEFT JOIN pg_index i ON i.indexrelid = c.oid
    LEFT JOIN pg_class toast ON toast.oid = c.reltoastrelid
    LEFT JOIN pg_foreign_table f ON f.ftrelid = c.oid
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
               ('partitioned by', CASE WHEN c.relkind = 'p' THEN coalesce(pg_get_partkeydef(c.oid), %(unreadable)s) END),
               ('partition', pg_get_expr(c.relpartbound, c.oid)),
               ('parents', (
                    SELECT string_agg(h.inhparent::regclass::text, ', ' ORDER BY h.inhseqno)
                    FROM pg_inherits h
                    WHERE h.inhrelid = c.oid AND i.indexrelid IS NULL)),
               ('inherited from', CASE WHEN c.relkind IN ('i', 'I') THEN (
                    SELECT h.inhparent || '.0' FROM pg_inherits h WHERE h.inhrelid = c.oid) END),
               ('of type', CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END),
               ('query', CASE WHEN c.relkind IN ('v', 'm') THEN coalesce(pg_get_viewdef(c.oid), %(unreadable)s) END),
               ('columns', CASE WHEN c.relkind = 'v' THEN (
                    SELECT string_agg(
                        concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
                            CASE WHEN a.attcollation <> t.typcollation
                                THEN 'COLLATE ' || a.attcollation::regcollation END),
                        ', ' ORDER BY a.attnum)
                    FROM pg_attribute a
                    JOIN pg_type t ON t.oid = a.atttypid
                    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) END),
               ('definition', CASE WHEN i.indexrelid IS NOT NULL
                    THEN coalesce(pg_get_indexdef(i.indexrelid), %(unreadable)s) END),
               ('valid', CASE WHEN NOT i.indisvalid THEN 'no' END),
               ('statistics', CASE WHEN i.indexrelid IS NOT NULL THEN (
                    SELECT string_agg(format('%%s of column %%s', a.attstattarget, a.attnum), ', ' ORDER BY a.attnum)
                    FROM pg_attribute a
                    WHERE a.attrelid = c.oid AND a.attstattarget >= 0) END),
               ('sequence', CASE WHEN s.seqrelid IS NOT NULL THEN format(
                    'AS %%s START %%s INCREMENT %%s MINVALUE %%s MAXVALUE %%s CACHE %%s%%s',
                    format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
                    CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END) END),
               ('owned by', CASE WHEN c.relkind = 'S' THEN (
                    SELECT format('%%s.%%I', d.refobjid::regclass, a.attname)
                    FROM pg_depend d
                    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                      AND d.refclassid = 'pg_class'::regclass) END),
               ('server', (SELECT srvname::text FROM pg_foreign_server server WHERE server.oid = f.ftserver))
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
               ('position', (
                    SELECT count(*)::text
                    FROM pg_attribute b
                    WHERE b.attrelid = c.oid AND b.attnum BETWEEN 1 AND a.attnum AND NOT b.attisdropped)),
               ('inherited from', CASE WHEN a.attinhcount > 0 THEN (
                    SELECT format('%%s.%%s', b.attrelid, b.attnum)
                    FROM pg_inherits h
                    JOIN pg_attribute b ON b.attrelid = h.inhparent AND b.attname = a.attname AND NOT b.attisdropped
                    WHERE h.inhrelid = c.oid
                    ORDER BY h.inhseqno
                    LIMIT 1) END),
               ('also defined locally', CASE WHEN a.attinhcount > 0 AND a.attislocal THEN 'yes' END),
               ('not null constraint', CASE WHEN a.attnotnull THEN k.conname::text END),
               ('not null', CASE WHEN NOT a.attnotnull THEN 'no'
                    WHEN NOT coalesce(k.convalidated, true) THEN 'not valid' ELSE 'yes' END),
               ('default', CASE WHEN d.oid IS NOT NULL
                    THEN coalesce(pg_get_expr(d.adbin, d.adrelid), %(unreadable)s) END),
               ('generated', CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' END),
               ('identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END),
               ('collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END),
               ('storage', CASE WHEN a.attstorage = t.typstorage THEN NULL
                    ELSE CASE a.attstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external' WHEN 'm' THEN 'main'
                         ELSE 'extended' END END),
               ('compression', CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END),
               ('statistics', nullif(a.attstattarget, -1)::text),
               ('options', (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(a.attoptions) o))
    ) AS properties (fact, value)
    WHERE c.relkind IN ('r', 'p', 'f', 'c', 'm') OR c.relkind = 'v' AND d.oid IS NOT NULL
    UNION ALL
    SELECT 'pg_constraint'::regclass, k.oid, 0,
           CASE WHEN k.conrelid <> 0 THEN 'pg_class'::regclass ELSE 'pg_type'::regclass END,
           greatest(k.conrelid, k.contypid), fact, value
    FROM constraints k
    LEFT JOIN pg_index i ON i.indexrelid = k.conindid AND k.contype IN ('p', 'u', 'x')
    LEFT JOIN pg_class index ON index.oid = i.indexrelid
    CROSS JOIN LATERAL (
        VALUES ('definition', coalesce(pg_get_constraintdef(k.oid), %(unreadable)s)),
               ('inherited from', CASE WHEN k.coninhcount = 0 THEN NULL
                    WHEN k.conparentid <> 0 THEN k.conparentid || '.0'
                    ELSE (
                        SELECT x.oid || '.0'
                        FROM pg_inherits h
                        JOIN pg_constraint x ON x.conrelid = h.inhparent AND x.conname = k.conname
                        WHERE h.inhrelid = k.conrelid
                        ORDER BY h.inhseqno
                        LIMIT 1) END),
               ('also defined locally', CASE WHEN k.coninhcount > 0 AND k.conislocal THEN 'yes' END),
               ('valid index', CASE WHEN NOT i.indisvalid THEN 'no' END),
               ('options', (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(index.reloptions) o)),
               ('tablespace', (SELECT spcname::text FROM pg_tablespace t WHERE t.oid = index.reltablespace))
    ) AS properties (fact, value)
    UNION ALL
    SELECT 'pg_trigger'::regclass, g.oid, 0, 'pg_class'::regclass, g.tgrelid, fact, value
    FROM pg_trigger g
    LEFT JOIN pg_trigger original ON original.oid = g.tgparentid
    CROSS JOIN LATERAL (
        VALUES ('definition', coalesce(pg_get_triggerdef(g.oid), %(unreadable)s)),
               ('enabled', CASE g.tgenabled WHEN 'D' THEN 'no' WHEN 'R' THEN 'on replicas' WHEN 'A' THEN 'always'
                    ELSE 'yes' END)
    ) AS properties (fact, value)
    WHERE NOT g.tgisinternal AND g.tgrelid IN (SELECT oid FROM relations)
      -- copies on partitions belong to the original
      AND (original.oid IS NULL OR original.tgenabled <> g.tgenabled)
      -- a backfill's change capture
      AND NOT EXISTS (
          SELECT FROM pg_proc p
          JOIN pg_namespace n ON n.oid = p.pronamespace
          WHERE p.oid = g.tgfoid AND n.nspname = 'confiture'
      )
    UNION ALL
    SELECT 'pg_rewrite'::regclass, r.oid, 0, 'pg_class'::regclass, r.ev_class, fact, value
    FROM pg_rewrite r
    CROSS JOIN LATERAL (
        VALUES ('definition', coalesce(pg_get_ruledef(r.oid), %(unreadable)s)),
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
               ('using', CASE WHEN p.polqual IS NOT NULL
                    THEN coalesce(pg_get_expr(p.polqual, p.polrelid), %(unreadable)s) END),
               ('with check', CASE WHEN p.polwithcheck IS NOT NULL
                    THEN coalesce(pg_get_expr(p.polwithcheck, p.polrelid), %(unreadable)s) END)
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
                    WHEN 'm' THEN 'multirange' ELSE CASE WHEN t.typisdefined THEN 'base' ELSE 'shell' END END),
               ('labels', (
                    SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
                    FROM pg_enum e
                    WHERE e.enumtypid = t.oid)),
               ('over', CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END),
               ('not null', CASE WHEN t.typnotnull THEN 'yes' END),
               ('default', t.typdefault),
               ('collation', CASE WHEN t.typtype = 'd' THEN nullif(t.typcollation, 0)::regcollation::text END),
               ('functions', CASE WHEN t.typtype = 'b' THEN concat_ws(' ', t.typinput, t.typoutput, t.typreceive,
                    t.typsend, t.typmodin, t.typmodout, t.typanalyze, nullif(t.typsubscript, 0)) END),
               ('representation', CASE WHEN t.typtype = 'b' THEN concat_ws(' ', t.typlen, t.typbyval, t.typalign,
                    t.typstorage, t.typcategory, t.typispreferred, t.typdelim,
                    CASE WHEN t.typelem <> 0 THEN format_type(t.typelem, NULL) END,
                    CASE WHEN t.typcollation <> 0 THEN 'collatable' END) END),
               ('range of', (
                    SELECT concat_ws(' ', format_type(r.rngsubtype, NULL), nullif(r.rngcollation, 0)::regcollation,
                         o.opcname, r.rngcanonical, r.rngsubdiff)
                    FROM pg_opclass o
                    WHERE o.oid = r.rngsubopc))
    ) AS properties (fact, value)
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid, 0, 0, 0, 'definition',
           CASE WHEN p.prokind <> 'a' THEN coalesce(pg_get_functiondef(p.oid), %(unreadable)s)
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
    SELECT member.class, member.oid, 0, 'pg_opfamily'::regclass, member.family, 'definition', member.definition
    FROM (
        SELECT 'pg_amop'::regclass AS class, oid, amopfamily AS family,
               concat_ws(' ', amopopr::regoperator, (
                    SELECT 'FOR ORDER BY ' || o.opfnamespace::regnamespace || '.' || quote_ident(o.opfname)
                    FROM pg_opfamily o
                    WHERE o.oid = amopsortfamily)) AS definition
        FROM pg_amop
        UNION ALL
        SELECT 'pg_amproc'::regclass, oid, amprocfamily, amproc::regprocedure::text FROM pg_amproc
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
    SELECT 'pg_am'::regclass, oid, 0, 0, 0, 'definition', concat_ws(' ', amtype, amhandler) FROM pg_am
    WHERE oid >= 16384
    UNION ALL
    SELECT 'pg_conversion'::regclass, oid, 0, 0, 0, 'definition',
           concat_ws(' ', pg_encoding_to_char(conforencoding), pg_encoding_to_char(contoencoding), conproc,
                     CASE WHEN condefault THEN 'DEFAULT' END)
    FROM pg_conversion
    WHERE connamespace IN (TABLE spaces)
    UNION ALL
    SELECT 'pg_language'::regclass, oid, 0, 0, 0, 'definition',
           concat_ws(' ', CASE WHEN lanpltrusted THEN 'TRUSTED' END, nullif(lanplcallfoid, 0)::regproc,
                     nullif(laninline, 0)::regproc, nullif(lanvalidator, 0)::regproc)
    FROM pg_language
    WHERE oid >= 16384
    UNION ALL
    SELECT 'pg_opclass'::regclass, c.oid, 0, 0, 0, 'definition',
           concat_ws(' ', CASE WHEN c.opcdefault THEN 'DEFAULT' END, format_type(c.opcintype, NULL),
                     CASE WHEN c.opckeytype <> 0 THEN 'STORAGE ' || format_type(c.opckeytype, NULL) END,
                     'FAMILY', f.opfnamespace::regnamespace || '.' || quote_ident(f.opfname))
    FROM pg_opclass c
    JOIN pg_opfamily f ON f.oid = c.opcfamily
    WHERE c.opcnamespace IN (TABLE spaces)
    UNION ALL
    SELECT 'pg_transform'::regclass, oid, 0, 0, 0, 'definition',
           concat_ws(' ', nullif(trffromsql, 0)::regprocedure, nullif(trftosql, 0)::regprocedure)
    FROM pg_transform
    UNION ALL
    SELECT 'pg_ts_parser'::regclass, oid, 0, 0, 0, 'definition',
           concat_ws(' ', prsstart, prstoken, prsend, prslextype, prsheadline)
    FROM pg_ts_parser
    WHERE prsnamespace IN (TABLE spaces)
    UNION ALL
    SELECT 'pg_ts_template'::regclass, oid, 0, 0, 0, 'definition', concat_ws(' ', tmpllexize, tmplinit)
    FROM pg_ts_template
    WHERE tmplnamespace IN (TABLE spaces)
    UNION ALL
    SELECT 'pg_ts_config'::regclass, t.oid, 0, 0, 0, 'parser',
           p.prsnamespace::regnamespace || '.' || quote_ident(p.prsname)
    FROM pg_ts_config t
    JOIN pg_ts_parser p ON p.oid = t.cfgparser
    WHERE t.cfgnamespace IN (TABLE spaces)
    UNION ALL
    SELECT 'pg_subscription'::regclass, s.oid, 0, 0, 0, fact, value
    FROM pg_subscription s
    -- in the subquery, each of these names is the column if the version has it
    CROSS JOIN (
        SELECT NULL AS subpasswordrequired, NULL AS subrunasowner, NULL AS suborigin, NULL AS subfailover
    ) AS newer
    CROSS JOIN LATERAL (
        -- the connection string can contain a password
        VALUES ('publications', (SELECT string_agg(quote_ident(p), ', ' ORDER BY p) FROM unnest(s.subpublications) p)),
               ('settings', (
                    SELECT format('enabled %%s, binary %%s, streaming %%s, two phase %%s, disable on error %%s, slot %%s, '
                        'synchronous commit %%s, password required %%s, run as owner %%s, origin %%s, failover %%s',
                        x.subenabled, x.subbinary, x.substream, x.subtwophasestate, x.subdisableonerr, x.subslotname,
                        x.subsynccommit, subpasswordrequired, subrunasowner, suborigin, subfailover)
                    FROM pg_subscription x
                    WHERE x.oid = s.oid)),
               ('owner', pg_get_userbyid(s.subowner)::text),
               ('not read', 'its connection string')
    ) AS properties (fact, value)
    WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL
    -- kinds that this query does not contain
    SELECT DISTINCT d.classid, d.objid, 0, 0::oid, 0::oid, 'not read', 'its definition'
    FROM pg_depend d
    WHERE d.objid >= 16384 AND d.classid NOT IN (
        SELECT unnest(ARRAY[
            'pg_am', 'pg_amop', 'pg_amproc', 'pg_attrdef', 'pg_cast', 'pg_class', 'pg_collation', 'pg_constraint',
            'pg_conversion', 'pg_default_acl', 'pg_event_trigger', 'pg_extension', 'pg_foreign_data_wrapper',
            'pg_foreign_server', 'pg_language', 'pg_namespace', 'pg_opclass', 'pg_operator', 'pg_opfamily',
            'pg_policy', 'pg_proc', 'pg_publication', 'pg_publication_namespace', 'pg_publication_rel', 'pg_rewrite',
            'pg_statistic_ext', 'pg_subscription', 'pg_transform', 'pg_trigger', 'pg_ts_config', 'pg_ts_dict',
            'pg_ts_parser', 'pg_ts_template', 'pg_type', 'pg_user_mapping'
        ]::regclass[])
    )
    UNION ALL
    SELECT 'pg_event_trigger'::regclass, oid, 0, 0, 0, 'definition',
           concat_ws(' ', evtevent, evtfoid::regprocedure, evttags, evtenabled)
    FROM pg_event_trigger
    UNION ALL
    SELECT 'pg_publication'::regclass, oid, 0, 0, 0, 'definition',
           (to_jsonb(p) - 'oid' - 'pubname' - 'pubowner'
               - CASE WHEN to_jsonb(p) ->> 'pubgencols' = 'n' THEN 'pubgencols' ELSE '' END)::text
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
           -- except the version, which belongs to the server
           concat_ws(' ', collprovider, CASE WHEN NOT collisdeterministic THEN 'nondeterministic' END, collcollate,
                     collctype, coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale'),
                     to_jsonb(c) ->> 'collicurules')
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
           concat_ws(' ', nullif(fdwhandler, 0)::regproc, nullif(fdwvalidator, 0)::regproc)
    FROM pg_foreign_data_wrapper
    WHERE oid >= 16384
    UNION ALL
    SELECT 'pg_foreign_server'::regclass, s.oid, 0, 0, 0, 'definition',
           concat_ws(' ', w.fdwname, s.srvtype, s.srvversion)
    FROM pg_foreign_server s
    JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
    UNION ALL
    SELECT 'pg_user_mapping'::regclass, m.umid, 0, 'pg_foreign_server'::regclass, m.srvid, fact, value
    FROM pg_user_mappings m
    JOIN pg_foreign_server s ON s.oid = m.srvid
    CROSS JOIN LATERAL (
        -- the conditions of the view, which hides the options of other roles
        VALUES ('exists', ''), ('not read', CASE WHEN NOT (
            m.umuser <> 0 AND m.usename = current_user
                AND (pg_has_role(s.srvowner, 'USAGE') OR has_server_privilege(s.oid, 'USAGE'))
            OR m.umuser = 0 AND pg_has_role(s.srvowner, 'USAGE')
            OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
        ) THEN 'its options, which the role cannot read' END)
    ) AS properties (fact, value)
    UNION ALL
    SELECT o.class, o.oid, o.column_number, 0, 0, fact, value
    FROM foreign_options o
    CROSS JOIN LATERAL (
        VALUES ('option names', (
                    SELECT string_agg(split_part(x, '=', 1), ', ' ORDER BY split_part(x, '=', 1))
                    FROM unnest(o.options) x)),
               ('option values', (
                    SELECT encode(sha256(convert_to(%(salt)s || string_agg(x, chr(10) ORDER BY x), 'UTF8')), 'hex')
                    FROM unnest(o.options) x))
    ) AS properties (fact, value)
    WHERE o.options IS NOT NULL

    -- owners, comments, labels, privileges; pg_shdepend has no entries for pinned roles
    UNION ALL
    SELECT class, oid, 0, 0, 0, 'owner', pg_get_userbyid(owner)::text
    FROM (
        SELECT 'pg_namespace'::regclass, oid, nspowner FROM pg_namespace WHERE oid IN (TABLE spaces)
        UNION ALL
        SELECT 'pg_class'::regclass, oid, relowner FROM relations WHERE relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
        UNION ALL SELECT 'pg_type'::regclass, oid, typowner FROM types
        UNION ALL SELECT 'pg_type'::regclass, oid, typowner FROM composite_types
        UNION ALL SELECT 'pg_proc'::regclass, oid, proowner FROM functions
        UNION ALL SELECT 'pg_extension'::regclass, oid, extowner FROM pg_extension
        UNION ALL SELECT 'pg_collation'::regclass, oid, collowner FROM pg_collation
        UNION ALL SELECT 'pg_conversion'::regclass, oid, conowner FROM pg_conversion
        UNION ALL SELECT 'pg_event_trigger'::regclass, oid, evtowner FROM pg_event_trigger
        UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, fdwowner FROM pg_foreign_data_wrapper
        UNION ALL SELECT 'pg_foreign_server'::regclass, oid, srvowner FROM pg_foreign_server
        UNION ALL SELECT 'pg_language'::regclass, oid, lanowner FROM pg_language
        UNION ALL SELECT 'pg_opclass'::regclass, oid, opcowner FROM pg_opclass
        UNION ALL SELECT 'pg_operator'::regclass, oid, oprowner FROM pg_operator
        UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfowner FROM pg_opfamily
        UNION ALL SELECT 'pg_publication'::regclass, oid, pubowner FROM pg_publication
        UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxowner FROM pg_statistic_ext
        UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgowner FROM pg_ts_config
        UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictowner FROM pg_ts_dict
    ) AS owned (class, oid, owner)
    WHERE oid >= 16384 OR class = 'pg_namespace'::regclass
    UNION ALL
    SELECT classoid, objoid, objsubid, CASE WHEN i.indrelid IS NOT NULL THEN 'pg_class'::regclass ELSE 0 END,
           coalesce(i.indrelid, 0), 'comment', description
    FROM pg_description
    LEFT JOIN pg_index i ON classoid = 'pg_class'::regclass AND i.indexrelid = objoid
    WHERE (objoid >= 16384 OR classoid = 'pg_namespace'::regclass AND objoid IN (TABLE spaces))
      AND classoid <> 'pg_largeobject'::regclass
    UNION ALL
    SELECT classoid, objoid, objsubid, 0, 0, 'security label for ' || provider, label
    FROM pg_seclabel
    WHERE classoid <> 'pg_largeobject'::regclass
    UNION ALL
    SELECT class, oid, column_number, parent_class, parent,
           'privileges of ' || CASE x.grantee WHEN 0 THEN 'public' WHEN owner THEN 'the owner'
               ELSE pg_get_userbyid(x.grantee)::text END,
           string_agg(
               lower(x.privilege_type) || CASE WHEN x.is_grantable THEN ' with grant option' ELSE '' END,
               ', ' ORDER BY x.privilege_type)
    FROM (
        -- an ACL that was changed and reverted is explicit, although it equals the implicit default
        SELECT 'pg_namespace'::regclass, oid, 0, 0, 0, nspowner, coalesce(nspacl, acldefault('n', nspowner))
        FROM pg_namespace
        WHERE oid IN (TABLE spaces)
        UNION ALL
        SELECT 'pg_class'::regclass, oid, 0, 0, 0, relowner,
               coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, relowner))
        FROM relations
        WHERE relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
        UNION ALL
        SELECT 'pg_class'::regclass, a.attrelid, a.attnum, 'pg_class'::regclass, a.attrelid, c.relowner, a.attacl
        FROM pg_attribute a
        JOIN relations c ON c.oid = a.attrelid
        WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
        UNION ALL
        SELECT 'pg_type'::regclass, oid, 0, 0, 0, typowner, coalesce(typacl, acldefault('T', typowner)) FROM types
        UNION ALL
        SELECT 'pg_type'::regclass, oid, 0, 'pg_class'::regclass, typrelid, typowner,
               coalesce(typacl, acldefault('T', typowner))
        FROM composite_types
        UNION ALL
        SELECT 'pg_proc'::regclass, oid, 0, 0, 0, proowner, coalesce(proacl, acldefault('f', proowner)) FROM functions
        UNION ALL
        SELECT 'pg_language'::regclass, oid, 0, 0, 0, lanowner, coalesce(lanacl, acldefault('l', lanowner))
        FROM pg_language
        UNION ALL
        SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0, 0, 0, fdwowner, coalesce(fdwacl, acldefault('F', fdwowner))
        FROM pg_foreign_data_wrapper
        UNION ALL
        SELECT 'pg_foreign_server'::regclass, oid, 0, 0, 0, srvowner, coalesce(srvacl, acldefault('S', srvowner))
        FROM pg_foreign_server
        UNION ALL
        SELECT 'pg_default_acl'::regclass, oid, 0, 0, 0, defaclrole, defaclacl FROM pg_default_acl
    ) AS lists (class, oid, column_number, parent_class, parent, owner, acl)
    CROSS JOIN LATERAL aclexplode(acl) AS x
    GROUP BY class, oid, column_number, parent_class, parent, owner, x.grantee
), objects AS (
    SELECT DISTINCT ON (class, oid, column_number) class, oid, column_number, identified.type, identified.identity
    FROM facts
    CROSS JOIN LATERAL pg_identify_object(class, oid, column_number) AS identified
    WHERE value IS NOT NULL
      AND NOT EXISTS (SELECT FROM members m WHERE m.classid = class AND m.objid = oid)
)
-- parents by OID: the planner expects few rows, and would otherwise use a nested loop
SELECT f.class::bigint, f.oid::bigint, f.column_number, o.type, o.identity, f.parent_class::bigint, f.parent::bigint,
       f.fact, f.value
FROM facts f
JOIN objects o ON o.class = f.class AND o.oid = f.oid AND o.column_number = f.column_number
-- Confiture's tables are omitted by name if the catalog contains no schema for them; without a name, the object was
-- dropped concurrently
WHERE f.value IS NOT NULL AND (
    o.identity IS NULL
    OR o.identity !~ '(^| )confiture[.]' AND o.identity !~ ' in schema confiture( |$)'
        AND (o.type <> 'schema' OR o.identity <> 'confiture')
)

-- name: schema_dependencies
-- The objects that each object depends on, by number: normal and automatic dependencies of columns, constraints, views,
-- functions, and the rest. A default belongs to its column, the rule of a view to the view, an index of a constraint to
-- the constraint, and the type of a row or an array to its table or element.
WITH owners AS (
    SELECT 'pg_attrdef'::regclass::oid AS class, oid, 'pg_class'::regclass::oid AS owner_class, adrelid AS owner,
           adnum::int AS column_number
    FROM pg_attrdef
    UNION ALL
    SELECT 'pg_rewrite'::regclass, oid, 'pg_class'::regclass, ev_class, 0 FROM pg_rewrite WHERE rulename = '_RETURN'
    UNION ALL
    SELECT 'pg_class'::regclass, conindid, 'pg_constraint'::regclass, oid, 0
    FROM pg_constraint
    WHERE contype IN ('p', 'u', 'x')
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid, 'pg_class'::regclass, t.typrelid, 0 FROM pg_type t WHERE t.typrelid <> 0
    UNION ALL
    SELECT 'pg_type'::regclass, element.typarray,
           CASE WHEN element.typrelid <> 0 THEN 'pg_class'::regclass ELSE 'pg_type'::regclass END,
           CASE WHEN element.typrelid <> 0 THEN element.typrelid ELSE element.oid END, 0
    FROM pg_type element
    WHERE element.typarray <> 0
)
SELECT DISTINCT coalesce(o.owner_class, d.classid)::bigint, coalesce(o.owner, d.objid)::bigint,
       coalesce(o.column_number, d.objsubid), coalesce(r.owner_class, d.refclassid)::bigint,
       coalesce(r.owner, d.refobjid)::bigint, CASE WHEN r.owner IS NULL THEN d.refobjsubid ELSE r.column_number END
FROM pg_depend d
LEFT JOIN owners o ON o.class = d.classid AND o.oid = d.objid
LEFT JOIN owners r ON r.class = d.refclassid AND r.oid = d.refobjid
WHERE d.objid >= 16384 AND d.deptype IN ('n', 'a', 'i', 'P', 'S')
