"""The locks, scans, and rewrites of a statement that its text and the catalog determine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from confiture.models.catalog import Catalog
from confiture.sql.effects import alter_table, create, drop, maintenance, queries
from confiture.sql.effects.recorder import EffectRecorder, Effects
from confiture.sql.parse_tree import ParsedStatement

__all__ = ["Effects", "find_effects", "has_known_effects"]

_KINDS: Mapping[str, Callable[[Any, EffectRecorder], None]] = {
    "alter_table_move_all_stmt": alter_table.move_all,
    "alter_table_stmt": alter_table.alter_table,
    "alter_domain_stmt": create.alter_domain,
    "alter_object_schema_stmt": create.set_schema,
    "alter_policy_stmt": create.create_or_alter_policy,
    "alter_publication_stmt": create.create_or_alter_publication,
    "alter_seq_stmt": create.alter_sequence,
    "cluster_stmt": maintenance.cluster,
    "comment_stmt": create.comment,
    "copy_stmt": maintenance.copy_rows,
    "create_foreign_table_stmt": create.create_foreign_table,
    "create_policy_stmt": create.create_or_alter_policy,
    "create_publication_stmt": create.create_or_alter_publication,
    "create_seq_stmt": create.create_sequence,
    "create_stats_stmt": create.create_statistics,
    "create_stmt": create.create_table,
    "create_table_as_stmt": create.create_table_as,
    "create_trig_stmt": create.create_trigger,
    "declare_cursor_stmt": create.declare_cursor,
    "delete_stmt": queries.analyze_query,
    "drop_stmt": drop.drop,
    "explain_stmt": maintenance.explain,
    "grant_stmt": create.grant,
    "index_stmt": create.create_index,
    "insert_stmt": queries.analyze_query,
    "lock_stmt": maintenance.lock_table,
    "merge_stmt": queries.analyze_query,
    "prepare_stmt": create.prepare,
    "refresh_mat_view_stmt": maintenance.refresh,
    "reindex_stmt": maintenance.reindex,
    "rename_stmt": create.rename,
    "rule_stmt": create.create_rule,
    "select_stmt": queries.analyze_query,
    "truncate_stmt": maintenance.apply_truncate,
    "update_stmt": queries.analyze_query,
    "vacuum_stmt": maintenance.vacuum,
    "view_stmt": create.create_view,
}
"""The analyzers by kind of statement.

All other statements (DO, CALL, CREATE FUNCTION, SET, and so on) either lock no relation or have unknown locks.
"""


def has_known_effects(kind: str) -> bool:
    """Whether the effects of this kind of statement can be determined from its text."""
    return kind in _KINDS


def find_effects(statement: ParsedStatement, catalog: Catalog, version: int) -> Effects:
    """Return the effects of a statement on a server with that major version, given the catalog before the statement
    runs.
    """
    recorder = EffectRecorder(catalog, version)
    record_effects = _KINDS.get(statement.kind)
    if record_effects:
        record_effects(statement.node, recorder)
    return recorder.effects
