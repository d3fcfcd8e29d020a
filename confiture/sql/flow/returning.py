"""What statements that change rows leave behind: the columns of RETURNING, and tenants that may be missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from confiture.models.tenancy import Grade, Leak
from confiture.sql.flow.joins import Flow
from confiture.sql.flow.meeting import State
from confiture.sql.flow.outputs import Targets
from confiture.sql.flow.relations import Output, Relation
from confiture.sql.flow.work import Work
from confiture.sql.tree import pb


def returned(work: Work, node: Any, flow: Flow, state: State) -> Relation:
    """What RETURNING gives. `flow` has the names that it can use, `state` says whose the rows are."""
    items = returning(node)
    if not items:
        return Relation()
    for item in items:
        state = flow.subqueries(item, state)
    targets = Targets(work, pb.SelectStmt(target_list=items), flow.scope, flow.around)
    relation = targets.relation(state, state.members, flow.own, state.members, is_grouped=False)
    return replace(relation, expose=None, retarget=None)


def returning(node: Any) -> list[Any]:
    """The items of RETURNING."""
    # PostgreSQL 18 has more in this clause than a list
    is_clause = "returning_clause" in node.DESCRIPTOR.fields_by_name
    return list(node.returning_clause.exprs if is_clause else node.returning_list)


def check_lacking(work: Work, output: Output, called: str, location: int) -> None:
    """Reports a tenant column that an outer join may leave NULL in rows of tenants."""
    if output.may_lack:
        message = (
            f"{called} may be NULL in rows of tenants: an outer join does not always have the row it is taken from"
        )
        work.report(Leak.WRONG_SOURCE, Grade.WARNING, message, location)
