"""SQL that fills a column in a table in use: a trigger for new rows and a backfill for existing rows."""

from __future__ import annotations

from typing import Any

from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.catalog import QualifiedName
from confiture.sql.catalog.object_names import make_object_name
from confiture.sql.parse_tree import format_expression, pb, quote_identifier
from confiture.sql.traversal import find_nodes


def fill_trigger_sql(table: QualifiedName, column: str, expression: Any) -> tuple[str, ...]:
    """Return the function and the trigger that set a column whenever a row is written."""
    name = make_object_name(table.name, column, "fill")
    function = qualified_name(QualifiedName(table.schema, name))
    body = (
        f"BEGIN NEW.{quote_identifier(column)} :="
        f" {format_expression(as_new_row_expression(expression))}; RETURN NEW; END"
    )
    return (
        f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$",
        f"CREATE TRIGGER {quote_identifier(name)} BEFORE INSERT OR UPDATE ON {qualified_name(table)}"
        f" FOR EACH ROW EXECUTE FUNCTION {function}()",
    )


def backfill_sql(table: QualifiedName, column: str, value: str) -> str:
    """Return a comment with the UPDATE that fills existing rows.

    Run as a single statement, the UPDATE would lock all of them.
    """
    target, name = qualified_name(table), quote_identifier(column)
    update = f"UPDATE {target} SET {name} = {value} WHERE {name} IS NULL AND"  # noqa: S608 - text for users
    return f"-- in a backfill step: {update} {{{{ batch }}}}"


def as_new_row_expression(expression: Any) -> Any:
    """Rewrite an expression over table columns for a trigger function, so that it reads the columns of NEW."""
    copied = pb.Node()
    copied.CopyFrom(expression)
    for reference in find_nodes(copied, pb.ColumnRef):
        last = reference.fields[-1].string.sval
        del reference.fields[:]
        reference.fields.extend(pb.Node(string=pb.String(sval=part)) for part in ("new", last))
    return copied
