"""Begins with a schema that is there already, read from a database, in place of an empty one."""

from __future__ import annotations

from confiture.models.catalog import Catalog, Name, Table
from confiture.sql.catalog.resolving import type_names
from confiture.sql.catalog.work import Work


def seed(work: Work, catalog: Catalog) -> None:
    """Puts all objects of a catalog into an empty one under construction. What it lacks may be there all the same."""
    work.schemas |= catalog.schemas
    work.types |= catalog.types
    work.extensions |= catalog.extensions
    work.index_owners |= catalog.index_owners
    for table in catalog.tables.values():
        _table(work, table)
    for view in catalog.views.values():
        work.views[view.name] = view
        work.depend(view.name, view.relations)
    for sequence in catalog.sequences.values():
        work.add_sequence(sequence)
    for signature, function in catalog.functions.items():
        work.functions[signature] = function
        work.overloads.setdefault(signature.name, set()).add(signature)
        types = (*signature.arguments, function.returns or "")
        work.function_types.update(one.removesuffix("[]").removeprefix("SETOF ") for one in types)
    for grant in catalog.grants:
        work.grants.add(grant)
        work.granted.setdefault((grant.kind, grant.object), set()).add(grant)
    work.unread = True


def _table(work: Work, table: Table) -> None:
    work.tables[table.name] = table
    work.depend(table.name, [one.target for one in table.constraints if one.target and one.target != table.name])
    work.depend(table.name, table.parents)
    names = [one.name for one in table.constraints]
    names += [column.not_null_constraint for column in table.columns if column.not_null_constraint]
    for name in names:
        work.constraint_names[Name(table.name.schema, name)] += 1
    for column in table.columns:
        work.depend(table.name, [one for one in type_names(column.type) if one in work.types])
    for trigger in table.triggers:
        work.trigger_tables.setdefault(trigger.function, set()).add(table.name)
