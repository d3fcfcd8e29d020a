"""Generates schemas of tables with tenants, and adversarial data for them. The same seed gives the same."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

TENANT = "tenant_id"
TENANTS = (1, 2, 3)
EMPTY_TENANT = 4
WEAK = ("NOT VALID", "NOT ENFORCED")
"""Foreign keys that hold nothing."""


@dataclass(frozen=True)
class Column:
    """A column of something in FROM. `kind` is `tenant`, `number` or `text`."""

    name: str
    kind: str


@dataclass(frozen=True)
class Relation:
    """A table or view."""

    name: str
    columns: tuple[Column, ...]

    @property
    def has_tenant(self) -> bool:
        return any(one.kind == "tenant" for one in self.columns)


@dataclass(frozen=True)
class Source:
    """Something in FROM, under a name; `relation` is the table that it is."""

    alias: str
    columns: tuple[Column, ...]
    relation: str = ""

    def of(self, kind: str) -> list[str]:
        return [f"{self.alias}.{one.name}" for one in self.columns if one.kind == kind]


@dataclass(frozen=True)
class Keys:
    """How a table is keyed, and what it refers to, by a foreign key or only by habit."""

    kind: str
    """`both` (tenant and id), `id`, `id and both`, `none`."""
    nullable: bool
    target: str | None
    reference: str | None


@dataclass
class World:
    """A schema: the statements that make it."""

    statements: list[str] = field(default_factory=list)
    tables: list[Relation] = field(default_factory=list)
    lookups: list[Relation] = field(default_factory=list)
    views: list[Relation] = field(default_factory=list)
    keys: dict[str, Keys] = field(default_factory=dict)
    heirs: list[str] = field(default_factory=list)
    """The tables that another one inherits from, whose rows no key of theirs binds."""


ROW = (
    Column(TENANT, "tenant"),
    Column("id", "number"),
    Column("ref", "number"),
    Column("val", "number"),
    Column("txt", "text"),
)
OUT = (Column(TENANT, "tenant"), Column("a", "number"), Column("b", "number"), Column("s", "text"))


class Worlds:
    """Makes a schema: tables that are keyed and refer to each other in different ways."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._world = World()

    def made(self) -> World:
        self._say("CREATE TABLE l_kinds (id bigint PRIMARY KEY, name text)")
        self._world.lookups.append(Relation("l_kinds", (Column("id", "number"), Column("name", "text"))))
        has_registry = self._chance.random() < 0.5
        if has_registry:
            self._say("CREATE TABLE tenants (id bigint PRIMARY KEY, name text)")
            self._say(f"INSERT INTO tenants SELECT t, 'tenant ' || t FROM generate_series(1, {EMPTY_TENANT}) t")
        for number, name in enumerate(("w_a", "w_b", "w_c", "w_d")):
            self._table(name, [f"w_{'abcd'[other]}" for other in range(number)], has_registry)
        self._say("CREATE TABLE r_out (tenant_id bigint, a bigint, b bigint, s text, UNIQUE (tenant_id, a))")
        self._say("CREATE TABLE r_loose (a bigint PRIMARY KEY, tenant_id bigint, b bigint, s text)")
        self._world.tables.append(Relation("r_out", OUT))
        return self._world

    def _say(self, text: str) -> None:
        self._world.statements.append(text)

    def _table(self, name: str, earlier: Sequence[str], has_registry: bool) -> None:
        chance = self._chance
        kind = chance.choice(("both", "both", "id", "id and both", "none"))
        nullable = kind != "both" and chance.random() < 0.4
        tenant = "tenant_id bigint" + ("" if nullable else " NOT NULL")
        if has_registry and chance.random() < 0.7:
            tenant += " REFERENCES tenants"
        parts = [tenant, "id bigint NOT NULL", "ref bigint", "val bigint", "txt text"]
        parts += {"both": ["PRIMARY KEY (tenant_id, id)"], "id": ["PRIMARY KEY (id)"], "none": []}.get(
            kind, ["PRIMARY KEY (id)", "UNIQUE (tenant_id, id)"]
        )
        target = chance.choice(earlier) if earlier and chance.random() < 0.8 else None
        reference = self._reference(target)
        weak = chance.choice(WEAK) if reference and chance.random() < 0.15 else ""
        parts += [reference] if reference and not weak else []
        self._say(f"CREATE TABLE {name} ({', '.join(parts)})")
        if chance.random() < 0.1:
            self._say(f"CREATE TABLE {heir_of(name)} () INHERITS ({name})")
            self._world.heirs.append(name)
        if weak:
            reference = f"{reference} {weak}"
            self._say(f"ALTER TABLE {name} ADD {reference}")
        self._world.keys[name] = Keys(kind, nullable, target, reference)
        self._world.tables.append(Relation(name, ROW))

    def _reference(self, target: str | None) -> str | None:
        """A foreign key to a table, of a kind that its keys allow."""
        if target is None:
            return None
        kinds = {
            "both": ["FOREIGN KEY (tenant_id, ref) REFERENCES {} (tenant_id, id)"],
            "id": ["FOREIGN KEY (ref) REFERENCES {} (id)"],
            "id and both": [
                "FOREIGN KEY (tenant_id, ref) REFERENCES {} (tenant_id, id)",
                "FOREIGN KEY (ref) REFERENCES {} (id)",
            ],
        }.get(self._world.keys[target].kind)
        return self._chance.choice(kinds).format(target) if kinds and self._chance.random() < 0.8 else None


def heir_of(name: str) -> str:
    """The table that inherits from one."""
    return f"{name}_heir"


def filling(seed: int, made: World) -> list[str]:
    """The statements that give the empty tables of a world their data.

    The same ids in several tenants, references to other tenants' rows wherever no key forbids them, NULLs, rows of no
    tenant, a tenant that is larger than the others, and one without rows. By the seed, values are the same in all
    tenants, so that everything meets; or each tenant's own, so that each mix shows; or both in one.
    """
    chance = random.Random(seed)
    own_values, own_texts = ((False, True), (True, True), (False, False), (True, False))[seed % 4]
    # rows older than a foreign key that is NOT VALID
    statements = ["SET LOCAL session_replication_role = replica"]
    statements += ["INSERT INTO l_kinds VALUES (1, 'one'), (2, 'two'), (3, NULL)"]
    rows: dict[str, list[tuple[int | None, int]]] = {}
    for name, keys in made.keys.items():
        here: list[tuple[int | None, int]] = []
        values = []
        for tenant in (*TENANTS, *([None] if keys.nullable else [])):
            number_of_rows = 8 if tenant == 1 else chance.choice((0, 3, 4, 5, 6))
            for number in chance.sample(range(1, 10), number_of_rows):
                place = number if keys.kind in ("both", "none") else len(here) + 1
                here.append((tenant, place))
                ref = _reference_to(chance, tenant, keys, rows)
                value = "NULL" if chance.random() < 0.15 else str(chance.randint(0, 3) + own_values * (tenant or 0))
                text = chance.choice(("'x{}'", "'y{}'", "'z{}'", "NULL")).format((tenant or "") if own_texts else "")
                values.append(f"({'NULL' if tenant is None else tenant}, {place}, {ref}, {value}, {text})")
        rows[name] = here
        statements.append(f"INSERT INTO {name} VALUES {', '.join(values)}")
        if name in made.heirs:
            loose = [f"({chance.choice(TENANTS)}, {n}, {chance.randint(1, 9)}, {n}, 'x')" for n in range(1, 6)]
            statements.append(f"INSERT INTO {heir_of(name)} VALUES {', '.join(loose)}")
    numbers = ", ".join(
        f"({tenant}, {n}, {chance.randint(0, 3)}, 'x{tenant if own_texts else ''}')"
        for tenant in TENANTS
        for n in chance.sample(range(1, 7), 4)
    )
    statements.append(f"INSERT INTO r_out VALUES {numbers}")
    many = ", ".join(f"({n}, {chance.choice(TENANTS)}, {n}, 'x')" for n in range(8))
    return [*statements, f"INSERT INTO r_loose VALUES {many}"]


def _reference_to(
    chance: random.Random, tenant: int | None, keys: Keys, rows: Mapping[str, list[tuple[int | None, int]]]
) -> str:
    if keys.target is None:
        return str(chance.randint(1, 6))
    if chance.random() < 0.1:
        return "NULL"
    allowed = rows[keys.target]
    if keys.reference and "tenant_id" in keys.reference and not keys.reference.endswith(WEAK) and tenant is not None:
        allowed = [row for row in allowed if row[0] == tenant]
    return str(chance.choice(allowed)[1]) if allowed else "NULL"
