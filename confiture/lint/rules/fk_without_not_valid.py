"""Foreign keys that are added without NOT VALID to a table in use."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import (
    AddedConstraint,
    added_constraints,
    can_reach_rows,
    descendant_partitions,
    has_concurrent_users,
    is_validated_immediately,
    rejects_not_valid_fk,
)
from confiture.lint.remedies.commands import (
    LATER,
    add_not_valid,
    alter_table_sql,
    join_lines,
    make_command,
    make_range_var,
    new_constraint_name,
    validate_constraint_sql,
)
from confiture.models.catalog import Constraint
from confiture.models.trace import LockMode
from confiture.sql.parse_tree import pb


def _check(context: StatementContext) -> Iterable[Violation]:
    relation = context.node.relation
    if not can_reach_rows(context) or not has_concurrent_users(context, relation):
        return
    by_partition = rejects_not_valid_fk(context)
    for addition in added_constraints(context):
        if addition.kind != pb.CONSTR_FOREIGN:
            continue
        if by_partition and addition.constraint.skip_validation:
            yield _rejected_violation(context, addition)
        elif is_validated_immediately(addition) and not _is_merged_with_partitions(context, addition):
            yield _blocking_violation(context, addition, by_partition)


def _blocking_violation(context: StatementContext, added: AddedConstraint, by_partition: bool) -> Violation:
    table, target = context.name(context.node.relation), context.name(added.constraint.pktable)
    both = table if table == target else f"{table} and {target}"
    return Violation(
        location=added.location,
        relation=table,
        message=f"all rows of {table} are looked up in {target}, blocking writes to {both} in the meantime",
        remedy=_per_partition_remedy(context, added) if by_partition else add_not_valid(context),
        hint=_BY_PARTITION_HINT if by_partition else None,
    )


def _rejected_violation(context: StatementContext, added: AddedConstraint) -> Violation:
    table = context.name(context.node.relation)
    return Violation(
        location=added.location,
        relation=table,
        message=f"{table} is partitioned: PostgreSQL {context.version} cannot add a NOT VALID foreign key to it",
        effect="The statement fails (42809): NOT VALID foreign keys on partitioned tables need PostgreSQL 18.",
        hint=_BY_PARTITION_HINT,
        remedy=_per_partition_remedy(context, added),
    )


def _is_merged_with_partitions(context: StatementContext, added: AddedConstraint) -> bool:
    """Whether every partition already has the same foreign key, so that PostgreSQL adopts it and scans nothing."""
    parts = descendant_partitions(context, context.node.relation)
    return bool(parts) and all(any(_is_same_key(context, added, key) for key in part.foreign_keys) for part in parts)


def _is_same_key(context: StatementContext, added: AddedConstraint, key: Constraint) -> bool:
    target = context.table(added.constraint.pktable)
    return key.validated and target is not None and key.target == target.name and key.columns == added.columns


def _per_partition_remedy(context: StatementContext, added: AddedConstraint) -> str | None:
    parts = descendant_partitions(context, context.node.relation)
    if not parts or added.column is not None:
        return None
    name = new_constraint_name(context, added)
    unchecked, whole = pb.Constraint(), pb.Constraint()
    unchecked.CopyFrom(added.constraint)
    unchecked.conname, unchecked.skip_validation, unchecked.initially_valid = name, True, False
    whole.CopyFrom(unchecked)
    whole.skip_validation, whole.initially_valid = False, True
    tables = [make_range_var(part.name) for part in parts]
    return join_lines(
        *(
            alter_table_sql(table, make_command(pb.AT_AddConstraint, definition={"constraint": unchecked}))
            for table in tables
        ),
        LATER,
        *(validate_constraint_sql(table, name) for table in tables),
        "-- adopts the foreign keys of the partitions and scans nothing:",
        alter_table_sql(context.node.relation, make_command(pb.AT_AddConstraint, definition={"constraint": whole})),
    )


_BY_PARTITION_HINT = (
    "add it as NOT VALID to each partition, VALIDATE each in a later migration, then add the foreign key to the"
    " partitioned table, which adopts the foreign keys of its partitions"
)

RULE = StatementRule(
    name="fk_without_not_valid",
    group=Group.CONSTRAINTS,
    severity="error",
    summary="A foreign key is added without NOT VALID",
    impact="INSERT, UPDATE and DELETE on both tables wait until every row is checked (SHARE ROW EXCLUSIVE locks).",
    fix_hint="add it as NOT VALID, which scans nothing and applies to all new rows, and VALIDATE it in a later"
    " migration",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(
        locks={"w_orders": LockMode.SHARE_ROW_EXCLUSIVE, "w_customers": LockMode.SHARE_ROW_EXCLUSIVE},
        scans=("w_orders",),
    ),
    bad=Example(
        before="CREATE TABLE w_customers (id bigint PRIMARY KEY);\n"
        "CREATE TABLE w_orders (id bigint PRIMARY KEY, customer_id bigint);\n"
        "CREATE INDEX ON w_orders (customer_id)",
        sql=(
            "ALTER TABLE w_orders ADD CONSTRAINT w_orders_customer_id_fkey"
            " FOREIGN KEY (customer_id) REFERENCES w_customers (id)",
        ),
    ),
    good=Example(
        before="CREATE TABLE w_customers (id bigint PRIMARY KEY);\n"
        "CREATE TABLE w_orders (id bigint PRIMARY KEY, customer_id bigint);\n"
        "CREATE INDEX ON w_orders (customer_id)",
        sql=(
            "ALTER TABLE w_orders ADD CONSTRAINT w_orders_customer_id_fkey"
            " FOREIGN KEY (customer_id) REFERENCES w_customers (id) NOT VALID",
            "ALTER TABLE w_orders VALIDATE CONSTRAINT w_orders_customer_id_fkey",
        ),
    ),
)
