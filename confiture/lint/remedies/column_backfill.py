"""Writes how a column is filled beside what is in use: a trigger for new rows, a backfill for those that exist."""

from __future__ import annotations

from typing import Any

from confiture.lint.remedies.sql_text import qualified
from confiture.models.catalog import Name
from confiture.sql.catalog.names import joined
from confiture.sql.tree import expression_text, identifier, pb
from confiture.sql.walking import nodes_of


def kept_filled(table: Name, column: str, expression: Any) -> tuple[str, ...]:
    """The function and the trigger that give a column its value in each row that is written."""
    name = joined(table.name, column, "fill")
    function = qualified(Name(table.schema, name))
    body = f"BEGIN NEW.{identifier(column)} := {expression_text(of_new_row(expression))}; RETURN NEW; END"
    return (
        f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$",
        f"CREATE TRIGGER {identifier(name)} BEFORE INSERT OR UPDATE ON {qualified(table)}"
        f" FOR EACH ROW EXECUTE FUNCTION {function}()",
    )


def backfilled(table: Name, column: str, value: str) -> str:
    """A comment with the UPDATE that fills the rows which exist; in one piece it would lock them all."""
    target, name = qualified(table), identifier(column)
    update = f"UPDATE {target} SET {name} = {value} WHERE {name} IS NULL AND"  # noqa: S608 - text for people
    return f"-- in a backfill step: {update} {{{{ batch }}}}"


def of_new_row(expression: Any) -> Any:
    """An expression over a table's columns, as a trigger function writes it: over those of NEW."""
    copied = pb.Node()
    copied.CopyFrom(expression)
    for reference in nodes_of(copied, pb.ColumnRef):
        last = reference.fields[-1].string.sval
        del reference.fields[:]
        reference.fields.extend(pb.Node(string=pb.String(sval=part)) for part in ("new", last))
    return copied
