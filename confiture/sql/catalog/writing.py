"""Statements that write rows: the catalog stays as it is, but what they name must be there."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import Table
from confiture.sql.catalog.work import Work


def write(work: Work, node: Any) -> None:
    """INSERT, UPDATE, DELETE, MERGE and COPY: their table, and the columns that they name of it."""
    if not node.HasField("relation"):
        return  # COPY of a query
    relation = work.relation(node.relation)
    if relation is None:
        work.missing_relation(node.relation)


def insert(work: Work, node: Any) -> None:
    """INSERT."""
    write(work, node)
    _require_columns(work, node.relation, node.cols)


def update(work: Work, node: Any) -> None:
    """UPDATE."""
    write(work, node)
    _require_columns(work, node.relation, node.target_list)


def truncate(work: Work, node: Any) -> None:
    """TRUNCATE."""
    for one in node.relations:
        if work.relation(one.range_var) is None:
            work.missing_relation(one.range_var)


def _require_columns(work: Work, range_var: Any, targets: Any) -> None:
    table = work.relation(range_var)
    if not isinstance(table, Table):
        return
    known = {column.name for column in table.columns}
    for one in targets:
        target = one.res_target
        if target.name and target.name not in known:
            work.missing_column(table.name, target.name, target.location)
