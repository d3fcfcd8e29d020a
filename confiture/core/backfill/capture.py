"""Capture the keys that other sessions write while a backfill runs, so that their rows can be refilled before it ends.

A trigger on each table that the backfill reads inserts the batch keys of OLD and NEW rows into a log table. The
triggers are committed before the first batch. A batch sees all changes committed before it starts, and the log contains
all later ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql

from confiture.core.backfill.batch_key import BatchKey, KeyValues
from confiture.core.db.connection import Connection, fetch_named_row
from confiture.core.db.history_schema import read_format, revoke_from_others
from confiture.core.db.queries import query, quote_table
from confiture.core.db.search_path import SCHEMA
from confiture.models.catalog import QualifiedName

_NOTED = "confiture noted"


@dataclass(frozen=True, kw_only=True, slots=True)
class CapturedTable:
    """A table whose writes are captured. `columns` are the columns that hold the batch key, in key order.

    With `is_target`, the backfill itself writes to this table, and the backfill's own writes are not captured.
    """

    name: QualifiedName
    columns: tuple[str, ...]
    is_target: bool


class SourceTruncated(Exception):
    """A captured table was truncated. A TRUNCATE provides no keys to capture."""


class ChangeCapture:
    """The change log and the triggers of one backfill, named after its number."""

    def __init__(self, connection: Connection, number: int, key: BatchKey) -> None:
        self._connection = connection
        self._key = key
        self._log_table = sql.Identifier(SCHEMA, f"backfill_{number}_keys")
        self._trigger_name = _trigger_name(number)
        self._number = number

    def create_log_table(self) -> None:
        """Create the log table if it does not exist. Raise DatabaseUnavailable if another role created it."""
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(_log_column(place)), sql.SQL(column.log_type))
            for place, column in enumerate(self._key.columns)
        )
        with self._connection.transaction():
            self._connection.execute(
                sql.SQL(
                    "CREATE TABLE IF NOT EXISTS {notes}"
                    " (entry bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {columns})"
                ).format(notes=self._log_table, columns=columns)
            )
            revoke_from_others(self._connection, {f"backfill_{self._number}_keys"})
            # Another role may have created the table in the meantime.
            read_format(self._connection)

    def install(self, table: CapturedTable, position: int) -> None:
        """Start capturing writes to one table, if not done yet. Wait for transactions that are writing to it.

        `position` distinguishes the trigger functions for different tables. Must be called in a transaction. Raise
        DatabaseUnavailable if another role created the function.
        """
        function = self._function_name(position)
        target = sql.Identifier(*table.name)
        self._connection.execute(self._function_definition(table, function))
        self._connection.execute(sql.SQL("REVOKE ALL ON FUNCTION {}() FROM PUBLIC").format(function))
        revoke_from_others(self._connection, {f"backfill_{self._number}_note_{position}"})
        # CREATE OR REPLACE keeps the owner of an existing function.
        read_format(self._connection)
        for event, suffix, level in (("INSERT OR UPDATE OR DELETE", "", "ROW"), ("TRUNCATE", "_truncate", "STATEMENT")):
            trigger = sql.Identifier(self._trigger_name + suffix)
            self._connection.execute(
                sql.SQL(
                    "CREATE OR REPLACE TRIGGER {trigger} AFTER {event} ON {table} FOR EACH {level}"
                    " EXECUTE FUNCTION {function}()"
                ).format(trigger=trigger, event=sql.SQL(event), table=target, level=sql.SQL(level), function=function)
            )
            # Changes applied by replication must be captured too.
            self._connection.execute(sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}").format(target, trigger))
        self._install_on_partitions(target, function)

    def _install_on_partitions(self, table: sql.Identifier, function: sql.Identifier) -> None:
        """Create the TRUNCATE trigger on each partition because, unlike row triggers, it is not inherited."""
        trigger = sql.Identifier(f"{self._trigger_name}_truncate")
        for row in self._connection.execute(query("partitions"), {"table": table.as_string(self._connection)}):
            partition = sql.Identifier(row["schema"], row["name"])
            self._connection.execute(
                sql.SQL(
                    "CREATE OR REPLACE TRIGGER {} AFTER TRUNCATE ON {} FOR EACH STATEMENT EXECUTE FUNCTION {}()"
                ).format(trigger, partition, function)
            )
            self._connection.execute(sql.SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}").format(partition, trigger))

    def is_installed(self, table: CapturedTable) -> bool:
        """Whether writes to a table are captured, including replicated writes."""
        parameters = {
            "table": quote_table(table.name),
            "trigger": self._trigger_name,
            "functions": _function_pattern(self._number),
        }
        return bool(fetch_named_row(self._connection, "capture_installed", **parameters)["installed"])

    def pop_keys(self, limit: int) -> tuple[int, list[KeyValues]]:
        """Delete up to `limit` of the oldest log entries. Return the number of deleted entries and their distinct keys.

        The deletion takes effect when the transaction commits. Raise SourceTruncated.
        """
        columns = [sql.Identifier(_log_column(place)) for place in range(len(self._key))]
        deletion = sql.SQL(query("take_notes").decode()).format(
            notes=self._log_table,
            limit=sql.Literal(limit),
            keys=sql.SQL(", ").join(
                key.log_text(column) for key, column in zip(self._key.columns, columns, strict=True)
            ),
            columns=sql.SQL(", ").join(columns),
        )
        rows = self._connection.execute(deletion).fetchall()
        if any(None in row["key"] for row in rows):
            raise SourceTruncated
        return sum(row["notes"] for row in rows), [tuple(row["key"]) for row in rows]

    def stored_partitions(self) -> set[int]:
        """Return the OIDs of the captured tables' leaf partitions, as of the last `store_state`."""
        oids, _ = self._load_state()
        return oids

    def store_state(self, partitions: Iterable[int]) -> None:
        """Store the partition OIDs and the trigger versions in the comment on the log table."""
        oids = ",".join(map(str, sorted(partitions)))
        versions = ",".join(f"{name}:{version}" for name, version in sorted(self._versions().items()))
        comment = sql.Literal(f"{oids};{versions}")
        self._connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(self._log_table, comment))

    def is_unchanged(self) -> bool:
        """Whether all triggers and their functions are unchanged since the last `store_state`.

        A trigger that was disabled in the meantime counts as changed even if it is enabled again, because writes may
        have been missed.
        """
        _, stored = self._load_state()
        current = self._versions()
        return all(current.get(name) == version for name, version in stored.items())

    def _load_state(self) -> tuple[set[int], dict[str, str]]:
        row = fetch_named_row(self._connection, "notes_comment", notes=self._log_table.as_string(self._connection))
        # Backfills started by an earlier Confiture version have no trigger versions in the comment.
        oids, _, versions = row["comment"].partition(";")
        pairs = (entry.partition(":") for entry in versions.split(",") if entry)
        return {int(oid) for oid in oids.split(",") if oid}, {name: version for name, _, version in pairs}

    def _versions(self) -> dict[str, str]:
        """Return the transactions that last changed the triggers and their functions."""
        parameters = {"functions": _function_pattern(self._number)}
        rows: list[dict[str, str]] = self._connection.execute(query("capture_identity"), parameters).fetchall()
        return {row["object"]: row["version"] for row in rows}

    def leaf_partitions(self, tables: Sequence[CapturedTable]) -> dict[int, CapturedTable]:
        """Return the captured tables' current leaf partitions by OID, each with the columns captured for its table."""
        leaves = {}
        for table in tables:
            name = quote_table(table.name)
            for row in self._connection.execute(query("leaves"), {"table": name}):
                leaves[row["oid"]] = replace(table, name=QualifiedName(row["schema"], row["name"]))
        return leaves

    def capture_all_rows(self, table: CapturedTable) -> None:
        """Capture the keys of all rows in a table, because the writes that created them were not captured."""
        columns = [sql.Identifier(column) for column in table.columns]
        self._connection.execute(
            sql.SQL("INSERT INTO {notes} ({into}) SELECT {columns} FROM {table} WHERE {present}").format(
                notes=self._log_table,
                into=sql.SQL(", ").join(sql.Identifier(_log_column(place)) for place in range(len(columns))),
                columns=sql.SQL(", ").join(columns),
                table=sql.Identifier(*table.name),
                present=sql.SQL(" AND ").join(sql.SQL("{} IS NOT NULL").format(column) for column in columns),
            )
        )

    def delete_captured_rows(
        self, target: QualifiedName, columns: Sequence[str], own_predicate: sql.Composable
    ) -> None:
        """Delete the backfill's own rows with captured keys from a table, aliased t. They are refilled later."""
        same = sql.SQL(" AND ").join(
            key.compare(sql.Identifier("t", column), "=", sql.Identifier("n", _log_column(place)))
            for place, (key, column) in enumerate(zip(self._key.columns, columns, strict=True))
        )
        self._connection.execute(
            sql.SQL("DELETE FROM {} AS t USING {} AS n WHERE {} AND {}").format(
                sql.Identifier(*target), self._log_table, same, own_predicate
            )
        )

    def keys_predicate(self, keys: Sequence[KeyValues], columns: Sequence[sql.Composable]) -> sql.Composed:
        """Return the condition that the columns equal one of the keys."""
        lists = [
            sql.SQL("pg_catalog.unnest({}::{}[])").format(
                sql.Literal([key[place] for key in keys]), sql.SQL(column.log_type)
            )
            for place, column in enumerate(self._key.columns)
        ]
        names = [_log_column(place) for place in range(len(self._key))]
        same = [
            key.compare(column, "=", sql.Identifier(_NOTED, name))
            for key, column, name in zip(self._key.columns, columns, names, strict=True)
        ]
        return sql.SQL("EXISTS (SELECT FROM ROWS FROM ({}) AS {} ({}) WHERE {})").format(
            sql.SQL(", ").join(lists),
            sql.Identifier(_NOTED),
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(" AND ").join(same),
        )

    def _function_name(self, position: int) -> sql.Identifier:
        return sql.Identifier(SCHEMA, f"backfill_{self._number}_note_{position}")

    def _function_definition(self, table: CapturedTable, function: sql.Identifier) -> sql.Composed:
        """Return the trigger function's definition. With SECURITY DEFINER, writers need no privileges on the schema.

        With the function's search path, extension types have only the record operators. Writing a value of another type
        would call a cast function that belongs to the type's owner. Instead, an entry without a key records that a
        write was missed. The same happens for tables other than the captured one and its partitions.
        """
        return sql.SQL(
            "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
            " SET search_path = pg_catalog, pg_temp AS {body}"
        ).format(function=function, body=sql.Literal(self._function_body(table)))

    def _function_body(self, table: CapturedTable) -> str:
        columns = [sql.Identifier(column) for column in table.columns]
        old = sql.SQL(", ").join(sql.SQL("OLD.{}").format(column) for column in columns)
        new = sql.SQL(", ").join(sql.SQL("NEW.{}").format(column) for column in columns)
        is_old = sql.SQL(" AND ").join(sql.SQL("OLD.{} IS NOT NULL").format(column) for column in columns)
        is_new = sql.SQL(" AND ").join(sql.SQL("NEW.{} IS NOT NULL").format(column) for column in columns)
        own = "current_setting('confiture.filling', true) = 'on'" if table.is_target else "false"
        facts = fetch_named_row(
            self._connection, "captured_types", table=quote_table(table.name), columns=list(table.columns)
        )
        changed = sql.SQL(" OR ").join(
            sql.SQL("pg_typeof(NEW.{})::oid <> {}").format(column, sql.Literal(oid))
            for column, oid in zip(columns, facts["types"], strict=True)
        )
        return (
            sql.SQL(
                "BEGIN"
                " IF {own} THEN RETURN NULL; END IF;"
                " IF TG_OP = 'TRUNCATE' THEN INSERT INTO {notes} DEFAULT VALUES; RETURN NULL; END IF;"
                " IF TG_RELID <> ALL ({holders}::oid[]) AND NOT EXISTS"
                " (SELECT FROM pg_partition_ancestors(TG_RELID) p WHERE p.relid::oid = {table}::oid)"
                " THEN INSERT INTO {notes} DEFAULT VALUES; RETURN NULL; END IF;"
                " IF {changed} THEN INSERT INTO {notes} DEFAULT VALUES; RETURN NULL; END IF;"
                " IF TG_OP <> 'INSERT' AND {is_old} THEN INSERT INTO {notes} ({into}) VALUES ({old}); END IF;"
                " IF TG_OP = 'INSERT' AND {is_new} THEN INSERT INTO {notes} ({into}) VALUES ({new}); END IF;"
                " IF TG_OP = 'UPDATE' AND {is_new} AND ROW({new})::record *<> ROW({old})::record"
                " THEN INSERT INTO {notes} ({into}) VALUES ({new}); END IF;"
                " RETURN NULL;"
                " END"
            )
            .format(
                own=sql.SQL(own),
                holders=sql.Literal(facts["holders"]),
                table=sql.Literal(facts["oid"]),
                changed=changed,
                notes=self._log_table,
                into=sql.SQL(", ").join(sql.Identifier(_log_column(place)) for place in range(len(self._key))),
                is_old=is_old,
                is_new=is_new,
                old=old,
                new=new,
            )
            .as_string(self._connection)
        )


def remove_capture(connection: Connection, number: int) -> None:
    """Drop a backfill's triggers, trigger functions and log table, if they exist.

    Each table is briefly locked in ACCESS EXCLUSIVE mode. `connection` is in autocommit mode.
    """
    for row in _find_triggers(connection, number):
        table = sql.Identifier(row["schema"], row["table"])
        connection.execute(sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(row["name"]), table))
    for row in connection.execute(query("capture_functions"), {"pattern": _function_pattern(number)}).fetchall():
        connection.execute(sql.SQL("DROP FUNCTION IF EXISTS {}()").format(sql.Identifier(SCHEMA, row["name"])))
    connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(SCHEMA, f"backfill_{number}_keys")))


def has_capture(connection: Connection, number: int) -> bool:
    """Whether any triggers of the backfill exist."""
    return bool(_find_triggers(connection, number))


def _find_triggers(connection: Connection, number: int) -> list[dict[str, Any]]:
    names = [_trigger_name(number), f"{_trigger_name(number)}_truncate"]
    return connection.execute(
        query("capture_triggers"), {"names": names, "functions": _function_pattern(number)}
    ).fetchall()


def _trigger_name(number: int) -> str:
    return f"confiture_backfill_{number}"


def _function_pattern(number: int) -> str:
    return f"backfill\\_{number}\\_note\\_%"


def _log_column(position: int) -> str:
    return f"k{position + 1}"
