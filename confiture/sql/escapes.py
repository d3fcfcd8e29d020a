"""Finds what leaves the database: a rollback does not take it back."""

from __future__ import annotations

import re

from confiture.sql.grammar import parse_sql, postgast

_WORTH_PARSING = re.compile(r"dblink|http|lo_export|pg_file|pg_logical|copy|u&", re.IGNORECASE)
_OUTSIDE = re.compile(r"(.*\.)?(dblink\w*|http\w*|lo_export|pg_file_\w+|pg_logical_emit_message)", re.IGNORECASE)


def escapes(sql: str) -> tuple[str, ...]:
    """What of one statement a rollback leaves done, in words. Function bodies are not looked into."""
    if not _WORTH_PARSING.search(sql):
        return ()
    tree = parse_sql(sql)
    found = []
    node = tree.stmts[0].stmt
    if node.WhichOneof("node") == "copy_stmt" and node.copy_stmt.is_program:
        found.append("COPY ... PROGRAM runs its program")
    if (
        node.WhichOneof("node") == "copy_stmt"
        and node.copy_stmt.filename
        and not (node.copy_stmt.is_from or node.copy_stmt.is_program)
    ):
        found.append("COPY ... TO writes its file")
    names = sorted(set(postgast.extract_functions(tree)))
    found += [f"{name}() acts outside of the transaction" for name in names if _OUTSIDE.fullmatch(name)]
    return tuple(found)
