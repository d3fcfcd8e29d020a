"""Slow statements that run while an earlier statement's ACCESS EXCLUSIVE lock is held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import added_constraints
from confiture.lint.facts.row_changes import CHANGING, find_row_changes, is_large_read, is_new_name, is_unbounded
from confiture.lint.facts.table_sizes import is_large, is_small_table, resolve_relation_name
from confiture.lint.remedies.commands import LATER, join_lines, new_constraint_name
from confiture.lint.remedies.sql_text import join_and_truncate
from confiture.models.catalog import QualifiedName, Table, View
from confiture.models.trace import LockMode
from confiture.sql.parse_tree import alter_commands, pb
from confiture.sql.traversal import find_nodes
from confiture.text import shorten_sql

_BUILD_KINDS = ("index_stmt", "cluster_stmt", "reindex_stmt", "alter_table_stmt", "alter_domain_stmt")
_KINDS = frozenset({*CHANGING, *_BUILD_KINDS, "create_table_as_stmt", "refresh_mat_view_stmt", "copy_stmt"})


def _check(context: StatementContext) -> Iterable[Violation]:
    if next(context.earlier_exclusive(), None) is None:
        return
    work = next(_slow_work(context), None)
    if work is None:
        return
    for earlier in context.earlier_exclusive():
        locked = _tables_still_locked(earlier, context)
        if locked:
            if not _is_already_reported(earlier, context):
                stays = "stays" if len(locked) == 1 else "stay"
                yield Violation(
                    location=context.location,
                    relation=str(locked[0]),
                    message=f"{join_and_truncate([str(name) for name in locked])} {stays} locked by "
                    f"`{shorten_sql(earlier.statement.text)}` while this statement {work}",
                    remedy=None
                    if _is_reported_elsewhere(context)
                    else join_lines(LATER, context.statement.text.strip()),
                )
            return


def _is_reported_elsewhere(context: StatementContext) -> bool:
    """Whether the work is a hazard in any transaction. If so, another finding contains the remedy."""
    kind, node = context.statement.kind, context.node
    if kind not in ("index_stmt", "alter_table_stmt") or context.is_new(node.relation):
        return False
    return kind == "index_stmt" or any(one.subtype != pb.AT_ValidateConstraint for one in alter_commands(node))


def _tables_still_locked(earlier: StatementContext, context: StatementContext) -> list[QualifiedName]:
    """Return the tables in use that stay locked by an earlier statement and are not locked by the current one."""
    own = {name for name, mode in context.effects.locks.items() if mode is LockMode.ACCESS_EXCLUSIVE}
    return [name for name in _exclusive_locks(earlier) if name not in own and not is_new_name(context, name)]


def _is_already_reported(earlier: StatementContext, context: StatementContext) -> bool:
    """Whether an intermediate statement already reports the earlier statement's locks."""
    numbers = context.transaction.numbers_of_kind(_KINDS, earlier.number + 1, context.number)
    between = (context.earlier[number] for number in numbers)
    return any(_tables_still_locked(earlier, one) and next(_slow_work(one), None) for one in between)


def _exclusive_locks(context: StatementContext) -> Iterator[QualifiedName]:
    """Return the tables and views that a statement locked in ACCESS EXCLUSIVE mode, if they still exist."""
    for name, mode in context.effects.locks.items():
        if mode is LockMode.ACCESS_EXCLUSIVE:
            known = context.catalog.relation(*name)
            if isinstance(known, Table | View) or (known is None and _is_named_in(context, name)):
                yield name


def _is_named_in(context: StatementContext, relation: QualifiedName) -> bool:
    """Whether a statement other than DROP names a relation missing from the catalog, other than as an index."""
    if context.statement.kind == "drop_stmt" or relation in context.catalog.index_owners:
        return False
    named = find_nodes(context.node, pb.RangeVar)
    return any(resolve_relation_name(context, one) == relation for one in named)


def _slow_work(context: StatementContext) -> Iterator[str]:
    """Return the slow work of a statement, as phrases that follow `this statement`."""
    kind, node = context.statement.kind, context.node
    for change in find_row_changes(kind, node):
        if is_unbounded(change, context):
            yield f"changes rows of {context.name(change.node.relation)}"
    target = _filled_relation(context)
    if target is not None:
        yield f"fills {context.name(target)}"
    elif kind == "select_stmt":
        # a check reads the rows that it needs, so it is reported only if the table is known to be large
        large = [name for name in sorted(context.effects.scans) if is_large(context, name)]
        if large:
            yield f"reads all {context.rows(large[0]):,} rows of {large[0]}"
    elif kind in _BUILD_KINDS:
        names = [
            name
            for name in sorted(context.effects.scans | context.effects.rewrites)
            if not is_new_name(context, name) and not is_small_table(context, name)
        ]
        if names and not _is_validation_of_new(context) and not _is_on_empty_table(context):
            for name in names:
                verb = "rewrites all of" if name in context.effects.rewrites else "scans all of"
                yield f"{verb} {name}"


def _filled_relation(context: StatementContext) -> Any:
    """Return the relation that a statement fills with an unbounded number of rows, if any."""
    node = context.node
    match context.statement.kind:
        case "insert_stmt" if is_large_read(node.select_stmt.select_stmt, context):
            return node.relation
        case "create_table_as_stmt" if not node.into.skip_data and is_large_read(node.query.select_stmt, context):
            return node.into.rel
        case "refresh_mat_view_stmt" if not node.skip_data:
            return node.relation
        case "copy_stmt" if node.is_from:
            return node.relation
    return None


def _is_on_empty_table(context: StatementContext) -> bool:
    """Whether the statement scans nothing because it alters a table that the transaction created and did not fill."""
    if context.statement.kind != "alter_table_stmt":
        return False
    table = resolve_relation_name(context, context.node.relation)
    is_new = any(
        resolve_relation_name(one, one.node.relation) == table for one in context.earlier_of_kind("create_stmt")
    )
    return is_new and not any(
        resolve_relation_name(one, one.node.relation) == table
        for one in context.earlier_of_kind("insert_stmt", "copy_stmt")
    )


def _is_validation_of_new(context: StatementContext) -> bool:
    """Whether the statement only validates constraints added in the same transaction, which another rule reports."""
    if context.statement.kind != "alter_table_stmt":
        return False
    commands = list(alter_commands(context.node))
    if any(one.subtype != pb.AT_ValidateConstraint for one in commands):
        return False
    table = resolve_relation_name(context, context.node.relation)
    added = {
        new_constraint_name(one, addition)
        for one in context.earlier_of_kind("alter_table_stmt")
        if resolve_relation_name(one, one.node.relation) == table
        for addition in added_constraints(one)
    }
    return all(one.name in added for one in commands)


_BEFORE = """CREATE TABLE w_orders (id bigint PRIMARY KEY, placed_at timestamptz);
INSERT INTO w_orders (id) SELECT generate_series(1, 20000);
ANALYZE w_orders"""

RULE = StatementRule(
    name="work_after_access_exclusive",
    group=Group.TRANSACTIONS,
    severity="warning",
    summary="A slow statement runs while the transaction holds an ACCESS EXCLUSIVE lock",
    impact="All reads from and writes to the locked table wait until this statement finishes and the transaction"
    " commits, because the ACCESS EXCLUSIVE lock is held until then.",
    fix_hint="move the locking statement and the slow statement to separate migrations",
    kinds=_KINDS,
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}, scans=("w_orders",)),
    bad=Example(
        before=_BEFORE,
        sql=(
            "ALTER TABLE w_orders ADD COLUMN placed_on date;\n"
            "UPDATE w_orders SET placed_on = placed_at::date WHERE placed_on IS NULL",
        ),
    ),
    good=Example(
        before=_BEFORE,
        sql=(
            "ALTER TABLE w_orders ADD COLUMN placed_on date",
            "UPDATE w_orders SET placed_on = placed_at::date WHERE placed_on IS NULL AND id >= 1 AND id < 501",
        ),
    ),
)
