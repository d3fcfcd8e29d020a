"""Migrations with constraints and indexes, and the rules that each breaks: the subtle cases."""

from __future__ import annotations

from dataclasses import dataclass

CHECK = "check_without_not_valid"
KEY = "fk_without_not_valid"
NOT_NULL = "set_not_null_scan"
REQUIRED = "required_column_without_default"
UNIQUE = "unique_or_pk_blocking"
PK = "pk_over_nullable_index"
EXCLUDE = "exclusion_blocking"
VALIDATE = "validate_in_same_transaction"
DOMAIN = "domain_constraint_scan"
DROPPED = "drop_constraint"
INDEX = "create_index_blocking"
DROP_INDEX = "drop_or_reindex_blocking"
PARTITIONED = "concurrently_on_partitioned"
ONLY = "alter_only_partitioned"
RULES = (
    *(CHECK, KEY, NOT_NULL, REQUIRED, UNIQUE, PK, EXCLUDE, VALIDATE, DOMAIN, DROPPED, INDEX, DROP_INDEX, PARTITIONED),
    ONLY,
)
READING = {CHECK, KEY, NOT_NULL, UNIQUE, PK, EXCLUDE, VALIDATE, DOMAIN, INDEX}
"""Those that say that a table is read while others wait."""
FAILING = {REQUIRED, PARTITIONED, ONLY}

ORDERS = """
CREATE TABLE w_customers (id bigint PRIMARY KEY, region text);
CREATE TABLE w_orders (id bigint, amount numeric, number text, customer_id bigint);
INSERT INTO w_customers SELECT generate_series(1, 9);
INSERT INTO w_orders SELECT n, n, n, n FROM generate_series(1, 9) AS n
"""
PARTS = """
CREATE TABLE w_customers (id bigint PRIMARY KEY);
CREATE TABLE w_orders (id bigint, day date NOT NULL, amount numeric, customer_id bigint) PARTITION BY RANGE (day);
CREATE TABLE w_orders_24 PARTITION OF w_orders FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE w_orders_25 PARTITION OF w_orders FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')
  PARTITION BY RANGE (day);
CREATE TABLE "w_Orders 25" PARTITION OF w_orders_25 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO w_customers SELECT generate_series(1, 9);
INSERT INTO w_orders SELECT n, '2024-06-01', n, n FROM generate_series(1, 9) AS n;
INSERT INTO w_orders SELECT n, '2025-06-01', n, n FROM generate_series(1, 9) AS n
"""
QUOTED = """
CREATE SCHEMA "Shop";
CREATE TABLE "Shop"."Orders" ("Id" bigint, "order" numeric);
INSERT INTO "Shop"."Orders" VALUES (1, 1)
"""
HEIRS = """
CREATE TABLE w_orders (id bigint, amount numeric);
CREATE TABLE w_old_orders () INHERITS (w_orders);
INSERT INTO w_old_orders SELECT n, n FROM generate_series(1, 9) AS n
"""
PRICES = """
CREATE DOMAIN price AS numeric;
CREATE DOMAIN net_price AS price;
CREATE TABLE w_orders (id bigint, amount net_price);
INSERT INTO w_orders SELECT n, n FROM generate_series(1, 9) AS n
"""
INDEXED = (
    ORDERS
    + """;
CREATE UNIQUE INDEX w_orders_id_idx ON w_orders (id);
CREATE INDEX w_orders_number_idx ON w_orders (number)
"""
)


@dataclass(frozen=True)
class Case:
    """SQL that a migration runs (several texts are several migrations) and the rules of ours that it breaks."""

    sql: str | tuple[str, ...]
    rules: tuple[str, ...] = ()
    before: str = ORDERS
    more: str = ""
    versions: tuple[int, ...] = (18, 15)
    reads_before: bool = False
    """Whether what is read is read before the transaction takes the lock that others wait for."""

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.sql,) if isinstance(self.sql, str) else self.sql

    @property
    def schema(self) -> str:
        return f"{self.before};{self.more}" if self.more else self.before

    def __str__(self) -> str:
        return f"{'; '.join(self.texts)} [{self.more}]"


CHECKS = [
    Case("ALTER TABLE w_orders ADD CHECK (amount > 0)", (CHECK,)),
    Case("ALTER TABLE w_orders ADD CHECK (amount > 0) NOT VALID"),
    Case("ALTER TABLE w_orders ADD CHECK (amount > 0) NOT ENFORCED", versions=(18,)),
    Case("ALTER TABLE w_orders ADD COLUMN paid numeric CHECK (paid >= 0)", (CHECK,)),
    Case("ALTER TABLE w_orders ADD COLUMN paid numeric NOT NULL DEFAULT 0 CHECK (paid >= 0)", (CHECK,)),
    Case("ALTER TABLE w_orders ADD COLUMN paid numeric CHECK (paid >= 0) NOT ENFORCED", versions=(18,)),
    Case("ALTER TABLE w_orders ADD COLUMN paid numeric, ADD CHECK (paid >= 0) NOT VALID"),
    Case("ALTER TABLE w_orders ADD COLUMN paid numeric, ADD CHECK (paid >= 0)", (CHECK,)),
    Case("ALTER TABLE w_orders ADD COLUMN IF NOT EXISTS amount numeric CHECK (amount >= 0)"),
    Case("ALTER TABLE w_orders ADD CHECK (amount > 0), ADD CHECK (amount < 1e6)", (CHECK, CHECK)),
    Case("ALTER TABLE w_orders ADD CHECK (amount > 0), ADD CHECK (amount < 1e6) NOT VALID", (CHECK,)),
    Case("ALTER TABLE IF EXISTS ONLY public.w_orders ADD CONSTRAINT c CHECK (amount > 0)", (CHECK,)),
    Case("CREATE TABLE r_orders (id bigint CHECK (id > 0)); ALTER TABLE r_orders ADD CHECK (id < 9)"),
    Case("CREATE TABLE r_orders AS SELECT 1 AS id; ALTER TABLE r_orders ADD CHECK (id < 9)"),
    Case("CREATE TEMP TABLE r_orders (id bigint); ALTER TABLE r_orders ADD CHECK (id < 9)"),
    Case('ALTER TABLE "Shop"."Orders" ADD CHECK ("order" > 0)', (CHECK,), QUOTED),
    Case("ALTER TABLE w_orders ADD CHECK (amount > 0)", (CHECK,), PARTS),
    Case("ALTER TABLE w_orders ADD CHECK (amount > 0) NOT VALID", (), PARTS),
    Case("ALTER TABLE w_orders_24 ADD CHECK (amount > 0)", (CHECK,), PARTS),
    Case(
        "ALTER TABLE w_orders ADD CONSTRAINT c CHECK (amount > 0)",
        (),
        PARTS,
        "ALTER TABLE w_orders_24 ADD CONSTRAINT c CHECK (amount > 0);"
        'ALTER TABLE "w_Orders 25" ADD CONSTRAINT c CHECK (amount > 0)',
    ),
    Case("ALTER TABLE w_orders ADD CHECK (amount > 0)", (CHECK,), HEIRS),
]
KEYS = [
    Case("ALTER TABLE w_orders ADD FOREIGN KEY (customer_id) REFERENCES w_customers", (KEY,)),
    Case("ALTER TABLE w_orders ADD FOREIGN KEY (customer_id) REFERENCES w_customers NOT VALID"),
    Case("ALTER TABLE w_orders ADD FOREIGN KEY (customer_id) REFERENCES w_customers NOT ENFORCED", versions=(18,)),
    Case("ALTER TABLE w_orders ADD COLUMN agent bigint REFERENCES w_customers (id)"),
    Case("ALTER TABLE w_orders ADD COLUMN agent bigint DEFAULT 1 REFERENCES w_customers (id)", (KEY,)),
    Case("ALTER TABLE w_orders ADD COLUMN agent bigint REFERENCES w_customers (id) DEFAULT NULL", (KEY,)),
    Case("ALTER TABLE w_orders ADD COLUMN agent bigint REFERENCES w_customers, ADD COLUMN x int DEFAULT 1"),
    Case("ALTER TABLE w_orders ADD COLUMN agent bigint, ADD FOREIGN KEY (agent) REFERENCES w_customers", (KEY,)),
    Case(
        "CREATE TABLE r_orders (id bigint, c bigint); ALTER TABLE r_orders ADD FOREIGN KEY (c) REFERENCES w_customers"
    ),
    Case(
        "CREATE TABLE w_regions (id text PRIMARY KEY);"
        "ALTER TABLE w_customers ADD FOREIGN KEY (region) REFERENCES w_regions",
        (KEY,),
    ),
    Case("ALTER TABLE w_orders ADD FOREIGN KEY (customer_id) REFERENCES w_customers", (KEY,), PARTS),
    Case("ALTER TABLE w_orders ADD FOREIGN KEY (customer_id) REFERENCES w_customers NOT VALID", (), PARTS, "", (18,)),
    Case(
        "ALTER TABLE w_orders ADD FOREIGN KEY (customer_id) REFERENCES w_customers",
        (),
        PARTS,
        "ALTER TABLE w_orders_24 ADD FOREIGN KEY (customer_id) REFERENCES w_customers;"
        'ALTER TABLE "w_Orders 25" ADD FOREIGN KEY (customer_id) REFERENCES w_customers',
    ),
]
PROOF = "ALTER TABLE w_orders ADD CONSTRAINT c CHECK"
SET = "ALTER TABLE w_orders ALTER COLUMN amount SET NOT NULL"
NOT_NULLS = [
    Case(SET, (NOT_NULL,)),
    Case(SET, (), more="ALTER TABLE w_orders ALTER amount SET NOT NULL"),
    Case(SET, (), more=f"{PROOF} (amount IS NOT NULL)"),
    Case(SET, (), more=f"{PROOF} (amount IS NOT NULL AND amount > 0)"),
    Case(SET, (), more=f"{PROOF} (id > 0 AND (amount IS NOT NULL AND amount > 0))"),
    Case(SET, (), more=f"{PROOF} (NOT (amount IS NULL))"),
    Case(SET, (), more=f"{PROOF} (NOT (amount IS NULL OR id IS NULL))"),
    Case(SET, (), more=f"{PROOF} (amount IS DISTINCT FROM NULL)"),
    Case(SET, (NOT_NULL,), more=f"{PROOF} (amount > 0)"),
    Case(SET, (NOT_NULL,), more=f"{PROOF} (amount IS NOT NULL OR id IS NOT NULL)"),
    Case(SET, (NOT_NULL,), more=f"{PROOF} (amount::text IS NOT NULL)"),
    Case(SET, (NOT_NULL,), more=f"{PROOF} (id IS NOT NULL)"),
    Case(SET, (NOT_NULL,), more=f"{PROOF} (num_nonnulls(amount, id) = 2)"),
    Case(SET, (NOT_NULL,), more=f"{PROOF} (amount IS NOT NULL) NOT VALID"),
    Case((SET,), (), more=f"{PROOF} (amount IS NOT NULL) NOT VALID; ALTER TABLE w_orders VALIDATE CONSTRAINT c"),
    Case(SET, (NOT_NULL,), more=f"{PROOF} (amount IS NOT NULL); ALTER TABLE w_orders DROP CONSTRAINT c"),
    Case(
        f"ALTER TABLE w_orders VALIDATE CONSTRAINT c; {SET}",
        (),
        more=f"{PROOF} (amount IS NOT NULL) NOT VALID",
        reads_before=True,
    ),
    Case(
        "ALTER TABLE w_orders VALIDATE CONSTRAINT c, ALTER COLUMN amount SET NOT NULL",
        (NOT_NULL,),
        more=f"{PROOF} (amount IS NOT NULL) NOT VALID",
    ),
    Case(
        "ALTER TABLE w_orders ALTER COLUMN amount SET NOT NULL, DROP CONSTRAINT c",
        (NOT_NULL,),
        more=f"{PROOF} (amount IS NOT NULL)",
    ),
    Case(f"{SET}; ALTER TABLE w_orders DROP CONSTRAINT c", (), more=f"{PROOF} (amount IS NOT NULL)"),
    Case("ALTER TABLE w_orders ADD NOT NULL amount", (NOT_NULL,), versions=(18,)),
    Case("ALTER TABLE w_orders ADD CONSTRAINT n NOT NULL amount NOT VALID", (), versions=(18,)),
    Case("ALTER TABLE w_orders ADD NOT NULL amount", (), more=f"{PROOF} (amount IS NOT NULL)", versions=(18,)),
    Case(SET, (NOT_NULL,), more="ALTER TABLE w_orders ADD CONSTRAINT n NOT NULL amount NOT VALID", versions=(18,)),
    Case(
        "ALTER TABLE w_orders VALIDATE CONSTRAINT n",
        (),
        more="ALTER TABLE w_orders ADD CONSTRAINT n NOT NULL amount NOT VALID",
        versions=(18,),
    ),
    Case(
        SET,
        (),
        more="ALTER TABLE w_orders ADD CONSTRAINT n NOT NULL amount NOT VALID;"
        "ALTER TABLE w_orders VALIDATE CONSTRAINT n",
        versions=(18,),
    ),
    Case("ALTER TABLE w_orders ADD COLUMN paid int DEFAULT 0, ALTER COLUMN paid SET NOT NULL", (NOT_NULL,)),
    Case("CREATE TABLE r_orders (id bigint); ALTER TABLE r_orders ALTER id SET NOT NULL"),
    Case("ALTER TABLE w_orders ALTER COLUMN amount SET NOT NULL", (NOT_NULL,), PARTS),
    Case(SET, (), PARTS, f"{PROOF} (amount IS NOT NULL)"),
    Case(
        SET,
        (),
        PARTS,
        'ALTER TABLE w_orders_24 ALTER amount SET NOT NULL; ALTER TABLE "w_Orders 25" ADD CHECK (amount IS NOT NULL)',
    ),
    Case(SET, (NOT_NULL,), PARTS, "ALTER TABLE w_orders_24 ALTER amount SET NOT NULL"),
    Case(SET, (NOT_NULL,), HEIRS),
    Case("ALTER TABLE ONLY w_orders ALTER amount SET NOT NULL", (NOT_NULL,), HEIRS),
    Case('ALTER TABLE "Shop"."Orders" ALTER "order" SET NOT NULL', (NOT_NULL,), QUOTED),
    Case(
        'ALTER TABLE "Shop"."Orders" ALTER "order" SET NOT NULL',
        (),
        QUOTED,
        'ALTER TABLE "Shop"."Orders" ADD CHECK ("order" IS NOT NULL)',
    ),
    Case(
        "ALTER TABLE w_orders ALTER place SET NOT NULL",
        (NOT_NULL,),
        more="CREATE TYPE spot AS (x int, y int); ALTER TABLE w_orders ADD place spot;"
        "UPDATE w_orders SET place = ROW (1, 1); ALTER TABLE w_orders ADD CHECK (place IS NOT NULL)",
    ),
]
REQUIREDS = [
    Case("ALTER TABLE w_orders ADD COLUMN paid int NOT NULL", (REQUIRED,)),
    Case("ALTER TABLE w_orders ADD COLUMN paid int NOT NULL DEFAULT 0"),
    Case("ALTER TABLE w_orders ADD COLUMN paid int NOT NULL DEFAULT NULL::int", (REQUIRED,)),
    Case("ALTER TABLE w_orders ADD COLUMN paid int NOT NULL, ALTER COLUMN paid SET DEFAULT 0", (REQUIRED,)),
    Case("ALTER TABLE w_orders ADD COLUMN paid int, ALTER COLUMN paid SET NOT NULL", (REQUIRED,)),
    Case("ALTER TABLE w_orders ADD COLUMN paid int, ADD NOT NULL paid", (REQUIRED,), versions=(18,)),
    Case("ALTER TABLE w_orders ADD COLUMN IF NOT EXISTS amount numeric NOT NULL"),
    Case("ALTER TABLE w_orders ADD COLUMN paid price", (REQUIRED,), more="CREATE DOMAIN price AS int NOT NULL"),
    Case("ALTER TABLE w_orders ADD COLUMN paid price NOT NULL", (), more="CREATE DOMAIN price AS int DEFAULT 0"),
    Case("ALTER TABLE w_orders ADD COLUMN paid int PRIMARY KEY", (REQUIRED, UNIQUE)),
    Case("CREATE TABLE r_orders (id int); ALTER TABLE r_orders ADD COLUMN paid int NOT NULL"),
]
UNIQUES = [
    Case("ALTER TABLE w_orders ADD UNIQUE (number)", (UNIQUE,)),
    Case("ALTER TABLE w_orders ADD PRIMARY KEY (id)", (UNIQUE,)),
    Case("ALTER TABLE w_orders ADD CONSTRAINT u UNIQUE (number, id) INCLUDE (amount) DEFERRABLE", (UNIQUE,)),
    Case("ALTER TABLE w_orders ADD UNIQUE NULLS NOT DISTINCT (number)", (UNIQUE,)),
    Case("ALTER TABLE w_orders ADD COLUMN code text UNIQUE", (UNIQUE,)),
    Case("ALTER TABLE w_orders ADD COLUMN code text, ADD UNIQUE (code)", (UNIQUE,)),
    Case("ALTER TABLE w_orders ADD CONSTRAINT u UNIQUE USING INDEX w_orders_id_idx", (), INDEXED),
    Case("ALTER TABLE w_orders ADD PRIMARY KEY USING INDEX w_orders_id_idx", (PK,), INDEXED),
    Case(
        "ALTER TABLE w_orders ADD PRIMARY KEY USING INDEX w_orders_id_idx",
        (),
        INDEXED,
        "ALTER TABLE w_orders ALTER id SET NOT NULL",
    ),
    Case(
        "ALTER TABLE w_orders ADD PRIMARY KEY USING INDEX w_orders_id_idx",
        (),
        INDEXED,
        "ALTER TABLE w_orders ADD CHECK (id IS NOT NULL)",
    ),
    Case(
        "ALTER TABLE w_orders ALTER id SET NOT NULL, ADD PRIMARY KEY USING INDEX w_orders_id_idx",
        (NOT_NULL,),
        INDEXED,
    ),
    Case("CREATE TABLE r_orders (id bigint); ALTER TABLE r_orders ADD PRIMARY KEY (id)"),
    Case("ALTER TABLE w_orders ADD UNIQUE (id, day)", (UNIQUE,), PARTS),
    Case(
        "ALTER TABLE w_orders ADD UNIQUE (id, day)",
        (),
        PARTS,
        'ALTER TABLE w_orders_24 ADD UNIQUE (id, day); ALTER TABLE "w_Orders 25" ADD UNIQUE (id, day)',
    ),
    Case("ALTER TABLE ONLY w_orders ADD UNIQUE (id, day)", (), PARTS),
    Case('ALTER TABLE "Shop"."Orders" ADD UNIQUE ("order")', (UNIQUE,), QUOTED),
    Case(
        "ALTER TABLE w_orders ADD UNIQUE (units, driven WITHOUT OVERLAPS)",
        (UNIQUE,),
        more="ALTER TABLE w_orders ADD units int4range, ADD driven daterange",
        versions=(18,),
    ),
    Case("ALTER TABLE w_orders ADD EXCLUDE (id WITH =)", (EXCLUDE,)),
    Case("CREATE TABLE r_orders (id bigint); ALTER TABLE r_orders ADD EXCLUDE (id WITH =)"),
]
VALIDATIONS = [
    Case(f"{PROOF} (amount > 0) NOT VALID; ALTER TABLE w_orders VALIDATE CONSTRAINT c", (VALIDATE,)),
    Case(f"{PROOF} (amount > 0) NOT VALID, VALIDATE CONSTRAINT c", (VALIDATE,)),
    Case((f"{PROOF} (amount > 0) NOT VALID", "ALTER TABLE w_orders VALIDATE CONSTRAINT c")),
    Case(
        f"{PROOF} (amount > 0) NOT VALID; CREATE INDEX CONCURRENTLY i ON w_customers (region);"
        "ALTER TABLE w_orders VALIDATE CONSTRAINT c",
    ),
    Case(
        "ALTER TABLE w_orders ADD CHECK (amount > 0) NOT VALID;"
        "ALTER TABLE public.w_orders VALIDATE CONSTRAINT w_orders_amount_check",
        (VALIDATE,),
    ),
    Case(
        "ALTER TABLE w_orders ADD FOREIGN KEY (customer_id) REFERENCES w_customers NOT VALID;"
        "ALTER TABLE w_orders VALIDATE CONSTRAINT w_orders_customer_id_fkey",
        (VALIDATE,),
    ),
    Case(
        "ALTER TABLE w_orders ADD CONSTRAINT n NOT NULL amount NOT VALID; ALTER TABLE w_orders VALIDATE CONSTRAINT n",
        (VALIDATE,),
        versions=(18,),
    ),
    Case(
        f"{PROOF} (amount > 0) NOT VALID, VALIDATE CONSTRAINT c",
        (),
        PARTS,
        "ALTER TABLE w_orders_24 ADD CONSTRAINT c CHECK (amount > 0);"
        'ALTER TABLE "w_Orders 25" ADD CONSTRAINT c CHECK (amount > 0)',
    ),
    Case(
        "CREATE TABLE r_orders (id bigint); ALTER TABLE r_orders ADD CONSTRAINT c CHECK (id > 0) NOT VALID;"
        "ALTER TABLE r_orders VALIDATE CONSTRAINT c"
    ),
]
DOMAINS = [
    Case("ALTER DOMAIN price ADD CHECK (VALUE > 0)", (DOMAIN,), PRICES),
    Case("ALTER DOMAIN price ADD CHECK (VALUE > 0) NOT VALID", (), PRICES),
    Case(
        "ALTER DOMAIN price VALIDATE CONSTRAINT c",
        (DOMAIN,),
        PRICES,
        "ALTER DOMAIN price ADD CONSTRAINT c CHECK (VALUE > 0) NOT VALID",
    ),
    Case("ALTER DOMAIN net_price SET NOT NULL", (DOMAIN,), PRICES),
    Case("ALTER DOMAIN price SET DEFAULT 1", (), PRICES),
    Case("ALTER DOMAIN fee ADD CHECK (VALUE > 0)", (), PRICES, "CREATE DOMAIN fee AS numeric"),
    Case("CREATE DOMAIN fee AS numeric; ALTER DOMAIN fee ADD CHECK (VALUE > 0)"),
    Case("ALTER TABLE w_orders ADD COLUMN fee price", (), PRICES),
    Case("ALTER TABLE w_orders ADD COLUMN fee price", (DOMAIN,), PRICES, "ALTER DOMAIN price ADD CHECK (VALUE > 0)"),
    Case(
        "ALTER TABLE w_orders ADD COLUMN fee net_price NOT NULL DEFAULT 1, ADD COLUMN tip text",
        (DOMAIN,),
        PRICES,
        "ALTER DOMAIN price ADD CHECK (VALUE > 0) NOT VALID",
    ),
    Case(
        "ALTER TABLE w_orders ADD COLUMN fee price DEFAULT 1",
        (DOMAIN,),
        PRICES,
        "ALTER DOMAIN price SET NOT NULL",
    ),
    Case(
        "ALTER TABLE w_orders ADD COLUMN fees price[]",
        (),
        ORDERS,
        "CREATE DOMAIN price AS numeric CHECK (VALUE > 0)",
    ),
    Case(
        "CREATE TABLE r_orders (id bigint); ALTER TABLE r_orders ADD COLUMN fee price",
        (),
        PRICES,
        "ALTER DOMAIN price ADD CHECK (VALUE > 0)",
    ),
    Case(
        "CREATE DOMAIN fee AS numeric; CREATE TABLE r_fees (fee fee); ALTER DOMAIN fee ADD CHECK (VALUE > 0)",
    ),
]
DROPS = [
    Case("ALTER TABLE w_orders DROP CONSTRAINT c", (DROPPED,), more=f"{PROOF} (amount > 0)"),
    Case("ALTER TABLE w_orders DROP CONSTRAINT IF EXISTS c"),
    Case(
        "ALTER TABLE w_orders DROP CONSTRAINT c, ADD CONSTRAINT c CHECK (amount > 1) NOT VALID",
        (),
        more=f"{PROOF} (amount > 0)",
    ),
    Case(
        "ALTER TABLE w_orders DROP CONSTRAINT c; ALTER TABLE w_orders ADD CONSTRAINT d CHECK (amount > 1) NOT VALID",
        (),
        more=f"{PROOF} (amount > 0)",
    ),
    Case(
        "ALTER TABLE w_orders DROP CONSTRAINT c; ALTER TABLE w_orders ADD CONSTRAINT d CHECK (id > 1) NOT VALID",
        (DROPPED,),
        more=f"{PROOF} (amount > 0)",
    ),
    Case(
        "ALTER TABLE w_orders DROP CONSTRAINT c",
        (),
        more=f"{PROOF} (amount > 0); ALTER TABLE w_orders ADD CONSTRAINT d CHECK (amount < 1e6)",
    ),
    Case(
        "ALTER TABLE w_orders DROP CONSTRAINT c",
        (),
        more=f"{PROOF} (amount IS NOT NULL); ALTER TABLE w_orders ALTER amount SET NOT NULL",
    ),
    Case(
        "ALTER TABLE w_orders DROP CONSTRAINT c",
        (DROPPED,),
        more=f"{PROOF} (amount IS NOT NULL AND amount > 0); ALTER TABLE w_orders ALTER amount SET NOT NULL",
    ),
    Case(
        "ALTER TABLE w_orders DROP CONSTRAINT w_orders_customer_id_fkey",
        (DROPPED,),
        more="ALTER TABLE w_orders ADD FOREIGN KEY (customer_id) REFERENCES w_customers",
    ),
    Case(
        "ALTER TABLE w_orders DROP CONSTRAINT w_orders_customer_id_fkey",
        (),
        more="ALTER TABLE w_orders ADD FOREIGN KEY (customer_id) REFERENCES w_customers;"
        "ALTER TABLE w_orders ADD FOREIGN KEY (customer_id) REFERENCES w_customers ON DELETE CASCADE",
    ),
    Case("ALTER TABLE w_customers DROP CONSTRAINT w_customers_pkey", (DROPPED,)),
    Case(
        "ALTER TABLE w_orders DROP CONSTRAINT c; ALTER TABLE w_orders DROP COLUMN amount",
        (),
        more=f"{PROOF} (amount > 0)",
    ),
    Case("ALTER TABLE w_orders ALTER amount DROP NOT NULL", (DROPPED,), more=SET),
    Case("ALTER TABLE w_orders ALTER amount DROP NOT NULL"),
    Case("ALTER TABLE w_orders DROP CONSTRAINT w_orders_amount_not_null", (DROPPED,), more=SET, versions=(18,)),
    Case("CREATE TABLE r_orders (id int NOT NULL); ALTER TABLE r_orders ALTER id DROP NOT NULL"),
    Case("ALTER DOMAIN price DROP NOT NULL", (DROPPED,), more="CREATE DOMAIN price AS int NOT NULL"),
    Case(
        "ALTER DOMAIN price DROP CONSTRAINT c",
        (DROPPED,),
        more="CREATE DOMAIN price AS int CONSTRAINT c CHECK (VALUE > 0)",
    ),
    Case("DROP INDEX CONCURRENTLY w_orders_id_idx", (DROPPED,), INDEXED),
    Case("DROP INDEX CONCURRENTLY w_orders_number_idx", (), INDEXED),
    Case(
        "DROP INDEX CONCURRENTLY w_orders_id_idx",
        (),
        INDEXED,
        "CREATE UNIQUE INDEX w_orders_id_idx1 ON w_orders (id)",
    ),
    Case(
        "DROP INDEX CONCURRENTLY w_orders_id_idx; CREATE UNIQUE INDEX CONCURRENTLY w_orders_id_idx ON w_orders (id)",
        (),
        INDEXED,
    ),
]
INDEXES = [
    Case("CREATE INDEX i ON w_orders (amount)", (INDEX,)),
    Case("CREATE INDEX ON w_orders (lower(number), amount DESC) INCLUDE (id) WHERE amount > 0", (INDEX,)),
    Case("CREATE UNIQUE INDEX IF NOT EXISTS i ON ONLY w_orders (id)", (INDEX,)),
    Case("CREATE INDEX IF NOT EXISTS w_orders_number_idx ON w_orders (number)", (), INDEXED),
    Case("CREATE INDEX CONCURRENTLY i ON w_orders (amount)"),
    Case("CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON w_orders (amount)"),
    Case("CREATE TABLE r_orders (id bigint); CREATE INDEX ON r_orders (id)"),
    Case("CREATE TEMP TABLE w_orders (id bigint); CREATE INDEX ON w_orders (id)"),
    Case('CREATE INDEX ON "Shop"."Orders" ("order")', (INDEX,), QUOTED),
    Case(
        "CREATE INDEX ON r_orders (id)", (INDEX,), more="CREATE MATERIALIZED VIEW r_orders AS SELECT id FROM w_orders"
    ),
    Case("CREATE MATERIALIZED VIEW r_orders AS SELECT id FROM w_orders; CREATE UNIQUE INDEX ON r_orders (id)"),
    Case("CREATE INDEX ON w_orders (amount)", (INDEX,), PARTS),
    Case("CREATE INDEX ON ONLY w_orders (amount)", (), PARTS),
    Case("CREATE INDEX ON w_orders_24 (amount)", (INDEX,), PARTS),
    Case(
        "CREATE INDEX ON w_orders (amount)",
        (),
        PARTS,
        'CREATE INDEX ON w_orders_24 (amount); CREATE INDEX ON "w_Orders 25" (amount)',
    ),
    Case(
        "CREATE INDEX ON w_orders (amount)",
        (),
        PARTS,
        'CREATE INDEX ON w_orders_24 (amount DESC); CREATE INDEX ON "w_Orders 25" (amount NULLS FIRST)',
    ),
    Case(
        "CREATE INDEX ON w_orders (amount)",
        (INDEX,),
        PARTS,
        'CREATE INDEX ON w_orders_24 (amount); CREATE INDEX ON "w_Orders 25" (amount) WHERE amount > 0',
    ),
    Case("CREATE INDEX CONCURRENTLY i ON w_orders (amount)", (PARTITIONED,), PARTS),
    Case("CREATE INDEX CONCURRENTLY i ON ONLY w_orders (amount)", (PARTITIONED,), PARTS),
    Case("CREATE INDEX CONCURRENTLY i ON w_orders_24 (amount)", (), PARTS),
    Case("DROP INDEX CONCURRENTLY i", (PARTITIONED,), PARTS, "CREATE INDEX i ON w_orders (amount)"),
    Case("DROP INDEX i", (), PARTS, "CREATE INDEX i ON w_orders (amount)"),
    Case("DROP INDEX w_orders_number_idx", (DROP_INDEX,), INDEXED),
    Case("DROP INDEX IF EXISTS public.w_orders_number_idx CASCADE", (DROP_INDEX,), INDEXED),
    Case("DROP INDEX w_orders_number_idx, w_orders_id_idx", (DROP_INDEX, DROPPED), INDEXED),
    Case("CREATE TABLE r_orders (id int); CREATE INDEX i ON r_orders (id); DROP INDEX i"),
    Case("REINDEX INDEX w_orders_number_idx", (DROP_INDEX,), INDEXED),
    Case("REINDEX (VERBOSE) TABLE w_orders", (DROP_INDEX,), INDEXED),
    Case("REINDEX TABLE CONCURRENTLY w_orders", (), INDEXED),
    Case("REINDEX (CONCURRENTLY) INDEX w_orders_number_idx", (), INDEXED),
    Case("REINDEX (CONCURRENTLY false) INDEX w_orders_number_idx", (DROP_INDEX,), INDEXED),
    Case("REINDEX SCHEMA public", (DROP_INDEX,), INDEXED),
]
ALONE = "ALTER TABLE ONLY w_orders"
EACH_NOT_NULL = 'ALTER TABLE w_orders_24 ALTER amount SET NOT NULL; ALTER TABLE "w_Orders 25" ALTER amount SET NOT NULL'
BARE = "CREATE TABLE w_orders (id bigint, amount numeric) PARTITION BY RANGE (id)"
WITH_CHECK = "ALTER TABLE w_orders ADD CONSTRAINT c CHECK (amount > 0)"
PARENTS = [
    Case(f"{ALONE} ALTER amount SET NOT NULL", (ONLY,), PARTS),
    Case(f"{ALONE} ALTER amount SET NOT NULL", (ONLY,), PARTS, EACH_NOT_NULL, (18,)),
    Case(
        f"{ALONE} ALTER amount SET NOT NULL",
        (),
        PARTS,
        f"{EACH_NOT_NULL}; ALTER TABLE w_orders_25 ALTER amount SET NOT NULL",
        (15,),
    ),
    Case(f"{ALONE} ALTER amount SET NOT NULL", (), PARTS, "ALTER TABLE w_orders ALTER amount SET NOT NULL"),
    Case(f"{ALONE} ALTER amount SET NOT NULL", (), BARE),
    Case(f"{ALONE} ADD CHECK (amount > 0)", (ONLY,), PARTS),
    Case(f"{ALONE} ADD CHECK (amount > 0) NOT VALID", (ONLY,), PARTS),
    Case(f"{ALONE} ADD CHECK (amount > 0)", (ONLY,), HEIRS),
    Case(f"{ALONE} ADD CHECK (amount > 0) NO INHERIT", (CHECK,), HEIRS),
    Case(f"{ALONE} ADD CHECK (amount > 0)", (), BARE),
    Case(f"{ALONE} ADD NOT NULL amount", (ONLY,), PARTS, versions=(18,)),
    Case(f"{ALONE} ADD NOT NULL amount", (ONLY,), HEIRS, versions=(18,)),
    Case(f"{ALONE} ADD FOREIGN KEY (id) REFERENCES w_customers", (ONLY,), PARTS),
    Case(f"{ALONE} ADD COLUMN paid int", (ONLY,), PARTS),
    Case(f"{ALONE} ADD COLUMN paid int", (ONLY,), HEIRS),
    Case(f"{ALONE} ADD COLUMN IF NOT EXISTS amount int", (), PARTS),
    Case(f"{ALONE} DROP COLUMN amount", (ONLY,), PARTS),
    Case(f"{ALONE} DROP COLUMN amount", (), HEIRS),
    Case(f"{ALONE} ALTER amount TYPE text", (ONLY,), PARTS),
    Case(f"{ALONE} ALTER amount TYPE text", (ONLY,), HEIRS),
    Case(f"{ALONE} DROP CONSTRAINT c", (DROPPED,), PARTS, WITH_CHECK, (18,)),
    Case(f"{ALONE} DROP CONSTRAINT c", (DROPPED, ONLY), PARTS, WITH_CHECK, (15,)),
    Case(f"{ALONE} ALTER day DROP NOT NULL", (DROPPED,), PARTS, versions=(18,)),
    Case(f"{ALONE} ALTER day DROP NOT NULL", (DROPPED, ONLY), PARTS, versions=(15,)),
    Case(f"{ALONE} ALTER amount SET DEFAULT 1", (), PARTS),
    Case(f"{ALONE} RENAME amount TO total", (ONLY,), PARTS),
    Case(f"{ALONE} RENAME amount TO total", (ONLY,), HEIRS),
    Case(f"{ALONE} RENAME TO w_jobs", (), PARTS),
]
SEVERAL = [
    Case("ALTER TABLE w_orders ADD CHECK (amount > 0), ALTER COLUMN number SET NOT NULL", (CHECK, NOT_NULL)),
    Case("ALTER TABLE w_orders ADD UNIQUE (number), ADD CHECK (amount > 0), ADD paid int", (UNIQUE, CHECK)),
    Case("ALTER TABLE w_orders ADD FOREIGN KEY (customer_id) REFERENCES w_customers, ADD UNIQUE (id)", (KEY, UNIQUE)),
    Case("ALTER TABLE w_orders ADD CHECK (amount > 0), ALTER id TYPE int, ADD paid int", (CHECK,)),
    Case("ALTER TABLE w_orders ADD COLUMN paid int NOT NULL, ADD CHECK (amount > 0)", (REQUIRED, CHECK)),
    Case(
        "ALTER TABLE w_customers DROP COLUMN id, ADD PRIMARY KEY (region)",
        (UNIQUE,),
        more="UPDATE w_customers SET region = id; ALTER TABLE w_customers ALTER region SET NOT NULL",
    ),
    Case(
        "ALTER TABLE w_orders DROP COLUMN paid, ADD COLUMN paid bigint NOT NULL, ALTER number SET DEFAULT '0'",
        (REQUIRED,),
        more="ALTER TABLE w_orders ADD paid int",
    ),
    Case("ALTER TABLE w_orders ADD CHECK (amount > 0), ADD COLUMN token uuid DEFAULT gen_random_uuid()", (CHECK,)),
    Case(
        "ALTER TABLE w_orders ADD PRIMARY KEY USING INDEX w_orders_id_idx, ALTER number SET NOT NULL",
        (PK, NOT_NULL),
        INDEXED,
    ),
]
CASES = [*CHECKS, *KEYS, *NOT_NULLS, *REQUIREDS, *UNIQUES, *VALIDATIONS, *DOMAINS, *DROPS, *INDEXES, *PARENTS, *SEVERAL]
