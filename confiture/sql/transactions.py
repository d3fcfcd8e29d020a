"""Statements and transactions: statements that end a transaction, statements that cannot run in one, and effects that a
rollback does not undo.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from confiture.models.plan import ConcurrentIndex
from confiture.sql.options import is_option_enabled
from confiture.sql.parser import parse_sql, pb, postgast

_ALWAYS_OUTSIDE = {
    "alter_system_stmt",
    "createdb_stmt",
    "dropdb_stmt",
    "create_table_space_stmt",
    "drop_table_space_stmt",
    "create_subscription_stmt",
    "drop_subscription_stmt",
}
_REINDEX_MANY = (pb.REINDEX_OBJECT_SCHEMA, pb.REINDEX_OBJECT_SYSTEM, pb.REINDEX_OBJECT_DATABASE)


class Forbidden(NamedTuple):
    """The reason why a statement is not allowed in a migration."""

    code: str
    message: str
    hint: str


def cannot_run_in_transaction(node: Any) -> bool:
    """Whether PostgreSQL rejects the statement inside a transaction (SQLSTATE 25001)."""
    kind = node.WhichOneof("node")
    statement = getattr(node, kind)
    match kind:
        case "index_stmt" | "drop_stmt":
            return bool(statement.concurrent)
        case "reindex_stmt":
            return statement.kind in _REINDEX_MANY or is_option_enabled(statement.params, "concurrently")
        case "vacuum_stmt":
            return bool(statement.is_vacuumcmd)
        case "cluster_stmt":
            return not statement.HasField("relation")
        case "alter_table_stmt":
            return any(partition_command(command).concurrent for command in statement.cmds)
        case "alter_database_stmt":
            return any(option.def_elem.defname == "tablespace" for option in statement.options)
        case "discard_stmt":
            return bool(statement.target == pb.DISCARD_ALL)
    return kind in _ALWAYS_OUTSIDE


def partition_command(command: Any) -> Any:
    """Return the partition command of an ALTER TABLE command; empty if it is another command."""
    return getattr(command.alter_table_cmd, "def").partition_cmd  # the field's name is a Python keyword


def forbidden_reason(node: Any) -> Forbidden | None:
    """Return why the statement is not allowed in a migration; None if it is allowed."""
    kind = node.WhichOneof("node")
    if kind == "transaction_stmt":
        return Forbidden(
            "transaction-control",
            "a step cannot begin, end or mark transactions: Confiture commits a migration together with its history",
            "remove the statement; statements that cannot run in a transaction are detected and run separately",
        )
    if kind == "copy_stmt" and not node.copy_stmt.filename and not node.copy_stmt.is_program:
        return Forbidden(
            "copy-from-client",
            "COPY ... FROM STDIN and COPY ... TO STDOUT need a client that sends or receives the data",
            "use INSERT ... VALUES, or COPY from a file on the server",
        )
    if kind == "index_stmt" and node.index_stmt.concurrent and not node.index_stmt.idxname:
        return Forbidden(
            "unnamed-concurrent-index",
            "an index built CONCURRENTLY needs a name, because the invalid index left by a failed build could not be"
            " found without one",
            "write CREATE INDEX CONCURRENTLY a_name ON ...",
        )
    return None


def concurrent_index_targets(node: Any) -> tuple[ConcurrentIndex | None, ConcurrentIndex | None]:
    """Return the index that a statement builds CONCURRENTLY, and the index that it drops CONCURRENTLY."""
    kind = node.WhichOneof("node")
    if kind == "index_stmt":
        relation = node.index_stmt.relation
        index = ConcurrentIndex(
            name=node.index_stmt.idxname, schema=relation.schemaname or None, table=relation.relname
        )
        return index, None
    if kind == "drop_stmt":
        parts = [item.string.sval for item in node.drop_stmt.objects[0].list.items]
        return None, ConcurrentIndex(name=parts[-1], schema=parts[-2] if len(parts) > 1 else None)
    return None, None


_POSSIBLE_EFFECT = re.compile(r"dblink|http|lo_export|pg_file|pg_logical|copy|u&", re.IGNORECASE)
_OUTSIDE = re.compile(r"(.*\.)?(dblink\w*|http\w*|lo_export|pg_file_\w+|pg_logical_emit_message)", re.IGNORECASE)


def find_non_transactional_effects(sql: str) -> tuple[str, ...]:
    """Describe the effects of a statement that a rollback does not undo. Function bodies are not analyzed."""
    if not _POSSIBLE_EFFECT.search(sql):
        return ()
    tree = parse_sql(sql)
    effects = []
    node = tree.stmts[0].stmt
    if node.WhichOneof("node") == "copy_stmt" and node.copy_stmt.is_program:
        effects.append("COPY ... PROGRAM runs its program")
    if (
        node.WhichOneof("node") == "copy_stmt"
        and node.copy_stmt.filename
        and not (node.copy_stmt.is_from or node.copy_stmt.is_program)
    ):
        effects.append("COPY ... TO writes its file")
    names = sorted(set(postgast.extract_functions(tree)))
    effects += [f"{name}() acts outside the transaction" for name in names if _OUTSIDE.fullmatch(name)]
    return tuple(effects)
