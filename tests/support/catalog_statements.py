"""Random statements: such as make sense about a small shop, and such as just parse."""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random

import psycopg

from tests.support.paths import DATA

TABLES = ["w_orders", "w_items", "w_customers", "sales.w_orders", "w_" + "o" * 50 + "rders"]
COLUMNS = ["id", "a", "b", "c", "tenant_id", "a_c" + "o" * 30 + "lumn"]
TYPES = [
    "int",
    "bigint",
    "text",
    "varchar(10)",
    "numeric(5,2)",
    "timestamptz",
    "int[]",
    "mood",
    "sales.amount",
    "serial",
]
NAMES = ["n1", "n2", "n3"]

# what the server does not accept for reasons that the catalog does not look into
_OTHER_REASONS = ("is not a parent", "is not a partition", "circular", "cannot rename", "inherited from", "in schema")


class Shop:
    """Makes statements about the tables that are there, mostly, and about some that are not."""

    BEFORE = (
        "CREATE SCHEMA sales; CREATE TYPE mood AS ENUM ('sad'); CREATE DOMAIN sales.amount AS int CHECK (VALUE > 0);"
        "CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'"
    )

    def __init__(self, random: Random) -> None:
        self._random = random
        self._live: list[str] = []

    def is_plain(self, error: psycopg.Error) -> bool:
        """Whether an object that is missing, or made twice, is all that is wrong."""
        told = str(error)
        query = error.diag.statement_position is not None and "column" in told
        return not query and not any(reason in told for reason in _OTHER_REASONS) and "constraint" not in told

    def statement(self, live: Iterable[str]) -> str:
        self._live = list(live)
        makers = [
            *[self.create_table] * 2,
            *[self._alter] * 7,
            *[self._index] * 2,
            self._partition,
            self._rename,
            self._drop,
            self._view,
            self._type,
            self._other,
        ]
        return self._random.choice(makers)()

    def create_table(self) -> str:
        columns = COLUMNS[:4] if self._maybe(0.6) else self._random.sample(COLUMNS, self._random.randint(2, 5))
        parts = [f"{column} {self._type_name()} {self._column_constraint()}" for column in columns]
        parts += [self._constraint() for _ in range(self._random.choice([0, 0, 1, 2]))]
        if self._maybe(0.1):
            parts.append(f"LIKE {self._table()} INCLUDING ALL")
        end = self._some(0.1, f"INHERITS ({self._table()})") or self._some(
            0.15, f"PARTITION BY RANGE ({self._random.choice(columns)})"
        )
        quiet = self._some(0.1, "IF NOT EXISTS")
        return f"CREATE TABLE {quiet} {self._random.choice(TABLES)} ({', '.join(parts)}) {end}"

    def _maybe(self, chance: float) -> bool:
        return self._random.random() < chance

    def _some(self, chance: float, text: str) -> str:
        return text if self._maybe(chance) else ""

    def _table(self) -> str:
        return self._random.choice(self._live if self._live and self._maybe(0.8) else TABLES)

    def _column(self) -> str:
        return self._random.choice(COLUMNS[:4] if self._maybe(0.8) else COLUMNS)

    def _columns(self, most: int = 2) -> str:
        return ", ".join(self._random.sample(COLUMNS[:5], self._random.randint(1, most)))

    def _type_name(self) -> str:
        return self._random.choice(TYPES)

    def _column_constraint(self) -> str:
        return self._random.choice(
            [
                *[""] * 5,
                "NOT NULL",
                "UNIQUE",
                "PRIMARY KEY",
                "DEFAULT NULL",
                f"CHECK ({self._column()} IS NOT NULL)",
                f"REFERENCES {self._table()}",
                f"REFERENCES {self._table()} ({self._column()}) ON DELETE CASCADE",
                f"CONSTRAINT {self._random.choice(NAMES)} CHECK ({self._column()} IS NOT NULL)",
                f"CONSTRAINT {self._random.choice(NAMES)} UNIQUE",
            ]
        )

    def _constraint(self) -> str:
        name = self._some(0.3, f"CONSTRAINT {self._random.choice(NAMES)}")
        body = self._random.choice(
            [
                f"PRIMARY KEY ({self._columns()})",
                f"UNIQUE ({self._columns()})",
                f"UNIQUE NULLS NOT DISTINCT ({self._columns()}) INCLUDE ({self._column()})",
                f"CHECK ({self._column()} IS NULL OR {self._column()} IS NOT NULL)",
                f"CHECK ({self._column()} IS NOT NULL)",
                f"FOREIGN KEY ({self._column()}) REFERENCES {self._table()}",
                f"FOREIGN KEY ({self._columns()}) REFERENCES {self._table()} ({self._columns()})",
                f"NOT NULL {self._column()}",
                f"EXCLUDE ({self._column()} WITH =)",
            ]
        )
        return f"{name} {body}"

    def _alter(self) -> str:
        commands = ", ".join(self._command() for _ in range(self._random.choice([1, 1, 1, 2, 3])))
        return f"ALTER TABLE {self._some(0.1, 'ONLY')} {self._table()} {commands}"

    def _command(self) -> str:
        column, name = (
            self._column(),
            self._random.choice([*NAMES, "w_orders_pkey", "w_items_a_key", "w_items_a_check"]),
        )
        cascade = self._some(0.4, "CASCADE")
        return self._random.choice(
            [
                f"ADD COLUMN {column} {self._type_name()} {self._column_constraint()}",
                f"ADD COLUMN IF NOT EXISTS {column} {self._type_name()}",
                f"DROP COLUMN {self._some(0.3, 'IF EXISTS')} {column} {cascade}",
                f"ADD {self._constraint()}",
                f"ADD CHECK ({column} IS NOT NULL) NOT VALID",
                f"DROP CONSTRAINT {name} {cascade}",
                f"VALIDATE CONSTRAINT {name}",
                f"ALTER {column} SET NOT NULL",
                f"ALTER {column} DROP NOT NULL",
                f"ALTER {column} DROP DEFAULT",
                f"ALTER {column} TYPE {self._random.choice(['text', 'bigint'])}",
                f"ALTER {column} ADD GENERATED ALWAYS AS IDENTITY",
                f"INHERIT {self._table()}",
                "REPLICA IDENTITY FULL",
            ]
        )

    def _index(self) -> str:
        keys = self._random.choice(
            [
                self._columns(3),
                f"({self._column()} IS NULL), {self._column()} DESC",
                f"coalesce({self._column()}, {self._column()})",
            ]
        )
        name = self._some(0.2, self._random.choice(NAMES))
        included = self._some(0.2, f"INCLUDE ({self._column()})")
        where = self._some(0.2, f"WHERE {self._column()} IS NOT NULL")
        return f"CREATE {self._some(0.2, 'UNIQUE')} INDEX {name} ON {self._table()} ({keys}) {included} {where}"

    def _partition(self) -> str:
        parent, name = self._table(), self._random.choice(TABLES)
        return self._random.choice(
            [
                f"CREATE TABLE {name} PARTITION OF {parent} FOR VALUES FROM (1) TO (5)",
                f"CREATE TABLE {name} PARTITION OF {parent} DEFAULT",
                f"ALTER TABLE {parent} ATTACH PARTITION {self._table()} DEFAULT",
                f"ALTER TABLE {parent} DETACH PARTITION {self._table()}",
            ]
        )

    def _rename(self) -> str:
        table, name = self._table(), self._random.choice(NAMES)
        return self._random.choice(
            [
                f"ALTER TABLE {table} RENAME TO {self._random.choice(TABLES).split('.')[-1]}",
                f"ALTER TABLE {table} RENAME {self._column()} TO {self._column()}",
                f"ALTER TABLE {table} RENAME CONSTRAINT {self._random.choice(NAMES)} TO {name}",
                f"ALTER INDEX {self._random.choice([*NAMES, 'w_orders_pkey', 'w_items_a_idx'])} RENAME TO {name}",
                f"ALTER TABLE {table} SET SCHEMA {self._random.choice(['sales', 'public'])}",
            ]
        )

    def _drop(self) -> str:
        return self._random.choice(
            [
                f"DROP TABLE {self._table()} {self._some(0.5, 'CASCADE')}",
                f"DROP INDEX {self._random.choice([*NAMES, 'w_orders_a_idx', 'w_items_a_idx'])}",
                f"DROP VIEW r_orders {self._some(0.5, 'CASCADE')}",
                "DROP MATERIALIZED VIEW r_items",
            ]
        )

    def _view(self) -> str:
        read = self._random.choice(["*", self._columns(), f"count(*), max({self._column()})"])
        return self._random.choice(
            [
                f"CREATE {self._some(0.4, 'OR REPLACE')} VIEW r_orders AS SELECT {read} FROM {self._table()}",
                f"CREATE MATERIALIZED VIEW r_items AS SELECT * FROM {self._table()}",
                f"CREATE INDEX ON r_items ({self._column()})",
                f"CREATE TABLE {self._random.choice(TABLES)} AS SELECT * FROM {self._table()}",
            ]
        )

    def _type(self) -> str:
        return self._random.choice(
            [
                "CREATE TYPE mood AS ENUM ('sad')",
                "ALTER TYPE mood RENAME TO state",
                "ALTER TYPE state RENAME TO mood",
                f"DROP TYPE mood {self._some(0.4, 'CASCADE')}",
                "CREATE DOMAIN sales.amount AS int CHECK (VALUE > 0)",
                f"DROP DOMAIN sales.amount {self._some(0.4, 'CASCADE')}",
            ]
        )

    def _other(self) -> str:
        table = self._table()
        return self._random.choice(
            [
                f"COMMENT ON TABLE {table} IS 'one'",
                f"COMMENT ON COLUMN {table}.{self._column()} IS 'one'",
                f"CREATE POLICY own ON {table} USING ({self._column()} IS NOT NULL)",
                f"DROP POLICY own ON {table}",
                f"CREATE TRIGGER change BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION change()",
                f"DROP TRIGGER change ON {table}",
                f"DROP FUNCTION change() {self._some(0.5, 'CASCADE')}",
                f"SET search_path = {self._random.choice(['public', 'sales, public', 'public, sales'])}",
                "CREATE SEQUENCE w_orders_id_seq",
            ]
        )


_WORDS = re.compile(r"\s+|\$\$.*?\$\$|'[^']*'|\"[^\"]*\"|\w+|.", re.DOTALL)
_SHORT = ["t", "u", "v", "s", "a", "b", "f", "e", "d"]


def _seeds() -> list[list[str]]:
    texts = (DATA / "catalog.sql").read_text().split(";\n") + (DATA / "catalog_rare.sql").read_text().split(";\n")
    return [_WORDS.findall(re.sub(r"^--.*$", "", text, flags=re.MULTILINE).strip()) for text in texts if text.strip()]


MUTATIONS = _seeds()


def mutated(random: Random, seeds: list[list[str]]) -> str:
    """A statement with some words taken away, added or replaced: many still parse."""
    words = list(random.choice(seeds))
    for _ in range(random.choice([0, 1, 1, 2, 3])):
        place = random.randrange(len(words) or 1)
        change = random.random()
        if change < 0.5:
            words[place : place + 1] = [random.choice(_SHORT)]
        elif change < 0.65:
            words[place : place + 1] = []
        else:
            other = random.choice(seeds) or [""]
            begin = random.randrange(len(other))
            words[place:place] = other[begin : begin + random.randint(1, 6)]
    return "".join(words)
