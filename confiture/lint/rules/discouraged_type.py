"""Columns whose type can overflow or lose information."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, Option, SchemaRule, Violation
from confiture.lint.facts.table_sizes import is_small_table, non_partition_tables
from confiture.lint.facts.types import without_typmod
from confiture.models.catalog import Catalog, Table, TableColumn
from confiture.models.records import record
from confiture.models.settings import Severity

_KINDS_OPTION = "kinds"
_MIN_COLUMNS_FOR_SUMMARY = 20
"""Up to this many columns are reported one by one.

If there are more, the schema uses the type by habit, which is reported once.
"""


@record(frozen=True, kw_only=True, slots=True)
class _Weakness:
    """A problem with a type. `problem` completes "the column ..."."""

    severity: Severity
    problem: str
    impact: str
    fix_hint: str


_WEAKNESSES = {
    "integer_key": _Weakness(
        severity="warning",
        problem="gets its {type} values from a sequence",
        impact="Once the sequence passes {most}, every INSERT fails; widening the column then rewrites the whole table"
        " and every table that references it, under ACCESS EXCLUSIVE locks.",
        fix_hint="change it to bigint while the table is small",
    ),
    "money": _Weakness(
        severity="warning",
        problem="is of type money",
        impact="The display of a stored value depends on lc_monetary: a different locale shows a different amount.",
        fix_hint="use numeric with a scale, and a separate column for the currency",
    ),
    "timetz": _Weakness(
        severity="warning",
        problem="is a time of day with a time zone",
        impact="Without a date, it is unknown whether daylight saving time applies, so one value can mean different"
        " instants.",
        fix_hint="use timestamptz for an instant and time for a time of day",
    ),
    "char": _Weakness(
        severity="info",
        problem="is of type {type}",
        impact="PostgreSQL pads each value with blanks to the full length; the blanks take up space and are returned"
        " with the value.",
        fix_hint="use text, with CHECK (length(...) = ...) if the length matters",
    ),
    "timestamp": _Weakness(
        severity="info",
        problem="is a timestamp without time zone",
        impact="The value does not identify an instant: each session interprets it in its own time zone.",
        fix_hint="use timestamptz, which takes the same 8 bytes",
    ),
    "json": _Weakness(
        severity="info",
        problem="is of type json",
        impact="Each access parses the text again. json has no equality operator, so it does not support DISTINCT,"
        " GROUP BY, or GIN indexes.",
        fix_hint="use jsonb, unless the text must be preserved exactly",
    ),
    "serial": _Weakness(
        severity="info",
        problem="is a serial column",
        impact="The sequence needs separate privileges, and an INSERT with an explicit value does not advance the"
        " sequence.",
        fix_hint="use GENERATED ALWAYS AS IDENTITY",
    ),
    "varchar": _Weakness(
        severity="info",
        problem="is of type {type}",
        impact="An INSERT fails on the first longer value, and shortening the column scans or rewrites the table.",
        fix_hint="use text; if the length matters, add a CHECK, which can be changed later",
    ),
}
_BY_TYPE = {
    "money": "money",
    "time with time zone": "timetz",
    "character": "char",
    "bpchar": "char",
    "timestamp without time zone": "timestamp",
    "json": "json",
}
_MAX_VALUES = {"smallint": "32,767", "integer": "2,147,483,647"}


def _check(context: SchemaContext) -> Iterable[Violation]:
    for kind, columns in _find_weak_columns(context).items():
        if _WEAKNESSES[kind].severity == "info" and len(columns) > _MIN_COLUMNS_FOR_SUMMARY:
            yield _summary_violation(*columns[0], kind)
        else:
            yield from (_violation(table, column, kind) for table, column in columns)


def _find_weak_columns(context: SchemaContext) -> Mapping[str, Sequence[tuple[Table, TableColumn]]]:
    """Return the columns, grouped by kind of problem."""
    enabled_kinds = set(context.options[_KINDS_OPTION])
    columns: dict[str, list[tuple[Table, TableColumn]]] = defaultdict(list)
    for table in non_partition_tables(context.catalog):
        inherited = _inherited_columns(context.catalog, table)
        for column in table.columns:
            if column.name not in inherited:
                for kind in enabled_kinds.intersection(_find_kinds(column)):
                    if kind != "integer_key" or not is_small_table(context, table.name):
                        columns[kind].append((table, column))
    return columns


def _inherited_columns(catalog: Catalog, table: Table) -> set[str]:
    parents = (catalog.tables[name] for name in table.parents if name in catalog.tables)
    return {column.name for parent in parents for column in parent.columns}


def _find_kinds(column: TableColumn) -> frozenset[str]:
    from_sequence = column.generated is None and (column.default or "").lower().startswith("nextval(")
    return _type_kinds(column.type, from_sequence, from_sequence or column.identity is not None)


@lru_cache(maxsize=1024)
def _type_kinds(type_: str, from_sequence: bool, is_numbered: bool) -> frozenset[str]:
    """Return the problems of a type. Cached, since a large schema uses few types in very many columns."""
    bare = without_typmod(type_).removesuffix("[]")
    kinds = set()
    if bare in _MAX_VALUES and is_numbered:
        kinds.add("integer_key")
    if from_sequence:
        kinds.add("serial")
    if bare in _BY_TYPE:
        kinds.add(_BY_TYPE[bare])
    if type_.startswith("character varying("):
        kinds.add("varchar")
    return frozenset(kinds)


def _violation(table: Table, column: TableColumn, kind: str) -> Violation:
    weakness = _WEAKNESSES[kind]
    problem = weakness.problem.format(type=column.type)
    return Violation(
        location=column.location or table.location,
        relation=str(table.name),
        subject=f"{column.name} {kind}",
        message=f"{table.name}.{column.name} {problem}",
        effect=weakness.impact.format(most=_MAX_VALUES.get(column.type, "")),
        hint=weakness.fix_hint,
        severity=weakness.severity,
    )


def _summary_violation(table: Table, column: TableColumn, kind: str) -> Violation:
    """Return a single violation that covers the whole schema."""
    violation = _violation(table, column, kind)
    return replace(violation, message=f"{violation.message}, like at least {_MIN_COLUMNS_FOR_SUMMARY} other columns")


RULE = SchemaRule(
    name="discouraged_type",
    aliases=("weak_type",),
    group=Group.TYPES,
    severity="warning",
    summary="A column has a type that can overflow or lose information",
    impact="The type is too limited for its values; changing it later rewrites the table.",
    fix_hint="use bigint, text, numeric, timestamptz and jsonb",
    options={
        _KINDS_OPTION: Option(
            description="The problems to report.",
            kind=list[str],
            choices=tuple(_WEAKNESSES),
            default=[kind for kind in _WEAKNESSES if kind not in ("serial", "varchar")],
        )
    },
    check=_check,
    bad=Example(
        sql=("CREATE TABLE w_orders (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount money)",),
    ),
    good=Example(
        sql=("CREATE TABLE w_orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, amount numeric(12, 2))",),
    ),
)
