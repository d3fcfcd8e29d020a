"""Conversion of expressions to nodes (columns and constants, including those inside casts), and equalities in
conditions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from confiture.models.catalog import Catalog
from confiture.sql.parse_tree import flatten_and, format_expression, pb, strings
from confiture.sql.tenant_flow.row_sets import ColumnRef, FromSource, Node, TenantConstant
from confiture.sql.tenant_flow.scopes import NameScope
from confiture.sql.traversal import inner_nodes, walk
from confiture.sql.tristate import Tristate
from confiture.sql.volatility import is_volatile

Pair = tuple[Node, Node]

_INTEGER_TYPES = frozenset({"smallint", "integer", "bigint"})
_TEXT_TYPES = frozenset({"text", "character varying"})
_LOSSLESS_CASTS = {
    **dict.fromkeys(_INTEGER_TYPES, frozenset({*_INTEGER_TYPES, "numeric", "text", "character varying"})),
    **dict.fromkeys(_TEXT_TYPES, _TEXT_TYPES),
    "uuid": frozenset({"uuid", "text", "character varying"}),
}
"""Casts that map different values to different values, by source type."""
_TYPE_NAMES = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "varchar": "character varying",
}
_STRICT_OPERATORS = frozenset({"=", "<", ">", "<=", ">=", "<>", "!=", "~", "~~", "!~~", "~~*", "@>", "<@", "&&"})


class ExpressionReader:
    """Reads the expressions in one statement, given the sources so far."""

    def __init__(self, catalog: Catalog, sources: dict[int, FromSource]) -> None:
        self._catalog = catalog
        self._sources = sources
        self.scalars: dict[int, Node] = {}
        """Subqueries that return a tenant, by location."""

    def find_node(self, expression: Any, scope: NameScope, *, has_variables: bool = False) -> Node | None:
        """Return the column or constant that an expression consists of; None for other expressions."""
        kind = expression.WhichOneof("node")
        if kind == "column_ref":
            return self._find_column(expression.column_ref, scope, has_variables)
        if kind == "type_cast":
            node = self.find_node(expression.type_cast.arg, scope, has_variables=has_variables)
            if isinstance(node, ColumnRef) and not self._is_lossless_cast(node, expression.type_cast.type_name):
                return None
            return node
        if kind == "a_const":
            return _parse_constant(expression.a_const)
        if kind == "param_ref":
            return TenantConstant(f"${expression.param_ref.number}")
        if kind == "sub_link":
            return self._find_scalar(expression.sub_link, scope, has_variables)
        if kind in _MAY_BE_CONSTANT and self._is_constant(expression):
            return TenantConstant(format_expression(expression))
        return None

    def find_type(self, node: Node) -> str:
        """Return a column's type; empty if unknown."""
        if isinstance(node, ColumnRef) and node.source in self._sources:
            output = self._sources[node.source].find_output(node.key)
            return output.type if output else ""
        return ""

    def equal_pairs(
        self, condition: Any, scope: NameScope, *, has_variables: bool = False, with_nulls: bool = False
    ) -> Iterator[Pair]:
        """Return the equalities that hold if a condition (one of several joined by AND) is true.

        With `with_nulls`, return the equalities from IS NOT DISTINCT FROM instead, which treats two NULLs as equal.
        """
        kind = condition.WhichOneof("node")
        if kind == "bool_expr" and condition.bool_expr.boolop == pb.OR_EXPR:
            yield from self._pairs_in_all(condition.bool_expr.args, scope, has_variables, with_nulls)
        if kind != "a_expr":
            return
        node = condition.a_expr
        is_one_of_one = node.kind == pb.AEXPR_IN and len(node.rexpr.list.items) == 1
        is_equality = node.kind == pb.AEXPR_NOT_DISTINCT if with_nulls else node.kind == pb.AEXPR_OP or is_one_of_one
        if strings(node.name)[-1] != "=" or not is_equality:
            return
        right = node.rexpr.list.items[0] if is_one_of_one else node.rexpr
        if node.lexpr.WhichOneof("node") == "row_expr" and right.WhichOneof("node") == "row_expr":
            sides = list(zip(node.lexpr.row_expr.args, right.row_expr.args, strict=False))
        else:
            sides = [(node.lexpr, right)]
        for one, other in sides:
            nodes = (
                self.find_node(one, scope, has_variables=has_variables),
                self.find_node(other, scope, has_variables=has_variables),
            )
            if nodes[0] is not None and nodes[1] is not None and self._can_compare(nodes[0], nodes[1]):
                yield nodes[0], nodes[1]

    def _pairs_in_all(
        self, alternatives: Sequence[Any], scope: NameScope, has_variables: bool, with_nulls: bool
    ) -> Iterator[Pair]:
        """Return the equalities that hold regardless of which alternative is true."""
        pairs_by_alternative = [
            [
                pair
                for part in flatten_and(one)
                for pair in self.equal_pairs(part, scope, has_variables=has_variables, with_nulls=with_nulls)
            ]
            for one in alternatives
        ]
        others = [{frozenset(pair) for pair in pairs} for pairs in pairs_by_alternative[1:]]
        return (pair for pair in pairs_by_alternative[0] if all(frozenset(pair) in pairs for pairs in others))

    def null_rejecting_sources(self, condition: Any, scope: NameScope) -> Iterator[int]:
        """Return the sources that must have a row for a condition (one of several joined by AND) to be true."""
        kind = condition.WhichOneof("node")
        sides: list[Any] = []
        if kind == "a_expr" and condition.a_expr.kind in (pb.AEXPR_OP, pb.AEXPR_IN, pb.AEXPR_LIKE):
            if strings(condition.a_expr.name)[-1] in _STRICT_OPERATORS:
                sides = [condition.a_expr.lexpr, condition.a_expr.rexpr]
        elif kind == "null_test" and condition.null_test.nulltesttype == pb.IS_NOT_NULL:
            sides = [condition.null_test.arg]
        for side in sides:
            if side.WhichOneof("node") in ("column_ref", "type_cast"):
                node = self.find_node(side, scope)
                if isinstance(node, ColumnRef):
                    yield node.source

    def _find_column(self, node: Any, scope: NameScope, has_variables: bool) -> Node | None:
        if any(part.WhichOneof("node") != "string" for part in node.fields):
            return None
        parts = strings(node.fields)
        column = scope.resolve(parts)
        if column is None and has_variables and scope.find_item(parts[0]) is None:
            return TenantConstant(f"variable {'.'.join(parts)}")
        return column

    def _is_lossless_cast(self, column: ColumnRef, type_name: Any) -> bool:
        if type_name.typmods or type_name.array_bounds:
            return False
        name = strings(type_name.names)[-1]
        source_type = self.find_type(column)
        return _TYPE_NAMES.get(name, name) in _LOSSLESS_CASTS.get(source_type.split("(")[0], {source_type})

    def _can_compare(self, left: Node, right: Node) -> bool:
        """Whether equality of the two expressions means identical values, not only values that compare equal."""
        types = [self.find_type(node).split("(")[0] for node in (left, right)]
        if "" in types or types[0] == types[1]:
            return True
        return any({*types} <= family for family in ({*_INTEGER_TYPES, "numeric"}, _TEXT_TYPES))

    def _find_scalar(self, node: Any, scope: NameScope, has_variables: bool) -> Node | None:
        if node.location in self.scalars:
            return self.scalars[node.location]
        select = node.subselect.select_stmt
        if node.sub_link_type != pb.EXPR_SUBLINK or len(select.target_list) != 1 or select.from_clause:
            return None
        if select.HasField("where_clause") or select.HasField("with_clause") or select.HasField("limit_count"):
            return None
        return self.find_node(select.target_list[0].res_target.val, scope, has_variables=has_variables)

    def _is_constant(self, expression: Any) -> bool:
        for one in walk(expression):
            if type(one) in _NOT_CONSTANT:
                return False
            if type(one) is pb.FuncCall and (one.HasField("over") or is_aggregate(one)):
                return False
        return is_volatile(expression, self._catalog) is Tristate.NO


_NOT_CONSTANT = frozenset({pb.ColumnRef, pb.SubLink, pb.SetToDefault})
_JSON_AGGREGATES = frozenset({pb.JsonObjectAgg, pb.JsonArrayAgg})
_MAY_BE_CONSTANT = frozenset(
    {"func_call", "a_expr", "coalesce_expr", "sqlvalue_function", "case_expr", "min_max_expr", "bool_expr"}
)


def _parse_constant(node: Any) -> TenantConstant | None:
    if node.isnull:
        return None
    kind = node.WhichOneof("val")
    if kind == "ival":
        return TenantConstant(str(node.ival.ival))
    if kind == "sval":
        text = node.sval.sval
        return TenantConstant(text if text.isdigit() else f"'{text}'")
    return TenantConstant(str(node))


def find_subqueries(expression: Any) -> Iterator[Any]:
    """Return the SubLinks in an expression, except those nested in others."""
    return (one for one in inner_nodes(expression, without="SelectStmt") if isinstance(one, pb.SubLink))


def find_aggregates(expression: Any) -> Iterator[Any]:
    """Return the aggregate calls in an expression, except those in subqueries."""
    for one in inner_nodes(expression, without="SelectStmt"):
        if type(one) is pb.FuncCall and not one.HasField("over") and is_aggregate(one):
            yield one
        elif type(one) in _JSON_AGGREGATES and not one.constructor.HasField("over"):
            yield one.constructor


def is_aggregate(call: Any) -> bool:
    """Whether a FuncCall calls a built-in aggregate."""
    return bool(call.agg_star or call.agg_within_group or strings(call.funcname)[-1] in _AGGREGATES)


_AGGREGATES = frozenset(
    re.findall(
        r"\w+",
        """
        any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp every json_agg
        json_agg_strict json_object_agg json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict
        jsonb_agg jsonb_agg_strict jsonb_object_agg jsonb_object_agg_strict jsonb_object_agg_unique
        jsonb_object_agg_unique_strict max min mode percentile_cont percentile_disc range_agg range_intersect_agg
        regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop
        stddev_samp string_agg sum var_pop var_samp variance xmlagg
        """,
    )
)
_WINDOWS = frozenset(
    re.findall(
        r"\w+",
        "cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number",
    )
)


def is_known_function(name: str) -> bool:
    """Whether a built-in aggregate or window function has this name."""
    return name in _AGGREGATES or name in _WINDOWS
