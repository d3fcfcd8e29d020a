"""Renaming what running clients name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.objects import OTHERS, RELATIONS, is_new_object
from confiture.lint.facts.row_changes import is_unused
from confiture.lint.facts.table_sizes import name_of
from confiture.lint.remedies.sql_text import qualified
from confiture.models.catalog import Name, Sequence, Table, View
from confiture.models.source import Place
from confiture.sql.tokens import tokens
from confiture.sql.tree import alter_commands, definition, identifier, names, pb

_INVOKER = 15
"""From this version on, a view can check the rights of who asks."""
_COLUMN_HINT = (
    "add a column of the new name, write both from the next release on, fill the old rows in batches, read the new "
    "one, and drop the old one a release later"
)


def _check(subject: StatementSubject) -> Iterable[Hit]:
    node = subject.node
    moves = subject.statement.kind == "alter_object_schema_stmt"
    kind = node.object_type if moves else node.rename_type
    if kind in (pb.OBJECT_COLUMN, pb.OBJECT_ATTRIBUTE):
        yield from _columns(subject)
    elif kind in RELATIONS:
        yield from _relations(subject, node.newschema if moves else None)
    elif kind in OTHERS and kind != pb.OBJECT_EXTENSION:
        yield from _others(subject, OTHERS[kind])


def _relations(subject: StatementSubject, new_schema: str | None) -> Iterator[Hit]:
    node = subject.node
    old = name_of(subject, node.relation)
    if is_unused(subject, node.relation) or _is_index(subject, node.relation) or _is_kept(subject, old):
        return
    found = subject.relation(node.relation)
    if isinstance(found, Sequence) and found.owner:
        return  # columns find their sequence by another way than its name
    new = Name(new_schema, old.name) if new_schema else Name(old.schema, node.newname)
    yield Hit(
        place=subject.statement.at(node.relation.location),
        relation=str(old),
        message=f"{old} becomes {new}: whoever still says {old} gets an error",
        remedy=_old_name_kept(subject, old, new),
    )


def _is_index(subject: StatementSubject, range_var: Any) -> bool:
    return subject.catalog.indexed(range_var.schemaname or None, range_var.relname) is not None


def _is_kept(subject: StatementSubject, old: Name) -> bool:
    """Whether the same transaction gives the old name to something else: a view, or a table made to take its place."""
    for later in subject.later_of("view_stmt", "create_stmt", "create_table_as_stmt", "rename_stmt"):
        node = later.node
        if later.kind == "rename_stmt":
            made = node.newname if node.rename_type in RELATIONS else None
        else:
            made = {"view_stmt": "view", "create_stmt": "relation"}.get(later.kind)
            made = (getattr(node, made) if made else node.into.rel).relname
        if made == old.name:
            return True
    return False


def _old_name_kept(subject: StatementSubject, old: Name, new: Name) -> str | None:
    found = subject.relation(subject.node.relation)
    if isinstance(found, Sequence):
        return None
    if isinstance(found, View) and not found.materialized:
        return _view(new, old)
    can_ask_as_invoker = subject.version >= _INVOKER
    if isinstance(found, Table) and found.row_security and not can_ask_as_invoker:
        return None  # the view would read as its owner, whom no policy binds
    options = " WITH (security_invoker = true)" if can_ask_as_invoker else ""
    return "\n".join([f"{subject.statement.text.strip()};", _view(old, new, options), *_grants(subject, old)])


def _view(name: Name, of: Name, options: str = "") -> str:
    return " ".join((f"CREATE VIEW {qualified(name)}{options}", "AS SELECT * FROM", f"{qualified(of)};"))


def _grants(subject: StatementSubject, table: Name) -> Iterator[str]:
    """The table's grants, for the view of its name."""
    for grant in sorted(subject.catalog.grants):
        if grant.kind == "table" and grant.object == str(table):
            grantee = grant.grantee if grant.grantee == "public" else identifier(grant.grantee)
            yield f"GRANT {grant.privilege} ON {qualified(table)} TO {grantee};"


def _columns(subject: StatementSubject) -> Iterator[Hit]:
    node = subject.node
    if is_unused(subject, node.relation) or _is_new_column(subject):
        return
    called = subject.name(node.relation)
    found = subject.relation(node.relation)
    yield Hit(
        place=_old_name(subject),
        relation=called,
        message=f"{called}.{node.subname} becomes {node.newname}: whoever still says {node.subname} gets an error",
        hint=_COLUMN_HINT if not isinstance(found, View) else "make the view anew with both names",
        remedy=_new_column(found, node) if isinstance(found, Table) else None,
    )


def _old_name(subject: StatementSubject) -> Place:
    """Where a RENAME COLUMN has the old name."""
    words = tokens(subject.statement)
    number = next(number for number, word in enumerate(words) if word.kind == "RENAME") + 1
    while words[number].kind in ("COLUMN", "ATTRIBUTE"):
        number += 1
    return Place(rendered=subject.statement.rendered, offset=words[number].start)


def _is_new_column(subject: StatementSubject) -> bool:
    """Whether the same transaction added the column, or adds one of the old name again."""
    node = subject.node
    before = (one.node for one in subject.earlier_of("alter_table_stmt"))
    after = (one.node for one in subject.later_of("alter_table_stmt"))
    return any(
        command.subtype == pb.AT_AddColumn and definition(command).column_def.colname == node.subname
        for one in chain(before, after)
        if one.relation.relname == node.relation.relname
        for command in alter_commands(one)
    )


def _new_column(table: Table, node: Any) -> str | None:
    column = table.column(node.subname)
    if column is None:
        return None
    collation = f" COLLATE {identifier(column.collation)}" if column.collation else ""
    name = identifier(node.newname)
    return f"ALTER TABLE {qualified(table.name)} ADD COLUMN {name} {column.type}{collation};"


def _others(subject: StatementSubject, kind: str) -> Iterator[Hit]:
    node = subject.node
    moves = subject.statement.kind == "alter_object_schema_stmt"
    schema, name = _object_name(node)
    if is_new_object(subject, schema, name):
        return
    called = f"{schema}.{name}" if schema else name
    new = f"{node.newschema}.{name}" if moves else node.newname
    yield Hit(
        place=subject.place,
        relation=called,
        message=f"the {kind} {called} becomes {new}: whoever still says {called} gets an error",
        effect="Clients that still use the old name fail from the moment that this commits until they are replaced.",
        hint="make one of the new name beside it, and drop the old one once no release names it",
    )


def _object_name(node: Any) -> tuple[str | None, str]:
    item = node.object
    match item.WhichOneof("node"):
        case "object_with_args":
            return names(item.object_with_args.objname)
        case "list":
            return names(item.list.items)
        case "type_name":
            return names(item.type_name.names)
        case _:
            return None, node.subname


_BEFORE = "CREATE TABLE w_shipments (id bigint PRIMARY KEY, carrier text)"
_CLIENT = "-- the release that still runs\nSELECT id, carrier FROM w_shipments"

RULE = StatementRule(
    name="rename_object",
    group=Group.DATA,
    severity="warning",
    summary="Renaming a table, a column, or what else running clients name",
    effect="Clients that still use the old name fail from the moment that this commits until they are replaced; "
    "meanwhile the table is locked in ACCESS EXCLUSIVE mode.",
    hint="make a view of the old name in the same transaction, with the table's grants, and drop it once no release "
    "uses it",
    kinds=frozenset({"rename_stmt", "alter_object_schema_stmt"}),
    check=_check,
    claims=Claims(error="42P01"),
    bad=Example(before=_BEFORE, sql=("ALTER TABLE w_shipments RENAME TO w_parcels", _CLIENT)),
    good=Example(
        before=_BEFORE,
        sql=(
            "ALTER TABLE w_shipments RENAME TO w_parcels; "
            "CREATE VIEW w_shipments WITH (security_invoker = true) AS SELECT * FROM w_parcels",
            _CLIENT,
        ),
        versions=(_INVOKER, None),
    ),
)
