"""The schema of our tables: whether it is ours, and whether it is safe to read and write it.

Whoever owns a table, or may put a trigger on it, can have code run with the rights of the role that writes it next. So
before anything is read, the owners, the privileges of everyone, and all that runs code are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from confiture.core.database import Connection, one_row
from confiture.core.failures import StepFailed
from confiture.core.queries import FORMAT, query
from confiture.core.search_path import SCHEMA
from confiture.errors import DatabaseUnavailable, Diagnostic
from confiture.models.migration import MigrationFile

TABLES: Mapping[str, int] = {
    "format": 1,
    "migrations": 1,
    "journal": 1,
    "predictions": 1,
    "reconciliations": 2,
    "backfills": 2,
    "backfill_ranges": 2,
}
"""Our tables, and the format that added each."""


def read_format(connection: Connection) -> int:
    """The format of our tables, 0 where there are none. Raises DatabaseUnavailable where a newer program made them, and
    where the schema is not ours, or not safe.
    """
    row = connection.execute(query("state_schema")).fetchone()
    if row is None:
        return 0
    relations: list[dict[str, Any]] = row["relations"]
    if not row["is_trusted"]:
        raise _refused(
            "foreign-schema",
            f"the schema {SCHEMA} belongs to the role {row['owner']}, which {row['role']} cannot trust",
            f"connect as {row['owner']}; or drop the schema, or ALTER SCHEMA {SCHEMA} OWNER TO {row['role']}",
        )
    if not relations:
        return 0
    ours = [relation for relation in relations if relation["name"] in TABLES]
    if not any(_is_format(relation) for relation in ours):
        names = ", ".join(relation["name"] for relation in relations[:3])
        raise _refused(
            "schema-clash",
            f"the schema {SCHEMA} is not that of the migration history: it holds {names}",
            f"rename it: ALTER SCHEMA {SCHEMA} RENAME TO ...; the history needs a schema of this name",
        )
    problems = [*_extensible(row), *(problem for relation in ours for problem in _problems(relation, row["role"]))]
    if problems:
        raise DatabaseUnavailable(*problems)
    version = int(one_row(connection, "format_version")["version"])
    _require_known(version)
    _require_whole(version, {relation["name"] for relation in ours})
    return version


def _is_format(relation: Mapping[str, Any]) -> bool:
    return bool(relation["name"] == "format" and relation["columns"] == ["version"])


def _extensible(row: Mapping[str, Any]) -> Iterator[Diagnostic]:
    if row["may_be_extended"]:
        yield Diagnostic(
            code="open-schema",
            message=f"every role may create objects in the schema {SCHEMA}",
            hint=f"REVOKE CREATE ON SCHEMA {SCHEMA} FROM PUBLIC",
        )


def _problems(relation: Mapping[str, Any], role: str) -> Iterator[Diagnostic]:
    """What is wrong with one of our tables."""
    name = f"{SCHEMA}.{relation['name']}"
    if relation["kind"] != "r":
        yield Diagnostic(
            code="foreign-table",
            message=f"{name} is not an ordinary table",
            hint="restore the schema from a backup: something else stands in place of the history",
        )
    if not relation["is_trusted"]:
        yield Diagnostic(
            code="foreign-table",
            message=f"the table {name} belongs to the role {relation['owner']}, which {role} cannot trust",
            hint=f"connect as {relation['owner']}, or ALTER TABLE {name} OWNER TO {role}",
        )
    if relation["public"]:
        privileges = ", ".join(sorted(relation["public"]))
        yield Diagnostic(
            code="open-table",
            message=f"every role has {privileges} on {name}: anyone can forge the history",
            hint=f"REVOKE {privileges} ON {name} FROM PUBLIC, then compare the history with a backup",
        )
    if relation["code"]:
        yield Diagnostic(
            code="foreign-code",
            message=f"{name} runs code that is not of this program",
            detail=tuple(dict.fromkeys(relation["code"])),
            hint="find out who added it, and drop it",
        )


def _require_known(version: int) -> None:
    if version > FORMAT:
        raise _refused(
            "newer-state",
            f"the tables in schema {SCHEMA} have format {version}; this program knows {FORMAT}",
            "upgrade confiture",
        )


def _require_whole(version: int, names: set[str]) -> None:
    missing = [f"{SCHEMA}.{name}" for name, since in TABLES.items() if since <= version and name not in names]
    if missing:
        raise _refused(
            "missing-table",
            f"the history is not whole: {', '.join(missing)} is missing",
            "restore the schema from a backup",
        )


def require_schema_untouched(connection: Connection, migration: MigrationFile) -> None:
    """Raises StepFailed if a migration made a table or a view in our schema, or removed one of ours, in the transaction
    that is open.
    """
    oldest = [name for name, since in TABLES.items() if since == 1]
    row = connection.execute(query("changed_relations"), {"known": list(TABLES), "oldest": oldest}).fetchone()
    if row is None:
        return
    name, label = f"{SCHEMA}.{row['name']}", migration.label
    if row["is_gone"]:
        message, hint = f"{label} removes {name}, a table of the history", "leave the tables of this schema alone"
    else:
        message = f"{label} makes {name}: this schema is for the history alone"
        hint = "make it in another schema, and see what sets the search path"
    raise StepFailed(migration.file.diagnostic(migration.span, "schema-clash", message, hint=hint), None)


def _refused(code: str, message: str, hint: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(Diagnostic(code=code, message=message, hint=hint))
