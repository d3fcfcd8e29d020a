"""Table triggers, rules, and statistics."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import QualifiedName, Table, TableKind, Trigger
from confiture.models.records import replace
from confiture.sql.catalog.inheritance import propagate_to_children
from confiture.sql.catalog.schemas import can_have_unknown_functions
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.parse_tree import schema_and_name

_TIMINGS = {2: "before", 64: "instead of"}
_EVENTS = {"insert": 4, "update": 16, "delete": 8, "truncate": 32}
_BUILT_IN = frozenset(
    {"tsvector_update_trigger", "tsvector_update_trigger_column", "suppress_redundant_updates_trigger"}
)


def create_trigger(state: CatalogState, node: Any) -> None:
    """Apply CREATE TRIGGER."""
    relation = state.names.relation(node.relation)
    if relation is None:
        state.names.report_missing(node.relation)
    function = _find_trigger_function(state, node)
    if not isinstance(relation, Table):
        return
    draft = TableBuilder.from_table(relation)
    old = draft.triggers.get(node.trigname)
    if old and not node.replace:
        state.issues.report_duplicate("trigger", f"{node.trigname} of {relation.name}", old.location)
        return
    if node.isconstraint:
        state.constraints.reserve(relation.name.schema, node.trigname)
    draft.triggers[node.trigname] = Trigger(
        name=node.trigname,
        function=function,
        timing=_TIMINGS.get(node.timing, "after"),
        events=tuple(event for event, bit in _EVENTS.items() if node.events & bit),
        for_each_row=node.row,
        location=state.issues.location(-1),
    )
    state.dependencies.add_trigger(function, relation.name)
    state.put_table(draft)
    if relation.kind is TableKind.PARTITIONED:
        propagate_to_children(state, relation, state.tables[relation.name])


def _find_trigger_function(state: CatalogState, node: Any) -> QualifiedName:
    schema, text = schema_and_name(node.funcname)
    for candidate in (schema,) if schema else state.search_path:
        if QualifiedName(candidate, text) in state.functions.overloads:
            return QualifiedName(candidate, text)
    built_in = text in _BUILT_IN and schema in (None, "pg_catalog")
    if not built_in and not can_have_unknown_functions(state):
        state.issues.report_missing("function", f"{schema}.{text}()" if schema else f"{text}()", once=True)
    return QualifiedName("pg_catalog" if built_in else schema or state.names.creation_schema, text)


def create_rule(state: CatalogState, node: Any) -> None:
    """Check CREATE RULE. The catalog does not contain rules."""
    if state.names.relation(node.relation) is None:
        state.names.report_missing(node.relation)


def create_statistics(state: CatalogState, node: Any) -> None:
    """Check CREATE STATISTICS. The catalog does not contain statistics."""
    for item in node.relations:
        if item.WhichOneof("node") == "range_var" and state.names.relation(item.range_var) is None:
            state.names.report_missing(item.range_var)


def remove_triggers(state: CatalogState, function: QualifiedName) -> None:
    """Remove the triggers that call a function."""
    for name in state.dependencies.trigger_tables.pop(function, ()):
        table = state.tables.get(name)
        if table:
            triggers = tuple(one for one in table.triggers if one.function != function)
            state.tables[name] = replace(table, triggers=triggers)
