"""Whether an expression is volatile, so that adding a column with it rewrites the table.

The answer is UNKNOWN for an unknown function, and for an SQL function, which the planner can fold to a constant.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from confiture.models.catalog import Catalog, DomainType
from confiture.sql.built_in import load_built_in_functions
from confiture.sql.catalog.type_names import parse_type_name
from confiture.sql.parse_tree import parse_expression, pb, schema_and_name
from confiture.sql.parser import postgast
from confiture.sql.traversal import find_nodes
from confiture.sql.tristate import Tristate


def is_volatile(expression: Any, catalog: Catalog) -> Tristate:
    """Return whether a parse tree expression is volatile."""
    return max((verdict for _, verdict in find_called_functions(expression, catalog)), default=Tristate.NO)


def find_called_functions(expression: Any, catalog: Catalog) -> Iterator[tuple[str, Tristate]]:
    """Return the functions that an expression calls, by name, and whether each is volatile."""
    for call in find_nodes(expression, pb.FuncCall):
        schema, name = schema_and_name(call.funcname)
        yield name, _function_volatility(schema, name, catalog)


def is_expression_volatile(expression: str | None, catalog: Catalog) -> Tristate:
    """Return whether an expression given as SQL is volatile."""
    if expression is None:
        return Tristate.NO
    try:
        return is_volatile(parse_expression(expression), catalog)
    except postgast.PgQueryError:
        return Tristate.UNKNOWN


def find_domain_of_type(type_name: str, catalog: Catalog) -> DomainType | None:
    """Return the domain with that name in a catalog; None if the type is not a domain."""
    type_ = catalog.types.get(parse_type_name(type_name))
    return type_ if isinstance(type_, DomainType) else None


def is_domain_default_volatile(type_name: str, catalog: Catalog) -> Tristate:
    """Return whether a domain's default is volatile. A column without its own default uses the domain's default."""
    domain = find_domain_of_type(type_name, catalog)
    return is_expression_volatile(domain.default, catalog) if domain else Tristate.NO


def _function_volatility(schema: str | None, name: str, catalog: Catalog) -> Tristate:
    if schema != "pg_catalog":
        functions = [
            function
            for signature, function in catalog.functions.items()
            if signature.name.name == name and schema in (None, signature.name.schema)
        ]
        if functions:
            return max(_declared_volatility(function.volatility, function.language) for function in functions)
    if schema in (None, "pg_catalog", "public"):
        built_in = load_built_in_functions()
        if name in built_in.volatile:
            return Tristate.YES
        if name in built_in.not_volatile:
            return Tristate.NO
    return Tristate.UNKNOWN


def _declared_volatility(declared: str, language: str) -> Tristate:
    if declared != "volatile":
        return Tristate.NO
    return Tristate.UNKNOWN if language == "sql" else Tristate.YES
