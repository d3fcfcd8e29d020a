"""Splitting of SQL into statements with PostgreSQL's grammar, and the transaction mode of each statement."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from google.protobuf.message import DecodeError

from confiture.models.plan import Statement, TransactionMode
from confiture.sql.parse_tree import ByteOffsets, Parse
from confiture.sql.parser import parse_sql, pb, postgast, scan_tokens
from confiture.sql.transactions import (
    cannot_run_in_transaction,
    concurrent_index_targets,
    forbidden_reason,
    partition_command,
)

_TOO_DEEP_HINT = "split the statement, or move the repeated part into a list or a table"


def _allow_deep_trees() -> None:
    """Allow trees as deep as the parser's grammar allows, because 50 terms with `||` exceed protobuf's limit."""
    try:
        import_module("google._upb._message").SetAllowOversizeProtos(True)
    except (ImportError, AttributeError):  # other protobuf implementations report deep trees as errors
        return


_allow_deep_trees()

_COMMENTS = frozenset({pb.Token.SQL_COMMENT, pb.Token.C_COMMENT})


class SqlProblem(Exception):
    """SQL that does not parse or is not allowed in a migration. `offset` counts characters from 0."""

    def __init__(self, code: str, message: str, offset: int, hint: str) -> None:
        super().__init__(message)
        self.code, self.message, self.offset, self.hint = code, message, offset, hint


def parse_statements(sql: str, parse: Parse = parse_sql) -> tuple[tuple[Statement, ...], tuple[SqlProblem, ...]]:
    """Return the statements in SQL text, and the problems with statements that are not allowed in a migration.

    Text that does not parse yields no statements and one problem, because PostgreSQL stops at the first error.
    """
    if "\0" in sql:
        return (), (_bad_character_problem(sql, sql.index("\0")),)
    try:
        tree = parse(sql)
    except UnicodeEncodeError as error:  # half of a surrogate pair, which templates can produce
        return (), (_bad_character_problem(sql, error.start),)
    except postgast.PgQueryError as error:
        return (), (_syntax_problem(sql, error),)
    except DecodeError:
        return (), (SqlProblem("sql-syntax", "the SQL is nested too deeply", 0, _TOO_DEEP_HINT),)
    statements: list[Statement] = []
    problems: list[SqlProblem] = []
    positions = ByteOffsets.from_text(sql)
    for raw in tree.stmts:
        # the parser counts bytes here but characters in its errors
        offset = positions.to_characters(raw.stmt_location)
        end = positions.to_characters(raw.stmt_location + raw.stmt_len) if raw.stmt_len else len(sql)
        statement = _make_statement(sql[offset:end].rstrip(), offset, raw.stmt)
        refusal = forbidden_reason(raw.stmt)
        if refusal:
            problems.append(SqlProblem(refusal.code, refusal.message, offset, refusal.hint))
        statements.append(statement)
    return tuple(statements), tuple(problems)


def _bad_character_problem(sql: str, offset: int) -> SqlProblem:
    message = f"SQL cannot contain the character U+{ord(sql[offset]):04X}"
    return SqlProblem("sql-syntax", message, offset, "remove the character")


def normalize_sql(sql: str) -> str:
    """Remove comments and join the tokens with single spaces, for use in checksums.

    Templates are supported: a comment that contains template code stays, because it can produce SQL. In text that
    cannot be scanned, only white space is normalized.
    """
    try:
        tokens = scan_tokens(sql)
    except postgast.PgQueryError:
        return " ".join(sql.split())
    encoded = sql.encode()
    return " ".join(
        text
        for token in tokens
        if (text := encoded[token.start : token.end].decode())
        and (token.token not in _COMMENTS or "{{" in text or "{%" in text)
    )


def _make_statement(text: str, offset: int, node: Any) -> Statement:
    kind = node.WhichOneof("node")
    if not cannot_run_in_transaction(node):
        return Statement(text=text, offset=offset, node_kind=kind)
    builds, drops = concurrent_index_targets(node)
    return Statement(
        text=text,
        offset=offset,
        node_kind=kind,
        transaction_mode=TransactionMode.OUTSIDE,
        built_index=builds,
        dropped_index=drops,
        is_concurrent=can_run_without_concurrently(node),
    )


def can_run_without_concurrently(node: Any) -> bool:
    """Whether a statement that cannot run in a transaction could run in one without CONCURRENTLY."""
    kind = node.WhichOneof("node")
    if kind == "reindex_stmt":
        return node.reindex_stmt.kind in (pb.REINDEX_OBJECT_INDEX, pb.REINDEX_OBJECT_TABLE)
    return kind in ("index_stmt", "drop_stmt", "alter_table_stmt")


def remove_concurrently(text: str) -> str:
    """Remove CONCURRENTLY from a statement, so that the statement can run in a transaction."""
    tree = parse_sql(text)
    node = tree.stmts[0].stmt
    kind = node.WhichOneof("node")
    if kind == "index_stmt":
        node.index_stmt.concurrent = False
    elif kind == "drop_stmt":
        node.drop_stmt.concurrent = False
    elif kind == "alter_table_stmt":
        for command in node.alter_table_stmt.cmds:
            partition_command(command).concurrent = False
    else:
        options = [option for option in node.reindex_stmt.params if option.def_elem.defname != "concurrently"]
        del node.reindex_stmt.params[:]
        node.reindex_stmt.params.extend(options)
    return str(postgast.deparse(tree))


def _syntax_problem(sql: str, error: postgast.PgQueryError) -> SqlProblem:
    offset = min(max(error.cursorpos - 1, 0), max(len(sql.rstrip()) - 1, 0))
    hint = "check this position and the text before it: commas, brackets, quotes, and word order"
    if "memory exhausted" in error.message:
        return SqlProblem("sql-syntax", "the SQL is nested too deeply", offset, _TOO_DEEP_HINT)
    if sql[offset : offset + 1] == "\\":
        hint = "use an SQL command: psql's commands (\\copy, \\i, ...) are not SQL"
    elif offset + 1 == len(sql.rstrip()) and "end of input" in error.message:
        hint = "complete the statement: part of it is missing at the end"
    elif sql[offset : offset + 1] == "{":
        hint = "use a template only in a YAML file or in a file whose name ends in .sql.j2"
    return SqlProblem("sql-syntax", error.message, offset, hint)
