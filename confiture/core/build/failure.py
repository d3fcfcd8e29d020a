"""The diagnostic of a failed build: the statement's place, and the file that creates a missing object."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import psycopg

from confiture.core.db.errors import db_error_diagnostic, statement_diagnostic
from confiture.errors import BuildFailed, DatabaseUnavailable, Diagnostic, Span
from confiture.models.plan import Statement
from confiture.plan.schema_script import SchemaScript, ScriptFile
from confiture.sql.created_objects import ObjectKind, created_objects
from confiture.sql.parse_tree import parse_rendered

_MISSING = {
    "42P01": (ObjectKind.RELATION,),
    "42883": (ObjectKind.FUNCTION, ObjectKind.OPERATOR),
    "42704": (ObjectKind.TYPE, ObjectKind.RELATION, ObjectKind.OTHER),
    "3F000": (ObjectKind.SCHEMA,),
}
"""The kinds of objects that are missing, by SQLSTATE."""
_ORDER_HINT = "rename the files so that {first} comes before {second}, or set `build: {{order: dependencies}}`"
_OUTSIDE = "beyond-database"
_OUTSIDE_HINT = "remove the statement from the schema files; change roles, databases and privileges on them separately"
_EXTENSION_HINT = "add CREATE EXTENSION to the schema files, or set database.throwaway_url to a server that has it"


class _Creation(NamedTuple):
    """A statement that creates an object. `file` is the file's position in the script."""

    file: int
    offset: int
    span: Span
    description: str
    name: str


def lost_connection_failure(error: psycopg.Error, file: ScriptFile) -> DatabaseUnavailable:
    """Return the exception for a connection that was lost while a file was running."""
    return DatabaseUnavailable(db_error_diagnostic(error, f"the connection was lost while {file.path} was running"))


def statement_failure(
    error: psycopg.Error,
    script: SchemaScript,
    number: int,
    statement: int,
    missing_extensions: Sequence[object] = (),
    sent_from: int = 0,
) -> BuildFailed:
    """Return the exception for a failed statement: file and statement are given by their positions, from 0.

    The query that was sent starts at the character `sent_from` of the file. `missing_extensions` describe extensions
    that the target database has, but this database does not.
    """
    file = script.files[number]
    sqlstate = error.sqlstate or ""
    start = file.statement_offsets[statement]
    text = _statement_text(file, statement)
    failed = Statement(text=text, offset=start, node_kind="")
    diagnostic = statement_diagnostic(error, failed, file.rendered, prefix=start - sent_from)
    creations = [
        one
        for one in _find_later_creations(script, _MISSING.get(sqlstate, ()), number, start)
        if _is_named_in(one.name, diagnostic.message)
    ]
    details = list(diagnostic.detail)
    hint = diagnostic.hint
    if creations:
        details += [f"{one.span} creates the {one.description}, but runs later" for one in creations]
        hint = _order_hint(script, number, creations)
    elif sqlstate in _MISSING or sqlstate == "0A000":
        details += [str(one) for one in missing_extensions]
        hint = _EXTENSION_HINT if missing_extensions else hint
    return BuildFailed(replace(diagnostic, detail=tuple(details), hint=hint))


def _order_hint(script: SchemaScript, number: int, creations: Sequence[_Creation]) -> str:
    first = next((script.files[one.file].path for one in creations if one.file != number), None)
    if first is None:
        return "move the statement below the one that creates the object"
    return _ORDER_HINT.format(first=first, second=script.files[number].path)


def outside_effect_failure(
    script: SchemaScript, catalogs: Sequence[str], place: tuple[int, int] | None = None
) -> BuildFailed:
    """Return the exception for code that changed something outside the database; `place` is the file and statement.

    Positions are from 0. Without a place, the files that run code are listed.
    """
    subject = "the statement" if place else "a DO block or a function"
    message = (
        f"{subject} changes {', '.join(catalogs)}, which all databases of the server share, but a throwaway database"
        " must not affect anything else; the change was rolled back"
    )
    if place is None:
        suspects = tuple(f"{file.path} runs code" for file in script.files if file.runs_code)
        return BuildFailed(Diagnostic(code=_OUTSIDE, message=message, detail=suspects, hint=_OUTSIDE_HINT))
    file = script.files[place[0]]
    offset = file.statement_offsets[place[1]]
    return BuildFailed(file.rendered.diagnostic(offset, _OUTSIDE, message, hint=_OUTSIDE_HINT))


def _statement_text(file: ScriptFile, statement: int) -> str:
    start, *rest = file.statement_offsets[statement : statement + 2]
    return file.rendered.text[start : rest[0] if rest else None]


def _find_later_creations(
    script: SchemaScript, kinds: Sequence[ObjectKind], number: int, offset: int
) -> Iterator[_Creation]:
    """Return the statements after a position that create objects of these kinds, unless the object exists before."""
    if not kinds:
        return
    existing: set[Any] = set()
    for position, file in enumerate(script.files):
        for parsed in parse_rendered(file.rendered):
            for created in created_objects(parsed.kind, parsed.node):
                if created.kind not in kinds:
                    continue
                if (position, parsed.offset) < (number, offset):
                    existing.add((created.kind, created.name))
                elif (created.kind, created.name) not in existing and (position, parsed.offset) > (number, offset):
                    existing.add((created.kind, created.name))
                    yield _Creation(
                        position,
                        parsed.offset,
                        parsed.location.span,
                        f"{created.kind.value} {created.name}",
                        created.name,
                    )


def _is_named_in(name: str, message: str) -> bool:
    """Whether a message, in any language, contains an object's name as a word."""
    return re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", message) is not None
