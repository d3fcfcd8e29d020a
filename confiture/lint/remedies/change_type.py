"""Column type changes in an ALTER TABLE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.models.records import record
from confiture.models.source import SourceLocation
from confiture.sql.parse_tree import alter_commands, get_definition, pb
from confiture.sql.tokens import command_offsets
from confiture.sql.type_changes import format_type_name


@record(frozen=True, kw_only=True, slots=True)
class TypeChange:
    """An ALTER COLUMN ... TYPE.

    `old_type` is None if the catalog does not contain the column. `using` is None without a USING clause.
    """

    column: str
    old_type: str | None
    new_type: str
    using: Any
    has_collation: bool
    location: SourceLocation


_WITH_TYPE = frozenset({pb.AT_AlterColumnType, pb.AT_ColumnDefault, pb.AT_DropNotNull})


def default_commands(context: StatementContext, column: str) -> Sequence[int]:
    """Return the numbers (from 0) of the commands that belong to a type change.

    Commands for the column's default must stay with the type change.
    """
    commands = enumerate(alter_commands(context.node))
    return [number for number, one in commands if one.name == column and one.subtype in _WITH_TYPE]


def find_type_changes(context: StatementContext) -> Iterator[TypeChange]:
    """Return the type changes in an ALTER TABLE, in order."""
    table = context.table(context.node.relation)
    places = None
    for number, command in enumerate(alter_commands(context.node)):
        if command.subtype == pb.AT_AlterColumnType:
            places = places or command_offsets(context.statement)
            definition = get_definition(command).column_def
            known = table.column(command.name) if table else None
            yield TypeChange(
                column=command.name,
                old_type=known.type if known else None,
                new_type=format_type_name(definition.type_name, context.catalog),
                using=definition.raw_default if definition.HasField("raw_default") else None,
                has_collation=definition.HasField("coll_clause"),
                location=places[number],
            )
