"""What a statement locks, scans and rewrites, as far as its text and the catalog tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from confiture.models.catalog import Catalog
from confiture.sql.effects import altering, defining, dropping, maintaining, querying
from confiture.sql.effects.recording import Effects, Recorder
from confiture.sql.tree import ParsedStatement

__all__ = ["Effects", "effects_of", "is_followed"]

_KINDS: Mapping[str, Callable[[Any, Recorder], None]] = {
    "alter_table_move_all_stmt": altering.move_all,
    "alter_table_stmt": altering.alter_table,
    "alter_domain_stmt": defining.alter_domain,
    "alter_object_schema_stmt": defining.set_schema,
    "alter_policy_stmt": defining.policy,
    "alter_publication_stmt": defining.publication,
    "alter_seq_stmt": defining.alter_sequence,
    "cluster_stmt": maintaining.cluster,
    "comment_stmt": defining.comment,
    "copy_stmt": maintaining.copy,
    "create_foreign_table_stmt": defining.create_foreign_table,
    "create_policy_stmt": defining.policy,
    "create_publication_stmt": defining.publication,
    "create_seq_stmt": defining.create_sequence,
    "create_stats_stmt": defining.create_statistics,
    "create_stmt": defining.create_table,
    "create_table_as_stmt": defining.create_table_as,
    "create_trig_stmt": defining.create_trigger,
    "declare_cursor_stmt": defining.declare_cursor,
    "delete_stmt": querying.read,
    "drop_stmt": dropping.drop,
    "explain_stmt": maintaining.explain,
    "grant_stmt": defining.grant,
    "index_stmt": defining.create_index,
    "insert_stmt": querying.read,
    "lock_stmt": maintaining.lock,
    "merge_stmt": querying.read,
    "prepare_stmt": defining.prepare,
    "refresh_mat_view_stmt": maintaining.refresh,
    "reindex_stmt": maintaining.reindex,
    "rename_stmt": defining.rename,
    "rule_stmt": defining.create_rule,
    "select_stmt": querying.read,
    "truncate_stmt": maintaining.truncate,
    "update_stmt": querying.read,
    "vacuum_stmt": maintaining.vacuum,
    "view_stmt": defining.create_view,
}
"""All other statements (DO, CALL, CREATE FUNCTION, SET, ...) lock no relation, or nobody knows from here which."""


def is_followed(kind: str) -> bool:
    """Whether the effects of a kind of statement are known from its text."""
    return kind in _KINDS


def effects_of(statement: ParsedStatement, catalog: Catalog, version: int) -> Effects:
    """The effects of a statement on a server of that major version, with the catalog as it is before."""
    recorder = Recorder(catalog, version)
    note = _KINDS.get(statement.kind)
    if note:
        note(statement.node, recorder)
    return recorder.effects
