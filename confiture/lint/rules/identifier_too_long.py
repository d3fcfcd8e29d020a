"""Names that PostgreSQL truncates."""

from __future__ import annotations

import re
from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, Group, StatementRule, Violation
from confiture.models.source import SourceLocation
from confiture.sql.catalog.object_names import MAX_NAME_BYTES, truncate_identifier
from confiture.sql.parse_tree import pb
from confiture.sql.parser import scan_tokens

_LONG_NAME = re.compile(r'"[^"]{64,}"|(?<![\w$])[\w$]{64,}')
_POSSIBLY_LONG_NAME = re.compile(r'"[^"]{16,}"|(?<![\w$])[\w$]{16,}')
"""Matches names that may be 64 bytes long, since a non-ASCII character takes up to four bytes."""


def _check(context: StatementContext) -> Iterable[Violation]:
    text = context.statement.text
    if not (_LONG_NAME if text.isascii() else _POSSIBLY_LONG_NAME).search(text):
        return
    encoded = text.encode()
    names: set[str] = set()
    for token in scan_tokens(text):
        name = _unquote(encoded[token.start : token.end].decode()) if token.token == pb.IDENT else ""
        length = len(name.encode())
        if length > MAX_NAME_BYTES and name not in names:
            names.add(name)
            offset = context.statement.offset + len(encoded[: token.start].decode())
            yield Violation(
                location=SourceLocation(rendered=context.statement.rendered, offset=offset),
                message=f"{name} is {length} bytes long; PostgreSQL truncates it to {truncate_identifier(name)}",
            )


def _unquote(token: str) -> str:
    return token[1:-1].replace('""', '"') if token.startswith('"') else token.lower()


RULE = StatementRule(
    name="identifier_too_long",
    group=Group.SCHEMA,
    severity="warning",
    summary="A name is longer than 63 bytes",
    impact="PostgreSQL truncates the name and only issues a notice. Two long names can collide, and catalog queries"
    " for the full name find nothing.",
    fix_hint="shorten it to 63 bytes",
    kinds=frozenset(
        {
            "alter_enum_stmt",
            "alter_table_stmt",
            "composite_type_stmt",
            "create_domain_stmt",
            "create_enum_stmt",
            "create_function_stmt",
            "create_policy_stmt",
            "create_range_stmt",
            "create_role_stmt",
            "create_schema_stmt",
            "create_seq_stmt",
            "create_stats_stmt",
            "create_stmt",
            "create_table_as_stmt",
            "create_trig_stmt",
            "index_stmt",
            "rename_stmt",
            "rule_stmt",
            "view_stmt",
        }
    ),
    check=_check,
    bad=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, reprinted_because_the_customer_complained boolean,\n"
            "    CONSTRAINT w_orders_reprinted_because_the_customer_complained_is_never_null_check\n"
            "        CHECK (reprinted_because_the_customer_complained IS NOT NULL))",
        ),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, reprinted_because_the_customer_complained boolean,\n"
            "    CONSTRAINT w_orders_reprinted_check CHECK (reprinted_because_the_customer_complained IS NOT NULL))",
        ),
    ),
)
