"""DROP INDEX and REINDEX without CONCURRENTLY."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import has_concurrent_users
from confiture.lint.remedies.commands import make_range_var
from confiture.lint.remedies.indexes import add_concurrently, concurrently_edit, drop_concurrently_sql
from confiture.models.catalog import PUBLIC, QualifiedName, Table, TableKind, View
from confiture.models.findings import Edit
from confiture.models.trace import LockMode
from confiture.sql.parse_tree import pb, schema_and_name

_CONCURRENTLY = "concurrently"


def _check(context: StatementContext) -> Iterable[Violation]:
    node = context.node
    if context.statement.kind == "drop_stmt":
        if node.remove_type == pb.OBJECT_INDEX and not node.concurrent:
            yield from _check_drop_index(context)
    elif not _has_concurrently_option(node):
        yield from _check_reindex(context)


def _check_drop_index(context: StatementContext) -> Iterable[Violation]:
    indexes = [schema_and_name(item.list.items) for item in context.node.objects]
    by_owner: dict[str, list[str]] = {}
    for schema, name in indexes:
        owner = _find_owner(context, schema, name)
        if owner is None or _is_blocking(context, owner):
            by_owner.setdefault(str(owner.name) if owner else "", []).append(name)
    remedy = drop_concurrently_sql(context, [QualifiedName(schema or PUBLIC, name) for schema, name in indexes])
    for owner_name, dropped in by_owner.items():
        index_names = ", ".join(dropped)
        yield Violation(
            location=context.location,
            relation=owner_name or dropped[0],
            message=f"{owner_name or f'the table of {index_names}'} cannot be read from or written to while"
            f" {index_names} "
            f"{'is' if len(dropped) == 1 else 'are'} dropped",
            remedy=None if context.node.behavior == pb.DROP_CASCADE else remedy,
            edits=_edits(context) if owner_name and len(indexes) == 1 else (),
        )


def _find_owner(context: StatementContext, schema: str | None, name: str) -> Table | View | None:
    """Return the relation of an index; None if the catalog does not contain it."""
    match = context.catalog.find_index(schema, name)
    return match[0] if match else None


def _is_blocking(context: StatementContext, owner: Table | View) -> bool:
    """Whether CONCURRENTLY would avoid blocking.

    False if the table is new or partitioned: an index on a partitioned table cannot be dropped CONCURRENTLY.
    """
    is_whole = isinstance(owner, Table) and owner.kind is TableKind.PARTITIONED
    return not is_whole and not context.is_new(make_range_var(owner.name))


def _check_reindex(context: StatementContext) -> Iterable[Violation]:
    node = context.node
    owner: Any = None
    what = "every table"
    if node.kind == pb.REINDEX_OBJECT_INDEX:
        owner = _find_owner(context, node.relation.schemaname or None, node.relation.relname)
        what = str(owner.name) if owner else f"the table of {node.relation.relname}"
    elif node.kind == pb.REINDEX_OBJECT_TABLE:
        owner = context.relation(node.relation)
        what = context.name(node.relation)
    if owner and not has_concurrent_users(context, make_range_var(owner.name)):
        return
    is_catalog = node.kind == pb.REINDEX_OBJECT_SYSTEM
    can_fix = not is_catalog and not any(one.def_elem.defname == _CONCURRENTLY for one in node.params)
    yield Violation(
        location=context.location,
        relation=str(owner.name) if owner else node.relation.relname or node.name or None,
        severity="error",
        message=f"{what} cannot be written to, and most reads wait, until the indexes are rebuilt",
        effect=_REINDEX_IMPACT,
        hint="remove the statement: PostgreSQL cannot reindex its own catalogs CONCURRENTLY" if is_catalog else None,
        remedy=add_concurrently(context.statement) if can_fix else None,
        edits=_edits(context) if owner and can_fix else (),
    )


def _has_concurrently_option(node: Any) -> bool:
    for option in node.params:
        if option.def_elem.defname == _CONCURRENTLY:
            argument = option.def_elem.arg
            return str(argument.string.sval).lower() not in ("false", "off", "0", "no") or not argument.ByteSize()
    return False


def _edits(context: StatementContext) -> tuple[Edit, ...]:
    if context.statement.kind == "drop_stmt" and context.node.behavior == pb.DROP_CASCADE:
        return ()
    return concurrently_edit(context.statement)


_REINDEX_IMPACT = (
    "INSERT, UPDATE and DELETE wait until the index is rebuilt (SHARE lock on the table), and so does every query that"
    " is planned in the meantime (ACCESS EXCLUSIVE lock on the index)."
)

RULE = StatementRule(
    name="drop_or_reindex_blocking",
    group=Group.INDEXES,
    severity="warning",
    summary="DROP INDEX or REINDEX runs without CONCURRENTLY",
    impact="DROP INDEX needs an ACCESS EXCLUSIVE lock on the table: it waits for every running query, and all later"
    " queries wait behind it. The lock is held until the transaction ends.",
    fix_hint="add CONCURRENTLY: Confiture runs the statement outside the transaction, and completes the operation if"
    " it was interrupted",
    kinds=frozenset({"drop_stmt", "reindex_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}),
    bad=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY, placed_at timestamptz);\n"
        "CREATE INDEX w_orders_placed_at_idx ON w_orders (placed_at)",
        sql=("DROP INDEX w_orders_placed_at_idx",),
    ),
    good=Example(
        before="CREATE TABLE w_orders (id bigint PRIMARY KEY, placed_at timestamptz);\n"
        "CREATE INDEX w_orders_placed_at_idx ON w_orders (placed_at)",
        sql=("DROP INDEX CONCURRENTLY w_orders_placed_at_idx",),
    ),
)
