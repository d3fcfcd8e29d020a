"""SQL that creates a partition while the table is in use, without scanning the default partition under a lock."""

from __future__ import annotations

from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.facts.table_sizes import is_small_table, resolve_relation_name
from confiture.lint.remedies.commands import LATER, join_lines, make_range_var, validate_constraint_sql
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.catalog import ConstraintKind, Table
from confiture.sql.catalog.object_names import make_object_name
from confiture.sql.catalog.tables import format_partition_bound
from confiture.sql.parse_tree import format_expression, format_statement, pb, quote_identifier
from confiture.sql.proofs import key_column

NO_LONGER_NEEDED = "can be dropped later, because the partition bound then implies it"
_EVERYTHING = 2**31 - 1
"""The parse tree value for INCLUDING ALL."""


def is_create_partition(context: StatementContext, node: Any) -> bool:
    """Whether a CREATE TABLE (a CreateStmt node) creates a partition."""
    is_there = node.if_not_exists and context.relation(node.relation) is not None
    return bool(node.HasField("partbound")) and not is_there


def default_without_check(context: StatementContext, whole: Any) -> Table | None:
    """Return the default partition that PostgreSQL scans for rows that belong in a new partition.

    None if there is no default partition, or if one of its CHECK constraints may exclude these rows.
    """
    parent = context.table(whole)
    for child in context.catalog.partitions(parent.name) if parent else ():
        if (child.partition_bound or "").upper() == "DEFAULT" and child.name not in context.created:
            key = key_column(parent.partition_key if parent else None)
            checks = [one for one in child.constraints if one.kind is ConstraintKind.CHECK and one.validated]
            is_proven = any(key is None or key in one.columns for one in checks)
            return None if is_proven or is_small_table(context, child.name) else child
    return None


def create_and_attach(context: StatementContext) -> tuple[str, ...]:
    """Return CREATE TABLE and ATTACH PARTITION to use instead of CREATE TABLE ... PARTITION OF.

    Empty if the statement defines columns in a way that LIKE does not support.
    """
    node = context.node
    is_plain = all(one.WhichOneof("node") == "constraint" for one in node.table_elts)
    if not is_plain or (
        node.access_method and node.options
    ):  # the formatter would combine both clauses into invalid SQL
        return ()
    parent = node.inh_relations[0].range_var
    table = pb.CreateStmt()
    table.CopyFrom(node)
    del table.inh_relations[:]
    table.ClearField("partbound")
    del table.table_elts[:]
    table.table_elts.append(pb.Node(table_like_clause=pb.TableLikeClause(relation=parent, options=_EVERYTHING)))
    table.table_elts.extend(node.table_elts)
    created = format_statement("create_stmt", table)
    if _can_have_identity(context, parent):
        created = created.replace("INCLUDING ALL", "INCLUDING ALL EXCLUDING IDENTITY", 1)
    whole, part = (qualified_name(resolve_relation_name(context, one)) for one in (parent, node.relation))
    return created, f"ALTER TABLE {whole} ATTACH PARTITION {part} {format_partition_bound(node.partbound)}"


def _can_have_identity(context: StatementContext, parent: Any) -> bool:
    """Whether the partition might have an identity column.

    PostgreSQL 17 and later cannot attach a table that has one.
    """
    table = context.table(parent)
    return table is None or any(column.identity for column in table.columns)


def with_default_check(context: StatementContext, default: Table, bound: Any, *then: str) -> str | None:
    """Return the statements that create a partition, preceded by statements that prove that the default partition
    contains none of its rows. None if the bound cannot be written as a condition.
    """
    parent = context.catalog.tables.get(default.parents[0])
    condition = bound_condition(parent.partition_key if parent else None, bound)
    if condition is None:
        return None
    name = make_object_name(default.name.name, "bound", "check")
    altered = f"ALTER TABLE {qualified_name(default.name)}"
    return join_lines(
        f"{altered} ADD CONSTRAINT {quote_identifier(name)} CHECK (NOT ({condition})) NOT VALID",
        LATER,
        validate_constraint_sql(make_range_var(default.name), name),
        "-- then:",
        *then,
        f"-- {quote_identifier(name)} {NO_LONGER_NEEDED}",
    )


def bound_condition(key: str | None, bound: Any) -> str | None:
    """Return the condition for rows within a list or range bound on a single-column key; otherwise None."""
    name = key_column(key)
    if name is None or bound.is_default:
        return None
    column = quote_identifier(name)
    parts = [f"{column} IS NOT NULL"]
    if bound.strategy == "l" and not any(datum.a_const.isnull for datum in bound.listdatums):
        values = ", ".join(format_expression(datum) for datum in bound.listdatums)
        parts.append(f"{column} IN ({values})")
    elif bound.strategy == "r":
        for operator, datums in ((">=", bound.lowerdatums), ("<", bound.upperdatums)):
            if datums and datums[0].WhichOneof("node") != "column_ref":
                parts.append(f"{column} {operator} {format_expression(datums[0])}")
    else:
        return None
    return " AND ".join(parts)
