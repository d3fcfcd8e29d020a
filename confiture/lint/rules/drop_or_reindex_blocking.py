"""DROP INDEX and REINDEX without CONCURRENTLY."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.alter_table import is_in_use
from confiture.lint.remedies.commands import ranged
from confiture.lint.remedies.indexes import drop_concurrently, made_concurrently, with_concurrently
from confiture.models.catalog import PUBLIC, Name, Table, TableKind, View
from confiture.models.findings import Edit
from confiture.models.trace import LockMode
from confiture.sql.tree import names, pb

_CONCURRENTLY = "concurrently"


def _check(subject: StatementSubject) -> Iterable[Hit]:
    node = subject.node
    if subject.statement.kind == "drop_stmt":
        if node.remove_type == pb.OBJECT_INDEX and not node.concurrent:
            yield from _dropping(subject)
    elif not _says_concurrently(node):
        yield from _rebuilding(subject)


def _dropping(subject: StatementSubject) -> Iterable[Hit]:
    indexes = [names(item.list.items) for item in subject.node.objects]
    by_owner: dict[str, list[str]] = {}
    for schema, name in indexes:
        owner = _owner(subject, schema, name)
        if owner is None or _blocks(subject, owner):
            by_owner.setdefault(str(owner.name) if owner else "", []).append(name)
    remedy = drop_concurrently(subject, [Name(schema or PUBLIC, name) for schema, name in indexes])
    for owner_name, dropped in by_owner.items():
        shown = ", ".join(dropped)
        yield Hit(
            place=subject.place,
            relation=owner_name or dropped[0],
            message=f"nobody can read or write {owner_name or f'the table of {shown}'} while {shown} is dropped",
            remedy=None if subject.node.behavior == pb.DROP_CASCADE else remedy,
            edits=_edits(subject) if owner_name and len(indexes) == 1 else (),
        )


def _owner(subject: StatementSubject, schema: str | None, name: str) -> Table | View | None:
    """The relation that an index is on, None where the catalog does not know it."""
    found = subject.catalog.indexed(schema, name)
    return found[0] if found else None


def _blocks(subject: StatementSubject, owner: Table | View) -> bool:
    """Whether others wait when an index is dropped; that of a partitioned table cannot be dropped CONCURRENTLY."""
    is_whole = isinstance(owner, Table) and owner.kind is TableKind.PARTITIONED
    return not is_whole and not subject.is_new(ranged(owner.name))


def _rebuilding(subject: StatementSubject) -> Iterable[Hit]:
    node = subject.node
    owner: Any = None
    what = "each table"
    if node.kind == pb.REINDEX_OBJECT_INDEX:
        owner = _owner(subject, node.relation.schemaname or None, node.relation.relname)
        what = str(owner.name) if owner else f"the table of {node.relation.relname}"
    elif node.kind == pb.REINDEX_OBJECT_TABLE:
        owner = subject.relation(node.relation)
        what = subject.name(node.relation)
    if owner and not is_in_use(subject, ranged(owner.name)):
        return
    is_catalog = node.kind == pb.REINDEX_OBJECT_SYSTEM
    is_sure = not is_catalog and not any(one.def_elem.defname == _CONCURRENTLY for one in node.params)
    yield Hit(
        place=subject.place,
        relation=str(owner.name) if owner else node.relation.relname or node.name or None,
        severity="error",
        message=f"{what} cannot be written to, and most queries of it wait, until the indexes are built anew",
        effect=_EFFECT_OF_REINDEX,
        hint="PostgreSQL cannot do that CONCURRENTLY for its own catalogs: leave it out" if is_catalog else None,
        remedy=with_concurrently(subject.statement) if is_sure else None,
        edits=_edits(subject) if owner and is_sure else (),
    )


def _says_concurrently(node: Any) -> bool:
    for option in node.params:
        if option.def_elem.defname == _CONCURRENTLY:
            argument = option.def_elem.arg
            return str(argument.string.sval).lower() not in ("false", "off", "0", "no") or not argument.ByteSize()
    return False


def _edits(subject: StatementSubject) -> tuple[Edit, ...]:
    if subject.statement.kind == "drop_stmt" and subject.node.behavior == pb.DROP_CASCADE:
        return ()
    return made_concurrently(subject.statement)


_EFFECT_OF_REINDEX = (
    "INSERT, UPDATE and DELETE wait until the index is built (SHARE lock on the table), and so does every query that"
    " is planned meanwhile (ACCESS EXCLUSIVE lock on the index)."
)

RULE = StatementRule(
    name="drop_or_reindex_blocking",
    group=Group.INDEXES,
    severity="warning",
    summary="DROP INDEX or REINDEX without CONCURRENTLY",
    effect="Dropping needs an ACCESS EXCLUSIVE lock on the table: every query waits behind it, and it behind every"
    " query that runs; the lock lasts until the transaction ends.",
    hint="do it CONCURRENTLY: Confiture runs that statement outside of the transaction, and finishes one that was"
    " broken off",
    kinds=frozenset({"drop_stmt", "reindex_stmt"}),
    check=_check,
    claims=Claims(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}),
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
