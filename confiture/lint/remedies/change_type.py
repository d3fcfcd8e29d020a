"""The columns that an ALTER TABLE gives another type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.models.source import Place
from confiture.models.values import value
from confiture.sql.tokens import command_places
from confiture.sql.tree import alter_commands, definition, pb
from confiture.sql.type_changes import type_text


@value(frozen=True, kw_only=True, slots=True)
class Retyping:
    """ALTER COLUMN ... TYPE. `old` is None where the catalog does not know the column, `using` where it says none."""

    column: str
    old: str | None
    new: str
    using: Any
    collates: bool
    place: Place


_WITH_TYPE = frozenset({pb.AT_AlterColumnType, pb.AT_ColumnDefault, pb.AT_DropNotNull})


def along_with(subject: StatementSubject, column: str) -> Sequence[int]:
    """The commands (from 0) that belong to a change of a column's type: its default has to follow."""
    commands = enumerate(alter_commands(subject.node))
    return [number for number, one in commands if one.name == column and one.subtype in _WITH_TYPE]


def retypings(subject: StatementSubject) -> Iterator[Retyping]:
    """Those of an ALTER TABLE, in order."""
    table = subject.table(subject.node.relation)
    places = None
    for number, command in enumerate(alter_commands(subject.node)):
        if command.subtype == pb.AT_AlterColumnType:
            places = places or command_places(subject.statement)
            wanted = definition(command).column_def
            known = table.column(command.name) if table else None
            yield Retyping(
                column=command.name,
                old=known.type if known else None,
                new=type_text(wanted.type_name, subject.catalog),
                using=wanted.raw_default if wanted.HasField("raw_default") else None,
                collates=wanted.HasField("coll_clause"),
                place=places[number],
            )
