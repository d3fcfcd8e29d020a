"""Statements that set the mode of their transaction: that of a dry run has begun before them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from confiture.models.plan import Segment, Statement, StepAction
from confiture.sql.parser import parse_sql, pb

_ISOLATION, _DEFERRABLE, _READ_ONLY = "transaction_isolation", "transaction_deferrable", "transaction_read_only"
_MODES = frozenset({_ISOLATION, _DEFERRABLE, _READ_ONLY})
_OFF = frozenset({"0", "off", "false", "no", ""})
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


@dataclass(slots=True)
class _TransactionMode:
    """The mode that the real transaction has at a statement."""

    isolation: str | None = None
    """The level that an omitted statement has set; None if there is none."""
    has_snapshot: bool = False


def without_transaction_modes(segment: Segment) -> Segment:
    """Return the segment without the statements that would set the mode of its transaction before its first query.

    READ ONLY stays, if it is in force at the first query. After the first query, a statement that sets the isolation
    level fails as in a real run: only if it would change the level.
    """
    mode, steps = _TransactionMode(), []
    last_read_only = _last_read_only(segment)
    for step in segment.steps:
        if step.skip_reason:
            steps.append(step)
            continue
        statements = []
        for statement in step.statements:
            mode.has_snapshot = mode.has_snapshot or statement.node_kind not in _WITHOUT_SNAPSHOT
            kept = _as_dry_run(statement, mode, stays_read_only=statement is last_read_only)
            statements += [kept] if kept else []
        mode.has_snapshot = mode.has_snapshot or step.action is not StepAction.EXECUTE
        is_changed = len(statements) < len(step.statements)
        steps.append(replace(step, statements=tuple(statements), note=_NOTE if is_changed else step.note))
    return replace(segment, steps=tuple(steps))


def _as_dry_run(statement: Statement, mode: _TransactionMode, *, stays_read_only: bool) -> Statement | None:
    """Return the statement as the dry run executes it; None if it omits the statement. Update the mode."""
    modes = _transaction_modes(statement)
    if not modes:
        return statement
    if not mode.has_snapshot:
        mode.isolation = modes.get(_ISOLATION, mode.isolation)
        return replace(statement, text="SET TRANSACTION READ ONLY") if stays_read_only else None
    if mode.isolation is None or _ISOLATION not in modes:
        return statement
    if modes[_ISOLATION] != mode.isolation:
        # One of the two differs from the level of the dry run, which is an error.
        return replace(statement, text=f"{statement.text}; SET TRANSACTION ISOLATION LEVEL {mode.isolation}")
    return None if modes.keys() == {_ISOLATION} else statement


def _last_read_only(segment: Segment) -> Statement | None:
    """Return the statement that makes the transaction read-only before its first query; None if none does."""
    last = None
    for statement in _before_first_query(segment):
        modes = _transaction_modes(statement)
        if _READ_ONLY in modes:
            last = None if modes[_READ_ONLY] in _OFF else statement
    return last


def _before_first_query(segment: Segment) -> Iterator[Statement]:
    for step in segment.steps:
        if step.skip_reason:
            continue
        for statement in step.statements:
            if statement.node_kind not in _WITHOUT_SNAPSHOT:
                return
            yield statement
        if step.action is not StepAction.EXECUTE:
            return


def _transaction_modes(statement: Statement) -> dict[str, str]:
    """Return the modes that a statement sets, if it does nothing else; else nothing."""
    if statement.node_kind != "variable_set_stmt":
        return {}
    node = parse_sql(statement.text).stmts[0].stmt.variable_set_stmt
    if node.kind not in (pb.VAR_SET_VALUE, pb.VAR_SET_MULTI):
        return {}
    if node.name == "TRANSACTION":
        values = {item.def_elem.defname: _constant(item.def_elem.arg) for item in node.args}
    else:
        values = {node.name.lower(): _constant(node.args[0]) if len(node.args) == 1 else ""}
    return values if values.keys() <= _MODES else {}


def _constant(node: Any) -> str:
    constant = node.a_const
    kind = constant.WhichOneof("val")
    if kind == "ival":
        return str(constant.ival.ival)
    if kind == "boolval":
        return str(constant.boolval.boolval).lower()
    return constant.sval.sval.lower() if kind == "sval" else ""
