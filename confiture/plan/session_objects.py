"""Objects that exist only in a session: temporary objects, prepared statements, cursors, locks, and channels.

Only what statements create themselves is found here. A run finds the rest in the catalog before it commits a segment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from confiture.models.plan import Statement
from confiture.sql.expressions import quote_identifier
from confiture.sql.parser import parse_sql, pb
from confiture.sql.traversal import find_nodes

_TEMPORARY = "t"
_TEMPORARY_SCHEMA = "pg_temp"
_LOCKS = frozenset(
    {"pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock", "pg_try_advisory_lock_shared"}
)
_UNLOCKS = frozenset({"pg_advisory_unlock", "pg_advisory_unlock_shared", "pg_advisory_unlock_all"})
_CODE = frozenset({"do_stmt", "call_stmt"})
_DATA_KINDS = frozenset({"select_stmt", "insert_stmt", "update_stmt", "delete_stmt", "merge_stmt"})
_SEQUENCE_STATE = frozenset({"currval", "lastval"})
_LOCK_IN_CODE = re.compile(r"\bpg_(?:try_)?advisory_(?:un)?lock(?:_shared|_all)?(?=\s*\()", re.IGNORECASE)
_CURSOR_WITH_HOLD = 0x0020
_RELATION_NOUNS = {
    "create_stmt": "temporary table",
    "view_stmt": "temporary view",
    "create_seq_stmt": "temporary sequence",
    "create_table_as_stmt": "temporary table",
    "select_stmt": "temporary table",
}
_RELATIONS: Mapping[str, Callable[[Any], Any]] = {
    "create_stmt": lambda body: body.relation,
    "view_stmt": lambda body: body.view,
    "create_seq_stmt": lambda body: body.sequence,
    "create_table_as_stmt": lambda body: body.into.rel,
    "select_stmt": lambda body: body.into_clause.rel,
}
_ROUTINES_AND_TYPES: Mapping[str, tuple[str, Callable[[Any], list[str]]]] = {
    "create_function_stmt": ("temporary function", lambda body: _names(body.funcname)),
    "create_enum_stmt": ("temporary type", lambda body: _names(body.type_name)),
    "create_range_stmt": ("temporary type", lambda body: _names(body.type_name)),
    "create_domain_stmt": ("temporary type", lambda body: _names(body.domainname)),
    "composite_type_stmt": ("temporary type", lambda body: [body.typevar.schemaname, body.typevar.relname]),
}
_DROP_COMMANDS = {
    "temporary table": "DROP TABLE pg_temp.{}",
    "temporary view": "DROP VIEW pg_temp.{}",
    "temporary sequence": "DROP SEQUENCE pg_temp.{}",
    "temporary index": "DROP INDEX pg_temp.{}",
    "temporary function": "DROP FUNCTION pg_temp.{}",
    "temporary type": "DROP TYPE pg_temp.{}",
    "prepared statement": "DEALLOCATE {}",
    "cursor": "CLOSE {}",
    "channel": "UNLISTEN {}",
}


class SessionObject(NamedTuple):
    """An object that exists only in a session. An advisory lock has no name."""

    noun: str
    name: str

    @property
    def is_temporary(self) -> bool:
        """Whether the object is in the temporary schema."""
        return self.noun.startswith("temporary")

    @property
    def description(self) -> str:
        """The object as named in messages."""
        return f"the {self.noun} {self.name}".rstrip()

    @property
    def hint(self) -> str:
        """The next step: end the object in time."""
        if self.noun not in _DROP_COMMANDS:
            return "release it before that point with pg_advisory_unlock, or use pg_advisory_xact_lock"
        command = _DROP_COMMANDS[self.noun].format(quote_identifier(self.name))
        instead = ", or use a permanent one" if self.is_temporary else ""
        return f"end it before that point ({command}){instead}; or move the statements that use it before that point"


ADVISORY_LOCK = SessionObject("advisory lock", "")


class SessionObjects:
    """The objects that statements have created so far, each with the number of its step and its statement."""

    def __init__(self) -> None:
        self.created: dict[SessionObject, tuple[int, Statement]] = {}

    def apply(self, statement: Statement, step_number: int = 0) -> None:
        """Follow a statement. Objects that it may drop without naming them are left to the check in the run."""
        node = parse_sql(statement.text).stmts[0].stmt
        kind, body = statement.node_kind, getattr(node, statement.node_kind)
        if _may_drop_anything(kind, node):
            self.created.clear()
        if kind == "drop_stmt":
            names = set(_dropped_names(body))
            self._forget(lambda one: one.is_temporary and one.name in names)
        elif kind == "rename_stmt":
            self._rename(body)
        elif kind == "discard_stmt" and body.target in (pb.DISCARD_ALL, pb.DISCARD_TEMP):
            self._forget(lambda one: one.is_temporary or body.target == pb.DISCARD_ALL)
        elif kind in _ENDS:
            noun, attribute = _ENDS[kind]
            name = getattr(body, attribute)
            self._forget(lambda one: one.noun == noun and name in ("", one.name))
        self.created |= dict.fromkeys(_created_objects(statement, node), (step_number, statement))
        if any(name in _UNLOCKS for name in _called_functions(statement, node)):
            self._forget(lambda one: one == ADVISORY_LOCK)

    def apply_hook(self) -> None:
        """Follow a hook, which may drop anything."""
        self.created.clear()

    def _forget(self, is_gone: Callable[[SessionObject], bool]) -> None:
        self.created = {one: place for one, place in self.created.items() if not is_gone(one)}

    def _rename(self, body: Any) -> None:
        is_renamed = body.rename_type in (pb.OBJECT_TABLE, pb.OBJECT_VIEW, pb.OBJECT_SEQUENCE)
        self.created = {
            SessionObject(one.noun, body.newname)
            if is_renamed and one.is_temporary and one.name == body.relation.relname
            else one: place
            for one, place in self.created.items()
        }


_ENDS = {
    "deallocate_stmt": ("prepared statement", "name"),
    "close_portal_stmt": ("cursor", "portalname"),
    "unlisten_stmt": ("channel", "conditionname"),
}


def reads_sequence_state(statement: Statement) -> bool:
    """Whether a statement calls currval or lastval, which need an earlier nextval in the session."""
    text = statement.text.lower()
    if statement.node_kind not in _DATA_KINDS or not any(name in text for name in _SEQUENCE_STATE):
        return False
    return bool(_SEQUENCE_STATE.intersection(_called_functions(statement, parse_sql(statement.text).stmts[0].stmt)))


def may_use_sequences(statement: Statement) -> bool:
    """Whether a statement may call nextval: in code, through a default, or in a function."""
    if statement.node_kind in (*_CODE, "insert_stmt", "copy_stmt", "merge_stmt", "execute_stmt"):
        return True
    node = parse_sql(statement.text).stmts[0].stmt
    return any(call.funcname[-1].string.sval not in _SEQUENCE_STATE for call in find_nodes(node, pb.FuncCall))


def _created_objects(statement: Statement, node: Any) -> Iterator[SessionObject]:
    kind, body = statement.node_kind, getattr(node, statement.node_kind)
    if kind in _RELATIONS:
        relation = _RELATIONS[kind](body)
        if relation.relname and (relation.relpersistence == _TEMPORARY or relation.schemaname == _TEMPORARY_SCHEMA):
            yield SessionObject(_RELATION_NOUNS[kind], relation.relname)
    elif kind in _ROUTINES_AND_TYPES:
        noun, find_names = _ROUTINES_AND_TYPES[kind]
        names = find_names(body)
        if names[0] == _TEMPORARY_SCHEMA:
            yield SessionObject(noun, names[-1])
    elif kind == "prepare_stmt":
        yield SessionObject("prepared statement", body.name)
    elif kind == "declare_cursor_stmt" and body.options & _CURSOR_WITH_HOLD:
        yield SessionObject("cursor", body.portalname)
    elif kind == "listen_stmt":
        yield SessionObject("channel", body.conditionname)
    if any(name in _LOCKS for name in _called_functions(statement, node)):
        yield ADVISORY_LOCK


def _may_drop_anything(kind: str, node: Any) -> bool:
    """Whether a statement runs code that may drop any object of the session, or drops dependent objects."""
    if kind in _CODE or (kind == "drop_stmt" and node.drop_stmt.behavior == pb.DROP_CASCADE):
        return True
    return kind == "select_stmt" and any(True for _ in find_nodes(node, pb.FuncCall))


def _called_functions(statement: Statement, node: Any) -> Iterator[str]:
    """Return the names of the functions that a statement calls itself: a view or a DEFAULT only stores a call."""
    if statement.node_kind == "do_stmt":
        yield from (match.group().lower() for match in _LOCK_IN_CODE.finditer(statement.text))
    elif statement.node_kind in _DATA_KINDS:
        for call in find_nodes(node, pb.FuncCall):
            yield call.funcname[-1].string.sval


def _dropped_names(body: Any) -> Iterator[str]:
    for item in body.objects:
        if item.HasField("list"):
            names = _names(item.list.items)
        elif item.HasField("type_name"):
            names = _names(item.type_name.names)
        elif item.HasField("object_with_args"):
            names = _names(item.object_with_args.objname)
        else:
            continue
        if len(names) == 1 or names[:1] == [_TEMPORARY_SCHEMA]:
            yield names[-1]


def _names(parts: Any) -> list[str]:
    return [part.string.sval for part in parts]
