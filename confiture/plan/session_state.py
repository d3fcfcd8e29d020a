"""Session state between a migration's segments: the settings to repeat, and the state that would be lost.

A segment begins in a new session, so that an interrupted migration resumes under the same conditions. Therefore,
session settings from earlier segments are repeated. State that cannot be restored, such as a temporary table, is
reported as a problem at the step that needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from confiture.errors import Diagnostic
from confiture.models.plan import PlannedStep, Segment, Statement, TransactionMode
from confiture.models.records import replace
from confiture.sql.parser import parse_sql, pb
from confiture.sql.traversal import find_nodes

LOST_SESSION_STATE = "lost-session-state"
_ROLE, _SESSION_ROLE = "role", "session_authorization"
_SESSION_CHARACTERISTICS = "SESSION CHARACTERISTICS"
_OF_TRANSACTION = frozenset({"transaction_isolation", "transaction_read_only", "transaction_deferrable"})
"""Settings that end with the transaction, even without LOCAL."""
_SET_CONFIG = re.compile(r"\bset_config\s*\(", re.IGNORECASE)
_ADVISORY_LOCK = re.compile(r"\bpg_(?:try_)?advisory_lock(?:_shared)?\s*\(", re.IGNORECASE)
_ADVISORY_UNLOCK = re.compile(r"\bpg_advisory_unlock(?:_shared|_all)?\s*\(", re.IGNORECASE)
_TEMPORARY = "t"


class _LostObject(NamedTuple):
    """An object that exists only in the session of its segment."""

    noun: str
    name: str


_ADVISORY = _LostObject("advisory lock", "")
_NAMED_USES = {"execute_stmt": "prepared statement", "fetch_stmt": "cursor", "close_portal_stmt": "cursor"}


def add_session_state(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Return the segments with the settings that each must repeat, and with a problem at each step that lacks state."""
    if len(segments) < 2:
        return tuple(segments)
    settings: dict[str, str] = {}
    lost: set[_LostObject] = set()
    result = []
    for segment in segments:
        problems = [_missing_state(step, lost) for step in segment.steps]
        if segment.transaction_mode is TransactionMode.BATCHED and (role := _current_role(settings)):
            problems[0] = _role_problem(segment.steps[0], role)
        steps = tuple(
            replace(step, missing_variables=(*step.missing_variables, problem)) if problem else step
            for step, problem in zip(segment.steps, problems, strict=True)
        )
        result.append(replace(segment, steps=steps, settings=tuple(settings.values())))
        for statement in _statements(segment):
            _apply_setting(statement, settings)
            lost = (lost | set(_session_objects(statement))) - set(_dropped_objects(statement))
    return tuple(result)


def _statements(segment: Segment) -> Iterator[Statement]:
    return (statement for step in segment.steps for statement in step.statements)


def _apply_setting(statement: Statement, settings: dict[str, str]) -> None:
    """Update `settings` for a statement that changes session settings. A later setting replaces an earlier one."""
    if statement.node_kind == "select_stmt" and _SET_CONFIG.search(statement.text):
        for name in _configured_names(statement.text):
            settings.pop(name, None)
            settings[name] = statement.text
    if statement.node_kind != "variable_set_stmt":
        return
    node = parse_sql(statement.text).stmts[0].stmt.variable_set_stmt
    name = _SESSION_CHARACTERISTICS if node.name == _SESSION_CHARACTERISTICS else node.name.lower()
    if node.kind == pb.VAR_RESET_ALL:
        # PostgreSQL excludes roles from RESET ALL
        kept = {key: text for key, text in settings.items() if key in (_ROLE, _SESSION_ROLE)}
        settings.clear()
        settings.update(kept)
    elif (
        node.is_local
        or name in _OF_TRANSACTION
        or (node.kind == pb.VAR_SET_MULTI and node.name != _SESSION_CHARACTERISTICS)
    ):
        return
    else:
        settings.pop(name, None)
        if name == _SESSION_ROLE:
            settings.pop(_ROLE, None)
        if node.kind not in (pb.VAR_RESET, pb.VAR_SET_DEFAULT):
            settings[name] = statement.text


def _configured_names(text: str) -> Iterator[str]:
    """Yield the names of settings that a SELECT changes for the session with `set_config('name', value, false)`."""
    for call in find_nodes(parse_sql(text).stmts[0].stmt, pb.FuncCall):
        if call.funcname and call.funcname[-1].string.sval == "set_config" and len(call.args) == 3:
            name, _, is_local = call.args
            if name.a_const.HasField("sval") and not _is_true(is_local):
                yield name.a_const.sval.sval.lower()


def _is_true(node: Any) -> bool:
    return bool(node.a_const.HasField("boolval") and node.a_const.boolval.boolval)


def _current_role(settings: dict[str, str]) -> str | None:
    """Return the statement that sets the session's role; None if the session has the role that connected."""
    role = settings.get(_ROLE)
    if role is not None and parse_sql(role).stmts[0].stmt.variable_set_stmt.args:
        value = parse_sql(role).stmts[0].stmt.variable_set_stmt.args[0].a_const.sval.sval
        role = None if value == "none" else role
    return role or settings.get(_SESSION_ROLE)


def _role_problem(step: PlannedStep, statement: str) -> Diagnostic:
    return _problem(
        step,
        0,
        f"a backfill runs as the role that connects, but an earlier segment set another role: {statement.strip(' ;')}",
        "reset the role before the backfill: RESET ROLE or RESET SESSION AUTHORIZATION",
    )


def _session_objects(statement: Statement) -> Iterator[_LostObject]:
    """Yield the objects that a statement creates only for the session."""
    if _ADVISORY_LOCK.search(statement.text):
        yield _ADVISORY
    if not _may_be_temporary(statement):
        return
    node = parse_sql(statement.text).stmts[0].stmt
    kind = node.WhichOneof("node")
    body = getattr(node, kind)
    if kind == "prepare_stmt":
        yield _LostObject("prepared statement", body.name)
    elif kind == "declare_cursor_stmt":
        yield _LostObject("cursor", body.portalname)
    else:
        for relation in _created_relations(kind, body):
            if relation.relpersistence == _TEMPORARY or relation.schemaname == "pg_temp":
                yield _LostObject("temporary relation", relation.relname)


_CREATED = {
    "create_stmt": lambda body: body.relation,
    "view_stmt": lambda body: body.view,
    "create_seq_stmt": lambda body: body.sequence,
    "create_table_as_stmt": lambda body: body.into.rel,
    "select_stmt": lambda body: body.into_clause.rel,
}


def _created_relations(kind: str, body: Any) -> list[Any]:
    return [_CREATED[kind](body)] if kind in _CREATED else []


def _may_be_temporary(statement: Statement) -> bool:
    return statement.node_kind in ("prepare_stmt", "declare_cursor_stmt") or (
        statement.node_kind in _CREATED and "temp" in statement.text.lower()
    )


def _dropped_objects(statement: Statement) -> Iterator[_LostObject]:
    """Yield the session objects that a statement drops or replaces with permanent objects."""
    if _ADVISORY_UNLOCK.search(statement.text):
        yield _ADVISORY
    if statement.node_kind == "drop_stmt":
        for relation in _relation_names(statement):
            yield _LostObject("temporary relation", relation)
    if statement.node_kind in _CREATED and "temp" not in statement.text.lower():
        for relation in _created_relations(statement.node_kind, _body(statement)):
            yield _LostObject("temporary relation", relation.relname)


def _body(statement: Statement) -> Any:
    return getattr(parse_sql(statement.text).stmts[0].stmt, statement.node_kind)


def _relation_names(statement: Statement) -> Iterator[str]:
    """Yield the relation names in a statement that may refer to temporary relations: without a schema or in pg_temp."""
    for relation in find_nodes(parse_sql(statement.text).stmts[0].stmt, pb.RangeVar):
        if relation.schemaname in ("", "pg_temp"):
            yield relation.relname
    if statement.node_kind == "drop_stmt":
        for item in _body(statement).objects:
            names = [part.string.sval for part in item.list.items]
            if len(names) == 1 or names[:1] == ["pg_temp"]:
                yield names[-1]


def _missing_state(step: PlannedStep, lost: set[_LostObject]) -> Diagnostic | None:
    """Return the problem if a step uses an object from an earlier segment's session."""
    if not lost:
        return None
    made: set[_LostObject] = set()
    for statement in step.statements:
        for needed in _needed_objects(statement):
            if needed in lost and needed not in made:
                return _problem(
                    step,
                    statement.offset,
                    f"the {needed.noun} {needed.name} no longer exists: it ended with an earlier segment's session",
                    "recreate it here, use a permanent table, or reorder the steps; a CONCURRENTLY statement, VACUUM or"
                    " a backfill before this step starts a new session",
                )
        made |= set(_session_objects(statement))
    if _ADVISORY in lost and step.statements:
        return _problem(
            step,
            step.statements[0].offset,
            "the advisory lock from an earlier segment is no longer held here, because the segment's session has ended",
            "acquire the lock again here, or reorder the steps",
        )
    return None


def _needed_objects(statement: Statement) -> Iterator[_LostObject]:
    noun = _NAMED_USES.get(statement.node_kind)
    if noun:
        body = _body(statement)
        yield _LostObject(noun, body.name if noun == "prepared statement" else body.portalname)
        return
    for name in _relation_names(statement):
        yield _LostObject("temporary relation", name)


def _problem(step: PlannedStep, offset: int, message: str, hint: str) -> Diagnostic:
    return step.rendered.diagnostic(offset, LOST_SESSION_STATE, message, hint=hint)
