"""The schema of our tables: whether it is ours, and whether it is safe to read and write it.

Whoever owns a table, or may put a trigger on it, can have code run with the rights of the role that writes it next. So
before anything is read, the owners, the privileges of others, and all that runs code are looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confiture.core.db.connection import Connection
from confiture.core.db.errors import StepFailed
from confiture.core.db.queries import FORMAT, query
from confiture.core.db.search_path import SCHEMA
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
_FORMAT_COLUMNS = "version integer"
_FIRST_OID = 16_384
_FOREIGN_EXPRESSION = (
    r"\{(?!(CONST|VAR|FUNCEXPR|OPEXPR|SCALARARRAYOPEXPR|ARRAYEXPR|BOOLEXPR|SQLVALUEFUNCTION) )"
    r"|:funcid (?!(2649|406|481|316) )|:opno (?!98 )"
)
"""Of a default or a check, as the catalog keeps it, what our formats do not use: they call clock_timestamp, turn
session_user into text and integers into bigint and double precision, and compare texts.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaContent:
    """What the schema holds at one moment: the OIDs of itself, its tables of ours and their owners; and what is not
    ours, by OID.
    """

    schema: tuple[int, int] | None
    tables: Mapping[str, tuple[int, int]]
    others: Mapping[str, str]


def read_format(connection: Connection) -> int:
    """The format of our tables, 0 where there are none. Raises DatabaseUnavailable where a newer program made them, and
    where the schema is not ours, or not safe.
    """
    row = _read_schema(connection)
    if row is None:
        return 0
    if not row["is_trusted"]:
        raise _schema_error(
            "foreign-schema",
            f"the schema {SCHEMA} belongs to the role {row['owner']}, which {row['role']} cannot trust",
            f"connect as {row['owner']}; or drop the schema, or ALTER SCHEMA {SCHEMA} OWNER TO {row['role']}",
        )
    relations: list[dict[str, Any]] = row["relations"]
    is_history = row["format_columns"] == _FORMAT_COLUMNS
    if (relations or row["others"]) and not is_history:
        names = ", ".join([*(f"{SCHEMA}.{relation['name']}" for relation in relations), *row["others"]][:3])
        raise _schema_error(
            "schema-clash",
            f"the schema {SCHEMA} is not that of the migration history: it holds {names}",
            f"rename it: ALTER SCHEMA {SCHEMA} RENAME TO ...; the history needs a schema of this name",
        )
    problems = [
        *_shared(row),
        *(problem for relation in relations for problem in _table_problems(relation, row["role"])),
    ]
    problems += [_foreign_function(function, row["role"]) for function in row["functions"]]
    if problems:
        raise DatabaseUnavailable(*problems)
    if not is_history:
        return 0
    version = _read_version(connection)
    _check_format_supported(version)
    _check_tables_complete(version, {relation["name"] for relation in relations})
    return version


def revoke_from_others(connection: Connection, names: Collection[str]) -> None:
    """Takes back what default privileges gave on the schema, tables and sequences that were just made, to roles that
    are not trusted. The tables are named without their schema; their sequences go with them.
    """
    row = _read_schema(connection)
    for one in row["privileges"] if row else ():
        if one["name"] in names or (one["kind"] == "SEQUENCE" and one["table"] in names):
            connection.execute(_revocation(one).encode())


def _read_schema(connection: Connection) -> dict[str, Any] | None:
    parameters = {
        "login": connection.info.user,
        "known": list(TABLES),
        "first_oid": _FIRST_OID,
        "foreign_expression": _FOREIGN_EXPRESSION,
    }
    return connection.execute(query("state_schema"), parameters).fetchone()


def _read_version(connection: Connection) -> int:
    rows = connection.execute(query("format_version")).fetchall()
    versions = [row["version"] for row in rows]
    if len(versions) != 1 or versions[0] is None or versions[0] < 1:
        held = {0: "no row", 1: f"the version {versions[0]}" if versions else ""}.get(len(versions), "several rows")
        raise _schema_error(
            "damaged-format",
            f"the table {SCHEMA}.format holds {held}: it must hold one, the format of the history",
            "restore it from a backup; the tables that are there have the format that docs/state.md says, at most"
            f" {FORMAT}",
        )
    return int(versions[0])


def _shared(row: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """What roles that are not trusted may do to the schema and its tables."""
    for one in row["privileges"]:
        who = "every role" if one["grantee"] == "PUBLIC" else f"the role {one['grantee']}, which is not trusted,"
        name = f"{SCHEMA}.{one['name']}"
        if one["kind"] == "SCHEMA":
            yield Diagnostic(
                code="open-schema",
                message=f"{who} may create objects in the schema {SCHEMA}",
                hint=_revocation(one),
            )
        else:
            yield Diagnostic(
                code="open-table",
                message=f"{who} has {', '.join(one['privileges'])} on {name}: it can forge the history, or run code in"
                " our name",
                hint=f"{_revocation(one)}, then compare the history with a backup",
            )


def _revocation(one: Mapping[str, Any]) -> str:
    name = SCHEMA if one["kind"] == "SCHEMA" else f"{SCHEMA}.{one['name']}"
    kind = "" if one["kind"] == "TABLE" else f"{one['kind']} "
    return f"REVOKE {', '.join(one['privileges'])} ON {kind}{name} FROM {one['grantee']}"


def _foreign_function(function: Mapping[str, Any], role: str) -> Diagnostic:
    return Diagnostic(
        code="foreign-code",
        message=f"the {function['name']} belongs to the role {function['owner']}, which {role} cannot trust",
        hint=f"find out who made it, and drop it: DROP {function['name'].upper().partition(' ')[0]} ...",
    )


def _table_problems(relation: Mapping[str, Any], role: str) -> Iterator[Diagnostic]:
    """What is wrong with one of our tables."""
    name = f"{SCHEMA}.{relation['name']}"
    if relation["kind"] != "r":
        yield Diagnostic(
            code="foreign-table",
            message=f"{name} is not an ordinary table",
            hint="restore the schema from a backup: something else stands in place of the history",
        )
    if not relation["is_trusted"]:
        is_lasting = relation["name"] in TABLES
        yield Diagnostic(
            code="foreign-table",
            message=f"the table {name} belongs to the role {relation['owner']}, which {role} cannot trust",
            hint=f"connect as {relation['owner']}, or "
            + (f"ALTER TABLE {name} OWNER TO {role}" if is_lasting else f"find out who made it, and DROP TABLE {name}"),
        )
    if relation["code"]:
        yield Diagnostic(
            code="foreign-code",
            message=f"{name} runs code that is not of this program",
            detail=tuple(relation["code"]),
            hint="find out who added it, and drop it",
        )


def _check_format_supported(version: int) -> None:
    if version > FORMAT:
        raise _schema_error(
            "newer-state",
            f"the tables in schema {SCHEMA} have format {version}; this program knows {FORMAT}",
            "upgrade confiture",
        )


def _check_tables_complete(version: int, names: set[str]) -> None:
    missing = [f"{SCHEMA}.{name}" for name, since in TABLES.items() if since <= version and name not in names]
    if missing:
        raise _schema_error(
            "missing-table",
            f"the history is not whole: {', '.join(missing)} is missing",
            "restore the schema from a backup",
        )
    early = [f"{SCHEMA}.{name}" for name, since in TABLES.items() if since > version and name in names]
    if early:
        raise _schema_error(
            "schema-clash",
            f"the history has format {version}, which does not have the table {early[0]}: an upgrade needs the name",
            f"if it is yours, move it: ALTER TABLE {early[0]} SET SCHEMA public; else restore {SCHEMA}.format",
        )


def read_content(connection: Connection) -> SchemaContent:
    """What the schema holds now."""
    row = connection.execute(query("schema_content"), {"known": list(TABLES)}).fetchone()
    if row is None:
        return SchemaContent(schema=None, tables={}, others={})
    tables = {name: (oid, owner) for name, (oid, owner) in row["tables"].items()}
    return SchemaContent(schema=(row["schema"], row["owner"]), tables=tables, others=row["others"])


def check_schema_untouched(connection: Connection, migration: MigrationFile, before: SchemaContent) -> None:
    """Raises StepFailed if a migration made something in our schema, or removed something of ours, in the transaction
    that is open. `before` is what the schema held before it.
    """
    now = read_content(connection)
    made = [now.others[oid] for oid in now.others.keys() - before.others.keys()]
    if made:
        told = f"makes {min(made)}: the schema {SCHEMA} is for the history alone"
        hint = "make it in another schema, and see what sets the search path"
    elif (gone := _gone(before, now)) is not None:
        told, hint = gone, "leave this schema and its tables alone"
    else:
        return
    message = f"{migration.label} {told}"
    raise StepFailed(migration.file.diagnostic(migration.span, "schema-clash", message, hint=hint), None)


def _gone(before: SchemaContent, now: SchemaContent) -> str | None:
    """What of ours is not there any more, or belongs to another role."""
    if before.schema is None:
        return None
    if now.schema is None or now.schema[0] != before.schema[0]:
        return f"drops or renames {SCHEMA}, the schema of the history"
    if now.schema != before.schema:
        return f"gives {SCHEMA}, the schema of the history, to another role"
    for name, (oid, owner) in before.tables.items():
        if name not in now.tables or now.tables[name][0] != oid:
            return f"removes {SCHEMA}.{name}, a table of the history"
        if now.tables[name][1] != owner:
            return f"gives {SCHEMA}.{name}, a table of the history, to another role"
    return None


def stray_note(content: SchemaContent) -> str | None:
    """What people should know of things in the schema that are not ours; None where there are none."""
    if not content.others:
        return None
    names = ", ".join(sorted(content.others.values())[:3])
    return f"the schema {SCHEMA} is for the history, but also holds {names}: move it with ALTER ... SET SCHEMA"


def _schema_error(code: str, message: str, hint: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(Diagnostic(code=code, message=message, hint=hint))
