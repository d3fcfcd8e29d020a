"""The schema of our tables: whether it is ours, and whether it is safe to read and write it.

Whoever owns a table, or may put a trigger on it, can have code run with the rights of the role that writes it next. So
before anything is read, the owners, the privileges of others, and all that runs code are looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from confiture.core.db.connection import Connection, fetch_named_row
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


def read_format(connection: Connection, *, only_reads: bool = False) -> int:
    """The format of our tables, 0 where there are none. Raises DatabaseUnavailable where a newer program made them, and
    where the schema is not ours, or not safe.

    To read them as an ordinary role, it is enough that they run no code: who owns or may write them is not asked.
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
            f"the schema {SCHEMA} is not that of the migration history: it holds {names}",
            f"rename it: ALTER SCHEMA {SCHEMA} RENAME TO ...; the history needs a schema of this name",
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
    return version


def check_maker(connection: Connection) -> None:
    """Raises DatabaseUnavailable where what this session makes would belong to a role that it cannot trust."""
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
    """Takes back what default privileges gave on the schema, tables, sequences and functions that were just made, to
    roles that are not trusted. They are named without their schema; the sequences of tables go with them.
    """
    for one in _read_schema(connection)["privileges"]:
        if one["name"] in names or (one["kind"] == "SEQUENCE" and one["table"] in names):
            connection.execute(_revocation(one).encode())


def _read_schema(connection: Connection) -> dict[str, Any]:
    parameters = {
        "login": connection.info.user,
        "known": list(TABLES),
        "first_oid": _FIRST_OID,
        "foreign_expression": _FOREIGN_EXPRESSION,
    }
    return fetch_named_row(connection, "state_schema", **parameters)


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


def _find_foreign_privileges(row: Mapping[str, Any]) -> Iterator[Diagnostic]:
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
    """The statement that takes privileges back, also from those to whom the role has passed them on."""
    name = SCHEMA if one["kind"] == "SCHEMA" else f"{SCHEMA}.{one['name']}"
    kind = "" if one["kind"] == "TABLE" else f"{one['kind']} "
    call = "()" if one["kind"] == "FUNCTION" else ""
    return f"REVOKE {', '.join(one['privileges'])} ON {kind}{name}{call} FROM {one['grantee']} CASCADE"


def _ownership_hint(row: Mapping[str, Any], owned: Mapping[str, Any]) -> str:
    """What to do about a schema or a table of ours whose owner is not trusted. A history is never dropped."""
    connect = f"connect as {owned['owner']}"
    if not row["is_superuser"]:
        return f"{connect}; or have a superuser run GRANT {owned['owner']} TO {owned['role']}"
    owners = [f"ALTER SCHEMA {SCHEMA} OWNER TO {owned['role']}"] if not row["is_trusted"] else []
    owners += [
        f"ALTER TABLE {SCHEMA}.{one['name']} OWNER TO {one['role']}"
        for one in row["relations"]
        if not one["is_trusted"]
    ]
    return f"{connect}; or, if you know where it comes from: {'; '.join(owners)}"


def _foreign_tables(row: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """Tables of owners that are not trusted; those of one owner are one problem."""
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
            else f"find out who made it, then DROP TABLE {', '.join(names)}",
        )


def _foreign_function(function: Mapping[str, Any]) -> Diagnostic:
    name = function["name"]
    return Diagnostic(
        code="foreign-code",
        message=f"the function {name} belongs to the role {function['owner']}, which {function['role']} cannot trust",
        hint=f"find out who made it, then DROP FUNCTION {name} CASCADE",
    )


def _table_problems(relation: Mapping[str, Any]) -> Iterator[Diagnostic]:
    """What is wrong with one of our tables, whoever owns it."""
    name = f"{SCHEMA}.{relation['name']}"
    if relation["kind"] != "r":
        yield Diagnostic(
            code="foreign-table",
            message=f"{name} is not an ordinary table",
            hint="restore the schema from a backup: something else stands in place of the history",
        )
    if relation["code"]:
        fixes = "; ".join(relation["fixes"])
        rest = "" if relation["is_fixable"] else "restore the table from a backup" if not fixes else "drop the rest"
        yield Diagnostic(
            code="foreign-code",
            message=f"{name} runs code that is not of this program",
            detail=tuple(relation["code"]),
            hint=f"find out who added it, then {', and '.join(one for one in (fixes, rest) if one)}",
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
    elif (gone := _find_missing(before, now)) is not None:
        told, hint = gone, "leave this schema and its tables alone"
    else:
        return
    message = f"{migration.label} {told}"
    raise StepFailed(migration.file.diagnostic(migration.span, "schema-clash", message, hint=hint), None)


def _find_missing(before: SchemaContent, now: SchemaContent) -> str | None:
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
