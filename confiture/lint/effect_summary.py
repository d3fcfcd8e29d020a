"""The effect of a migration in one line, such as "creates 1 table, adds 1 column, 1 index concurrently"."""

from __future__ import annotations

from collections import Counter

from confiture.lint.engine.context import StatementContext
from confiture.models.plan import StepAction
from confiture.sql.parse_tree import alter_commands, pb
from confiture.text import pluralize

_PHRASES = {
    "create table": ("creates", "table"),
    "create view": ("creates", "view"),
    "create function": ("defines", "function"),
    "create type": ("creates", "type"),
    "add column": ("adds", "column"),
    "index": ("builds", "index"),
    "index concurrently": ("builds", "index"),
    "add constraint": ("adds", "constraint"),
    "validate": ("validates", "constraint"),
    "alter": ("alters", "table"),
    "fill": ("fills", "table"),
    "insert": ("inserts into", "table"),
    "update": ("updates", "table"),
    "delete": ("deletes from", "table"),
    "drop column": ("drops", "column"),
    "drop table": ("drops", "table"),
    "drop": ("drops", "object"),
    "truncate": ("truncates", "table"),
    "check": ("checks", "query"),
    "other": ("runs", "other statement"),
}
_PLURALS = {"query": "queries", "index": "indexes"}
_TYPES = ("create_enum_stmt", "create_domain_stmt", "composite_type_stmt", "create_range_stmt")
_BY_KIND = {
    "create_stmt": "create table",
    "create_table_as_stmt": "create table",
    "create_foreign_table_stmt": "create table",
    "view_stmt": "create view",
    "create_function_stmt": "create function",
    "insert_stmt": "insert",
    "copy_stmt": "insert",
    "update_stmt": "update",
    "merge_stmt": "update",
    "delete_stmt": "delete",
    "truncate_stmt": "truncate",
    **dict.fromkeys(_TYPES, "create type"),
}
_BY_COMMAND = {
    pb.AT_AddColumn: "add column",
    pb.AT_DropColumn: "drop column",
    pb.AT_AddConstraint: "add constraint",
    pb.AT_ValidateConstraint: "validate",
}


class EffectSummary:
    """Counts what the statements of a migration do."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, context: StatementContext) -> None:
        """Count a statement."""
        kind, node = context.statement.kind, context.node
        if context.step.backfill:
            self._counts["fill"] += 1
        elif context.step.action is not StepAction.EXECUTE:
            self._counts["check"] += 1
        elif kind == "alter_table_stmt":
            for command in alter_commands(node):
                self._counts[_BY_COMMAND.get(command.subtype, "alter")] += 1
        elif kind == "index_stmt":
            self._counts["index concurrently" if node.concurrent else "index"] += 1
        elif kind == "drop_stmt":
            self._counts["drop table" if node.remove_type == pb.OBJECT_TABLE else "drop"] += len(node.objects)
        elif kind not in ("variable_set_stmt", "comment_stmt"):
            self._counts[_BY_KIND.get(kind, "other")] += 1

    def text(self, *, hooks: int) -> str:
        """Return the line; `nothing` for a migration without statements."""
        parts = [_phrase(name, self._counts[name]) for name in _PHRASES if self._counts[name]]
        parts += [f"runs {pluralize(hooks, 'hook')}"] if hooks else []
        return ", ".join(parts) or "nothing"


def _phrase(name: str, count: int) -> str:
    verb, noun = _PHRASES[name]
    suffix = " concurrently" if name == "index concurrently" else ""
    return f"{verb} {pluralize(count, noun, _PLURALS.get(noun, ''))}{suffix}"
