"""ALTER TABLE ... RENAME COLUMN."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import QualifiedName, Table
from confiture.models.records import replace
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.parse_tree import rename_column_in


def rename_column(state: CatalogState, table: Table, old: str, new: str) -> None:
    """Rename a column in a table and its children, and update all references."""
    draft = TableBuilder.from_table(table)
    _rename_in_draft(draft, old, new)
    state.put_table(draft)
    for sequence in state.sequences.find_owned(table.name, old):
        state.sequences.remove(sequence.name)
        state.sequences.add(replace(sequence, owner=(table.name, new)))
    _rename_in_foreign_keys(state, table.name, old, new)
    for child in state.catalog.partitions(table.name):
        if child.column(old) and not child.column(new):
            rename_column(state, child, old, new)


def _rename_in_draft(draft: TableBuilder, old: str, new: str) -> None:
    """Rename a column in a table and in its constraints, indexes and policies."""

    def replace_name(names: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(new if name == old else name for name in names)

    def text(expression: str | None) -> str | None:
        return expression and rename_column_in(expression, old, new)

    columns = {}
    for column in draft.columns.values():
        changed = replace(column, name=new) if column.name == old else column
        if column.generated:
            changed = replace(changed, default=text(column.default))
        columns[changed.name] = changed
    draft.columns = columns
    for constraint in draft.constraints.values():
        if old in constraint.columns or (constraint.target == draft.name and old in constraint.target_columns):
            is_self_reference = constraint.target == draft.name
            draft.constraints[constraint.name] = replace(
                constraint,
                columns=replace_name(constraint.columns),
                expression=text(constraint.expression),
                target_columns=replace_name(constraint.target_columns)
                if is_self_reference
                else constraint.target_columns,
            )
    for index in draft.indexes.values():
        draft.indexes[index.name] = replace(
            index,
            columns=replace_name(index.columns),
            include_columns=replace_name(index.include_columns),
            expression_columns=replace_name(index.expression_columns),
            expressions=tuple(rename_column_in(one, old, new) for one in index.expressions),
            predicate=text(index.predicate),
        )
    for policy in draft.policies.values():
        draft.policies[policy.name] = replace(policy, using=text(policy.using), with_check=text(policy.with_check))


def _rename_in_foreign_keys(state: CatalogState, name: QualifiedName, old: str, new: str) -> None:
    for table in state.catalog.tables_referencing(name):
        if any(one.target == name and old in one.target_columns for one in table.constraints):
            constraints = tuple(
                replace(one, target_columns=tuple(new if each == old else each for each in one.target_columns))
                if one.target == name
                else one
                for one in table.constraints
            )
            state.tables[table.name] = replace(table, constraints=constraints)
