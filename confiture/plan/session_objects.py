"""Objects that exist only in a session: temporary relations, prepared statements, cursors, and advisory locks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from confiture.models.plan import Statement
from confiture.sql.parser import parse_sql, pb
from confiture.sql.traversal import find_nodes, walk

_TEMPORARY = "t"
_TEMPORARY_SCHEMA = "pg_temp"
_LOCKS = frozenset(
    {"pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared"}
)
_UNLOCKS = frozenset({"pg_advisory_unlock", "pg_advisory_unlock_shared", "pg_advisory_unlock_all"})
_DATA_KINDS = frozenset({"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"})
_RELATIONS = frozenset({pb.OBJECT_TABLE, pb.OBJECT_VIEW, pb.OBJECT_SEQUENCE})
_LOCK_IN_CODE = re.compile(r"\bpg_(?:try_)?advisory_(?:un)?lock(?:_shared|_all)?(?=\s*\()", re.IGNORECASE)
_USES = {
    "execute_stmt": "name",
    "deallocate_stmt": "name",
    "fetch_stmt": "portalname",
    "close_portal_stmt": "portalname",
}
_ENDS = frozenset({"deallocate_stmt", "close_portal_stmt"})
_CREATED = {
    "create_stmt": lambda body: body.relation,
    "view_stmt": lambda body: body.view,
    "create_seq_stmt": lambda body: body.sequence,
    "create_table_as_stmt": lambda body: body.into.rel,
    "select_stmt": lambda body: body.into_clause.rel,
}


class SessionObject(NamedTuple):
    """An object that exists only in a session. An advisory lock has no name."""

    noun: str
    name: str


ADVISORY_LOCK = SessionObject("advisory lock", "")


class ObjectChanges(NamedTuple):
    """The effects of a statement on objects of the session.

    `needed` must exist. `dropped` are gone afterwards, or their names mean something else. `created` exist afterwards.
    `drops` contains the nouns of which all objects are dropped.
    """

    needed: tuple[SessionObject, ...] = ()
    dropped: tuple[SessionObject, ...] = ()
    created: tuple[SessionObject, ...] = ()
    drops: frozenset[str] = frozenset()

    def remaining(self, objects: Iterable[SessionObject]) -> set[SessionObject]:
        """Return the objects that still exist, or would exist, after the statement, without those that it creates."""
        return {one for one in objects if one not in self.dropped and one.noun not in self.drops}


def object_changes(statement: Statement) -> ObjectChanges:
    """Return what a statement does with objects of the session."""
    kind = statement.node_kind
    if not kind:
        return ObjectChanges()
    node = parse_sql(statement.text).stmts[0].stmt
    body = getattr(node, kind)
    if kind in _USES:
        noun = "prepared statement" if _USES[kind] == "name" else "cursor"
        name = getattr(body, _USES[kind])
        used = (SessionObject(noun, name),) if name else ()
        drops = frozenset({noun}) if kind in _ENDS and not name else frozenset()
        return ObjectChanges(needed=used, dropped=used if kind in _ENDS else (), drops=drops)
    if kind == "prepare_stmt":
        return ObjectChanges(needed=_relations_read(node), created=(SessionObject("prepared statement", body.name),))
    if kind == "declare_cursor_stmt":
        return ObjectChanges(needed=_relations_read(node), created=(SessionObject("cursor", body.portalname),))
    if kind == "discard_stmt":
        return ObjectChanges(drops=_discarded(body.target))
    if kind == "drop_stmt" and body.remove_type in _RELATIONS:
        dropped = tuple(_dropped_relations(body))
        return ObjectChanges(needed=() if body.missing_ok else dropped, dropped=dropped)
    return _relation_changes(statement, node, body)


def _relation_changes(statement: Statement, node: Any, body: Any) -> ObjectChanges:
    created, hidden = [], []
    relation = _CREATED[statement.node_kind](body) if statement.node_kind in _CREATED else None
    if relation is not None and relation.relname:
        one = SessionObject("temporary relation", relation.relname)
        hidden.append(one)
        if relation.relpersistence == _TEMPORARY or relation.schemaname == _TEMPORARY_SCHEMA:
            created.append(one)
    dropped = list(hidden)
    for name in _called_functions(statement, node):
        if name in _LOCKS:
            created.append(ADVISORY_LOCK)
        elif name in _UNLOCKS:
            dropped.append(ADVISORY_LOCK)
    needed = tuple(one for one in _relations_read(node) if one not in hidden)
    return ObjectChanges(needed=needed, dropped=tuple(dropped), created=tuple(created))


def _called_functions(statement: Statement, node: Any) -> Iterator[str]:
    """Return the names of the functions that a statement calls itself: a view or a DEFAULT only stores a call."""
    if statement.node_kind == "do_stmt":
        yield from (match.group().lower() for match in _LOCK_IN_CODE.finditer(statement.text))
    elif statement.node_kind in _DATA_KINDS and "advisory" in statement.text.lower():
        for call in find_nodes(node, pb.FuncCall):
            yield call.funcname[-1].string.sval


def _relations_read(node: Any) -> tuple[SessionObject, ...]:
    """Return the names in a statement that may be those of temporary relations: without a schema, or in pg_temp."""
    queries = {one.ctename for one in find_nodes(node, pb.CommonTableExpr)}
    return tuple(
        SessionObject("temporary relation", relation.relname)
        # FOR UPDATE OF names aliases.
        for relation in walk(node, "LockingClause")
        if type(relation) is pb.RangeVar
        and relation.relname
        and (relation.schemaname == _TEMPORARY_SCHEMA or (not relation.schemaname and relation.relname not in queries))
    )


def _dropped_relations(body: Any) -> Iterator[SessionObject]:
    for item in body.objects:
        names = [part.string.sval for part in item.list.items]
        if len(names) == 1 or names[:1] == [_TEMPORARY_SCHEMA]:
            yield SessionObject("temporary relation", names[-1])


def _discarded(target: int) -> frozenset[str]:
    if target == pb.DISCARD_ALL:
        return frozenset({"temporary relation", "prepared statement", "cursor", ADVISORY_LOCK.noun})
    return frozenset({"temporary relation"}) if target == pb.DISCARD_TEMP else frozenset()
