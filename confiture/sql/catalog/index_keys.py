"""Index keys: the columns that they read, and their options."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from confiture.models.catalog import TableColumn
from confiture.sql.parse_tree import pb, quote_identifier, strings
from confiture.sql.traversal import column_names

_DEFAULT_CLASSES = frozenset(
    [
        "text_ops",
        "bpchar_ops",
        "int2_ops",
        "int4_ops",
        "int8_ops",
        "numeric_ops",
        "float4_ops",
        "float8_ops",
        "bool_ops",
        "uuid_ops",
        "date_ops",
        "time_ops",
        "timestamp_ops",
        "timestamptz_ops",
        "interval_ops",
        "oid_ops",
        "bytea_ops",
        "name_ops",
        "inet_ops",
        "enum_ops",
        "array_ops",
        "record_ops",
        "range_ops",
        "multirange_ops",
        "jsonb_ops",
        "tsvector_ops",
        "tsquery_ops",
        "point_ops",
        "box_ops",
    ]
)
"""The default operator class of each type. Naming a default class does not change the index."""


_Column = Callable[[str], TableColumn | None]


def find_expression_columns(elements: Iterable[Any], predicate: Any = None) -> tuple[str, ...]:
    """Return the columns that index elements and a predicate read, each once."""
    names: dict[str, None] = {}
    for one in elements:
        names.update(dict.fromkeys((one.name,) if one.name else column_names(one.expr)))
    if predicate is not None:
        names.update(dict.fromkeys(column_names(predicate)))
    return tuple(names)


def format_key_options(method: str, column: _Column, elements: Iterable[Any]) -> tuple[str, ...]:
    """Return the non-default options of each key; empty if all keys use the defaults.

    `column` returns a column by name.
    """
    options = tuple([_format_options(method, column, element) for element in elements])
    return options if any(options) else ()


def _format_options(method: str, column: _Column, element: Any) -> str:
    words: list[str] = []
    if element.collation:
        collation = strings(element.collation)[-1]
        key_column = column(element.name)
        if collation != ((key_column and key_column.collation) or "default").rpartition(".")[2]:
            words += ["COLLATE", quote_identifier(collation)]
    if element.opclass and not _is_default_operator_class(method, strings(element.opclass)[-1]):
        words.append(quote_identifier(strings(element.opclass)[-1]))
    descending = element.ordering == pb.SORTBY_DESC
    if descending:
        words.append("DESC")
    if element.nulls_ordering == (pb.SORTBY_NULLS_LAST if descending else pb.SORTBY_NULLS_FIRST):
        words.append("NULLS LAST" if descending else "NULLS FIRST")
    return " ".join(words)


def _is_default_operator_class(method: str, operator_class: str) -> bool:
    return operator_class in _DEFAULT_CLASSES and (method, operator_class) != ("gist", "inet_ops")
