"""INSERT, UPDATE, DELETE and MERGE: what they write, and by which rows."""

from __future__ import annotations

from typing import Any

from confiture.sql.flow.inserting import insert
from confiture.sql.flow.merging import merge
from confiture.sql.flow.query import with_queries
from confiture.sql.flow.relations import Relation
from confiture.sql.flow.scopes import Around
from confiture.sql.flow.updating import delete, update
from confiture.sql.flow.work import Work


def change(work: Work, kind: str, node: Any, around: Around) -> Relation:
    """Goes through a statement that changes rows, and gives what its RETURNING gives."""
    around = with_queries(work, node, around)
    if kind == "insert_stmt":
        return insert(work, node, around)
    if kind == "update_stmt":
        return update(work, node, around)
    if kind == "delete_stmt":
        return delete(work, node, around)
    if kind == "merge_stmt":
        return merge(work, node, around)
    work.unknown(f"{kind} is not followed")
    return Relation(is_complete=False)
