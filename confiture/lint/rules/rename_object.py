"""Renames of objects in use by running clients."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.objects import OTHER_OBJECTS, RELATIONS, is_new_object
from confiture.lint.facts.row_changes import has_no_users
from confiture.lint.facts.table_sizes import resolve_relation_name
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.catalog import QualifiedName, Sequence, Table, View
from confiture.models.source import SourceLocation
from confiture.sql.parse_tree import alter_commands, get_definition, pb, quote_identifier, schema_and_name
from confiture.sql.tokens import statement_tokens

_FIRST_VERSION_WITH_SECURITY_INVOKER = 15
"""From this version on, a view can check the privileges of the querying role."""
_COLUMN_HINT = (
    "add a column with the new name, write both columns from the next release on, fill existing rows in batches, read"
    " the new column, and drop the old column one release later"
)


def _check(context: StatementContext) -> Iterable[Violation]:
    node = context.node
    moves = context.statement.kind == "alter_object_schema_stmt"
    kind = node.object_type if moves else node.rename_type
    if kind in (pb.OBJECT_COLUMN, pb.OBJECT_ATTRIBUTE):
        yield from _check_rename_column(context)
    elif kind in RELATIONS:
        yield from _check_rename_relation(context, node.newschema if moves else None)
    elif kind in OTHER_OBJECTS and kind != pb.OBJECT_EXTENSION:
        yield from _check_rename_other(context, OTHER_OBJECTS[kind])


def _check_rename_relation(context: StatementContext, new_schema: str | None) -> Iterator[Violation]:
    node = context.node
    old = resolve_relation_name(context, node.relation)
    if has_no_users(context, node.relation) or _is_index(context, node.relation) or _is_name_reused(context, old):
        return
    relation = context.relation(node.relation)
    if isinstance(relation, Sequence) and relation.owner:
        return  # the default of the owning column does not depend on the sequence name
    new = QualifiedName(new_schema, old.name) if new_schema else QualifiedName(old.schema, node.newname)
    yield Violation(
        location=context.statement.location_at(node.relation.location),
        relation=str(old),
        message=f"{old} is renamed to {new}: clients that still use {old} fail"
        if new_schema is None
        else f"{old} is moved to {new}: clients that still use {old} fail",
        remedy=_keep_old_name_sql(context, old, new),
    )


def _is_index(context: StatementContext, range_var: Any) -> bool:
    return context.catalog.find_index(range_var.schemaname or None, range_var.relname) is not None


def _is_name_reused(context: StatementContext, old: QualifiedName) -> bool:
    """Whether the same transaction reuses the old name for another object: a view, or a replacement table."""
    for later in context.later_of_kind("view_stmt", "create_stmt", "create_table_as_stmt", "rename_stmt"):
        node = later.node
        if later.kind == "rename_stmt":
            name = node.newname if node.rename_type in RELATIONS else None
        else:
            field = {"view_stmt": "view", "create_stmt": "relation"}.get(later.kind)
            name = (getattr(node, field) if field else node.into.rel).relname
        if name == old.name:
            return True
    return False


def _keep_old_name_sql(context: StatementContext, old: QualifiedName, new: QualifiedName) -> str | None:
    relation = context.relation(context.node.relation)
    if isinstance(relation, Sequence):
        return None
    if isinstance(relation, View) and not relation.materialized:
        return _create_view_sql(new, old)
    supports_invoker = context.version >= _FIRST_VERSION_WITH_SECURITY_INVOKER
    if isinstance(relation, Table) and relation.row_security and not supports_invoker:
        return None  # the view would read with the privileges of its owner, who bypasses the policies
    options = " WITH (security_invoker = true)" if supports_invoker else ""
    return "\n".join(
        [f"{context.statement.text.strip()};", _create_view_sql(old, new, options), *_grant_statements(context, old)]
    )


def _create_view_sql(name: QualifiedName, relation: QualifiedName, options: str = "") -> str:
    return " ".join(
        (f"CREATE VIEW {qualified_name(name)}{options}", "AS SELECT * FROM", f"{qualified_name(relation)};")
    )


def _grant_statements(context: StatementContext, table: QualifiedName) -> Iterator[str]:
    """Return the GRANT statements that give the view with the old name the table's privileges."""
    for grant in sorted(context.catalog.grants):
        if grant.kind == "table" and grant.object == str(table):
            grantee = grant.grantee if grant.grantee == "public" else quote_identifier(grant.grantee)
            yield f"GRANT {grant.privilege} ON {qualified_name(table)} TO {grantee};"


def _check_rename_column(context: StatementContext) -> Iterator[Violation]:
    node = context.node
    if has_no_users(context, node.relation) or _is_new_column(context):
        return
    old_name = context.name(node.relation)
    relation = context.relation(node.relation)
    yield Violation(
        location=_old_name_location(context),
        relation=old_name,
        message=f"{old_name}.{node.subname} is renamed to {node.newname}: clients that still use {node.subname} fail",
        hint=_COLUMN_HINT if not isinstance(relation, View) else "recreate the view with both columns",
        remedy=_add_new_column_sql(relation, node) if isinstance(relation, Table) else None,
    )


def _old_name_location(context: StatementContext) -> SourceLocation:
    """Return the location of the old name in a RENAME COLUMN."""
    words = statement_tokens(context.statement)
    number = next(number for number, word in enumerate(words) if word.kind == "RENAME") + 1
    while words[number].kind in ("COLUMN", "ATTRIBUTE"):
        number += 1
    return SourceLocation(rendered=context.statement.rendered, offset=words[number].start)


def _is_new_column(context: StatementContext) -> bool:
    """Whether the same transaction added the column, or adds a column with the old name again."""
    node = context.node
    before = (one.node for one in context.earlier_of_kind("alter_table_stmt"))
    after = (one.node for one in context.later_of_kind("alter_table_stmt"))
    return any(
        command.subtype == pb.AT_AddColumn and get_definition(command).column_def.colname == node.subname
        for one in chain(before, after)
        if one.relation.relname == node.relation.relname
        for command in alter_commands(one)
    )


def _add_new_column_sql(table: Table, node: Any) -> str | None:
    column = table.column(node.subname)
    if column is None:
        return None
    collation = f" COLLATE {quote_identifier(column.collation)}" if column.collation else ""
    name = quote_identifier(node.newname)
    return f"ALTER TABLE {qualified_name(table.name)} ADD COLUMN {name} {column.type}{collation};"


def _check_rename_other(context: StatementContext, kind: str) -> Iterator[Violation]:
    node = context.node
    moves = context.statement.kind == "alter_object_schema_stmt"
    schema, name = _find_object_name(node)
    if is_new_object(context, schema, name):
        return
    old_name = f"{schema}.{name}" if schema else name
    new = f"{node.newschema}.{name}" if moves else node.newname
    yield Violation(
        location=context.location,
        relation=old_name,
        message=f"{kind} {old_name} is {'moved' if moves else 'renamed'} to {new}:"
        f" clients that still use {old_name} fail",
        effect="Clients that still use the old name fail from the commit on, until they are replaced.",
        hint=f"create a second {kind} with the new name, and drop the old one once no release uses it",
    )


def _find_object_name(node: Any) -> tuple[str | None, str]:
    item = node.object
    match item.WhichOneof("node"):
        case "object_with_args":
            return schema_and_name(item.object_with_args.objname)
        case "list":
            return schema_and_name(item.list.items)
        case "type_name":
            return schema_and_name(item.type_name.names)
        case _:
            return None, node.subname


_BEFORE = "CREATE TABLE w_shipments (id bigint PRIMARY KEY, carrier text)"
_CLIENT = "-- the release that still runs\nSELECT id, carrier FROM w_shipments"

RULE = StatementRule(
    name="rename_object",
    group=Group.DATA,
    severity="warning",
    summary="A table, column or other object that running clients use is renamed",
    impact="Clients that still use the old name fail from the commit on, until they are replaced; the table is locked"
    " in ACCESS EXCLUSIVE mode until the commit.",
    fix_hint="create a view with the old name and the table's grants in the same transaction, and drop it once no"
    " release uses it",
    kinds=frozenset({"rename_stmt", "alter_object_schema_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(error="42P01"),
    bad=Example(before=_BEFORE, sql=("ALTER TABLE w_shipments RENAME TO w_parcels", _CLIENT)),
    good=Example(
        before=_BEFORE,
        sql=(
            "ALTER TABLE w_shipments RENAME TO w_parcels; "
            "CREATE VIEW w_shipments WITH (security_invoker = true) AS SELECT * FROM w_parcels",
            _CLIENT,
        ),
        versions=(_FIRST_VERSION_WITH_SECURITY_INVOKER, None),
    ),
)
