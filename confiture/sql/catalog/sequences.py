"""Sequences."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import Name, Sequence, Table
from confiture.models.values import replace
from confiture.sql.catalog.work import Work
from confiture.sql.tree import strings


def create_sequence(work: Work, node: Any) -> None:
    """CREATE SEQUENCE."""
    name = work.new_name(node.sequence)
    if work.is_taken(name):
        if not node.if_not_exists:
            work.duplicate("relation", name, work.holder(name), node.sequence.location)
        return
    work.require_schema(name.schema, node.sequence.location)
    work.add_sequence(Sequence(name=name, owner=_owner(work, node), place=work.at(node.sequence.location)))
    work.made(name)


def alter_sequence(work: Work, node: Any) -> None:
    """ALTER SEQUENCE ... OWNED BY."""
    found = work.relation(node.sequence)
    if not isinstance(found, Sequence):
        if found is None and not node.missing_ok:
            work.missing_relation(node.sequence, "sequence")
        return
    if any(one.def_elem.defname == "owned_by" for one in node.options):
        owner = _owner(work, node)
        work.remove_sequence(found.name)
        work.add_sequence(replace(found, owner=owner))


def _owner(work: Work, node: Any) -> tuple[Name, str] | None:
    for option in node.options:
        if option.def_elem.defname == "owned_by":
            parts = strings(option.def_elem.arg.list.items)
            if len(parts) < 2:
                return None
            table = work.catalog.relation(parts[-3] if len(parts) > 2 else None, parts[-2])
            if not isinstance(table, Table):
                work.missing("table", ".".join(parts[:-1]))
                return None
            if table.column(parts[-1]) is None:
                work.missing_column(table.name, parts[-1])
            return table.name, parts[-1]
    return None
