"""ATTACH PARTITION of a table whose rows no CHECK proves to fit, and new partitions beside an unproven DEFAULT."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import is_in_use
from confiture.lint.facts.table_sizes import name_of
from confiture.lint.remedies.commands import LATER, lines, validate
from confiture.lint.remedies.partitions import (
    NO_LONGER_NEEDED,
    after_proof,
    attached,
    bound_condition,
    makes_partition,
    unproven_default,
)
from confiture.lint.remedies.sql_text import qualified
from confiture.sql.answers import Answer
from confiture.sql.catalog.names import joined
from confiture.sql.proofs import proves_bound
from confiture.sql.tree import alter_commands, definition, identifier, pb


def _check(subject: StatementSubject) -> Iterable[Hit]:
    if subject.statement.kind == "create_stmt":
        yield from _of_new_partition(subject)
        return
    for one in alter_commands(subject.node):
        if one.subtype == pb.AT_AttachPartition and subject.node.objtype == pb.OBJECT_TABLE:
            partition = definition(one).partition_cmd
            yield from _of_child(subject, partition)
            if not partition.bound.is_default:
                attach = [subject.statement.text]
                yield from _of_default_partition(
                    subject, subject.node.relation, partition.name, partition.bound, attach, effect=_OF_DEFAULT
                )


def _of_new_partition(subject: StatementSubject) -> Iterator[Hit]:
    node = subject.node
    if makes_partition(subject, node) and not node.partbound.is_default:
        made = attached(subject)
        yield from _of_default_partition(
            subject, node.inh_relations[0].range_var, node.relation, node.partbound, made, effect=_OF_ALL
        )


def _of_child(subject: StatementSubject, partition: Any) -> Iterator[Hit]:
    if not is_in_use(subject, partition.name):
        return
    parent, child = subject.table(subject.node.relation), subject.table(partition.name)
    key = parent.partition_key if parent else None
    if child and proves_bound(child, key, partition.bound) is not Answer.NO:
        return
    name = subject.name(partition.name)
    yield Hit(
        place=subject.statement.at(partition.name.location),
        relation=name,
        severity=None if child else "warning",
        message=f"{name} is read from end to end while it is locked: no valid CHECK "
        + ("proves that its rows fit" if child else "is known that proves its rows to fit"),
        remedy=_remedy(subject, partition, key),
        hint="only a table that is empty attaches at once to a partitioned table by hash: attach it before it is filled"
        if partition.bound.strategy == "h"
        else None,
    )


def _of_default_partition(
    subject: StatementSubject, whole: Any, part: Any, bound: Any, then: Sequence[str], *, effect: str
) -> Iterator[Hit]:
    default = unproven_default(subject, whole)
    if default:
        yield Hit(
            place=subject.statement.at(part.location),
            relation=str(default.name),
            message=f"{default.name} is read while it is locked: rows of the new partition may be in it",
            effect=effect,
            hint="first give the default partition a CHECK that leaves out the new bound, and VALIDATE it",
            remedy=after_proof(subject, default, bound, *then) if then else None,
        )


def _remedy(subject: StatementSubject, partition: Any, key: str | None) -> str | None:
    """A CHECK of the bound, proven before the partition is attached."""
    condition = bound_condition(key, partition.bound)
    if condition is None:
        return None
    table = name_of(subject, partition.name)
    name = joined(table.name, "bound", "check")
    return lines(
        f"ALTER TABLE {qualified(table)} ADD CONSTRAINT {identifier(name)} CHECK ({condition}) NOT VALID",
        LATER,
        validate(partition.name, name),
        "-- and then:",
        subject.statement.text,
        f"-- {identifier(name)} {NO_LONGER_NEEDED}",
    )


_OF_DEFAULT = "Nobody can read or write the default partition until it was read (ACCESS EXCLUSIVE lock)."
_OF_ALL = (
    "Nobody can read or write the partitioned table, with all its partitions, until the default partition was read"
    " (ACCESS EXCLUSIVE lock)."
)
_BEFORE = (
    "CREATE TABLE w_events (id bigint NOT NULL, happened_on date NOT NULL) PARTITION BY RANGE (happened_on);"
    " CREATE TABLE w_events_2025 (id bigint NOT NULL, happened_on date NOT NULL{check});"
    " INSERT INTO w_events_2025 SELECT i, '2025-06-01' FROM generate_series(1, 100) i"
)
_ATTACH = "ALTER TABLE w_events ATTACH PARTITION w_events_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')"
_PROOF = ", CHECK (happened_on >= '2025-01-01' AND happened_on < '2026-01-01')"

RULE = StatementRule(
    name="attach_without_proof",
    group=Group.LOCKS,
    severity="error",
    summary="ATTACH PARTITION of a table that no CHECK proves to fit",
    effect="The new partition is read from end to end while nobody can read or write it (ACCESS EXCLUSIVE lock).",
    hint="give the table a CHECK of the bound, NOT VALID, validate it, then attach: that reads nothing",
    kinds=frozenset({"alter_table_stmt", "create_stmt"}),
    check=_check,
    claims=Claims(scans=("w_events_2025",)),
    bad=Example(before=_BEFORE.format(check=""), sql=(_ATTACH,)),
    good=Example(before=_BEFORE.format(check=_PROOF), sql=(_ATTACH,)),
)
