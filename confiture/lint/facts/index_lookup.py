"""Whether an index can be used to look up rows by columns."""

from __future__ import annotations

from collections.abc import Collection

from confiture.lint.facts.table_sizes import Parts
from confiture.models.catalog import Index, Table
from confiture.sql.parse_tree import flatten_and, parse_expression, pb, strings

_FOR_EQUALITY = ("btree", "hash", "gist", "spgist")


def can_look_up_by(index: Index, columns: Collection[str]) -> bool:
    """Whether the index finds rows by values of these columns, because they are its leading keys in any order."""
    return (
        _is_usable(index, columns)
        and set(index.columns[: len(columns)]) == set(columns)
        and (index.method != "hash" or len(columns) == 1)
    )


def usable_prefix(index: Index, columns: Collection[str]) -> tuple[str, ...]:
    """Return the columns among these that are leading keys of the index, in index order."""
    prefix: list[str] = []
    if _is_usable(index, columns):
        for column in index.columns:
            if column is None or column not in columns:
                break
            prefix.append(column)
    return tuple(prefix)


def is_indexed(parts: Parts, table: Table, columns: Collection[str]) -> bool:
    """Whether the table, or each of its partitions, has an index that finds rows by the columns."""
    if any(can_look_up_by(index, columns) for index in table.indexes):
        return True
    partitions = [one for one in parts.get(table.name, ()) if one.is_partition]
    return bool(partitions) and all(is_indexed(parts, one, columns) for one in partitions)


def _is_usable(index: Index, columns: Collection[str]) -> bool:
    if not index.valid or index.method not in _FOR_EQUALITY:
        return False
    return index.predicate is None or _is_not_null_predicate(index.predicate, columns)


def _is_not_null_predicate(predicate: str, columns: Collection[str]) -> bool:
    """Whether a partial index contains all rows in which these columns are not NULL. No lookup needs the other rows."""
    return all(
        term.HasField("null_test")
        and term.null_test.nulltesttype == pb.IS_NOT_NULL
        and term.null_test.arg.HasField("column_ref")
        and strings(term.null_test.arg.column_ref.fields)[-1] in columns
        for term in flatten_and(parse_expression(predicate))
    )
