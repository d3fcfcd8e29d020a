"""Strong locks requested without a timeout, because the migration has disabled it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, Group, StatementRule, Violation
from confiture.lint.facts.row_changes import is_new_name
from confiture.models.catalog import QualifiedName
from confiture.models.trace import BlockedAccess
from confiture.sql.parse_tree import pb, strings
from confiture.text import shorten_sql

_SETTING = "lock_timeout"
_MAX_TIMEOUT_MS = 60_000
"""A longer timeout is as bad as none, because other sessions queue behind the statement."""
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1_000.0, "min": 60_000.0, "h": 3_600_000.0, "d": 86_400_000.0}
_KINDS = (
    "alter_table_stmt",
    "alter_object_schema_stmt",
    "alter_policy_stmt",
    "cluster_stmt",
    "create_policy_stmt",
    "create_stmt",
    "create_trig_stmt",
    "drop_stmt",
    "index_stmt",
    "lock_stmt",
    "refresh_mat_view_stmt",
    "reindex_stmt",
    "rename_stmt",
    "rule_stmt",
    "truncate_stmt",
    "view_stmt",
)


def _check(context: StatementContext) -> Iterable[Violation]:
    tables = _blocked_tables(context)
    if not tables:
        return
    switches = [one for one in context.earlier_of_kind("select_stmt", "variable_set_stmt") if _is_timeout_setting(one)]
    if not switches or not _is_timeout_disabled(switches[-1]):
        return
    switched, *since = context.earlier[switches[-1].number :]
    if not any(one.statement.kind in _KINDS and _blocked_tables(one) for one in since):
        yield Violation(
            location=context.location,
            relation=str(tables[0]),
            message=f"the lock on {', '.join(map(str, tables))} is requested without a timeout, after "
            f"`{shorten_sql(switched.statement.text)}`",
            remedy=f"SET LOCAL {_SETTING} = '{context.target.settings.database.lock_timeout_ms}ms';",
        )


def _blocked_tables(context: StatementContext) -> list[QualifiedName]:
    """Return the tables in use that the statement blocks for reads or writes."""
    strong = (BlockedAccess.READS, BlockedAccess.WRITES)
    indexes = context.catalog.index_owners
    return [
        name
        for name, mode in context.effects.locks.items()
        if mode.blocked_access in strong and name not in indexes and not is_new_name(context, name)
    ]


def _is_timeout_setting(context: StatementContext) -> bool:
    """Whether a statement changes lock_timeout."""
    kind, node = context.statement.kind, context.node
    if kind == "select_stmt":
        return _set_config_value(node) is not None
    return kind == "variable_set_stmt" and bool(node.name == _SETTING or node.kind == pb.VAR_RESET_ALL)


def _is_timeout_disabled(context: StatementContext) -> bool:
    node = context.node
    if context.statement.kind == "select_stmt":
        return _is_too_long(_set_config_value(node))
    # without a value, the server default applies, and statements wait forever unless it was configured
    return _is_too_long(node.args[0].a_const) if node.kind == pb.VAR_SET_VALUE else True


def _set_config_value(select: Any) -> Any:
    """Return the value that a SELECT assigns to lock_timeout with set_config, if any."""
    for target in select.target_list:
        call = target.res_target.val.func_call
        name = strings(call.funcname)[-1:]
        if name == ("set_config",) and len(call.args) > 1 and call.args[0].a_const.sval.sval == _SETTING:
            return call.args[1].a_const
    return None


def _is_too_long(constant: Any) -> bool:
    milliseconds = _parse_milliseconds(constant)
    return milliseconds is not None and not 0 < milliseconds <= _MAX_TIMEOUT_MS


def _parse_milliseconds(constant: Any) -> float | None:
    """Convert a value of the setting to milliseconds; return None if the value cannot be parsed."""
    if constant.WhichOneof("val") == "ival":
        return float(constant.ival.ival)
    text = (constant.fval.fval or constant.sval.sval).strip()
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz").strip()
    try:
        return float(number) * _UNITS[text[len(number) :].strip() or "ms"]
    except (ValueError, KeyError):
        return None


_BEFORE = "CREATE TABLE w_orders (id bigint PRIMARY KEY)"

RULE = StatementRule(
    name="no_lock_timeout",
    group=Group.TRANSACTIONS,
    severity="warning",
    summary="A strong lock is requested after the migration has disabled lock_timeout",
    impact="While the statement waits for one long query, every later query on the table waits too, and only the"
    " blocking budget (database.max_blocking) ends the wait.",
    fix_hint="leave lock_timeout to Confiture, which sets it (from database.lock_timeout or the step) and retries",
    kinds=frozenset(_KINDS),
    check=_check,
    bad=Example(before=_BEFORE, sql=("SET lock_timeout = 0; ALTER TABLE w_orders ADD COLUMN note text",)),
    good=Example(before=_BEFORE, sql=("SET LOCAL lock_timeout = '500ms'; ALTER TABLE w_orders ADD COLUMN note text",)),
)
