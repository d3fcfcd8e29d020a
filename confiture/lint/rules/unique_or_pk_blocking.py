"""UNIQUE and PRIMARY KEY constraints added without an existing index."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import (
    KEYS,
    AddedConstraint,
    added_constraints,
    can_reach_rows,
    descendant_partitions,
    has_concurrent_users,
    is_partitioned,
)
from confiture.lint.remedies.commands import (
    alter_table_sql,
    attach_index_sql,
    constraint_names_by_location,
    default_constraint_name,
    join_lines,
    key_from_index,
    make_command,
    make_range_var,
    not_null_statements,
    qualify_with_table_schema,
    remaining_commands,
)
from confiture.models.catalog import ConstraintKind, QualifiedName, Table, TableKind
from confiture.models.trace import LockMode
from confiture.sql.parse_tree import pb

_KINDS = {pb.CONSTR_UNIQUE: ConstraintKind.UNIQUE, pb.CONSTR_PRIMARY: ConstraintKind.PRIMARY_KEY}


def _check(context: StatementContext) -> Iterable[Violation]:
    relation = context.node.relation
    if not can_reach_rows(context) or not has_concurrent_users(context, relation):
        return
    partitioned = is_partitioned(context, relation)
    if partitioned and not relation.inh:
        return  # ONLY: the partitioned table itself has no rows to index
    table = context.name(relation)
    for addition in _added_keys(context):
        yield Violation(
            location=addition.location,
            relation=table,
            message=f"the {KEYS[addition.kind]} constraint builds its index, blocking reads from and writes to"
            f" {table} in the meantime",
            remedy=_by_partition_remedy(context) if partitioned else _by_index_remedy(context),
            hint=_OVERLAPS_HINT
            if addition.constraint.without_overlaps
            else _BY_PARTITION_HINT
            if partitioned
            else None,
        )


def _is_attached(context: StatementContext, added: AddedConstraint) -> bool:
    """Whether every partition already has such a key, so that PostgreSQL attaches them and builds none."""
    parts = descendant_partitions(context, context.node.relation)
    kind = _KINDS[added.kind]
    return bool(parts) and all(
        any(one.kind is kind and one.columns == added.columns for one in part.constraints) for part in parts
    )


def _added_keys(context: StatementContext) -> list[AddedConstraint]:
    """Return the keys whose indexes the statement builds."""
    keys = (one for one in added_constraints(context) if one.kind in KEYS and not one.constraint.indexname)
    return [one for one in keys if not _is_attached(context, one)]


def _by_index_remedy(context: StatementContext) -> str | None:
    keys = _added_keys(context)
    if any(one.column is not None and one.kind == pb.CONSTR_PRIMARY for one in keys):
        return None  # the column needs distinct values first, and only the author can choose them
    if any(one.constraint.without_overlaps for one in keys):
        return None  # PostgreSQL cannot create such a key from an index
    names = constraint_names_by_location(context, keys)
    relation = context.node.relation
    return join_lines(
        *remaining_commands(context, keys),
        *(
            text
            for one in keys
            for column in _nullable_columns(context, one)
            for text in not_null_statements(context, column)
        ),
        *(text for one in keys for text in key_from_index(relation, one.constraint, one.columns, names[one.location])),
    )


def _nullable_columns(context: StatementContext, added: AddedConstraint) -> list[str]:
    """Return the columns of a primary key that are known to be nullable."""
    table = context.table(context.node.relation)
    if table is None or added.kind != pb.CONSTR_PRIMARY:
        return []
    columns = (table.column(name) for name in added.columns)
    return [column.name for column in columns if column and not column.not_null]


def _by_partition_remedy(context: StatementContext) -> str | None:
    table, keys = context.table(context.node.relation), _added_keys(context)
    if table is None or any(_is_unattachable(context, one) for one in keys):
        return None
    names = constraint_names_by_location(context, keys)
    statements = [*remaining_commands(context, keys)]
    for one in keys:
        statements.append(_parent_key_sql(context.node.relation, one, names[one.location]))
        statements += _partition_statements(
            context, one, table, qualify_with_table_schema(context, names[one.location])
        )
    return join_lines(*statements)


def _is_unattachable(context: StatementContext, added: AddedConstraint) -> bool:
    at_new_column = added.column is not None
    return at_new_column or added.constraint.without_overlaps or bool(_nullable_columns(context, added))


def _partition_statements(
    context: StatementContext, added: AddedConstraint, table: Table, index: QualifiedName
) -> Iterable[str]:
    for part in context.catalog.partitions(table.name):
        name = default_constraint_name(part.name.name, added.kind, added.columns, part)
        below = QualifiedName(part.name.schema, name)
        if part.kind is TableKind.PARTITIONED:
            yield _parent_key_sql(make_range_var(part.name), added, name)
            yield from _partition_statements(context, added, part, below)
        else:
            yield from key_from_index(make_range_var(part.name), added.constraint, added.columns, name)
        yield attach_index_sql(index, below)


def _parent_key_sql(relation: Any, added: AddedConstraint, name: str) -> str:
    """Return SQL that adds the key to ONLY the partitioned table. Its partitions' indexes are attached later."""
    only = pb.RangeVar()
    only.CopyFrom(relation)
    only.inh = False
    whole = pb.Constraint()
    whole.CopyFrom(added.constraint)
    whole.conname = name
    return alter_table_sql(only, make_command(pb.AT_AddConstraint, definition={"constraint": whole}))


_BY_PARTITION_HINT = (
    "add the key to ONLY the partitioned table; on each partition, build a unique index CONCURRENTLY, turn it into a"
    " constraint, and ATTACH it"
)

_OVERLAPS_HINT = (
    "create a new table with the key, fill it in batches, and swap the names; or add the key while the table is idle,"
    " because PostgreSQL cannot add such a key without the lock"
)

RULE = StatementRule(
    name="unique_or_pk_blocking",
    group=Group.CONSTRAINTS,
    severity="error",
    summary="A UNIQUE or PRIMARY KEY constraint builds its index under an ACCESS EXCLUSIVE lock",
    impact="All reads from and writes to the table wait until the whole index is built (ACCESS EXCLUSIVE lock).",
    fix_hint="build a unique index CONCURRENTLY, then add the constraint with USING INDEX, which is quick",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, scans=("w_orders",)),
    bad=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY, number text NOT NULL)",
        sql=("ALTER TABLE w_orders ADD CONSTRAINT w_orders_number_key UNIQUE (number)",),
    ),
    good=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY, number text NOT NULL)",
        sql=(
            "CREATE UNIQUE INDEX CONCURRENTLY w_orders_number_key ON w_orders (number);\n"
            "ALTER TABLE w_orders ADD CONSTRAINT w_orders_number_key UNIQUE USING INDEX w_orders_number_key",
        ),
    ),
)
