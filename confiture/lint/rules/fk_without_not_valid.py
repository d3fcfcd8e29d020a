"""A foreign key is added without NOT VALID to a table that others use."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import (
    Addition,
    additions,
    alters_table,
    is_in_use,
    is_proven_at_once,
    partitions_below,
    takes_no_unproven_key,
)
from confiture.lint.remedies.commands import LATER, alter, command, constraint_name, lines, ranged, unproven, validate
from confiture.models.catalog import Constraint
from confiture.models.trace import LockMode
from confiture.sql.tree import pb


def _check(subject: StatementSubject) -> Iterable[Hit]:
    relation = subject.node.relation
    if not alters_table(subject) or not is_in_use(subject, relation):
        return
    by_partition = takes_no_unproven_key(subject)
    for addition in additions(subject):
        if addition.kind != pb.CONSTR_FOREIGN:
            continue
        if by_partition and addition.constraint.skip_validation:
            yield _refused(subject, addition)
        elif is_proven_at_once(addition) and not _is_merged(subject, addition):
            yield _blocking(subject, addition, by_partition)


def _blocking(subject: StatementSubject, addition: Addition, by_partition: bool) -> Hit:
    table, target = subject.name(subject.node.relation), subject.name(addition.constraint.pktable)
    both = table if table == target else f"{table} or {target}"
    return Hit(
        place=addition.place,
        relation=table,
        message=f"all rows of {table} are looked up in {target}, and nobody can write to {both} meanwhile",
        remedy=_partition_by_partition(subject, addition) if by_partition else unproven(subject),
        hint=_BY_PARTITION if by_partition else None,
    )


def _refused(subject: StatementSubject, addition: Addition) -> Hit:
    table = subject.name(subject.node.relation)
    return Hit(
        place=addition.place,
        relation=table,
        message=f"{table} is partitioned, and PostgreSQL {subject.version} adds no NOT VALID foreign key to it",
        effect="The statement fails (42809): NOT VALID foreign keys on partitioned tables came with PostgreSQL 18.",
        hint=_BY_PARTITION,
        remedy=_partition_by_partition(subject, addition),
    )


def _is_merged(subject: StatementSubject, addition: Addition) -> bool:
    """Whether each partition has the same foreign key already: PostgreSQL takes it over and reads nothing."""
    parts = partitions_below(subject, subject.node.relation)
    return bool(parts) and all(any(_is_same(subject, addition, key) for key in part.foreign_keys) for part in parts)


def _is_same(subject: StatementSubject, addition: Addition, key: Constraint) -> bool:
    target = subject.table(addition.constraint.pktable)
    return key.validated and target is not None and key.target == target.name and key.columns == addition.columns


def _partition_by_partition(subject: StatementSubject, addition: Addition) -> str | None:
    parts = partitions_below(subject, subject.node.relation)
    if not parts or addition.column is not None:
        return None
    name = constraint_name(subject, addition)
    unchecked, whole = pb.Constraint(), pb.Constraint()
    unchecked.CopyFrom(addition.constraint)
    unchecked.conname, unchecked.skip_validation, unchecked.initially_valid = name, True, False
    whole.CopyFrom(unchecked)
    whole.skip_validation, whole.initially_valid = False, True
    tables = [ranged(part.name) for part in parts]
    return lines(
        *(alter(table, command(pb.AT_AddConstraint, definition={"constraint": unchecked})) for table in tables),
        LATER,
        *(validate(table, name) for table in tables),
        "-- takes over what the partitions have, and reads nothing:",
        alter(subject.node.relation, command(pb.AT_AddConstraint, definition={"constraint": whole})),
    )


_BY_PARTITION = (
    "add it NOT VALID to each partition, VALIDATE those in a later migration, then add it to the partitioned table,"
    " which takes them over"
)

RULE = StatementRule(
    name="fk_without_not_valid",
    group=Group.CONSTRAINTS,
    severity="error",
    summary="A foreign key is added without NOT VALID",
    effect="INSERT, UPDATE and DELETE on both tables wait until all rows are looked up (SHARE ROW EXCLUSIVE locks).",
    hint="add it NOT VALID, which reads nothing and holds for all new rows, and VALIDATE it in a later migration",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    claims=Claims(
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
