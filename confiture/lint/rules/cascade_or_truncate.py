"""CASCADE, which drops what the statement does not name, and TRUNCATE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.engine.rule import Claims, Example, Group, Hit, StatementRule
from confiture.lint.facts.objects import OTHERS, RELATIONS, dropped, found_name, is_new_object
from confiture.lint.facts.row_changes import is_unused, table_key
from confiture.lint.facts.table_sizes import name_of
from confiture.lint.remedies.sql_text import NEXT, enumerated, qualified
from confiture.models.catalog import Catalog, Name
from confiture.models.source import Place
from confiture.models.trace import LockMode
from confiture.sql.tokens import command_places, tokens
from confiture.sql.tree import alter_commands, identifier, pb, statement_text

_TRUNCATE = (
    "The table is empty at once for everybody, also for transactions that began before, and nobody can read or write "
    "it until the migration commits (ACCESS EXCLUSIVE)."
)
_TRUNCATE_HINT = "delete in batches by key ranges, each committed by itself, and keep a backup"
_FILLED_HINT = "change the rows that differ with INSERT ... ON CONFLICT and DELETE: readers see the old ones meanwhile"
_ON_TABLES = frozenset({pb.OBJECT_TRIGGER, pb.OBJECT_POLICY, pb.OBJECT_RULE})
"""Nothing depends on these."""
_DROPPING = frozenset({pb.AT_DropColumn, pb.AT_DropConstraint})


def _check(subject: StatementSubject) -> Iterable[Hit]:
    match subject.statement.kind:
        case "truncate_stmt":
            yield from _truncated(subject)
        case "drop_stmt":
            yield from _cascading_drop(subject)
        case "alter_table_stmt":
            yield from _cascading_commands(subject)
        case _ if subject.node.behavior == pb.DROP_CASCADE:
            yield Hit(place=_cascade(subject), message="CASCADE drops what others have built on these objects as well")


def _cascading_drop(subject: StatementSubject) -> Iterator[Hit]:
    node = subject.node
    if node.behavior != pb.DROP_CASCADE or node.remove_type in _ON_TABLES:
        return
    named = [found_name(subject, *one) for one in dropped(node) if not is_new_object(subject, *one)]
    if not named:
        return
    is_relation = node.remove_type in RELATIONS
    known = dict(one for name in named for one in _dependents(subject.catalog, name)) if is_relation else {}
    yield Hit(
        place=_cascade(subject),
        relation=str(named[0]),
        message=_message(f"{_kind(node)} {enumerated([str(name) for name in named])}", list(known)),
        remedy=_without_cascade(subject, list(known.values())) if len(node.objects) == 1 else None,
    )


def _cascade(subject: StatementSubject) -> Place:
    """Where the statement says CASCADE, which is its last word."""
    words = tokens(subject.statement)
    return Place(rendered=subject.statement.rendered, offset=words[-1].start) if words else subject.place


def _kind(node: Any) -> str:
    known = RELATIONS.get(node.remove_type) or OTHERS.get(node.remove_type)
    return known or pb.ObjectType.Name(node.remove_type).removeprefix("OBJECT_").replace("_", " ").lower()


def _cascading_commands(subject: StatementSubject) -> Iterator[Hit]:
    node = subject.node
    if is_unused(subject, node.relation):
        return
    called = subject.name(node.relation)
    for number, command in enumerate(alter_commands(node)):
        if command.behavior == pb.DROP_CASCADE and command.subtype in _DROPPING:
            what = "column" if command.subtype == pb.AT_DropColumn else "constraint"
            yield Hit(
                place=command_places(subject.statement)[number],
                relation=called,
                message=_message(f"{what} {command.name} of {called}", []),
            )


def _message(what: str, dependents: list[str]) -> str:
    if not dependents:
        return f"CASCADE drops all that depends on {what}, whatever that is where this runs"
    return f"CASCADE drops all that depends on {what}: {', '.join(dependents)}, and what else there is where this runs"


def _dependents(catalog: Catalog, name: Name) -> Iterator[tuple[str, str]]:
    """What the catalog knows to depend on a relation, in words, and the SQL that drops it; the outermost first."""
    for view in catalog.views.values():
        if name in view.relations and name != view.name:
            yield from _dependents(catalog, view.name)
            kind = "materialized view" if view.materialized else "view"
            yield f"{kind} {view.name}", f"DROP {kind.upper()} {qualified(view.name)};"
    for table in catalog.tables.values():
        for key in table.foreign_keys:
            if key.target == name and table.name != name:
                drop = f"ALTER TABLE {qualified(table.name)} DROP CONSTRAINT {identifier(key.name)};"
                yield f"foreign key {key.name} of {table.name}", drop


def _without_cascade(subject: StatementSubject, before: list[str]) -> str:
    plain = type(subject.node)()
    plain.CopyFrom(subject.node)
    plain.behavior = pb.DROP_RESTRICT
    return "\n".join([*before, f"{statement_text(subject.statement.kind, plain)};"])


def _truncated(subject: StatementSubject) -> Iterator[Hit]:
    node = subject.node
    for one in node.relations:
        range_var = one.range_var
        if is_unused(subject, range_var):
            continue
        called = subject.name(range_var)
        more = ", and every table with a foreign key to it" if node.behavior == pb.DROP_CASCADE else ""
        filled = any(subject.name(later.node.relation) == called for later in subject.later_of("insert_stmt"))
        yield Hit(
            place=subject.statement.at(range_var.location),
            relation=called,
            message=f"TRUNCATE empties {called}{more}",
            effect=_TRUNCATE,
            hint=_FILLED_HINT if filled else _TRUNCATE_HINT,
            severity="warning" if filled else None,
            remedy=None if filled else _deletion(subject, range_var),
        )


def _deletion(subject: StatementSubject, range_var: Any) -> str | None:
    key = table_key(subject.table(range_var))
    if key is None:
        return None
    column = identifier(key)
    table = qualified(name_of(subject, range_var))
    return " ".join(("DELETE FROM", table, "WHERE", column, ">= 1 AND", column, "< 10001;", NEXT))


_BEFORE = "CREATE TABLE w_orders (id bigint PRIMARY KEY, placed_at timestamptz)"

RULE = StatementRule(
    name="cascade_or_truncate",
    group=Group.DATA,
    severity="error",
    summary="CASCADE, which drops what the statement does not name, and TRUNCATE",
    effect="What goes is decided where the migration runs, not where it was reviewed: views, foreign keys and triggers "
    "that nobody named are gone, each under an ACCESS EXCLUSIVE lock.",
    hint="drop what depends on it by name first; without CASCADE, PostgreSQL lists what is left",
    kinds=frozenset({"drop_stmt", "alter_table_stmt", "truncate_stmt", "drop_owned_stmt"}),
    check=_check,
    claims=Claims(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}),
    bad=Example(before=_BEFORE, sql=("TRUNCATE w_orders",)),
    good=Example(before=_BEFORE, sql=("DELETE FROM w_orders WHERE id >= 1 AND id < 10001",)),
)
