"""A database in which a role that may create in `public` offers its own objects under every name that our SQL uses.

Each function of theirs, called by itself or by an operator or a cast, sets a sequence to its number, which no rollback
takes back, and goes on with NULL. Operators and functions come with the argument types of PostgreSQL's own, which an
exact match prefers if `public` is first on the path, and with all others that may stand beside each other in our
queries, for which PostgreSQL's own have no exact match: these win though `pg_catalog` is first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import psycopg

from confiture.models.query_files import parse_query_file
from confiture.sql.parser import pb, postgast
from confiture.sql.qualification import QueryTemplate, find_sources, qualified_path, qualify_query
from confiture.sql.traversal import find_nodes
from tests.support.paths import DATA

_FUNCTIONS = (DATA / "hostile.sql").read_text(encoding="utf-8")
_MADE = qualify_query("""
SELECT oid::bigint FROM pg_proc WHERE pronamespace IN ('public'::regnamespace, pg_my_temp_schema())
UNION ALL SELECT oid::bigint FROM pg_operator WHERE oprnamespace IN ('public'::regnamespace, pg_my_temp_schema())
UNION ALL SELECT oid::bigint FROM pg_type WHERE typnamespace IN ('public'::regnamespace, pg_my_temp_schema())
UNION ALL SELECT oid::bigint FROM pg_class WHERE relnamespace IN ('public'::regnamespace, pg_my_temp_schema())
""")
_CALLED = qualify_query("SELECT last_value::oid::regprocedure::text FROM hostile.calls WHERE is_called")
_NAMED = qualify_query("""
SELECT oid::regprocedure::text FROM pg_proc WHERE oid = ANY (%(oids)s)
UNION ALL SELECT oid::regoperator::text FROM pg_operator WHERE oid = ANY (%(oids)s)
UNION ALL SELECT oid::regtype::text FROM pg_type WHERE oid = ANY (%(oids)s)
UNION ALL SELECT oid::regclass::text FROM pg_class WHERE oid = ANY (%(oids)s)
""")
# what is in the catalog because of what others made, such as the checks of a table
_DEPENDENT = qualify_query("""
SELECT DISTINCT refobjid::bigint
FROM pg_depend
WHERE refobjid >= 16384 AND classid IN ('pg_class'::regclass, 'pg_constraint'::regclass, 'pg_attrdef'::regclass)
""")
# of the columns that our queries read, and those that they cast to
_TYPES = qualify_query("""
SELECT a.atttypid
FROM pg_attribute a
JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid IN (SELECT to_regclass('pg_catalog.' || quote_ident(name)) FROM unnest(%(relations)s::text[]) AS name)
  AND a.attnum > 0 AND t.typtype <> 'p'
UNION
SELECT t.oid
FROM unnest(%(types)s::text[]) AS name
JOIN pg_type t ON t.typname = name AND t.typtype = 'b' AND t.typnamespace = 'pg_catalog'::regnamespace
""")
_EVERYWHERE = ["char", "float8", "int2", "int4", "int8", "name", "numeric", "oid", "regclass", "text", "varchar"]
"""Types that any other may stand beside."""


@dataclass
class Names:
    """The names that queries use, without their schemas; functions with the numbers of their arguments."""

    operators: set[str] = field(default_factory=set)
    functions: set[tuple[str, int]] = field(default_factory=set)
    types: set[str] = field(default_factory=set)
    relations: set[str] = field(default_factory=set)

    def take(self, text: str) -> None:
        """Takes in those of a query, or of several."""
        tree = postgast.parse(QueryTemplate(text).sql)
        for call in find_nodes(tree, pb.FuncCall):
            self.functions.add((_last(call.funcname), len(call.args)))
        for one in find_nodes(tree, pb.A_Expr):
            self.operators |= {_last(one.name)} - {"BETWEEN", "NOT BETWEEN"}
        for link in find_nodes(tree, pb.SubLink):
            self.operators |= {_last(link.oper_name)} if link.oper_name else set()
        for one in find_nodes(tree, pb.TypeName):
            self.types.add(_last(one.names))
        self.relations |= {one.relname for one in find_nodes(tree, pb.RangeVar) if one.schemaname in ("", "pg_catalog")}


def _last(names: Any) -> str:
    return str(names[-1].string.sval)


def names_of_all_queries() -> Names:
    """Those of our own SQL."""
    found = Names()
    for path in find_sources():
        for text in (path, qualified_path(path)):
            for body in parse_query_file(text.read_text(encoding="utf-8")).values():
                found.take(body)
    return found


class Attack:
    """What the role makes, in one database."""

    def __init__(self, connection: psycopg.Connection, names: Names) -> None:
        self._connection = connection
        self._names = names

    def make(self, *own_types: str) -> None:
        """Makes all of it, also for types of the database's own."""
        self._run(_FUNCTIONS)
        types = self._argument_types({*self._names.types, *_EVERYWHERE}, self._names.relations)
        everywhere = self._argument_types(_EVERYWHERE)
        for name in own_types:
            oid = self._connection.execute("SELECT to_regtype(%s)::oid", [name]).fetchone()[0]  # type: ignore[index]
            types.append(oid)
            everywhere.append(oid)
        operators = sorted(self._names.operators)
        functions = sorted(self._names.functions)
        for name in sorted(self._names.types):
            self._run("SELECT hostile.domain(%s, 'public')", [name])
        self._run("SELECT hostile.casts(%s::oid[])", [types])
        self._run("SELECT hostile.operators(%s::text[], %s::oid[], %s::oid[])", [operators, types, everywhere])
        names, counts = [name for name, _ in functions], [count for _, count in functions]
        self._run("SELECT hostile.functions(%s::text[], %s::integer[], %s::oid[])", [names, counts, types])
        for name in sorted(self._names.relations):
            self._run("SELECT hostile.relation(%s, 'public')", [name])

    def make_temporary(self) -> None:
        """Types and relations for this session, which finds them before those of pg_catalog."""
        for name in sorted(self._names.relations):
            self._run("SELECT hostile.relation(%s, 'pg_temp')", [name])
        for name in sorted(self._names.types):
            self._run("SELECT hostile.domain(%s, 'pg_temp')", [name])

    def _argument_types(self, names: Iterable[str], relations: Iterable[str] = ()) -> list[int]:
        found = self._connection.execute(_TYPES.encode(), {"relations": list(relations), "types": list(names)})
        return [row[0] for row in found]

    def _run(self, text: str, parameters: list[object] | None = None) -> None:
        self._connection.execute(text.encode(), parameters)


def called(connection: psycopg.Connection) -> str | None:
    """The function of theirs that was called last, None if none was; forgets it."""
    row = connection.execute(_CALLED.encode()).fetchone()
    connection.execute("ALTER SEQUENCE hostile.calls RESTART")
    return str(row[0]) if row and row[0] is not None else None


def made(connection: psycopg.Connection) -> set[int]:
    """The OIDs of what is theirs, in `public` and among what is temporary in this session."""
    return {row[0] for row in connection.execute(_MADE.encode())}


def described(connection: psycopg.Connection, oids: set[int]) -> list[str]:
    """What OIDs are of."""
    return [row[0] for row in connection.execute(_NAMED.encode(), {"oids": list(oids)})]


def depended_on(connection: psycopg.Connection) -> set[int]:
    """The OIDs of what tables, constraints and defaults depend on."""
    return {row[0] for row in connection.execute(_DEPENDENT.encode())}
