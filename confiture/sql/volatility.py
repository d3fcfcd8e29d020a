"""Whether an expression gives each row a value of its own, so that adding a column with it rewrites the table.

MAYBE stands for a function that nobody knows, and for one in SQL, which the planner may fold to a constant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from confiture.models.catalog import Catalog, Domain
from confiture.sql.answers import Answer
from confiture.sql.built_in import built_in
from confiture.sql.catalog.resolving import name_of_type
from confiture.sql.grammar import postgast
from confiture.sql.tree import expression_of, names, pb
from confiture.sql.walking import nodes_of


def is_volatile(expression: Any, catalog: Catalog) -> Answer:
    """Whether an expression of the tree is volatile."""
    return max((verdict for _, verdict in function_calls(expression, catalog)), default=Answer.NO)


def function_calls(expression: Any, catalog: Catalog) -> Iterator[tuple[str, Answer]]:
    """The functions that an expression calls, by name, each with whether it is volatile."""
    for call in nodes_of(expression, pb.FuncCall):
        schema, name = names(call.funcname)
        yield name, _of_function(schema, name, catalog)


def text_is_volatile(expression: str | None, catalog: Catalog) -> Answer:
    """Whether an expression that is given as SQL is volatile."""
    if expression is None:
        return Answer.NO
    try:
        return is_volatile(expression_of(expression), catalog)
    except postgast.PgQueryError:
        return Answer.MAYBE


def domain_of(type_name: str, catalog: Catalog) -> Domain | None:
    """The domain of that name, as types are written."""
    found = catalog.types.get(name_of_type(type_name))
    return found if isinstance(found, Domain) else None


def domain_default_is_volatile(type_name: str, catalog: Catalog) -> Answer:
    """Whether the default is volatile that a column of a domain has without one of its own."""
    domain = domain_of(type_name, catalog)
    return text_is_volatile(domain.default, catalog) if domain else Answer.NO


def _of_function(schema: str | None, name: str, catalog: Catalog) -> Answer:
    if schema != "pg_catalog":
        found = [
            function
            for signature, function in catalog.functions.items()
            if signature.name.name == name and schema in (None, signature.name.schema)
        ]
        if found:
            return max(_declared(function.volatility, function.language) for function in found)
    if schema in (None, "pg_catalog", "public"):
        known = built_in()
        if name in known.volatile:
            return Answer.YES
        if name in known.not_volatile:
            return Answer.NO
    return Answer.MAYBE


def _declared(declared: str, language: str) -> Answer:
    if declared != "volatile":
        return Answer.NO
    return Answer.MAYBE if language == "sql" else Answer.YES
