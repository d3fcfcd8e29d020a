"""Indexes that another index on the same table makes redundant."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.catalog import Constraint, Index, Persistence, QualifiedName, Table, TableKind, View
from confiture.sql.parse_tree import quote_identifier

_Key = tuple[str, str]
"""The column or expression of an index key, and its options."""


_OPTIONS = re.compile(r"(?P<others>.*?) ?(?P<descending>DESC)?(?P<nulls> ?NULLS (?:FIRST|LAST))?")


class _DuplicatePair(NamedTuple):
    redundant: Index
    kept_index: Index
    is_identical: bool
    """Whether both indexes have the same keys. If not, the keys of one are a prefix of the other's."""


def _check(context: SchemaContext) -> Iterable[Violation]:
    catalog = context.catalog
    for table in catalog.tables.values():
        if table.persistence is not Persistence.TEMPORARY:
            parents = [catalog.tables[name] for name in table.parents if table.is_partition and name in catalog.tables]
            inherited = [index for parent in parents for index in parent.indexes]
            for pair in _find_pairs(table.indexes):
                if not any(_can_be_inherited(pair.redundant, index) for index in inherited):
                    yield _violation(table, pair)
    for view in catalog.views.values():
        yield from (_violation(view, pair) for pair in _find_pairs(view.indexes))


def _find_pairs(indexes: Sequence[Index]) -> Iterable[_DuplicatePair]:
    """Return each redundant index once, with the index to keep."""
    groups: dict[tuple[str, str | None, _Key], list[Index]] = defaultdict(list)
    for index in indexes:
        if index.valid and not _is_exclusion_index(index):
            groups[index.method, index.predicate, _first_key(index)].append(index)
    for group in groups.values():
        if len(group) > 1:
            yield from _pairs_in_group(group)


def _first_key(index: Index) -> _Key:
    """Return the first key in `_index_keys`."""
    column = index.columns[0]
    return _index_keys(index)[0] if index.key_options or column is None else (column, "")


def _is_exclusion_index(index: Index) -> bool:
    """Whether the index belongs to an exclusion constraint. The catalog does not record the constraint's operators."""
    return index.constraint is not None and not index.unique


def _pairs_in_group(group: Sequence[Index]) -> Iterable[_DuplicatePair]:
    redundant: set[str] = set()
    keys = {index.name: _index_keys(index) for index in group}
    newest_first = tuple(reversed(group))
    for index in sorted(newest_first, key=_drop_preference):
        for other in group:
            if other is not index and other.name not in redundant and _is_covered_by(other, index, keys):
                redundant.add(index.name)
                yield _DuplicatePair(index, other, keys[other.name] == keys[index.name])
                break


def _drop_preference(index: Index) -> tuple[bool, bool, int]:
    """Return a sort key that puts the indexes to drop first: those without a constraint, not unique, with fewer
    columns.
    """
    return (index.constraint is not None, index.unique, len(index.columns))


def _is_covered_by(covering: Index, index: Index, keys_by_name: Mapping[str, tuple[_Key, ...]]) -> bool:
    """Whether `covering` serves every purpose of the index. `keys_by_name` contains the keys of both, by index name."""
    keys, others = keys_by_name[index.name], keys_by_name[covering.name]
    if index.unique:
        same_rule = covering.unique and covering.nulls_not_distinct == index.nulls_not_distinct
        return same_rule and keys == others and set(index.include_columns) <= set(covering.include_columns)
    covered = {*covering.include_columns, *(column for column in covering.columns if column)}
    if not set(index.include_columns) <= covered:
        return False
    if index.method != "btree":
        return keys == others
    return others[: len(keys)] == keys


def _index_keys(index: Index) -> tuple[_Key, ...]:
    expressions = iter(index.expressions)
    options = index.key_options or ("",) * len(index.columns)
    columns = (f"({next(expressions, '')})" if column is None else column for column in index.columns)
    keys = tuple(zip(columns, options, strict=True))
    return _in_ascending_order(keys) if index.method == "btree" else keys


def _in_ascending_order(keys: tuple[_Key, ...]) -> tuple[_Key, ...]:
    """Return the keys, reversed if necessary so that the first one is ascending.

    An index can be scanned in both directions.
    """
    if "DESC" not in keys[0][1] or not _reverse_options(keys[0][1])[0]:
        return keys
    return tuple((column, _reverse_options(options)[1]) for column, options in keys)


def _reverse_options(options: str) -> tuple[bool, str]:
    """Return whether a key is descending, and its options if the index is scanned backwards."""
    match = _OPTIONS.fullmatch(options)
    others, descending, nulls = match.groups() if match else (options, None, None)
    direction = "" if descending else "DESC"
    turned = f"{others} {direction} {'NULLS LAST' if nulls and direction else 'NULLS FIRST' if nulls else ''}"
    return descending is not None, " ".join(turned.split())


def _can_be_inherited(index: Index, other_index: Index) -> bool:
    """Whether an index on a partition may be attached to an index on the partitioned table."""
    return (index.method, _index_keys(index), index.predicate) == (
        other_index.method,
        _index_keys(other_index),
        other_index.predicate,
    )


def _violation(owner: Table | View, pair: _DuplicatePair) -> Violation:
    index, other = pair.redundant, pair.kept_index
    if pair.is_identical:
        message = f"{index.name} of {owner.name} is a duplicate of {other.name}"
    else:
        message = f"{index.name} of {owner.name} is redundant: {other.name} begins with the same columns"
    return Violation(
        location=index.location,
        relation=str(owner.name),
        subject=index.name,
        message=message,
        severity="warning" if pair.is_identical else "info",
        hint=f"drop {index.name}: {other.name} serves the same queries",
        remedy=_remedy(owner, index),
    )


def _remedy(owner: Table | View, index: Index) -> str:
    constraint = _find_constraint(owner, index)
    if constraint:
        return f"ALTER TABLE {qualified_name(owner.name)} DROP CONSTRAINT {quote_identifier(constraint.name)};"
    # PostgreSQL cannot drop an index on a partitioned table CONCURRENTLY
    is_whole = isinstance(owner, Table) and owner.kind is TableKind.PARTITIONED
    how = "INDEX" if is_whole else "INDEX CONCURRENTLY"
    return f"DROP {how} {qualified_name(QualifiedName(owner.name.schema, index.name))};"


def _find_constraint(owner: Table | View, index: Index) -> Constraint | None:
    return owner.constraint(index.constraint) if isinstance(owner, Table) and index.constraint else None


RULE = SchemaRule(
    name="duplicate_index",
    group=Group.INDEXES,
    severity="warning",
    summary="An index is redundant, because another index covers it",
    impact="Every write to the table updates both indexes, and no query gets faster.",
    fix_hint="drop the redundant index",
    check=_check,
    bad=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, customer_id bigint);\n"
            "CREATE INDEX w_orders_customer_id_idx ON w_orders (customer_id);\n"
            "CREATE INDEX w_orders_by_customer ON w_orders (customer_id)",
        ),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, customer_id bigint, placed_at timestamptz);\n"
            "CREATE INDEX w_orders_customer_id_idx ON w_orders (customer_id, placed_at)",
        ),
    ),
)
