"""Generates statements, to hold the analysis of tenants against what really happens.

A statement is built with some care: each time it could compare tenants it does so with that probability. With full
care most statements keep tenants apart, with less most do not. The same seed gives the same.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.generated_schemas import OUT, ROW, TENANT, TENANTS, Column, Relation, Source, World, Worlds

_EITHER = "({0} = {1} AND {2} > 1 OR {2} <= 1 AND {1} = {0})"
CARES = (1.0, 1.0, 0.9, 0.6)


def world(seed: int) -> World:
    """A schema: tables, and views on them."""
    chance = random.Random(seed)
    made = Worlds(chance).made()
    for number in range(4):
        name = f"v_{number}"
        query = Builder(chance, made, chance.choice(CARES), depth=1).body(3)
        made.statements.append(f"CREATE VIEW {name} AS {query.text}")
        made.views.append(Relation(name, query.columns))
    return made


@dataclass(frozen=True)
class Query:
    """A SELECT and its columns."""

    text: str
    columns: tuple[Column, ...]


def statement(seed: int, made: World) -> str:
    """A statement on a world."""
    chance = random.Random(seed)
    return Builder(chance, made, chance.choice(CARES), depth=2).statement()


class Builder:
    """Builds one statement. `care` is the chance that tenants are compared where they could be."""

    def __init__(self, chance: random.Random, made: World, care: float, depth: int) -> None:
        self._chance = chance
        self._world = made
        self._care = care
        self._depth = depth
        self._names = 0
        self._joins_by_key = chance.random() < 0.2
        self._common: list[Relation] = []
        self._unused: list[Relation] = []
        """WITH queries that nothing reads yet: the next FROM does."""

    def statement(self) -> str:
        kind = self._chance.choices(
            ("insert", "select", "table", "conflict", "update", "delete", "merge"), (8, 3, 2, 1, 3, 1, 2)
        )[0]
        if kind == "update":
            return self._update()
        if kind == "delete":
            return self._delete()
        if kind == "merge":
            return self._merge()
        query = self._query()
        if kind == "table":
            return f"CREATE TABLE made AS {query}"
        if kind == "select":
            return query
        if kind == "conflict":
            target, key = self._pick((("r_out", "tenant_id, a"), ("r_loose", "a")))
            action = self._pick(
                (
                    "NOTHING",
                    "UPDATE SET b = excluded.b",
                    f"UPDATE SET b = 0 WHERE {target}.{TENANT} = excluded.{TENANT}",
                )
            )
            return f"INSERT INTO {target} (tenant_id, a, b, s) {query} ON CONFLICT ({key}) DO {action}"
        return f"INSERT INTO r_out (tenant_id, a, b, s) {query}"

    # queries

    def _query(self) -> str:
        """A query with the columns of OUT, perhaps with WITH queries and set operations."""
        parts = [self._with_query() for _ in range(self._chance.choice((0, 0, 1, 1, 2)))]
        recursive = self._chance.random() < 0.08
        if recursive:
            parts.append(self._recursive())
        text = self.body(4, is_outermost=True).text
        while self._chance.random() < 0.2:
            operation = self._pick(("UNION ALL", "UNION", "UNION ALL", "INTERSECT", "EXCEPT"))
            text = f"({text}) {operation} ({self.body(4, is_outermost=True).text})"
        words = "WITH RECURSIVE " if recursive else "WITH "
        return (words + ", ".join(parts) + " " if parts else "") + text

    def _with_query(self) -> str:
        name = self._name("q")
        query = self.body(self._chance.randint(2, 4))
        self._has(Relation(name, query.columns))
        return f"{name} AS {self._pick(('', '', 'MATERIALIZED '))}({query.text})"

    def _has(self, relation: Relation) -> None:
        self._common.append(relation)
        self._unused.append(relation)

    def _recursive(self) -> str:
        name = self._name("r")
        table = self._pick(self._tables())
        tenant = f" AND o.{TENANT} = r.{TENANT}" if self._is_careful() else ""
        self._has(Relation(name, (Column(TENANT, "tenant"), Column("id", "number"), Column("d", "number"))))
        return (
            f"{name} ({TENANT}, id, d) AS (SELECT {TENANT}, id, 1::bigint FROM {table} WHERE val = 1"
            f" UNION SELECT {self._pick((f'r.{TENANT}', f'o.{TENANT}'))}, o.id, r.d + 1 FROM {name} r"
            f" JOIN {table} o ON o.ref = r.id{tenant} WHERE r.d < 4)"
        )

    def body(self, width: int, *, is_outermost: bool = False) -> Query:
        """A SELECT with so many columns, the tenant's first, or missing where that can be."""
        sources, text, where = self._from()
        conditions = where + self._conditions(sources)
        tenant = self._tenant(sources)
        if not is_outermost and self._chance.random() > 0.5 + self._care / 2:
            tenant = ""
        shape = self._chance.choices(("plain", "group", "distinct", "window", "limit"), (8, 5, 1, 2, 1))[0]
        values = [self._value(sources) for _ in range(width - 1 - is_outermost)]
        group = ""
        if shape == "group":
            keys = [one for one in (tenant,) if one and "(" not in one and (is_outermost or self._is_careful())]
            keys += [values.pop()] if values and self._chance.random() < 0.5 else []
            keys = list(dict.fromkeys(one for one in keys if not one.isdigit()))
            used = [one for one in keys if one != tenant]
            if tenant and tenant not in keys:
                tenant = f"min({tenant})"
            values = [*used, *(self._aggregate(sources) for _ in range(width - 1 - is_outermost - len(used)))]
            group = f" GROUP BY {', '.join(keys)}" if keys else ""
            if group and self._chance.random() < 0.2:
                group += f" HAVING count(*) {self._pick(('>', '<='))} 1"
        elif shape == "window":
            values[-1:] = [self._window(sources, tenant)]
        string = self._text(sources, grouped=shape == "group") if is_outermost else None
        names = ["a", "b", "c"]
        outputs = [f"{tenant} AS {TENANT}"] if tenant else []
        columns = [Column(TENANT, "tenant")] if tenant else []
        if not tenant and is_outermost:
            outputs, columns = [f"{self._pick(TENANTS)}::bigint AS {TENANT}"], [Column(TENANT, "tenant")]
        for name, value in zip(names, values, strict=False):
            outputs.append(f"{value} AS {name}")
            columns.append(Column(name, "number"))
        if string:
            outputs.append(f"{string} AS s")
            columns.append(Column("s", "text"))
        distinct = "DISTINCT " if shape == "distinct" else ""
        tail = ""
        if shape == "limit":
            tail = f" ORDER BY {len(outputs)}{self._pick(('', ' DESC'))} LIMIT {self._limit()}"
        written = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return Query(f"SELECT {distinct}{', '.join(outputs)} FROM {text}{written}{group}{tail}", tuple(columns))

    def _limit(self) -> str:
        """A number of rows, which may depend on the rows of a table."""
        if self._chance.random() < 0.8:
            return str(self._chance.randint(1, 4))
        return f"(SELECT count(*) FROM {self._pick(self._tables())} WHERE {TENANT} = {self._pick(TENANTS)})"

    # FROM

    def _from(self) -> tuple[list[Source], str, list[str]]:
        first, text = self._source()
        sources, where = [first], []
        for _ in range(self._chance.choice((0, 0, 1, 1, 1, 2))):
            linked = self._linked(sources) if self._joins_by_key else None
            if linked:
                source, written = linked
                text += written
                sources.append(source)
                continue
            source, written = self._source()
            kind = self._chance.choices(
                ("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "CROSS JOIN", ",", "LATERAL", "USING"),
                (8, 6, 1, 1, 1, 2, 2, 1),
            )[0]
            if kind == "LATERAL":
                source, inner = self._lateral(sources)
                text += f" {self._pick(('CROSS JOIN', 'JOIN', 'LEFT JOIN'))} LATERAL {inner}"
                text += "" if "CROSS JOIN LATERAL " + inner in text else " ON true"
                sources.append(source)
                continue
            if kind == "USING":
                common = [one.name for one in source.columns if any(one.name == other.name for other in first.columns)]
                if not common or len(sources) > 1:
                    kind = "JOIN"
                else:
                    chosen = [one for one in common if one == TENANT and self._is_careful()] or common[-1:]
                    text += f" {self._pick(('JOIN', 'LEFT JOIN'))} {written} USING ({', '.join(chosen)})"
                    sources.append(source)
                    continue
            conditions = self._joining(sources, source)
            if kind in (",", "CROSS JOIN"):
                text += f"{', ' if kind == ',' else ' CROSS JOIN '}{written}"
                where += conditions
            else:
                text += f" {kind} {written} ON {' AND '.join(conditions) or 'true'}"
            if kind == "FULL JOIN" and any(" OR " in one or "DISTINCT" in one or "<" in one for one in conditions):
                text = text.replace("FULL JOIN", "LEFT JOIN")
            sources.append(source)
            if kind == ",":
                break
        return sources, text, where

    def _source(self) -> tuple[Source, str]:
        alias = self._name("t")
        kind = self._chance.choices(("table", "lookup", "view", "common", "query"), (10, 1, 2, 4, 2))[0]
        if self._unused:
            relation = self._unused.pop()
        elif kind == "common" and self._common:
            relation = self._pick(self._common)
        elif kind == "view" and self._world.views:
            relation = self._pick(self._world.views)
        elif kind == "lookup":
            relation = self._pick(self._world.lookups)
        elif kind == "query" and self._depth:
            query = self._inner(self._chance.randint(2, 4))
            return Source(alias, query.columns), f"({query.text}) AS {alias}"
        else:
            relation = self._pick(self._world.tables)
        return Source(alias, relation.columns, relation.name), f"{relation.name} {self._pick(('', 'AS '))}{alias}"

    def _linked(self, sources: Sequence[Source]) -> tuple[Source, str] | None:
        """A join by what one table refers to in another, often without the tenant: sometimes a key keeps them apart."""
        keys = self._world.keys
        pairs = [
            (other, name, "ref", "id") if keys[other.relation].target == name else (other, name, "id", "ref")
            for other in sources
            for name in keys
            if other.relation in keys and (keys[other.relation].target == name or keys[name].target == other.relation)
        ]
        if not pairs:
            return None
        other, name, mine, theirs = self._pick(pairs)
        source = Source(self._name("t"), ROW, name)
        conditions = [f"{other.alias}.{mine} = {source.alias}.{theirs}"]
        if self._chance.random() < 0.3:
            conditions.append(f"{other.alias}.{TENANT} = {source.alias}.{TENANT}")
        kind = self._pick(("JOIN", "JOIN", "LEFT JOIN"))
        return source, f" {kind} {name} {source.alias} ON {' AND '.join(self._shuffled(conditions))}"

    def _inner(self, width: int) -> Query:
        self._depth -= 1
        query = self.body(width)
        self._depth += 1
        return query

    def _lateral(self, sources: Sequence[Source]) -> tuple[Source, str]:
        alias = self._name("t")
        table, inner = self._pick(self._tables()), self._name("t")
        condition = self._correlated(sources, Source(inner, ROW))
        if self._chance.random() < 0.4:
            text = f"SELECT sum({inner}.val)::bigint AS a FROM {table} {inner} WHERE {condition}"
            return Source(alias, (Column("a", "number"),)), f"({text}) {alias}"
        text = f"SELECT {inner}.{TENANT}, {inner}.val AS a FROM {table} {inner} WHERE {condition}"
        if self._chance.random() < 0.5:
            text += f" ORDER BY {inner}.val LIMIT 1"
        return Source(alias, (Column(TENANT, "tenant"), Column("a", "number"))), f"({text}) {alias}"

    def _joining(self, sources: Sequence[Source], source: Source) -> list[str]:
        conditions = []
        tenants = [one for other in sources for one in other.of("tenant")]
        if tenants and source.of("tenant") and self._is_careful():
            pair = (self._pick(tenants), self._pick(source.of("tenant")))
            form = self._chance.choices(
                ("{} = {}", "{1} = {0}", "{}::text = {}::text", "{} IS NOT DISTINCT FROM {}", _EITHER), (10, 5, 1, 1, 1)
            )[0]
            number = self._number([source])
            conditions.append(form.format(*pair, number))
        numbers = [one for other in sources for one in other.of("number")]
        if numbers and source.of("number") and self._chance.random() < 0.8:
            mine, theirs = self._key(sources, source)
            conditions.append(f"{mine} {self._pick(('=', '=', '=', '=', '<'))} {theirs}")
        return self._shuffled(conditions)

    def _key(self, sources: Sequence[Source], source: Source) -> tuple[str, str]:
        """Two columns to join by: mostly a reference and what it refers to."""
        other = self._pick([one for one in sources if one.of("number")])
        if self._chance.random() < 0.6:
            for left, right in self._shuffled([("ref", "id"), ("id", "ref")]):
                pair = (f"{other.alias}.{left}", f"{source.alias}.{right}")
                if pair[0] in other.of("number") and pair[1] in source.of("number"):
                    return pair
        return self._pick(other.of("number")), self._pick(source.of("number"))

    # conditions

    def _conditions(self, sources: Sequence[Source]) -> list[str]:
        found = []
        while self._chance.random() < 0.35:
            kind = self._chance.choices(("value", "tenant", "exists", "in", "or"), (6, 1, 3, 2, 1))[0]
            tenants = [one for source in sources for one in source.of("tenant")]
            if kind == "tenant" and tenants:
                form = self._pick(("{} = {}", "{} IN ({}, 2)", "{} <> {}", "{} = ANY (ARRAY[{}])"))
                found.append(form.format(self._pick(tenants), self._pick(TENANTS)))
            elif kind == "exists":
                alias = self._name("t")
                table = self._pick(self._tables())
                condition = self._correlated(sources, Source(alias, ROW))
                negation = self._pick(("", "", "NOT "))
                found.append(f"{negation}EXISTS (SELECT 1 FROM {table} {alias} WHERE {condition})")
            elif kind == "in":
                found.append(self._membership(sources))
            elif kind == "or":
                found.append(f"({self._comparison(sources)} OR {self._comparison(sources)})")
            else:
                found.append(self._comparison(sources))
        return found

    def _comparison(self, sources: Sequence[Source]) -> str:
        return f"{self._number(sources)} {self._pick(('>', '=', '<', 'IS DISTINCT FROM'))} {self._chance.randint(0, 3)}"

    def _correlated(self, sources: Sequence[Source], inner: Source) -> str:
        tenants = [one for source in sources for one in source.of("tenant")]
        conditions = []
        if tenants and self._is_careful():
            conditions.append(f"{inner.alias}.{TENANT} = {self._pick(tenants)}")
        if self._chance.random() < 0.7:
            conditions.append(f"{inner.alias}.{self._pick(('id', 'ref', 'val'))} = {self._number(sources)}")
        return " AND ".join(self._shuffled(conditions)) or "true"

    def _membership(self, sources: Sequence[Source]) -> str:
        alias, table = self._name("t"), self._pick(self._tables())
        tenants = [one for source in sources for one in source.of("tenant")]
        negation = self._pick(("", "", "NOT "))
        if tenants and self._is_careful():
            if self._chance.random() < 0.2:
                return f"{self._pick(tenants)} {negation}IN (SELECT {alias}.{TENANT} FROM {table} {alias})"
            if self._chance.random() < 0.5:
                left = f"({self._pick(tenants)}, {self._number(sources)})"
                return f"{left} {negation}IN (SELECT {alias}.{TENANT}, {alias}.id FROM {table} {alias})"
            where = f" WHERE {alias}.{TENANT} = {self._pick(tenants)}"
        else:
            where = ""
        return f"{self._number(sources)} {negation}IN (SELECT {alias}.id FROM {table} {alias}{where})"

    # what is returned

    def _tenant(self, sources: Sequence[Source]) -> str:
        tenants = [one for source in sources for one in source.of("tenant")]
        if not tenants:
            return f"{self._pick(TENANTS)}::bigint" if self._chance.random() < 0.2 else ""
        first = tenants[0] if self._is_careful() or len(tenants) == 1 else self._pick(tenants)
        form = self._chance.choices(
            ("{0}", "coalesce({0}, {1})", "CAST({0} AS bigint)", "{2}", "CASE WHEN true THEN {0} END"),
            (40, 2, 2, 1 if self._care < 1 else 0, 1),
        )[0]
        return form.format(first, self._pick(tenants), f"{self._pick(TENANTS)}::bigint")

    def _number(self, sources: Sequence[Source]) -> str:
        numbers = [one for source in sources for one in source.of("number")]
        return self._pick(numbers) if numbers else "1"

    def _value(self, sources: Sequence[Source]) -> str:
        kind = self._chance.choices(
            ("column", "sum", "coalesce", "case", "scalar", "constant", "exists"), (12, 2, 2, 1, 3, 1, 1)
        )[0]
        number = self._number(sources)
        if kind == "sum":
            return f"{number} + {self._number(sources)}"
        if kind == "coalesce":
            return f"coalesce({number}, {self._number(sources)}, 0)"
        if kind == "case":
            return f"CASE WHEN {self._comparison(sources)} THEN {number} ELSE 0 END"
        if kind == "scalar":
            alias, table = self._name("t"), self._pick(self._tables())
            inner = Source(alias, ROW)
            function = self._pick(("sum({}.val)::bigint", "count(*)", "max({}.id)")).format(alias)
            return f"(SELECT {function} FROM {table} {alias} WHERE {self._correlated(sources, inner)})"
        if kind == "exists":
            alias, table = self._name("t"), self._pick(self._tables())
            condition = self._correlated(sources, Source(alias, ROW))
            return f"EXISTS (SELECT 1 FROM {table} {alias} WHERE {condition})::int"
        return str(self._chance.randint(5, 9)) if kind == "constant" else number

    def _aggregate(self, sources: Sequence[Source]) -> str:
        number = self._number(sources)
        text = self._pick(
            ("count(*)", "sum({})::bigint", "max({})", "count(DISTINCT {})", "coalesce(sum({}), 0)::bigint")
        ).format(number)
        if "coalesce" not in text and "::" not in text and self._chance.random() < 0.15:
            text += f" FILTER (WHERE {self._comparison(sources)})"
        return text

    def _window(self, sources: Sequence[Source], tenant: str) -> str:
        number = self._number(sources)
        call = self._pick(
            ("row_number()", "rank()", "sum({})", "count(*)", "lag({})", "first_value({})", "max({})")
        ).format(number)
        parts = []
        if tenant and not tenant.endswith("bigint") and self._is_careful():
            parts.append(tenant)
        if self._chance.random() < 0.3:
            parts.append(self._number(sources))
        by = f"PARTITION BY {', '.join(parts)}" if parts else ""
        order = f"ORDER BY {self._number(sources)}" if self._chance.random() < 0.7 else ""
        return f"({call} OVER ({' '.join(one for one in (by, order) if one)}))::bigint"

    def _text(self, sources: Sequence[Source], *, grouped: bool) -> str:
        texts = [one for source in sources for one in source.of("text")]
        if not texts:
            return "'none'"
        text = self._pick(texts)
        if grouped:
            return self._pick(("max({})", "string_agg({}, ',')", "string_agg(DISTINCT {}, ',')")).format(text)
        return self._pick(("{}", "upper({})", "coalesce({}, 'none')", "{} || '!'")).format(text)

    # changes

    def _update(self) -> str:
        target = self._pick(self._tables())
        source, written = self._source()
        mine = Source("m", ROW)
        conditions = self._joining([mine], source) + self._conditions([mine, source])
        values = [f"val = {self._value([mine, source])}"]
        if self._chance.random() < 0.15 and source.of("tenant"):
            values.append(f"{TENANT} = {self._pick(source.of('tenant'))}")
        elif self._chance.random() < 0.1:
            value = self._pick((str(self._pick(TENANTS)), "m.ref", "NULL", f"coalesce(m.{TENANT}, 1)"))
            if self._is_careful():
                where = self._pick(("", f" WHERE m.{TENANT} IS NULL"))
                return f"UPDATE {target} m SET {TENANT} = {value}{where}"
            values.append(f"{TENANT} = {value}")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"UPDATE {target} m SET {', '.join(values)} FROM {written}{where}"

    def _delete(self) -> str:
        source, written = self._source()
        mine = Source("m", ROW)
        conditions = self._joining([mine], source) + self._conditions([mine, source])
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return f"DELETE FROM {self._pick(self._tables())} m USING {written}{where}"

    def _merge(self) -> str:
        source, written = self._source()
        mine = Source("m", OUT)
        conditions = self._joining([mine], source) or ["m.a = 1"]
        tenant = (source.of("tenant") or ["1"])[0]
        number = (source.of("number") or ["1"])[0]
        parts = []
        if self._chance.random() < 0.5:
            inner = Source(self._name("t"), ROW)
            found = (
                f"SELECT 1 FROM {self._pick(self._tables())} {inner.alias} WHERE {self._correlated([source], inner)}"
            )
            condition = self._pick((f"{number} > 2", f"EXISTS ({found})"))
            parts.append(f"WHEN MATCHED AND {condition} THEN DELETE")
        if self._chance.random() < 0.7:
            parts.append(f"WHEN MATCHED THEN UPDATE SET b = {number}")
        if not parts or self._chance.random() < 0.7:
            parts.append(f"WHEN NOT MATCHED THEN INSERT (tenant_id, a) VALUES ({tenant}, {number})")
        return f"MERGE INTO r_out m USING {written} ON {' AND '.join(conditions)} {' '.join(parts)}"

    # chance

    def _tables(self) -> list[str]:
        return [one.name for one in self._world.tables if one.columns == ROW]

    def _is_careful(self) -> bool:
        return self._chance.random() < self._care

    def _pick(self, options: Sequence):
        return self._chance.choice(options)

    def _shuffled(self, options: Sequence) -> list:
        return self._chance.sample(options, len(options))

    def _name(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}{self._names}"
