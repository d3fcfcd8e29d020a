"""ON CONFLICT: by which key rows meet those that are there, and what it does to these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confiture.models.tenancy import Grade, Leak
from confiture.sql.flow.joins import Flow
from confiture.sql.flow.meeting import State
from confiture.sql.flow.relations import Source
from confiture.sql.flow.scopes import Around, Item, Scope
from confiture.sql.flow.targets import Target
from confiture.sql.flow.work import Work, location_of
from confiture.sql.tree import flatten_and, pb, strings


def check_conflict(
    work: Work, node: Any, target: Target, written: Sequence[str], source: Source, around: Around
) -> None:
    """Reports an ON CONFLICT by which rows of one tenant meet, or get values of, those of another.

    `source` is the target as a relation, `written` its columns that the INSERT writes.
    """
    if not node.HasField("on_conflict_clause"):
        return
    clause = node.on_conflict_clause
    if target.tenant is not None:
        _check_keys(work, clause, target, written)
    if clause.action == pb.ONCONFLICT_UPDATE:
        _check_update(work, clause, target, source, around)


def _check_keys(work: Work, clause: Any, target: Target, written: Sequence[str]) -> None:
    """The row that is met by a key without the tenant may be another tenant's."""
    wrong = [key for key in _keys(work, clause, target, written) if target.tenant not in key]
    if not wrong:
        return
    changes = clause.action == pb.ONCONFLICT_UPDATE and not _is_tied(clause.where_clause, target.tenant)
    does = "changes the row that has the same key, whosever it is"
    if not changes:
        does = "drops the row where another tenant has the same key"
    message = f"ON CONFLICT ({', '.join(sorted(wrong[0]))}) leaves out {target.tenant}: it {does}"
    work.report(Leak.REACH, Grade.WARNING, message, clause.location, relation=str(target.name))


def _check_update(work: Work, clause: Any, target: Target, source: Source, around: Around) -> None:
    """What DO UPDATE sets, and by which subqueries; `excluded` is the new row, which is of the same tenant."""
    excluded = work.source("excluded", source.relation, clause)
    scope = Scope((Item.of(source), Item.of(excluded)), around.scope)
    flow = Flow(work, scope, around, pb.SelectStmt())
    flow.own = scope.sources()
    state = State(source.relation.reads, source.members() | excluded.members())
    for item in clause.target_list:
        state = flow.subqueries(item, state)
        value = item.res_target.val
        if target.tenant and item.res_target.name == target.tenant and flow.node(value) not in state.members:
            message = f"ON CONFLICT gives {target.name}.{target.tenant} another value than the tenant of the row"
            work.report(Leak.WRONG_SOURCE, Grade.ERROR, message, location_of(value), relation=str(target.name))
    flow.subqueries(clause.where_clause, state)


def _keys(work: Work, clause: Any, target: Target, written: Sequence[str]) -> list[frozenset[str]]:
    """The keys by which rows can conflict; without a named one, those whose columns the statement writes."""
    if clause.HasField("infer"):
        if clause.infer.conname and target.table:
            found = target.table.constraint(clause.infer.conname)
            return [frozenset(found.columns)] if found else []
        if clause.infer.index_elems:
            return [frozenset(item.index_elem.name for item in clause.infer.index_elems)]
    if target.table is None:
        return []
    return [key for key in work.facts.unique_keys(target.table) if key <= set(written)]


def _is_tied(condition: Any, column: str | None) -> bool:
    """Whether a WHERE says that the row there is of the tenant of the new one."""
    for part in flatten_and(condition):
        if part.WhichOneof("node") != "a_expr" or strings(part.a_expr.name)[-1] != "=":
            continue
        sides = [part.a_expr.lexpr, part.a_expr.rexpr]
        if all(side.WhichOneof("node") == "column_ref" for side in sides):
            names = [strings(side.column_ref.fields) for side in sides]
            if all(name[-1] == column for name in names) and any(name[0] == "excluded" for name in names):
                return True
    return False
