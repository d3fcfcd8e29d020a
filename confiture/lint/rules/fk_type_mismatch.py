"""Foreign keys between columns of different types."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.facts.table_sizes import column_location, non_partition_tables
from confiture.lint.facts.types import base_type, without_typmod
from confiture.models.catalog import Catalog, Constraint, Table, TableColumn

_INTEGERS = {"smallint": "32,767", "integer": "2,147,483,647", "bigint": "9,223,372,036,854,775,807"}
_FAMILIES = {
    **dict.fromkeys(("smallint", "integer", "bigint", "numeric", "real", "double precision"), "number"),
    **dict.fromkeys(("text", "character varying", "character", "bpchar", "name"), "string"),
    **dict.fromkeys(("date", "timestamp without time zone", "timestamp with time zone"), "date"),
    **{name: name for name in ("uuid", "boolean", "bytea", "time without time zone", "jsonb")},
}
_PADDED_TYPES = ("character", "bpchar")


def _check(context: SchemaContext) -> Iterable[Violation]:
    catalog = context.catalog
    for table in non_partition_tables(catalog):
        for key in table.foreign_keys:
            target = catalog.tables.get(key.target) if key.target else None
            for own, theirs in zip(key.columns, key.target_columns, strict=False):
                column, referred = table.column(own), target.column(theirs) if target else None
                if target and column and referred:
                    yield from _compare_columns(catalog, (table, column), (target, referred), key)


def _compare_columns(
    catalog: Catalog, own: tuple[Table, TableColumn], theirs: tuple[Table, TableColumn], key: Constraint
) -> Iterable[Violation]:
    (table, column), (target, referred) = own, theirs
    types = _plain_type(catalog, column), _plain_type(catalog, referred)
    effect = _find_impact(*types)
    if effect:
        yield Violation(
            location=column_location(table, column.name),
            relation=str(table.name),
            subject=f"{column.name} {target.name}.{referred.name}",
            message=f"{table.name}.{column.name} is {column.type}, "
            f"but {target.name}.{referred.name}, which {key.name} references, is {referred.type}",
            effect=effect,
            hint=f"change {column.name} to {referred.type}, the type of the referenced column",
        )


def _plain_type(catalog: Catalog, column: TableColumn) -> str:
    return without_typmod(base_type(catalog, column.type))


def _find_impact(own: str, theirs: str) -> str | None:
    """Return the impact of a type difference; None if there is no impact, or if a type is unknown."""
    families = _FAMILIES.get(own), _FAMILIES.get(theirs)
    if own == theirs or None in families:
        return None
    if families[0] != families[1]:
        return "PostgreSQL rejects the foreign key (42804): these types have no equality operator."
    if own in _INTEGERS and theirs in _INTEGERS:
        return _integer_impact(own, theirs)
    if families[0] == "string":
        return _PADDING_IMPACT if (own in _PADDED_TYPES) != (theirs in _PADDED_TYPES) else None
    return _DATE_IMPACT if families[0] == "date" else _NUMBER_IMPACT


def _integer_impact(own: str, theirs: str) -> str | None:
    """Return the impact; None if the column is wider, since integers of all widths can use the same index."""
    order = list(_INTEGERS)
    if order.index(own) > order.index(theirs):
        return None
    return f"A row whose key exceeds {_INTEGERS[own]} cannot be referenced, because the INSERT fails."


_PADDING_IMPACT = (
    "Only one side is padded with blanks: every check converts that side, and trailing blanks affect the result."
)
_DATE_IMPACT = (
    "The check compares instants with dates or local times, so the result depends on the session's time zone."
)
_NUMBER_IMPACT = "Every check and join converts one side, so the index on that side cannot be used."

RULE = SchemaRule(
    name="fk_type_mismatch",
    group=Group.TYPES,
    severity="warning",
    summary="A foreign key references a column of a different type",
    impact="The referencing column cannot store some of the referenced values, or lookups are slow.",
    fix_hint="give the referencing column the same type as the referenced column",
    check=_check,
    bad=Example(
        sql=(
            "CREATE TABLE w_customers (id bigint PRIMARY KEY);\n"
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, customer_id integer REFERENCES w_customers);\n"
            "CREATE INDEX w_orders_customer_id_idx ON w_orders (customer_id)",
        ),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_customers (id bigint PRIMARY KEY);\n"
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, customer_id bigint REFERENCES w_customers);\n"
            "CREATE INDEX w_orders_customer_id_idx ON w_orders (customer_id)",
        ),
    ),
)
