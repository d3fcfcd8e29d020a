"""Triggers, rules and statistics: what else hangs on a table."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import Name, Table, TableKind, Trigger
from confiture.models.values import replace
from confiture.sql.catalog.inheritance import follow
from confiture.sql.catalog.schemas import has_foreign_functions
from confiture.sql.catalog.work import Work, thawed
from confiture.sql.tree import names

_TIMINGS = {2: "before", 64: "instead of"}
_EVENTS = {"insert": 4, "update": 16, "delete": 8, "truncate": 32}
_BUILT_IN = frozenset(
    {"tsvector_update_trigger", "tsvector_update_trigger_column", "suppress_redundant_updates_trigger"}
)


def create_trigger(work: Work, node: Any) -> None:
    """CREATE TRIGGER."""
    found = work.relation(node.relation)
    if found is None:
        work.missing_relation(node.relation)
    function = _function(work, node)
    if not isinstance(found, Table):
        return
    draft = thawed(found)
    old = draft.triggers.get(node.trigname)
    if old and not node.replace:
        work.duplicate("trigger", f"{node.trigname} of {found.name}", old.place)
        return
    if node.isconstraint:
        work.constraint_names[Name(found.name.schema, node.trigname)] += 1
    draft.triggers[node.trigname] = Trigger(
        name=node.trigname,
        function=function,
        timing=_TIMINGS.get(node.timing, "after"),
        events=tuple(event for event, bit in _EVENTS.items() if node.events & bit),
        for_each_row=node.row,
        place=work.at(-1),
    )
    work.trigger_tables.setdefault(function, set()).add(found.name)
    work.put(draft)
    if found.kind is TableKind.PARTITIONED:
        follow(work, found, work.tables[found.name])


def _function(work: Work, node: Any) -> Name:
    schema, text = names(node.funcname)
    for candidate in (schema,) if schema else work.search_path:
        if Name(candidate, text) in work.overloads:
            return Name(candidate, text)
    built_in = text in _BUILT_IN and schema in (None, "pg_catalog")
    if not built_in and not has_foreign_functions(work):
        work.missing("function", f"{schema}.{text}()" if schema else f"{text}()", once=True)
    return Name("pg_catalog" if built_in else schema or work.creation_schema, text)


def create_rule(work: Work, node: Any) -> None:
    """CREATE RULE, which the catalog does not hold."""
    if work.relation(node.relation) is None:
        work.missing_relation(node.relation)


def create_statistics(work: Work, node: Any) -> None:
    """CREATE STATISTICS, which the catalog does not hold."""
    for item in node.relations:
        if item.WhichOneof("node") == "range_var" and work.relation(item.range_var) is None:
            work.missing_relation(item.range_var)


def remove_triggers(work: Work, function: Name) -> None:
    """Takes the triggers away that call a function."""
    for name in work.trigger_tables.pop(function, ()):
        table = work.tables.get(name)
        if table:
            left = tuple(one for one in table.triggers if one.function != function)
            work.tables[name] = replace(table, triggers=left)
