"""The history schema: check that it belongs to Confiture, and that reading from and writing to it is safe.

A table's owner, or a role that can create a trigger on the table, can run code with the privileges of the next role
that writes to the table. So before reading anything, Confiture checks the owners, the privileges of other roles, and
all objects that run code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confiture.core.db.connection import Connection, fetch_named_row
from confiture.core.db.errors import StepFailed
from confiture.core.db.queries import FIRST_WITH_EVENTS, FORMAT, query
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
    "identity": 4,
    "history_events": 4,
    "texts": 4,
}
"""Confiture's tables, each with the format that added it."""
_APPEND_ONLY_FUNCTION = "refuse_change"
_FORMAT_COLUMNS = "version integer"
_FIRST_OID = 16_384
_FOREIGN_EXPRESSION = (
    r"\{(?!(CONST|VAR|FUNCEXPR|OPEXPR|SCALARARRAYOPEXPR|ARRAYEXPR|BOOLEXPR|SQLVALUEFUNCTION) )"
    r"|:funcid (?!(2649|406|481|316) )|:opno (?!98 )"
)
"""A pattern that matches parts of a stored default or check that Confiture's formats never use. The formats call
clock_timestamp, cast session_user to text and integers to bigint and double precision, and compare text values.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaContent:
    """A snapshot of the schema's content: the OIDs of the schema, of Confiture's tables and of their owners, the row
    versions of the append-only trigger and its function (None if there is no such trigger), and all other objects by
    OID.
    """

    schema: tuple[int, int] | None
    tables: Mapping[str, tuple[int, int]]
    append_only: str | None
    others: Mapping[str, str]


def read_format(connection: Connection, *, only_reads: bool = False) -> int:
    """Return the format of the history tables, or 0 if no tables exist.

    Raise DatabaseUnavailable if a newer version created the tables, or if the schema is not Confiture's or is unsafe.
    With `only_reads`, an ordinary role only needs tables that run no code, so owners and privileges are not checked.
    """
    row = _read_schema(connection)
    if not row["has_schema"]:
        return 0
    only_reads = only_reads and not row["is_superuser"]
    relations: list[dict[str, Any]] = row["relations"]
    is_history = row["format_columns"] == _FORMAT_COLUMNS
    if not row["is_trusted"] and not only_reads:
        is_empty = not (relations or row["others"])
        drop = f"connect as {row['owner']}; or, as its owner or a superuser, DROP SCHEMA {SCHEMA}"
        raise _schema_error(
            "foreign-schema",
            f"the schema {SCHEMA} belongs to the role {row['owner']}, which {row['role']} cannot trust",
            drop if is_empty else _ownership_hint(row, row),
        )
    if (relations or row["others"]) and not is_history:
        names = ", ".join([*(f"{SCHEMA}.{relation['name']}" for relation in relations), *row["others"]][:3])
        raise _schema_error(
            "schema-clash",
            f"the schema {SCHEMA} does not belong to the migration history: it contains {names}",
            f"rename it: ALTER SCHEMA {SCHEMA} RENAME TO ...; the history needs a schema with this name",
        )
    problems = [problem for relation in relations for problem in _table_problems(relation)]
    if not only_reads:
        problems += [*_foreign_tables(row), *map(_foreign_function, row["functions"]), *_find_foreign_privileges(row)]
    if problems:
        raise DatabaseUnavailable(*problems)
    if not is_history:
        return 0
    version = _read_version(connection)
    _check_format_supported(version)
    _check_tables_complete(version, {relation["name"] for relation in relations})
    if version >= FIRST_WITH_EVENTS and not (row["is_append_only"] or only_reads):
        raise _schema_error(
            "not-append-only",
            f"the table {SCHEMA}.history_events is no longer append-only: its trigger is missing",
            f"compare its rows with a backup, then run: {' '.join(query('append_only').decode().split())}",
        )
    return version


def check_maker(connection: Connection) -> None:
    """Raise DatabaseUnavailable if objects created by this session would belong to an untrusted role."""
    row = _read_schema(connection)
    if row["maker_distrusted_by"]:
        raise _schema_error(
            "foreign-schema",
            f"the history would belong to the role {row['maker']}, which {row['maker_distrusted_by']} cannot trust",
            f"connect as {row['maker']}"
            + (
                ""
                if row["is_superuser"]
                else f"; or have a superuser run GRANT {row['maker']} TO {row['maker_distrusted_by']}"
            ),
        )


def revoke_from_others(connection: Connection, names: Collection[str]) -> None:
    """Revoke the default privileges that untrusted roles received on new schemas, tables, sequences and functions.

    The names do not include the schema. Sequences that belong to the tables are included, and so is the function of the
    append-only table.
    """
    names = {*names, _APPEND_ONLY_FUNCTION}
    for one in _read_schema(connection)["privileges"]:
        if one["name"] in names or (one["kind"] == "SEQUENCE" and one["table"] in names):
            connection.execute(_revocation(one).encode())


def _read_schema(connection: Connection) -> dict[str, Any]:
    parameters = {
        "login": connection.info.user,
        "known": list(TABLES),
        "first_oid": _FIRST_OID,
        "foreign_expression": _FOREIGN_EXPRESSION,
        "append_only_body": query("append_only").decode().split("$$")[1],
    }
    return fetch_named_row(connection, "state_schema", **parameters)


def _read_version(connection: Connection) -> int:
    rows = connection.execute(query("format_version")).fetchall()
    versions = [row["version"] for row in rows]
    if len(versions) != 1 or versions[0] is None or versions[0] < 1:
        content = {0: "no row", 1: f"the version {versions[0]}" if versions else ""}.get(len(versions), "several rows")
        raise _schema_error(
            "damaged-format",
            f"the table {SCHEMA}.format contains {content}, but must contain one row with the history format",
            f"restore it from a backup; docs/state.md lists the format of the existing tables, at most {FORMAT}",
        )
    return int(versions[0])


def _find_foreign_privileges(row: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each privilege that an untrusted role holds on the schema and its tables."""
    for one in row["privileges"]:
        who = "every role" if one["grantee"] == "PUBLIC" else f"the role {one['grantee']}, which is not trusted,"
        name = f"{SCHEMA}.{one['name']}"
        if one["kind"] == "SCHEMA":
            yield Diagnostic(
                code="open-schema",
                message=f"{who} can create objects in the schema {SCHEMA}",
                hint=_revocation(one),
            )
        else:
            yield Diagnostic(
                code="open-table",
                message=f"{who} has {', '.join(one['privileges'])} on {name}, and can forge the history or run"
                " code with Confiture's privileges",
                hint=f"{_revocation(one)}, then compare the history with a backup",
            )


def _revocation(one: Mapping[str, Any]) -> str:
    """Return the REVOKE statement for the privileges. It also covers roles to which the privileges were passed on."""
    name = SCHEMA if one["kind"] == "SCHEMA" else f"{SCHEMA}.{one['name']}"
    kind = "" if one["kind"] == "TABLE" else f"{one['kind']} "
    call = "()" if one["kind"] == "FUNCTION" else ""
    return f"REVOKE {', '.join(one['privileges'])} ON {kind}{name}{call} FROM {one['grantee']} CASCADE"


def _ownership_hint(row: Mapping[str, Any], owned: Mapping[str, Any]) -> str:
    """Return the hint for a schema or history table with an untrusted owner. A history is never dropped."""
    connect = f"connect as {owned['owner']}"
    if not row["is_superuser"]:
        return f"{connect}; or have a superuser run GRANT {owned['owner']} TO {owned['role']}"
    owners = [f"ALTER SCHEMA {SCHEMA} OWNER TO {owned['role']}"] if not row["is_trusted"] else []
    owners += [
        f"ALTER TABLE {SCHEMA}.{one['name']} OWNER TO {one['role']}"
        for one in row["relations"]
        if not one["is_trusted"]
    ]
    return f"{connect}; or, if you know its origin: {'; '.join(owners)}"


def _foreign_tables(row: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """Yield a diagnostic for each untrusted table owner."""
    foreign = [relation for relation in row["relations"] if not relation["is_trusted"]]
    for owner in dict.fromkeys(relation["owner"] for relation in foreign):
        owned = [relation for relation in foreign if relation["owner"] == owner]
        names = [f"{SCHEMA}.{relation['name']}" for relation in owned]
        what = f"the table {names[0]} belongs" if len(names) == 1 else f"the tables {', '.join(names)} belong"
        is_lasting = any(relation["name"] in TABLES for relation in owned)
        yield Diagnostic(
            code="foreign-table",
            message=f"{what} to the role {owner}, which {owned[0]['role']} cannot trust",
            hint=_ownership_hint(row, owned[0])
            if is_lasting
            else f"find out who created it, then DROP TABLE {', '.join(names)}",
        )


def _foreign_function(function: Mapping[str, Any]) -> Diagnostic:
    name = function["name"]
    is_lasting = name == f"{SCHEMA}.{_APPEND_ONLY_FUNCTION}()"
    fix = f"ALTER FUNCTION {name} OWNER TO {function['role']}" if is_lasting else f"DROP FUNCTION {name} CASCADE"
    return Diagnostic(
        code="foreign-code",
        message=f"the function {name} belongs to the role {function['owner']}, which {function['role']} cannot trust",
        hint=f"find out who created it, then {fix}",
    )


def _table_problems(relation: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """Yield the problems with one history table, regardless of its owner."""
    name = f"{SCHEMA}.{relation['name']}"
    if relation["kind"] != "r":
        yield Diagnostic(
            code="foreign-table",
            message=f"{name} is not an ordinary table",
            hint="restore the schema from a backup: another object has replaced the history",
        )
    if relation["code"]:
        fixes = "; ".join(relation["fixes"])
        rest = "" if relation["is_fixable"] else "restore the table from a backup" if not fixes else "drop the rest"
        yield Diagnostic(
            code="foreign-code",
            message=f"{name} runs code that is not Confiture's",
            detail=tuple(relation["code"]),
            hint=f"find out who added it, then {', and '.join(one for one in (fixes, rest) if one)}",
        )


def _check_format_supported(version: int) -> None:
    if version > FORMAT:
        raise _schema_error(
            "newer-state",
            f"the tables in schema {SCHEMA} have format {version}; this version of Confiture supports {FORMAT}",
            "upgrade confiture",
        )


def _check_tables_complete(version: int, names: set[str]) -> None:
    missing = [f"{SCHEMA}.{name}" for name, since in TABLES.items() if since <= version and name not in names]
    if missing:
        raise _schema_error(
            "missing-table",
            f"the history is incomplete: {', '.join(missing)} is missing",
            "restore the schema from a backup",
        )
    early = [f"{SCHEMA}.{name}" for name, since in TABLES.items() if since > version and name in names]
    if early:
        raise _schema_error(
            "schema-clash",
            f"the history has format {version}, which has no table {early[0]}: an upgrade needs that name",
            f"if it is yours, use ALTER TABLE {early[0]} SET SCHEMA public; otherwise restore {SCHEMA}.format",
        )


def read_content(connection: Connection) -> SchemaContent:
    """Return the schema's current content."""
    row = connection.execute(query("schema_content"), {"known": list(TABLES)}).fetchone()
    if row is None:
        return SchemaContent(schema=None, tables={}, append_only=None, others={})
    tables = {name: (oid, owner) for name, (oid, owner) in row["tables"].items()}
    schema = (row["schema"], row["owner"])
    return SchemaContent(schema=schema, tables=tables, append_only=row["append_only"], others=row["others"])


def check_schema_untouched(connection: Connection, migration: MigrationFile, before: SchemaContent) -> None:
    """Raise StepFailed if a migration created or removed an object in Confiture's schema in the open transaction.

    `before` is the schema's content before the migration.
    """
    now = read_content(connection)
    new_objects = [now.others[oid] for oid in now.others.keys() - before.others.keys()]
    if new_objects:
        problem = f"creates {min(new_objects)}: the schema {SCHEMA} is reserved for the history"
        hint = "create it in another schema, and check what sets the search path"
    elif (removal := _find_missing(before, now)) is not None:
        problem, hint = removal, "do not change this schema and its tables"
    else:
        return
    message = f"{migration.label} {problem}"
    raise StepFailed(migration.file.diagnostic(migration.span, "schema-clash", message, hint=hint), None)


def _find_missing(before: SchemaContent, now: SchemaContent) -> str | None:
    """Describe the history object that is missing, changed or now belongs to another role; None if there is none."""
    if before.schema is None:
        return None
    if now.schema is None or now.schema[0] != before.schema[0]:
        return f"drops or renames the history schema {SCHEMA}"
    if now.schema != before.schema:
        return f"changes the owner of the history schema {SCHEMA}"
    for name, (oid, owner) in before.tables.items():
        if name not in now.tables or now.tables[name][0] != oid:
            return f"removes the history table {SCHEMA}.{name}"
        if now.tables[name][1] != owner:
            return f"changes the owner of the history table {SCHEMA}.{name}"
    if before.append_only is not None and now.append_only != before.append_only:
        return f"changes the trigger that makes {SCHEMA}.history_events append-only, or its function"
    return None


def stray_note(content: SchemaContent) -> str | None:
    """Return a note about foreign objects in the schema; None if there are none."""
    if not content.others:
        return None
    names = ", ".join(sorted(content.others.values())[:3])
    return f"the history schema {SCHEMA} also contains other objects ({names}): move them with ALTER ... SET SCHEMA"


def _schema_error(code: str, message: str, hint: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(Diagnostic(code=code, message=message, hint=hint))
