"""SECURITY DEFINER functions that leave it to the caller what names mean."""

from __future__ import annotations

import re
from collections.abc import Iterable

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.catalog import Function

_SQL_BODY = re.compile(r"\s*(BEGIN\s+ATOMIC|RETURN)\b", re.IGNORECASE)
"""How the body of an SQL function begins whose names PostgreSQL looked up when it was made."""
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
        message=f"{name} is SECURITY DEFINER without a search_path of its own",
        remedy=f"ALTER {kind} {qualified_name(name)}({arguments}) SET search_path = {schemas};",
    )


RULE = SchemaRule(
    name="security_definer_search_path",
    group=Group.SECURITY,
    severity="warning",
    summary="SECURITY DEFINER without a search_path of its own",
    impact="The caller's search_path decides which tables, functions and operators its names mean: whoever can create "
    "such an object in a schema of theirs runs code with the rights of the function's owner.",
    fix_hint="give the function the schemas that it needs, none of them writable by others, and pg_temp as the last",
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
