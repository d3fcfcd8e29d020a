"""Items in GROUP BY, DISTINCT ON, and ORDER BY: an output column, given by number or name, or an expression."""

from __future__ import annotations

from typing import Any

from confiture.sql.parse_tree import column_result_name
from confiture.sql.tenant_flow.row_sets import Node
from confiture.sql.tenant_flow.scopes import NameScope
from confiture.sql.tenant_flow.tenant_proof import TenantProof


class ItemReferences:
    """Resolves item references in one SELECT."""

    def __init__(self, select: Any, scope: NameScope, proof: TenantProof) -> None:
        self._select, self._scope, self._proof = select, scope, proof

    def node(self, expression: Any) -> Node | None:
        """Return the column or constant that an item refers to. A number or a name can refer to an output column."""
        kind = expression.WhichOneof("node")
        if kind == "a_const" and expression.a_const.WhichOneof("val") == "ival":
            return self._output_node(expression.a_const.ival.ival)
        node = self._proof.node(expression)
        if node is None and kind == "column_ref" and len(expression.column_ref.fields) == 1:
            name = expression.column_ref.fields[0].string.sval
            for target in self._select.target_list:
                value = target.res_target
                if (value.name or column_result_name(value.val)) == name and not is_star(value.val):
                    return self._proof.node(value.val)
        return node

    def expression(self, expression: Any) -> Any:
        """Return the output column's expression if a GROUP BY item is a column number; otherwise the item."""
        if expression.WhichOneof("node") != "a_const" or expression.a_const.WhichOneof("val") != "ival":
            return expression
        position, targets = expression.a_const.ival.ival, self._select.target_list
        if any(is_star(one.res_target.val) for one in targets) or not 0 < position <= len(targets):
            return expression
        return targets[position - 1].res_target.val

    def _output_node(self, number: int) -> Node | None:
        """Return the output column with that number (from 1)."""
        nodes: list[Node | None] = []
        for target in self._select.target_list:
            value = target.res_target.val
            nodes += (
                [one for _, one in star_columns(value, self._scope)[0]] if is_star(value) else [self._proof.node(value)]
            )
        return nodes[number - 1] if 0 < number <= len(nodes) else None


def is_star(value: Any) -> bool:
    """Whether an item in the output list is `*` or ends in `*`."""
    kind = value.WhichOneof("node")
    if kind == "column_ref":
        return bool(value.column_ref.fields) and value.column_ref.fields[-1].WhichOneof("node") == "a_star"
    return kind == "a_indirection" and any(
        one.WhichOneof("node") == "a_star" for one in value.a_indirection.indirection
    )


def star_columns(value: Any, scope: NameScope) -> tuple[list[tuple[str, Node]], bool]:
    """Return the columns that `*` expands to, and whether the list is complete."""
    if value.WhichOneof("node") != "column_ref":
        return [], False
    fields = value.column_ref.fields
    alias = fields[-2].string.sval if len(fields) > 1 else None
    owner: NameScope | None = scope
    while owner is not None and alias is not None and all(item.alias != alias for item in owner.items):
        owner = owner.outer
    if owner is None:
        return [], False
    return list(owner.expand_star(alias)), owner.is_star_complete(alias)
