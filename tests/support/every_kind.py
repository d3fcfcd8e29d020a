"""A database with an object of every kind that pg_dump writes, except subscriptions."""

SECRETS = ("hidden-host", "hidden-password", "hidden-table", "hidden-column")

EVERY_KIND = """
CREATE SCHEMA sales;
CREATE EXTENSION postgres_fdw WITH SCHEMA sales;
CREATE TYPE mood AS ENUM ('sad', 'it''s ok');
CREATE TYPE pair AS (a int, b text COLLATE "C");
CREATE TYPE span AS RANGE (subtype = float8);
CREATE DOMAIN amount AS numeric(10, 2) DEFAULT 1 NOT NULL CONSTRAINT positive CHECK (VALUE > 0);
CREATE TYPE base;
CREATE FUNCTION base_in(cstring) RETURNS base LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
CREATE FUNCTION base_out(base) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE TYPE base (INPUT = base_in, OUTPUT = base_out, LIKE = int4);
CREATE COLLATION plain (locale = 'C');
CREATE CONVERSION latin FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE ACCESS METHOD other_heap TYPE TABLE HANDLER heap_tableam_handler;
CREATE FUNCTION other_handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler';
CREATE LANGUAGE other HANDLER other_handler;
CREATE FUNCTION less(pair, pair) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1.a < $2.a';
CREATE OPERATOR <<< (leftarg = pair, rightarg = pair, function = less);
CREATE FUNCTION compare(pair, pair) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1.a - $2.a';
CREATE OPERATOR FAMILY pair_family USING btree;
CREATE OPERATOR CLASS pair_class FOR TYPE pair USING btree FAMILY pair_family
    AS OPERATOR 1 <<<, FUNCTION 1 compare(pair, pair);
CREATE FUNCTION to_int(mood) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE CAST (mood AS int) WITH FUNCTION to_int(mood) AS ASSIGNMENT;
CREATE TRANSFORM FOR int LANGUAGE sql (
    FROM SQL WITH FUNCTION prsd_lextype(internal), TO SQL WITH FUNCTION int4recv(internal)
);
CREATE TEXT SEARCH PARSER parser (
    START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype
);
CREATE TEXT SEARCH TEMPLATE template (LEXIZE = dsimple_lexize, INIT = dsimple_init);
CREATE TEXT SEARCH DICTIONARY dictionary (TEMPLATE = simple, STOPWORDS = english);
CREATE TEXT SEARCH CONFIGURATION search (COPY = simple);
CREATE SEQUENCE numbers INCREMENT 5 CACHE 10;
CREATE TABLE w_orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, serial serial, tenant_id int NOT NULL, mood mood DEFAULT 'sad',
    amount amount, at timestamptz DEFAULT '2024-01-01 00:00:00+00', note varchar(20) COLLATE plain
        CONSTRAINT known CHECK (note IN ('a', 'b')),
    doubled int GENERATED ALWAYS AS (tenant_id * 2) STORED, during tsrange, number int DEFAULT nextval('numbers'),
    UNIQUE (tenant_id, id) WITH (fillfactor = 80), EXCLUDE USING gist (during WITH &&)
) WITH (fillfactor = 70, toast.autovacuum_enabled = off);
CREATE UNLOGGED TABLE w_lines (order_id bigint REFERENCES w_orders ON DELETE CASCADE, parent_id bigint, n int);
ALTER TABLE w_lines ADD CONSTRAINT big CHECK (n > 10) NOT VALID;
CREATE TABLE a_first (id int PRIMARY KEY, last_id int);
CREATE TABLE z_last (id int PRIMARY KEY, first_id int REFERENCES a_first);
ALTER TABLE a_first ADD FOREIGN KEY (last_id) REFERENCES z_last;
CREATE INDEX ON w_orders (lower(note)) WHERE amount > 5;
CREATE TABLE events (k int NOT NULL, v text, PRIMARY KEY (k, v)) PARTITION BY RANGE (k);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (10);
CREATE TABLE a_events PARTITION OF events DEFAULT PARTITION BY LIST (v);
CREATE INDEX events_v ON events (v);
CREATE TABLE parent (a int, b int CHECK (b > 0));
CREATE TABLE child (c int) INHERITS (parent);
CREATE TABLE other_store (a int) USING other_heap;
CREATE FUNCTION body() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM w_orders';
CREATE FUNCTION atomic(tenant int DEFAULT 5) RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM w_orders; END;
CREATE PROCEDURE clean() LANGUAGE plpgsql AS 'BEGIN DELETE FROM w_lines; END';
CREATE AGGREGATE total (int) (sfunc = int4pl, stype = int, initcond = '0');
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER before_order BEFORE INSERT ON w_orders FOR EACH ROW WHEN (NEW.amount > 5) EXECUTE FUNCTION change();
CREATE TRIGGER on_event AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION change();
ALTER TABLE w_orders DISABLE TRIGGER before_order;
CREATE VIEW few AS SELECT id, amount FROM w_orders WHERE note = 'a';
CREATE VIEW fewer AS SELECT id FROM few;
ALTER VIEW fewer ALTER id SET DEFAULT 4;
CREATE MATERIALIZED VIEW counts AS SELECT mood, count(*) AS n FROM w_orders GROUP BY mood;
CREATE UNIQUE INDEX ON counts (mood);
CREATE RULE quiet AS ON DELETE TO w_lines DO INSTEAD NOTHING;
CREATE POLICY mine ON w_orders FOR SELECT USING (tenant_id = (SELECT max(n) FROM w_lines));
ALTER TABLE w_orders ENABLE ROW LEVEL SECURITY;
CREATE STATISTICS related ON tenant_id, mood FROM w_orders;
ALTER TABLE w_orders ALTER note SET STATISTICS 500, ALTER note SET STORAGE external, REPLICA IDENTITY FULL;
CREATE FOREIGN DATA WRAPPER wrapper OPTIONS (secret 'hidden-password');
CREATE SERVER remote FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'hidden-host');
CREATE USER MAPPING FOR public SERVER remote OPTIONS (user 'u', password 'hidden-password');
CREATE FOREIGN TABLE far (a int OPTIONS (column_name 'hidden-column')) SERVER remote
    OPTIONS (table_name 'hidden-table');
CREATE PUBLICATION pub FOR TABLE w_orders (id, tenant_id) WHERE (tenant_id > 5);
CREATE PUBLICATION whole FOR TABLES IN SCHEMA sales;
CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION on_ddl();
COMMENT ON TABLE w_orders IS 'Orders; {{ not a template }}';
COMMENT ON COLUMN w_orders.note IS 'A note';
COMMENT ON CONSTRAINT known ON w_orders IS 'Known notes';
COMMENT ON INDEX w_orders_pkey IS 'The key';
COMMENT ON FUNCTION body() IS 'Counts';
COMMENT ON TYPE pair IS 'Two';
COMMENT ON TRIGGER before_order ON w_orders IS 'Before';
COMMENT ON SERVER remote IS 'Far away; {{ not a template }}';
GRANT SELECT ON w_orders TO public;
GRANT UPDATE (note) ON w_orders TO public;
REVOKE EXECUTE ON FUNCTION body() FROM public;
REVOKE USAGE ON TYPE mood FROM public;
ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO public;
"""
