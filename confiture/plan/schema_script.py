"""The SQL that builds the schema from the project's schema files, in order and checked before anything runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from google.protobuf.message import DecodeError

from confiture.errors import Diagnostic, DiagnosticCollector
from confiture.models.records import record, replace
from confiture.models.settings import Settings
from confiture.models.source import RenderedSql
from confiture.plan.file_order import FileDependencies
from confiture.plan.schema_files import read_schema_files
from confiture.sql.database_scope import find_outside_effect, find_roles
from confiture.sql.parse_tree import ByteOffsets
from confiture.sql.parser import parse_sql, pb, postgast, scan_tokens
from confiture.sql.parsing import can_run_without_concurrently, parse_statements
from confiture.sql.transactions import Forbidden, cannot_run_in_transaction

SESSION_RESET = "RESET SESSION AUTHORIZATION; RESET ALL"
"""Undoes the settings that a file leaves behind, so that they do not apply to the next file."""
_RUNS_CODE = frozenset({"select_stmt", "do_stmt", "call_stmt", "execute_stmt"})
_CHANGES_SESSION = _RUNS_CODE | {"variable_set_stmt"}
_COPY_FROM_CLIENT = Forbidden(
    "copy-from-client",
    "COPY ... FROM STDIN and COPY ... TO STDOUT need a client that sends or receives the data",
    "use INSERT ... VALUES; for a file that pg_dump wrote, dump with --schema-only",
)
_COPY_FROM_STDIN = re.compile(r"^[ \t]*(COPY)\b[^;]*\bFROM\s+STDIN\b[^;]*;", re.IGNORECASE | re.MULTILINE)
_BESIDE_HINT = "remove the statement from the schema files; create roles and databases separately"


@record(frozen=True, kw_only=True, slots=True)
class ScriptFile:
    """A schema file. `statement_offsets` are the starts of its statements in the text, in characters from 0.

    `is_terminated` is whether a semicolon follows the last statement. `resets_session` is whether the file may change
    session settings, which must be reset after it. `runs_code` is whether it has statements that can call functions or
    run a DO block.
    """

    rendered: RenderedSql
    statement_offsets: tuple[int, ...]
    is_terminated: bool = True
    resets_session: bool = False
    runs_code: bool = False

    @property
    def path(self) -> str:
        """The path to display, relative to the project."""
        return self.rendered.source.file.path


class SchemaScript:
    """The schema files in the order in which they run, and the objects outside the files that they refer to.

    `roles` are the roles that statements name. `created_extensions` and `created_schemas` are created by the files.
    `outside_effects` are the statements that reach beyond the database: roles, other databases, the server.
    """

    def __init__(self, files: Sequence[ScriptFile], references: _ScriptReferences) -> None:
        self.files = tuple(files)
        self.roles = frozenset(references.roles)
        self.created_extensions = frozenset(references.extensions)
        self.created_schemas = frozenset(references.schemas)
        self.outside_effects = tuple(references.outside_effects)

    @cached_property
    def content_hash(self) -> str:
        """The SHA-256 of the texts and paths in order, in hexadecimal. Equal scripts create equal schemas."""
        digest = hashlib.sha256()
        for file in self.files:
            for text in (file.path, file.rendered.text):
                content = text.encode()
                digest.update(b"%d:" % len(content))
                digest.update(content)
        return digest.hexdigest()

    @property
    def statements(self) -> int:
        """The number of statements."""
        return sum(len(file.statement_offsets) for file in self.files)


class _ScriptReferences:
    """The roles that a script's statements name, and the extensions and schemas they create."""

    def __init__(self) -> None:
        self.roles: set[str] = set()
        self.extensions: set[str] = set()
        self.schemas: set[str] = set()
        self.outside_effects: list[Diagnostic] = []

    def add(self, node: Any, rendered: RenderedSql, offset: int, text: str) -> None:
        """Add a statement, given as a node of any kind."""
        kind = node.WhichOneof("node")
        statement = getattr(node, kind)
        self.roles.update(find_roles(kind, statement))
        if kind == "create_extension_stmt":
            self.extensions.add(statement.extname)
        elif kind == "create_schema_stmt" and not statement.if_not_exists:
            self.schemas.add(statement.schemaname or statement.authrole.rolename)
        effect = find_outside_effect(kind, statement, text)
        if effect:
            self.outside_effects.append(
                rendered.diagnostic(
                    offset,
                    "beyond-database",
                    f"{effect}, but a throwaway database must not affect anything else",
                    hint=_BESIDE_HINT,
                )
            )


def load_schema_script(settings: Settings, overrides: Mapping[str, Any]) -> SchemaScript:
    """Read, render and check the schema files, and put them in order.

    `overrides` are variables with the highest precedence. Raise InputError with all errors in all files.
    """
    problems = DiagnosticCollector()
    schema_files = read_schema_files(settings, overrides, problems)
    problems.extend(schema_files.missing_variables)
    references = _ScriptReferences()
    dependencies = FileDependencies() if settings.build.order == "dependencies" else None
    files = [_read_file(rendered, references, dependencies, problems) for rendered in schema_files.texts]
    problems.raise_if_any()
    readable = [file for file in files if file]
    if dependencies:
        order, cycles = dependencies.order()
        problems.extend(cycles)
        problems.raise_if_any()
        readable = [readable[number] for number in order]
    return SchemaScript(readable, references)


def _read_file(
    rendered: RenderedSql,
    references: _ScriptReferences,
    dependencies: FileDependencies | None,
    problems: DiagnosticCollector,
) -> ScriptFile | None:
    """Return a file's statements, or add its errors to `problems`."""
    written = rendered.text
    try:
        tree = parse_sql(written)
    except (postgast.PgQueryError, DecodeError, UnicodeEncodeError):
        tree = None
    if tree is None or "\0" in written:
        problems.add(_syntax_problem(rendered))
        return None
    if dependencies:
        dependencies.add(rendered, tree.stmts)
    positions = ByteOffsets.from_text(written)
    offsets, kinds, text = [], set(), written
    for raw in tree.stmts:
        offset = positions.to_characters(raw.stmt_location)
        end = positions.to_characters(raw.stmt_location + raw.stmt_len) if raw.stmt_len else len(written)
        offsets.append(offset)
        kinds.add(raw.stmt.WhichOneof("node"))
        references.add(raw.stmt, rendered, offset, written[offset:end])
        refusal = _refusal(raw.stmt)
        if refusal:
            problems.add(rendered.diagnostic(offset, refusal.code, refusal.message, hint=refusal.hint))
        elif cannot_run_in_transaction(raw.stmt):
            text = _without_concurrently(text, offset, end)
    return ScriptFile(
        rendered=rendered if text is written else replace(rendered, text=text),
        statement_offsets=tuple(offsets),
        is_terminated=not tree.stmts or tree.stmts[-1].stmt_len > 0,
        resets_session=not kinds.isdisjoint(_CHANGES_SESSION),
        runs_code=not kinds.isdisjoint(_RUNS_CODE),
    )


def _refusal(node: Any) -> Forbidden | None:
    """Return why a statement cannot be part of the script; None if it can."""
    kind = node.WhichOneof("node")
    if kind == "transaction_stmt":
        return Forbidden(
            "transaction-control",
            "a schema file cannot begin, end or mark transactions: all files are built in one transaction",
            "remove the statement",
        )
    if kind == "copy_stmt" and not node.copy_stmt.filename:
        return _COPY_FROM_CLIENT
    if cannot_run_in_transaction(node) and not can_run_without_concurrently(node):
        return Forbidden(
            "not-in-transaction",
            "the statement cannot run in a transaction, and all schema files are built in one",
            "move the statement to a migration, or remove it",
        )
    return None


def _syntax_problem(rendered: RenderedSql) -> Diagnostic:
    """Return the syntax error of a file. The data after a COPY is not SQL, so the COPY is reported instead."""
    _, (problem, *_) = parse_statements(rendered.text)
    copy = next((match for match in _COPY_FROM_STDIN.finditer(rendered.text) if match.start() < problem.offset), None)
    if copy:
        refusal = _COPY_FROM_CLIENT
        return rendered.diagnostic(copy.start(1), refusal.code, refusal.message, hint=refusal.hint)
    return rendered.diagnostic(problem.offset, problem.code, problem.message, hint=problem.hint)


def _without_concurrently(text: str, offset: int, end: int) -> str:
    """Replace CONCURRENTLY in a statement by spaces. Positions stay the same."""
    statement = text[offset:end]
    content = statement.encode()
    for token in scan_tokens(statement):
        if token.token == pb.Token.CONCURRENTLY:
            content = content[: token.start] + b" " * (token.end - token.start) + content[token.end :]
            break
    return text[:offset] + content.decode() + text[end:]
