"""Compare a session with what Confiture repeats in the next one, before a segment commits.

The next segment begins in a new session with the settings that the plan repeats. Functions, hooks, triggers, and code
in strings can change a session without the plan showing it, so the session itself is compared. A difference is a
failure: the next segment would run under other conditions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import psycopg

from confiture.core.db.connection import Connection, fetch_named_row
from confiture.core.db.errors import StepFailed, first_line
from confiture.core.db.queries import query
from confiture.core.run.statement_observer import StatementObserver
from confiture.errors import Diagnostic
from confiture.models.plan import PlannedStep, Segment, Statement, StepId, TransactionMode
from confiture.plan.local_settings import code_in, local_settings_in_code
from confiture.plan.session_objects import ADVISORY_LOCK, SessionObject
from confiture.plan.session_state import LOST_SESSION_STATE, NEW_SESSION
from confiture.secrets import hide_secrets
from confiture.text import single_quote

OWN_STATEMENT = "confiture: touched relations"
"""The name of the dry run's own prepared statement."""
ROLES = frozenset({"role", "session_authorization"})
TIMEOUTS = frozenset({"statement_timeout", "lock_timeout"})
_IGNORED = frozenset({"transaction_isolation", "transaction_read_only", "transaction_deferrable", "client_encoding"})
_CUSTOM_NAME = re.compile(r"[A-Za-z_][\w$]*\.[A-Za-z_][\w$]*")
_CODE_KINDS = frozenset({"do_stmt", "call_stmt", "select_stmt"})
_SHOWN = 5


class LoginSetting(NamedTuple):
    """A setting of ALTER ROLE or ALTER DATABASE with which sessions begin."""

    name: str
    value: str
    can_be_set: bool
    of_role: bool
    of_database: bool

    @property
    def statement(self) -> str:
        """The statement that made the setting, without its value."""
        target = "ROLE" if self.of_role else "DATABASE" if self.of_database else "ROLE ALL"
        return f"ALTER {target} ... SET {self.name}"


class SessionCheck:
    """Compares a run's session with the session in which the next segment begins. `login` is the role that connected.

    The methods take `fresh`, the statements that make the session a new one with Confiture's settings.
    """

    def __init__(self, connection: Connection, login: str) -> None:
        self._connection = connection
        self._login = login
        self._login_settings = self.read_login_settings()
        self.code: list[str] = []
        """The statements that hooks ran in this segment."""

    def read_login_settings(self) -> tuple[LoginSetting, ...]:
        """Return the settings with which new sessions begin, those that take precedence last."""
        rows = self._connection.execute(query("login_settings"), {"role": self._login}).fetchall()
        return tuple(LoginSetting(**row) for row in rows)

    def begin_migration(self) -> tuple[LoginSetting, ...]:
        """Return the settings with which new sessions begin if they have changed since the last call."""
        before, self._login_settings = self._login_settings, self.read_login_settings()
        return self._login_settings if self._login_settings != before else ()

    def check(
        self,
        segment: Segment,
        fresh: bytes,
        settings: Sequence[str],
        *,
        exempt: frozenset[str] = frozenset(),
        is_committed: bool = False,
    ) -> None:
        """Raise StepFailed if the session differs from a fresh one with the settings.

        `exempt` are names of settings that may differ. If the segment is not committed, a setting may also differ
        because a function makes it until the transaction ends.
        """
        with self._connection.transaction(force_rollback=True):
            timeout = self._lift_statement_timeout()
            names = self._custom_names(segment)
            actual = self._read_settings(names) | timeout
            objects = self._read_objects()
            login_settings = self.read_login_settings()
            differences = self._differences(segment, fresh, settings, actual, names)
            differences = {name: both for name, both in differences.items() if name not in exempt}
            if not is_committed:
                differences = {n: both for n, both in differences.items() if not self._may_be_local(n, segment)}
        if objects:
            raise _failure(segment, "", _object_diagnostic(objects, is_committed=is_committed))
        changed = set(login_settings) ^ set(self._login_settings)
        if changed:
            raise _failure(segment, "set", _login_diagnostic(min(changed)))
        for name, both in differences.items():
            raise _failure(segment, name, _setting_diagnostic(name, *both, is_committed=is_committed))

    def settings_made(self, segment: Segment, fresh: bytes) -> frozenset[str]:
        """Return the names of settings that the session has besides those with which the segment begins."""
        with self._connection.transaction(force_rollback=True):
            names = self._custom_names(segment)
            actual = self._read_settings(names)
            expected = self._expected_settings(segment, fresh, segment.settings, names)
        return frozenset(name for name, value in actual.items() if expected.get(name) != value)

    def _differences(
        self,
        segment: Segment,
        fresh: bytes,
        settings: Sequence[str],
        actual: Mapping[str, tuple[str, str | None]],
        custom_names: Sequence[str],
    ) -> dict[str, tuple[str, str]]:
        """Return the settings that differ from a fresh session with the settings, by name: both values."""
        expected = self._expected_settings(segment, fresh, settings, custom_names)
        differences = {}
        for name in sorted({*actual, *expected} - _IGNORED):
            is_now, will_be = _value(name, actual, expected), _value(name, expected, actual)
            if is_now != will_be:
                differences[name] = (is_now, will_be)
        return differences

    def _expected_settings(
        self, segment: Segment, fresh: bytes, settings: Sequence[str], custom_names: Sequence[str]
    ) -> dict[str, tuple[str, str | None]]:
        """Make the session a fresh one with the settings, and return its settings."""
        self._connection.execute(fresh)
        for setting in settings:
            try:
                self._connection.execute(setting.encode())
            except psycopg.Error as error:
                raise _failure(segment, setting, _not_repeatable_diagnostic(setting, error)) from error
        timeout = self._lift_statement_timeout()
        return self._read_settings(custom_names) | timeout

    def _read_settings(self, custom_names: Sequence[str]) -> dict[str, tuple[str, str | None]]:
        """Return the settings made in the session, by name: the value, and the value after RESET if it is known."""
        rows = self._connection.execute(query("session_settings_in_force"), {"custom": list(custom_names)})
        return {row["name"]: (row["setting"], row["reset_val"]) for row in rows}

    def _lift_statement_timeout(self) -> dict[str, tuple[str, str | None]]:
        """Set no statement timeout, so that the timeout of a migration does not end the comparison. Return it."""
        value = fetch_named_row(self._connection, "lift_statement_timeout")["statement_timeout"]
        return {"statement_timeout": (value, None)}

    def _custom_names(self, segment: Segment) -> list[str]:
        """Return the names of custom settings that code in the segment or functions may make. No catalog has them."""
        texts = [*self.code, *(segment.expected_settings or ()), *segment.settings]
        texts += [statement.text for step in segment.steps for statement in step.statements]
        in_functions = {row["name"] for row in self._connection.execute(query("custom_settings_in_functions"))}
        return sorted(in_functions | {name.lower() for text in texts for name in _CUSTOM_NAME.findall(text)})

    def _read_objects(self) -> list[SessionObject]:
        rows = self._connection.execute(query("session_objects"), {"own_statement": OWN_STATEMENT}).fetchall()
        objects = [SessionObject(row["noun"], row["name"]) for row in rows]
        self._connection.execute("SET LOCAL client_min_messages = error")
        locks = self._connection.execute(query("release_session_locks")).fetchall()
        return [*objects, *([ADVISORY_LOCK] if locks else [])]

    def _may_be_local(self, name: str, segment: Segment) -> bool:
        """Whether code makes a setting only until the transaction ends: then it does not affect the next segment."""
        own = [*self.code, *(code_in(statement) for step in segment.steps for statement in step.statements)]
        if any(name.lower() in local_settings_in_code(text) for text in own):
            return True
        functions = self._connection.execute(query("functions_with_setting"), {"name": name.lower()}).fetchall()
        return any(name.lower() in local_settings_in_code(row["code"]) for row in functions)


def fresh_settings(settings: Iterable[LoginSetting]) -> str:
    """Return the statements that make settings with which new sessions begin, for a session that began before."""
    return "".join(set_config(one.name, one.value) for one in settings if one.can_be_set)


def set_config(name: str, value: str) -> str:
    """Return the statement that makes a setting for the session."""
    return f"SELECT pg_catalog.set_config({single_quote(name)}, {single_quote(value)}, false);"


class HookCodeObserver(StatementObserver):
    """An observer that keeps the statements of hooks, which the plan does not show."""

    def __init__(self, check: SessionCheck) -> None:
        self._check = check

    def after(self, identity: StepId, step: PlannedStep, statement: Statement, duration_ms: float) -> None:
        """Keep a hook's statement if it may make a setting."""
        if step.hook is not None and "set" in statement.text.lower():
            self._check.code.append(statement.text)


def _value(
    name: str, settings: Mapping[str, tuple[str, str | None]], others: Mapping[str, tuple[str, str | None]]
) -> str:
    """Return a setting's value; if it was not made in the session, the value after RESET."""
    return settings[name][0] if name in settings else others[name][1] or ""


def _setting_diagnostic(name: str, value: str, expected: str, *, is_committed: bool) -> Diagnostic:
    what = "the setting " + name if name not in ROLES else f"the {name.replace('_', ' ')}"
    message = f"{what} was changed by a statement that Confiture cannot repeat in the next segment"
    detail = hide_secrets(f"it is {_shown(value)}; in the next segment it would be {_shown(expected)}")
    set_it = "SET ROLE" if name == "role" else f"SET {name.upper() if name in ROLES else name}"
    hint = f"use {set_it} as a step of its own, or make the setting local to the transaction (SET LOCAL); {NEW_SESSION}"
    if is_committed:
        hint = f"this segment is committed, and the next run continues after it: add {set_it} to the steps that follow"
    return Diagnostic(code=LOST_SESSION_STATE, message=message, detail=(detail,), hint=hint)


def _object_diagnostic(objects: Sequence[SessionObject], *, is_committed: bool) -> Diagnostic:
    first, *others = objects
    also = [one.description for one in others[: _SHOWN - 1]]
    also += [f"{len(others) - len(also)} more"] if len(others) > len(also) else []
    message = f"{first.description} ends with the session of this segment, before later steps run"
    hint = f"{first.hint}; {NEW_SESSION}"
    if is_committed:
        hint = "this segment is committed, and the next run continues after it: create the object again in the steps"
        hint += " that follow, if they need it"
    return Diagnostic(
        code=LOST_SESSION_STATE, message=message, detail=(f"also: {', '.join(also)}",) if also else (), hint=hint
    )


def _login_diagnostic(setting: LoginSetting) -> Diagnostic:
    return Diagnostic(
        code=LOST_SESSION_STATE,
        message=f"new sessions would begin with another value of {setting.name} than this one:"
        f" {setting.statement} ran after the migration began",
        hint="move the statement to a migration of its own, or after the last step that begins a segment: a resumed run"
        " and the sessions of a backfill would have the new value, and this session the old one",
    )


def _not_repeatable_diagnostic(setting: str, error: psycopg.Error) -> Diagnostic:
    return Diagnostic(
        code=LOST_SESSION_STATE,
        message=f"the next segment cannot make a setting of this one again: {setting.strip(' ;')}",
        detail=(hide_secrets(first_line(error)),),
        hint=f"reset the setting in this segment, or make it again under its new name; {NEW_SESSION}",
    )


def _shown(value: str) -> str:
    return repr(value) if len(value) <= 60 else repr(value[:57] + "...")


def _failure(segment: Segment, name: str, diagnostic: Diagnostic) -> StepFailed:
    """Return the failure, located at the last statement that contains a name, or may run code."""
    step, statement = _find_place(segment, name.lower())
    if statement is None:
        located = step.rendered.source.file.diagnostic(
            step.span, diagnostic.code, diagnostic.message, detail=diagnostic.detail, hint=diagnostic.hint
        )
    else:
        located = step.rendered.diagnostic(
            statement.offset, diagnostic.code, diagnostic.message, detail=diagnostic.detail, hint=diagnostic.hint
        )
    return StepFailed(located, None)


def _find_place(segment: Segment, name: str) -> tuple[PlannedStep, Statement | None]:
    places = list(_places(segment))
    for step, statement in places:
        if name and statement is not None and statement.node_kind in _CODE_KINDS and name in statement.text.lower():
            return step, statement
    for step, statement in places:
        if statement is None or statement.node_kind in _CODE_KINDS:
            return step, statement
    return places[0] if places else (segment.steps[-1], None)


def _places(segment: Segment) -> Iterator[tuple[PlannedStep, Statement | None]]:
    """Yield the statements of a segment, and its hooks, from the last one."""
    for step in reversed(segment.steps):
        if step.skip_reason:
            continue
        if step.hook is not None:
            yield step, None
        for statement in reversed(step.statements):
            yield step, statement


def timeouts_outside(segment: Segment) -> frozenset[str]:
    """Return the settings that a step outside a transaction makes for the session."""
    return frozenset() if segment.transaction_mode is TransactionMode.TRANSACTIONAL else TIMEOUTS
