"""Statements that set the isolation level of their transaction: that of a dry run has begun before them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from confiture.models.plan import PlannedStep, Segment, Statement, StepAction
from confiture.sql.parser import parse_sql

_MODES = frozenset({"transaction_isolation", "transaction_deferrable"})
_NOTE = "not set: a dry run is one transaction, whose isolation level cannot change any more"


def without_transaction_modes(segment: Segment) -> Segment:
    """Return the segment without the statements that would set the mode of its transaction before its first query.

    Elsewhere such a statement fails in a real run too.
    """
    leading = {(step.number, step.phase, statement.offset) for step, statement in _leading_settings(segment)}
    steps = []
    for step in segment.steps:
        statements = tuple(
            statement
            for statement in step.statements
            if (step.number, step.phase, statement.offset) not in leading or not _sets_transaction_mode(statement)
        )
        is_changed = len(statements) < len(step.statements)
        steps.append(replace(step, statements=statements, note=_NOTE) if is_changed else step)
    return replace(segment, steps=tuple(steps))


def _leading_settings(segment: Segment) -> Iterator[tuple[PlannedStep, Statement]]:
    """Yield the settings that a segment makes before anything else."""
    for step in segment.steps:
        if step.skip_reason:
            continue
        for statement in step.statements:
            if statement.node_kind != "variable_set_stmt":
                return
            yield step, statement
        if step.action is not StepAction.EXECUTE:
            return


def _sets_transaction_mode(statement: Statement) -> bool:
    """Whether a setting does nothing else than to set the isolation level, or to make the transaction deferrable."""
    return set(_setting_names(parse_sql(statement.text).stmts[0].stmt.variable_set_stmt)) <= _MODES


def _setting_names(node: Any) -> list[str]:
    return [item.def_elem.defname for item in node.args] if node.name == "TRANSACTION" else [node.name.lower()]
