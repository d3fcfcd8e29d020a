"""Statements that set the isolation level of their transaction: that of a dry run has begun before them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from confiture.models.plan import Segment, Statement, StepAction
from confiture.sql.parser import parse_sql, pb

_MODES = frozenset({"transaction_isolation", "transaction_deferrable"})
_WITHOUT_SNAPSHOT = frozenset(
    {
        "variable_set_stmt",
        "variable_show_stmt",
        "constraints_set_stmt",
        "lock_stmt",
        "listen_stmt",
        "notify_stmt",
        "unlisten_stmt",
        "check_point_stmt",
    }
)
"""Statements that take no snapshot: after them, the isolation level can still be set."""
_NOTE = "not set: a dry run is one transaction, whose isolation level cannot change any more"


def without_transaction_modes(segment: Segment) -> Segment:
    """Return the segment without the statements that would set the mode of its transaction before its first query.

    Elsewhere such a statement fails in a real run too.
    """
    has_snapshot, steps = False, []
    for step in segment.steps:
        if step.skip_reason:
            steps.append(step)
            continue
        statements = []
        for statement in step.statements:
            has_snapshot = has_snapshot or statement.node_kind not in _WITHOUT_SNAPSHOT
            if has_snapshot or not _sets_transaction_mode(statement):
                statements.append(statement)
        has_snapshot = has_snapshot or step.action is not StepAction.EXECUTE
        is_changed = len(statements) < len(step.statements)
        steps.append(replace(step, statements=tuple(statements), note=_NOTE) if is_changed else step)
    return replace(segment, steps=tuple(steps))


def _sets_transaction_mode(statement: Statement) -> bool:
    """Whether a statement only sets the isolation level, or makes the transaction deferrable."""
    if statement.node_kind != "variable_set_stmt":
        return False
    node = parse_sql(statement.text).stmts[0].stmt.variable_set_stmt
    return node.kind in (pb.VAR_SET_VALUE, pb.VAR_SET_MULTI) and set(_setting_names(node)) <= _MODES


def _setting_names(node: Any) -> list[str]:
    return [item.def_elem.defname for item in node.args] if node.name == "TRANSACTION" else [node.name.lower()]
