"""The settings that statements make, in the order in which the next segment repeats those of the session."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from confiture.models.plan import Statement
from confiture.sql.parser import parse_sql, pb
from confiture.sql.traversal import find_nodes
from confiture.text import single_quote

_ROLE, _SESSION_ROLE = "role", "session_authorization"
_ROLES = frozenset({_ROLE, _SESSION_ROLE})
_SESSION_CHARACTERISTICS = "SESSION CHARACTERISTICS"
_NOT_REPEATED = frozenset(
    {"transaction_isolation", "transaction_read_only", "transaction_deferrable", "client_encoding"}
)
"""Settings that end with the transaction, even without LOCAL, and the encoding, which is restored after a statement."""
_RESETS = frozenset({pb.VAR_RESET, pb.VAR_SET_DEFAULT})
_SET_CONFIG = "set_config"
_SET_IN_CODE = re.compile(
    r"(?:;|\$|\bbegin\b|\bthen\b|\belse\b|\bloop\b|\bexecute\b[^;']*')\s*(?:set\s+(?!local\b)|reset\s)", re.IGNORECASE
)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_LOCAL_CALL = re.compile(r"\bset_config\s*\([^;]*?,\s*true\s*\)", re.IGNORECASE)


class _Setting(NamedTuple):
    """A statement that makes a setting. `resets` is whether it restores the value of a new session.

    `values` are the settings that it changes, by name; None if the value of a new session is restored.
    """

    name: str
    text: str
    resets: bool
    values: Mapping[str, str | None]
    is_local: bool = False


class _SettingList:
    """Settings in the order in which they were made. PostgreSQL applies them in order, because a role may be needed."""

    def __init__(self, settings: Iterable[_Setting] = ()) -> None:
        self.settings = list(settings)

    def add(self, setting: _Setting) -> None:
        """Append a setting. It replaces an earlier one of the same name, and a role that no setting needs any more."""
        kept = self.settings
        if setting.name not in _ROLES:
            kept = [other for other in kept if other.name != setting.name]
        self.settings = []
        for one in (*kept, setting):
            while self.settings and _replaces(one, self.settings[-1]):
                self.settings.pop()
            self.settings.append(one)

    def append(self, setting: _Setting) -> None:
        """Append a setting that replaces no earlier one."""
        self.settings.append(setting)

    def reset_all(self) -> None:
        """Remove all settings except the roles, which PostgreSQL excludes from RESET ALL."""
        self.settings = [setting for setting in self.settings if setting.name in _ROLES]

    @property
    def statements(self) -> tuple[str, ...]:
        """The statements that make the settings again, in order."""
        return tuple(setting.text for setting in self.settings)


class SessionSettings:
    """The settings that statements have made so far, for the session and until the transaction ends."""

    def __init__(self, statements: Iterable[str] = ()) -> None:
        self._session = _SettingList()
        self._current = _SettingList()
        for text in statements:
            self.apply(_to_statement(text))

    @property
    def statements(self) -> tuple[str, ...]:
        """The statements that make the settings of the session again, in order."""
        return self._session.statements

    @property
    def current_statements(self) -> tuple[str, ...]:
        """The statements that make the settings in force again, including those that end with the transaction."""
        return self._current.statements

    @property
    def values(self) -> Mapping[str, str | None]:
        """The values of the session's settings by name, as written; None if a setting was reset or is an expression."""
        return {name: value for setting in self._session.settings for name, value in setting.values.items()}

    @property
    def role_statement(self) -> str | None:
        """The statement that sets the role of the session; None for the role that connected."""
        session: str | None = None
        role: str | None = None
        for setting in self._session.settings:
            if setting.name in _ROLES:
                role = None if setting.resets else setting.text
            if setting.name == _SESSION_ROLE:
                session = role
        return role or session

    def end_transaction(self) -> None:
        """Remove the settings that end with the transaction."""
        self._current = _SettingList(self._session.settings)

    def apply(self, statement: Statement) -> None:
        """Follow a statement that has run."""
        if statement.node_kind == "select_stmt":
            for setting in _configured_settings(statement.text) or ():
                self._add(setting)
        elif statement.node_kind == "variable_set_stmt":
            self._apply_set(statement.text)
        elif statement.node_kind == "discard_stmt" and _discards_all(statement.text):
            self._session, self._current = _SettingList(), _SettingList()

    def _apply_set(self, text: str) -> None:
        node = parse_sql(text).stmts[0].stmt.variable_set_stmt
        name = node.name if node.name == _SESSION_CHARACTERISTICS else node.name.lower()
        if node.kind == pb.VAR_RESET_ALL:
            self._session.reset_all()
            self._current.reset_all()
        elif node.kind == pb.VAR_SET_MULTI:
            if name == _SESSION_CHARACTERISTICS:
                # Each statement can set other modes, so none replaces an earlier one.
                modes = {f"default_{item.def_elem.defname}": _value(item.def_elem.arg) for item in node.args}
                setting = _Setting(name, text, resets=False, values=modes)
                self._session.append(setting)
                self._current.append(setting)
        elif name not in _NOT_REPEATED:
            value = _value(node.args[0]) if len(node.args) == 1 else None
            resets = node.kind in _RESETS or (name == _ROLE and value == "none")
            self._add(_Setting(name, text, resets, {name: None if resets else value}, is_local=node.is_local))

    def _add(self, setting: _Setting) -> None:
        self._current.add(setting)
        if not setting.is_local:
            self._session.add(setting)


def changes_settings_unrepeatably(statement: Statement) -> bool:
    """Whether a statement makes a setting for the session in a form that no later segment can repeat.

    Repeating it would also repeat its other effects, or compute another value. Functions that it calls are not
    searched.
    """
    text = statement.text
    if statement.node_kind == "do_stmt":
        text = _COMMENT.sub(" ", text)
        return bool(_SET_IN_CODE.search(text) or _SET_CONFIG in _LOCAL_CALL.sub("", text).lower())
    if _SET_CONFIG not in text.lower() or statement.node_kind in ("create_function_stmt", "comment_stmt"):
        return False
    if statement.node_kind == "select_stmt" and _configured_settings(text) is not None:
        return False
    return any(not _is_local(call) for call in _set_config_calls(parse_sql(text).stmts[0].stmt))


def resets_row_security(statement: Statement) -> bool:
    """Whether a statement is RESET ALL, or resets row_security: behind a pooler, policies could then hide rows."""
    if statement.node_kind != "variable_set_stmt":
        return False
    node = parse_sql(statement.text).stmts[0].stmt.variable_set_stmt
    return bool(node.kind == pb.VAR_RESET_ALL or (node.kind in _RESETS and node.name.lower() == "row_security"))


def resets_all_settings(statement: Statement) -> bool:
    """Whether a statement is RESET ALL."""
    if statement.node_kind != "variable_set_stmt":
        return False
    return bool(parse_sql(statement.text).stmts[0].stmt.variable_set_stmt.kind == pb.VAR_RESET_ALL)


def _replaces(setting: _Setting, last: _Setting) -> bool:
    """Whether a setting makes the one directly before it superfluous.

    PostgreSQL checks each role against the role that connected, so a role in between is not needed.
    """
    if setting.name == _SESSION_ROLE:
        return last.name in _ROLES
    return setting.name == last.name == _ROLE


def _configured_settings(text: str) -> list[_Setting] | None:
    """Return the settings of a SELECT that does nothing but call set_config with constants; otherwise None."""
    if _SET_CONFIG not in text.lower():
        return None
    select = parse_sql(text).stmts[0].stmt.select_stmt
    parts = {field.name for field, _ in select.ListFields()} - {"limit_option", "op"}
    if parts != {"target_list"}:
        return None
    settings = []
    for target in select.target_list:
        call = target.res_target.val.func_call
        if not _is_set_config(call) or len(call.args) != 3:
            return None
        name, value = _constant(call.args[0]), _constant(call.args[1])
        is_null = call.args[1].a_const.isnull
        if name is None or (value is None and not is_null) or not call.args[2].a_const.HasField("boolval"):
            return None
        if name.lower() not in _NOT_REPEATED:
            shown = "NULL" if value is None else single_quote(value)
            resets = is_null or (name.lower() == _ROLE and value == "none")
            is_local = _is_local(call)
            text = f"SELECT pg_catalog.set_config({single_quote(name)}, {shown}, {str(is_local).lower()})"
            values = {name.lower(): None if resets else value}
            settings.append(_Setting(name.lower(), text, resets, values, is_local))
    return settings


def _set_config_calls(node: Any) -> Iterator[Any]:
    return (call for call in find_nodes(node, pb.FuncCall) if _is_set_config(call))


def _is_set_config(call: Any) -> bool:
    names = [part.string.sval for part in call.funcname]
    return names in ([_SET_CONFIG], ["pg_catalog", _SET_CONFIG])


def _is_local(call: Any) -> bool:
    """Whether the last argument is the constant true, so that the setting ends with the transaction."""
    return bool(len(call.args) == 3 and call.args[2].a_const.boolval.boolval)


def _constant(node: Any) -> str | None:
    return node.a_const.sval.sval if node.a_const.HasField("sval") else None


def _value(node: Any) -> str | None:
    """Return the value of a setting as text; None if it is not a constant."""
    constant = node.a_const
    if constant.HasField("boolval"):
        return "on" if constant.boolval.boolval else "off"
    return str(constant.ival.ival) if constant.HasField("ival") else _constant(node)


def _to_statement(text: str) -> Statement:
    return Statement(text=text, offset=0, node_kind=str(parse_sql(text).stmts[0].stmt.WhichOneof("node")))


def _discards_all(text: str) -> bool:
    return bool(parse_sql(text).stmts[0].stmt.discard_stmt.target == pb.DISCARD_ALL)
