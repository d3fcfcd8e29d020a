"""How a partition is made beside a partitioned table that goes on being used, and what spares its default partition."""

from __future__ import annotations

from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.facts.table_sizes import is_small, name_of
from confiture.lint.remedies.commands import LATER, lines, ranged, validate
from confiture.lint.remedies.sql_text import qualified
from confiture.models.catalog import ConstraintKind, Table
from confiture.sql.catalog.names import joined
from confiture.sql.catalog.tables import partition_bound
from confiture.sql.proofs import key_column
from confiture.sql.tree import expression_text, identifier, pb, statement_text

NO_LONGER_NEEDED = "can go later: then the bound says the same"
_EVERYTHING = 2**31 - 1
"""INCLUDING ALL, as the tree has it."""


def makes_partition(subject: StatementSubject, node: Any) -> bool:
    """Whether a CREATE TABLE (a CreateStmt of the tree) makes a partition."""
    is_there = node.if_not_exists and subject.relation(node.relation) is not None
    return bool(node.HasField("partbound")) and not is_there


def unproven_default(subject: StatementSubject, whole: Any) -> Table | None:
    """The default partition of a partitioned table that is read for rows of a new partition; None where there is none,
    or a CHECK of its may leave them out.
    """
    parent = subject.table(whole)
    for child in subject.catalog.partitions(parent.name) if parent else ():
        if (child.partition_bound or "").upper() == "DEFAULT" and child.name not in subject.created:
            key = key_column(parent.partition_key if parent else None)
            checks = [one for one in child.constraints if one.kind is ConstraintKind.CHECK and one.validated]
            is_proven = any(key is None or key in one.columns for one in checks)
            return None if is_proven or is_small(subject, child.name) else child
    return None


def attached(subject: StatementSubject) -> tuple[str, ...]:
    """CREATE TABLE and ATTACH PARTITION instead of a CREATE TABLE ... PARTITION OF; nothing where that says more of
    columns than LIKE can.
    """
    node = subject.node
    is_plain = all(one.WhichOneof("node") == "constraint" for one in node.table_elts)
    if not is_plain or (node.access_method and node.options):  # what is written of both together does not parse
        return ()
    parent = node.inh_relations[0].range_var
    table = pb.CreateStmt()
    table.CopyFrom(node)
    del table.inh_relations[:]
    table.ClearField("partbound")
    del table.table_elts[:]
    table.table_elts.append(pb.Node(table_like_clause=pb.TableLikeClause(relation=parent, options=_EVERYTHING)))
    table.table_elts.extend(node.table_elts)
    made = statement_text("create_stmt", table)
    if _may_have_identity(subject, parent):
        made = made.replace("INCLUDING ALL", "INCLUDING ALL EXCLUDING IDENTITY", 1)
    whole, part = (qualified(name_of(subject, one)) for one in (parent, node.relation))
    return made, f"ALTER TABLE {whole} ATTACH PARTITION {part} {partition_bound(node.partbound)}"


def _may_have_identity(subject: StatementSubject, parent: Any) -> bool:
    """Since PostgreSQL 17 nothing that has an identity column of its own can be attached."""
    table = subject.table(parent)
    return table is None or any(column.identity for column in table.columns)


def after_proof(subject: StatementSubject, default: Table, bound: Any, *then: str) -> str | None:
    """The statements that make a new partition, between those that prove that the default partition has none of its
    rows; None where we cannot write that condition.
    """
    parent = subject.catalog.tables.get(default.parents[0])
    condition = bound_condition(parent.partition_key if parent else None, bound)
    if condition is None:
        return None
    name = joined(default.name.name, "bound", "check")
    altered = f"ALTER TABLE {qualified(default.name)}"
    return lines(
        f"{altered} ADD CONSTRAINT {identifier(name)} CHECK (NOT ({condition})) NOT VALID",
        LATER,
        validate(ranged(default.name), name),
        "-- and then:",
        *then,
        f"-- {identifier(name)} {NO_LONGER_NEEDED}",
    )


def bound_condition(key: str | None, bound: Any) -> str | None:
    """What the rows of a bound have in common, for a key of one column and a bound by list or range."""
    name = key_column(key)
    if name is None or bound.is_default:
        return None
    column = identifier(name)
    parts = [f"{column} IS NOT NULL"]
    if bound.strategy == "l" and not any(datum.a_const.isnull for datum in bound.listdatums):
        values = ", ".join(expression_text(datum) for datum in bound.listdatums)
        parts.append(f"{column} IN ({values})")
    elif bound.strategy == "r":
        for operator, datums in ((">=", bound.lowerdatums), ("<", bound.upperdatums)):
            if datums and datums[0].WhichOneof("node") != "column_ref":
                parts.append(f"{column} {operator} {expression_text(datums[0])}")
    else:
        return None
    return " AND ".join(parts)
