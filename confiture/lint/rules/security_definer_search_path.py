"""SECURITY DEFINER functions that resolve names with the caller's search_path."""

from __future__ import annotations

import re
from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.catalog import Function

_SQL_BODY = re.compile(r"\s*(BEGIN\s+ATOMIC|RETURN)\b", re.IGNORECASE)
"""The beginning of an SQL function body in which PostgreSQL resolved all names at creation."""
_LANGUAGES_WITHOUT_NAMES = ("c", "internal")


def _check(context: SchemaContext) -> Iterable[Violation]:
    for function in context.catalog.functions.values():
        has_path = "search_path" in function.settings or _is_parsed_body(function)
        if function.security_definer and not has_path and function.language not in _LANGUAGES_WITHOUT_NAMES:
            yield _violation(function)


def _is_parsed_body(function: Function) -> bool:
    return function.language == "sql" and bool(_SQL_BODY.match(function.body or ""))


def _violation(function: Function) -> Violation:
    name, arguments = function.signature.name, ", ".join(function.signature.arguments)
    kind = "PROCEDURE" if function.returns is None else "FUNCTION"
    schemas = ", ".join(("public", "pg_temp") if name.schema == "public" else (name.schema, "pg_temp"))
    return Violation(
        location=function.location,
        relation=str(name),
        subject=f"({arguments})",
        message=f"{name} is SECURITY DEFINER but does not set search_path",
        remedy=f"ALTER {kind} {qualified_name(name)}({arguments}) SET search_path = {schemas};",
    )


RULE = SchemaRule(
    name="security_definer_search_path",
    group=Group.SECURITY,
    severity="warning",
    summary="A SECURITY DEFINER function does not set search_path",
    impact="The caller's search_path determines which tables, functions, and operators the function uses. A role that"
    " can create these objects in any schema can run code with the privileges of the function's owner.",
    fix_hint="set search_path to the schemas that the function needs, none of them writable by other roles, with"
    " pg_temp last",
    check=_check,
    bad=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY);\n"
            "CREATE FUNCTION order_count() RETURNS bigint LANGUAGE plpgsql STABLE SECURITY DEFINER\n"
            "    AS $$ BEGIN RETURN (SELECT count(*) FROM w_orders); END $$",
        ),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY);\n"
            "CREATE FUNCTION order_count() RETURNS bigint LANGUAGE plpgsql STABLE SECURITY DEFINER\n"
            "    SET search_path = public, pg_temp\n"
            "    AS $$ BEGIN RETURN (SELECT count(*) FROM w_orders); END $$",
        ),
    ),
)
