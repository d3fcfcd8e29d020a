"""The columns that a SELECT gives, and which of them hold the tenant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from confiture.sql.flow.expressions import aggregates
from confiture.sql.flow.meeting import State, is_set
from confiture.sql.flow.relations import Column, Constant, Node, Origin, Output, Relation
from confiture.sql.flow.scopes import Around, Scope
from confiture.sql.flow.work import Work
from confiture.sql.tree import pb, result_name, strings
from confiture.sql.walking import branches


class Targets:
    """The output list of one SELECT."""

    def __init__(self, work: Work, select: Any, scope: Scope, around: Around) -> None:
        self.work, self.select, self.scope, self.around = work, select, scope, around

    def node(self, expression: Any) -> Node | None:
        """The column or constant that an expression is."""
        return self.work.expressions.node(expression, self.scope, has_variables=self.around.has_variables)

    def named(self, expression: Any) -> Node | None:
        """The same for an item of GROUP BY, DISTINCT ON or ORDER BY: a number or a name may stand for an output."""
        kind = expression.WhichOneof("node")
        if kind == "a_const" and expression.a_const.WhichOneof("val") == "ival":
            return self._numbered(expression.a_const.ival.ival)
        found = self.node(expression)
        if found is None and kind == "column_ref" and len(expression.column_ref.fields) == 1:
            name = expression.column_ref.fields[0].string.sval
            for target in self.select.target_list:
                value = target.res_target
                if (value.name or result_name(value.val)) == name and not _is_star(value.val):
                    return self.node(value.val)
        return found

    def meant(self, expression: Any) -> Any:
        """The output's expression where an item of GROUP BY is its number; else the item."""
        if expression.WhichOneof("node") != "a_const" or expression.a_const.WhichOneof("val") != "ival":
            return expression
        place, targets = expression.a_const.ival.ival, self.select.target_list
        if any(_is_star(one.res_target.val) for one in targets) or not 0 < place <= len(targets):
            return expression
        return targets[place - 1].res_target.val

    def aggregates(self) -> bool:
        """Whether the output list, or the order of rows, aggregates."""
        return any(True for one in (*self.select.target_list, *self.select.sort_clause) for _ in aggregates(one))

    @cached_property
    def windows(self) -> Sequence[tuple[Any, Any]]:
        """The calls over windows, each with the definition of its window."""
        return tuple(self._windows()) if self.work.has_windows else ()

    def _windows(self) -> Iterator[tuple[Any, Any]]:
        named = {one.window_def.name: one.window_def for one in self.select.window_clause}
        for item in (*self.select.target_list, *self.select.sort_clause, *self.select.distinct_clause):
            for call in branches(item, without="SelectStmt"):
                if type(call) in _OVER_WINDOWS and call.HasField("over"):
                    over = named.get(call.over.name, call.over)
                    while not over.partition_clause and over.refname in named:
                        over = named[over.refname]
                    yield call, over

    def relation(
        self, state: State, before: frozenset[Node], own: frozenset[int], kept: frozenset[Node], *, is_grouped: bool
    ) -> Relation:
        """What the SELECT gives. `before` are the members before rows were grouped, `kept` those that each row still
        has where it does not show them.
        """
        outputs: list[Output] = []
        tenants: set[int] = set()
        shown: set[Node] = set()
        is_complete = True
        for target in self.select.target_list:
            value = target.res_target.val
            found: list[tuple[str, Node | None]]
            if _is_star(value):
                columns, complete = self._star(value)
                found = list(columns)
                is_complete = is_complete and complete
            else:
                name = target.res_target.name or result_name(value) or "?column?"
                found = [(name, self.node(value))]
            for name, one in found:
                output = self._output(name, one)
                if one in state.members:
                    tenants.add(len(outputs))
                    shown.add(one)
                    output = output._replace(may_lack=not self.leads(one))
                elif one is None and self._made_of_tenants(value, state, before, is_grouped=is_grouped):
                    tenants.add(len(outputs))
                    output = output._replace(may_lack=not self._leads(value, before))
                outputs.append(output)
        if state.reads:
            for one in sorted((state.members & kept) - shown, key=str):
                if isinstance(one, Column) and one.source in own:
                    tenants.add(len(outputs))
                    outputs.append(self._output("", one)._replace(is_hidden=True, may_lack=not self.leads(one)))
        if not state.reads:
            return Relation(outputs=tuple(outputs), is_complete=is_complete)
        return Relation(
            outputs=tuple(outputs),
            is_complete=is_complete,
            reads=True,
            tenants=frozenset(tenants),
            fixed=state.fixed(own),
            expose=self._expose(state, own),
            retarget=self._retarget(state, own),
        )

    def _numbered(self, number: int) -> Node | None:
        """The output of that number (from 1)."""
        nodes: list[Node | None] = []
        for target in self.select.target_list:
            value = target.res_target.val
            nodes += [one for _, one in self._star(value)[0]] if _is_star(value) else [self.node(value)]
        return nodes[number - 1] if 0 < number <= len(nodes) else None

    def _star(self, value: Any) -> tuple[list[tuple[str, Node]], bool]:
        if value.WhichOneof("node") != "column_ref":
            return [], False
        fields = value.column_ref.fields
        alias = fields[-2].string.sval if len(fields) > 1 else None
        scope: Scope | None = self.scope
        while scope is not None and alias is not None and all(item.alias != alias for item in scope.items):
            scope = scope.outer
        if scope is None:
            return [], False
        return list(scope.star(alias)), scope.star_is_complete(alias)

    def holds_tenant(self, value: Any, state: State, before: frozenset[Node], *, is_grouped: bool) -> bool:
        """Whether an expression is the tenant of the row, or NULL.

        All members that a row has are the same. So are those of the rows of a group, where the group has a member.
        """
        found = self.node(value)
        if found is not None:
            return found in state.members
        return self._made_of_tenants(value, state, before, is_grouped=is_grouped)

    def _made_of_tenants(self, value: Any, state: State, before: frozenset[Node], *, is_grouped: bool) -> bool:
        """The same for an expression that is neither a column nor a constant."""
        kind = value.WhichOneof("node")
        parts: list[Any] = []
        if kind == "coalesce_expr":
            parts = list(value.coalesce_expr.args)
            first = self.node(parts[0])
            if first in state.members and is_set(self.work, first):
                return True
        elif kind == "case_expr":
            parts = [one.case_when.result for one in value.case_expr.args]
            parts += [value.case_expr.defresult] if value.case_expr.HasField("defresult") else []
        elif kind == "min_max_expr":
            parts = list(value.min_max_expr.args)
        elif kind == "func_call" and strings(value.func_call.funcname)[-1] in ("min", "max", "any_value"):
            is_aggregate = is_grouped and not value.func_call.HasField("over")
            is_one = any(isinstance(one, Constant) or is_set(self.work, one) for one in state.members)
            return is_aggregate and is_one and self.node(value.func_call.args[0]) in before
        return bool(parts) and all(self.holds_tenant(one, state, before, is_grouped=is_grouped) for one in parts)

    def leads(self, node: Node | None) -> bool:
        """Whether a row in which this member is NULL is no tenant's."""
        if not isinstance(node, Column) or node.source not in self.scope.sources():
            return True
        output = self.work.sources[node.source].output(node.key)
        return node.source not in self.work.nullable and not (output is not None and output.may_lack)

    def tells_apart(self, value: Any, state: State) -> bool:
        """Whether rows in which an expression is the same are of one tenant, or of none."""
        return self.holds_tenant(value, state, state.members, is_grouped=False) and self._leads(value, state.members)

    def _leads(self, value: Any, members: frozenset[Node]) -> bool:
        """The same for an expression that holds the tenant."""
        node = self.node(value)
        kind = value.WhichOneof("node")
        if node is not None:
            return self.leads(node)
        if kind == "func_call":
            return self.leads(self.node(value.func_call.args[0]))
        if kind == "case_expr":
            first = value.case_expr.args[0].case_when
            if first.expr.a_const.boolval.boolval and not value.case_expr.HasField("arg"):
                return self._leads(first.result, members)
            parts = [one.case_when.result for one in value.case_expr.args]
            return value.case_expr.HasField("defresult") and all(
                self._leads(one, members) for one in (*parts, value.case_expr.defresult)
            )
        args = value.coalesce_expr.args if kind == "coalesce_expr" else value.min_max_expr.args
        nodes = [self.node(one) for one in args]
        covered = {one.source for one in nodes if isinstance(one, Column) and not self._lacks(one)}
        # what USING merged is NULL only where both sides are
        sources = {one.source for one in members if isinstance(one, Column) and self.work.sources[one.source].alias}
        return sources <= covered or any(self._leads(one, members) for one in args)

    def _lacks(self, node: Column) -> bool:
        output = self.work.sources[node.source].output(node.key)
        return output is not None and output.may_lack

    def _output(self, name: str, node: Node | None) -> Output:
        if not isinstance(node, Column) or node.source not in self.work.sources:
            return Output(name=name)
        output = self.work.sources[node.source].output(node.key)
        if output is None:
            return Output(name=name)
        origin = None
        if output.origin:
            origin = Origin((node.source, *output.origin.row), output.origin.table, output.origin.column)
        has_sets = any(one.WhichOneof("node") == "grouping_set" for one in self.select.group_clause)
        return Output(name=name, type=output.type, origin=origin, may_be_null=has_sets or not is_set(self.work, node))

    def _expose(self, state: State, own: frozenset[int]) -> Callable[[], None] | None:
        node = self.work.visible(state.members, own)
        if node is None:
            return next(
                (
                    source.relation.expose
                    for one in sorted(state.members, key=str)
                    if isinstance(one, Column)
                    and (source := self.work.sources.get(one.source))
                    and source.relation.expose
                ),
                None,
            )

        def write() -> None:
            name = "" if isinstance(node, Column) and node.key == self.work.column else self.work.column
            value = self.work.reference(node)
            self.select.target_list.append(pb.Node(res_target=pb.ResTarget(name=name, val=value)))

        return write

    def _retarget(self, state: State, own: frozenset[int]) -> Callable[[int], None] | None:
        node = self.work.visible(state.members, own)
        if node is None or any(_is_star(one.res_target.val) for one in self.select.target_list):
            return None

        def write(number: int) -> None:
            if number < len(self.select.target_list):
                self.select.target_list[number].res_target.val.CopyFrom(self.work.reference(node))

        return write


_OVER_WINDOWS = frozenset({pb.FuncCall, pb.JsonAggConstructor})


def _is_star(value: Any) -> bool:
    kind = value.WhichOneof("node")
    if kind == "column_ref":
        return bool(value.column_ref.fields) and value.column_ref.fields[-1].WhichOneof("node") == "a_star"
    return kind == "a_indirection" and any(
        one.WhichOneof("node") == "a_star" for one in value.a_indirection.indirection
    )
