"""UNIQUE or PRIMARY KEY added without an index that was built before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import (
    KEYS,
    Addition,
    additions,
    alters_table,
    is_in_use,
    is_partitioned,
    partitions_below,
)
from confiture.lint.remedies.commands import (
    alter,
    attach_index,
    command,
    default_name,
    full_name,
    key_from_index,
    lines,
    names_given,
    not_null,
    ranged,
    rest,
)
from confiture.models.catalog import ConstraintKind, Name, Table, TableKind
from confiture.models.trace import LockMode
from confiture.sql.tree import pb

_KINDS = {pb.CONSTR_UNIQUE: ConstraintKind.UNIQUE, pb.CONSTR_PRIMARY: ConstraintKind.PRIMARY_KEY}


def _check(subject: StatementSubject) -> Iterable[Hit]:
    relation = subject.node.relation
    if not alters_table(subject) or not is_in_use(subject, relation):
        return
    partitioned = is_partitioned(subject, relation)
    if partitioned and not relation.inh:
        return  # ONLY: the partitioned table itself has no rows to index
    table = subject.name(relation)
    for addition in _keys(subject):
        yield Hit(
            place=addition.place,
            relation=table,
            message=f"the index of the {KEYS[addition.kind]} is built while nobody can read or write {table}",
            remedy=_by_partition(subject) if partitioned else _by_index(subject),
            hint=_OVERLAPS if addition.constraint.without_overlaps else _BY_PARTITION if partitioned else None,
        )


def _is_attached(subject: StatementSubject, addition: Addition) -> bool:
    """Whether each partition has such a key already: PostgreSQL attaches its index and builds none."""
    parts = partitions_below(subject, subject.node.relation)
    kind = _KINDS[addition.kind]
    return bool(parts) and all(
        any(one.kind is kind and one.columns == addition.columns for one in part.constraints) for part in parts
    )


def _keys(subject: StatementSubject) -> list[Addition]:
    """The keys whose indexes the statement builds."""
    keys = (one for one in additions(subject) if one.kind in KEYS and not one.constraint.indexname)
    return [one for one in keys if not _is_attached(subject, one)]


def _by_index(subject: StatementSubject) -> str | None:
    keys = _keys(subject)
    if any(one.column is not None and one.kind == pb.CONSTR_PRIMARY for one in keys):
        return None  # its values must be made first, each another: how, only its author knows
    if any(one.constraint.without_overlaps for one in keys):
        return None  # PostgreSQL makes no such key of an index
    names = names_given(subject, keys)
    relation = subject.node.relation
    return lines(
        *rest(subject, keys),
        *(text for one in keys for column in _nullable(subject, one) for text in not_null(subject, column)),
        *(text for one in keys for text in key_from_index(relation, one.constraint, one.columns, names[one.place])),
    )


def _nullable(subject: StatementSubject, addition: Addition) -> list[str]:
    """The columns of a primary key that are known to allow nulls."""
    table = subject.table(subject.node.relation)
    if table is None or addition.kind != pb.CONSTR_PRIMARY:
        return []
    found = (table.column(name) for name in addition.columns)
    return [column.name for column in found if column and not column.not_null]


def _by_partition(subject: StatementSubject) -> str | None:
    table, keys = subject.table(subject.node.relation), _keys(subject)
    if table is None or any(_cannot_be_attached(subject, one) for one in keys):
        return None
    names = names_given(subject, keys)
    statements = [*rest(subject, keys)]
    for one in keys:
        statements.append(_without_index(subject.node.relation, one, names[one.place]))
        statements += _of_partitions(subject, one, table, full_name(subject, names[one.place]))
    return lines(*statements)


def _cannot_be_attached(subject: StatementSubject, addition: Addition) -> bool:
    at_new_column = addition.column is not None
    return at_new_column or addition.constraint.without_overlaps or bool(_nullable(subject, addition))


def _of_partitions(subject: StatementSubject, addition: Addition, table: Table, index: Name) -> Iterable[str]:
    for part in subject.catalog.partitions(table.name):
        name = default_name(part.name.name, addition.kind, addition.columns, part)
        below = Name(part.name.schema, name)
        if part.kind is TableKind.PARTITIONED:
            yield _without_index(ranged(part.name), addition, name)
            yield from _of_partitions(subject, addition, part, below)
        else:
            yield from key_from_index(ranged(part.name), addition.constraint, addition.columns, name)
        yield attach_index(index, below)


def _without_index(relation: Any, addition: Addition, name: str) -> str:
    """The key of ONLY a partitioned table: its partitions' indexes are attached later."""
    only = pb.RangeVar()
    only.CopyFrom(relation)
    only.inh = False
    whole = pb.Constraint()
    whole.CopyFrom(addition.constraint)
    whole.conname = name
    return alter(only, command(pb.AT_AddConstraint, definition={"constraint": whole}))


_BY_PARTITION = (
    "add it to ONLY the partitioned table, build a unique index CONCURRENTLY for each partition, make it a constraint"
    " there, and ATTACH it"
)

_OVERLAPS = (
    "PostgreSQL has no way to add one without the lock: make a new table with the key, fill it in batches and swap the"
    " names; or do it while the table is idle"
)

RULE = StatementRule(
    name="unique_or_pk_blocking",
    group=Group.CONSTRAINTS,
    severity="error",
    summary="A UNIQUE or PRIMARY KEY constraint builds its index under the strongest lock",
    effect="Every query of the table waits until the whole index is built (ACCESS EXCLUSIVE lock).",
    hint="build a unique index CONCURRENTLY, then make the constraint of it with USING INDEX, which takes a moment",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    claims=Claims(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, scans=("w_orders",)),
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
