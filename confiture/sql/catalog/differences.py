"""The differences between two schemas, as far as DDL determines them without a server.

Texts that PostgreSQL rewrites are not compared: the queries of views, the bodies of functions, and expressions. Their
presence is compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from confiture.models.catalog import (
    TEMPORARY,
    Catalog,
    CompositeType,
    Constraint,
    ConstraintKind,
    DomainType,
    EnumType,
    Function,
    Index,
    Policy,
    QualifiedName,
    Table,
    TableColumn,
    Trigger,
    UserType,
    View,
)
from confiture.models.records import record
from confiture.models.source import SourceLocation

_Facts = Mapping[str, object]
"""The compared properties of an object, by name. None stands for an unknown value."""


@record(frozen=True, kw_only=True, slots=True)
class SchemaDifference:
    """An object that differs between two schemas.

    `kind` is a noun such as `table`. `details` name the parts that differ; empty if the object is in one schema only.
    `is_in_first` and `is_in_second` say which schemas have the object. `location` is where the first schema creates the
    object, or else the second.
    """

    kind: str
    name: str
    is_in_first: bool
    is_in_second: bool
    details: tuple[str, ...] = ()
    location: SourceLocation | None = None


def find_differences(
    first: Catalog, second: Catalog, labels: tuple[str, str], partial: Set[QualifiedName] = frozenset()
) -> tuple[SchemaDifference, ...]:
    """Return the objects that differ, by kind and name.

    `labels` name the two schemas in details. The columns of `partial` tables are not all known.
    """

    def table_details(one: Table, other: Table) -> Iterator[str]:
        return _table_details(one, other, labels, partial)

    def view_details(one: View, other: View) -> Iterator[str]:
        return _view_details(one, other, labels)

    return (
        *_compare("schema", dict.fromkeys(first.schemas), dict.fromkeys(second.schemas), _no_details),
        *_compare("extension", dict.fromkeys(first.extensions), dict.fromkeys(second.extensions), _no_details),
        *_compare("type", first.types, second.types, _type_details),
        *_compare("table", first.tables, second.tables, table_details),
        *_compare("view", first.views, second.views, view_details),
        *_compare("sequence", _free_sequences(first), _free_sequences(second), _no_details),
        *_compare("function", first.functions, second.functions, _function_details),
    )


def _free_sequences(catalog: Catalog) -> Mapping[QualifiedName, object]:
    """Return the sequences that no column owns. The others belong to their columns."""
    return {name: one for name, one in catalog.sequences.items() if one.owner is None}


def _compare(
    kind: str,
    first: Mapping[Any, Any],
    second: Mapping[Any, Any],
    find_details: Callable[[Any, Any], Iterable[str]],
) -> Iterator[SchemaDifference]:
    for name in sorted({*first, *second}, key=str):
        if str(name).startswith(f"{TEMPORARY}."):
            continue
        one, other = first.get(name), second.get(name)
        in_first, in_second = name in first, name in second
        details = tuple(find_details(one, other)) if in_first and in_second else ()
        if details or not (in_first and in_second):
            location = getattr(one, "location", None) or getattr(other, "location", None)
            yield SchemaDifference(
                kind=kind,
                name=str(name),
                is_in_first=in_first,
                is_in_second=in_second,
                details=details,
                location=location,
            )


def _no_details(one: object, other: object) -> Sequence[str]:
    return ()


def _changed(facts: _Facts, other: _Facts) -> Iterator[str]:
    """Return the properties that are known on both sides and differ."""
    for name, value in facts.items():
        other_value = other[name]
        if value is not None and other_value is not None and value != other_value:
            yield name


def _table_details(one: Table, other: Table, labels: tuple[str, str], partial: Set[QualifiedName]) -> Iterator[str]:
    if one == other:
        return
    yield from _changed(_table_facts(one), _table_facts(other))
    if one.name not in partial:
        yield from _named("column", one.columns, other.columns, _column_facts, labels)
    yield from _named("constraint", one.constraints, other.constraints, _constraint_facts, labels)
    yield from _named("index", _plain_indexes(one), _plain_indexes(other), _index_facts, labels)
    yield from _named("policy", one.policies, other.policies, _policy_facts, labels)
    yield from _named("trigger", one.triggers, other.triggers, _trigger_facts, labels)


def _named(
    kind: str,
    some: Sequence[Any],
    others: Sequence[Any],
    facts_of: Callable[[Any], _Facts],
    labels: tuple[str, str],
) -> Iterator[str]:
    """Return the parts of two tables that differ, with the side that has them or the properties that differ."""
    first, second = {one.name: one for one in some}, {one.name: one for one in others}
    for name in [*first, *(name for name in second if name not in first)]:
        if name not in second:
            yield f"{kind} {name} only in {labels[0]}"
        elif name not in first:
            yield f"{kind} {name} only in {labels[1]}"
        else:
            changed = list(_changed(facts_of(first[name]), facts_of(second[name])))
            if changed:
                yield f"{', '.join(changed)} of {kind} {name}"


def _table_facts(table: Table) -> _Facts:
    return {
        "kind": table.kind,
        "persistence": table.persistence,
        "parents": frozenset(table.parents),
        "partition key": table.partition_key is not None,
        "partition bound": table.partition_bound is not None,
        "row security": (table.row_security, table.force_row_security),
    }


def _column_facts(column: TableColumn) -> _Facts:
    return {
        "type": column.type or None,
        "NOT NULL": column.not_null,
        "default": column.default is not None,
        "identity": column.identity or "",
        "generation": column.generated or "",
    }


def _constraint_facts(constraint: Constraint) -> _Facts:
    is_check = constraint.kind is ConstraintKind.CHECK
    return {
        "kind": constraint.kind,
        "columns": None if is_check else constraint.columns,
        "target": (constraint.target, constraint.target_columns) if constraint.target_columns else constraint.target,
        "actions": (constraint.on_update, constraint.on_delete),
        "validation": constraint.validated,
        "deferrability": constraint.deferrable,
    }


def _plain_indexes(table: Table | View) -> tuple[Index, ...]:
    """Return the indexes that no constraint owns. The others are compared as constraints."""
    return tuple(one for one in table.indexes if one.constraint is None)


def _index_facts(index: Index) -> _Facts:
    return {
        "method": index.method,
        "columns": (index.columns, index.include_columns, index.key_options),
        "uniqueness": (index.unique, index.nulls_not_distinct),
        "predicate": index.predicate is not None,
    }


def _policy_facts(policy: Policy) -> _Facts:
    return {
        "command": policy.command,
        "roles": frozenset(policy.roles),
        "mode": policy.permissive,
        "conditions": (policy.using is not None, policy.with_check is not None),
    }


def _trigger_facts(trigger: Trigger) -> _Facts:
    return {
        "function": trigger.function,
        "events": (trigger.timing, frozenset(trigger.events), trigger.for_each_row),
    }


def _view_details(one: View, other: View, labels: tuple[str, str]) -> Iterator[str]:
    columns = (one.columns or None, other.columns or None)
    facts: _Facts = {"kind": one.materialized, "columns": columns[0]}
    yield from _changed(facts, {"kind": other.materialized, "columns": columns[1]})
    yield from _named("index", _plain_indexes(one), _plain_indexes(other), _index_facts, labels)


def _function_details(one: Function, other: Function) -> Iterator[str]:
    yield from _changed({"result": one.returns or ""}, {"result": other.returns or ""})


def _type_details(one: UserType, other: UserType) -> Iterator[str]:
    if type(one) is not type(other):
        yield "kind"
        return
    yield from _changed(_type_facts(one), _type_facts(other))


def _type_facts(one: UserType) -> _Facts:
    if isinstance(one, EnumType):
        return {"labels": one.labels}
    if isinstance(one, DomainType):
        return {
            "type": one.type or None,
            "NOT NULL": one.not_null,
            "default": one.default is not None,
            "constraints": frozenset((name, is_validated) for name, _, is_validated in one.checks),
        }
    if isinstance(one, CompositeType):
        return {"attributes": one.attributes}
    return {"subtype": one.subtype}
