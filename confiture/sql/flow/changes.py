"""INSERT, UPDATE, DELETE and MERGE: what they write, and by which rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from confiture.models.tenancy import Grade, Leak
from confiture.sql.flow.belonging import is_meant, referred
from confiture.sql.flow.expressions import conjuncts
from confiture.sql.flow.joins import Flow, State
from confiture.sql.flow.keys import picked, rows_of
from confiture.sql.flow.query import query, with_queries
from confiture.sql.flow.relations import Column, Constant, Equalities, Node, Output, Relation, Source
from confiture.sql.flow.scopes import Around, Item, Scope
from confiture.sql.flow.sources import Join, Leaf, Tree, build, named
from confiture.sql.flow.targets import Target, conflict
from confiture.sql.flow.work import Work, add_condition, equation, location_of
from confiture.sql.tree import expression_of, pb, strings


def change(work: Work, kind: str, node: Any, around: Around) -> Relation:
    """Goes through a statement that changes rows, and gives what its RETURNING gives."""
    around = with_queries(work, node, around)
    if kind == "insert_stmt":
        return _insert(work, node, around)
    if kind in ("update_stmt", "delete_stmt"):
        return _update_or_delete(work, node, around, is_update=kind == "update_stmt")
    if kind == "merge_stmt":
        return _merge(work, node, around)
    work.unknown(f"{kind} is not followed")
    return Relation(is_complete=False)


def _insert(work: Work, node: Any, around: Around) -> Relation:
    target = Target.of(work, node.relation)
    has_query = node.HasField("select_stmt")
    relation = query(work, node.select_stmt.select_stmt, around) if has_query else Relation()
    columns = [item.res_target.name for item in node.cols] or list(target.columns)
    written = _Written(work, target, node, relation, columns)
    written.check()
    conflict(work, node, target, columns)
    return _returned(work, node, target)


def check_lacking(work: Work, output: Output, called: str, location: int) -> None:
    """Reports a tenant column that an outer join may leave NULL in rows of tenants."""
    if output.may_lack:
        message = (
            f"{called} may be NULL in rows of tenants: an outer join does not always have the row it is taken from"
        )
        work.report(Leak.WRONG_SOURCE, Grade.WARNING, message, location)


class _Written:
    """The tenant column among the columns that an INSERT writes."""

    def __init__(self, work: Work, target: Target, node: Any, relation: Relation, columns: Sequence[str]) -> None:
        self._work, self._target, self._node = work, target, node
        self._relation, self._columns = relation, columns

    def check(self) -> None:
        """Reports where rows do not get the tenant that they belong to."""
        work, target, relation = self._work, self._target, self._relation
        if relation.is_lost:
            return
        name = target.tenant
        if name is None:
            if target.owning is not None:
                self._check_owner()
            elif relation.reads and (target.is_known or target.columns):
                self._report_no_column()
            elif relation.reads and not relation.fixed:
                work.unknown(f"{target.name} is not in the DDL: whether it has {work.column} is not known")
            return
        if name not in self._columns:
            self._check_default(name)
            return
        place = list(self._columns).index(name)
        if not relation.reads:
            return
        if place in relation.tenants:
            check_lacking(work, relation.outputs[place], f"{target.name}.{name}", self._node.relation.location)
            return
        if not relation.is_complete and place >= len(relation.outputs):
            work.unknown(f"the columns of the query are not known: what {target.name}.{name} gets cannot be told")
            return
        self._report_source(name, place)

    def _check_default(self, name: str) -> None:
        column = self._target.column(name)
        has_default = column is not None and bool(column.default or column.identity or column.generated)
        if not self._relation.reads:
            if has_default or not self._columns:
                return
        elif column is not None and column.default:
            default = self._work.expressions.node(expression_of(column.default), Scope(()))
            if default is not None and default in self._relation.fixed:
                return
        if not self._columns and not self._relation.is_complete:
            self._work.unknown(f"the columns of {self._target.name} are not known")
            return
        message = f"INSERT INTO {self._target.name} does not write {name}"
        location = self._node.relation.location
        self._work.report(
            Leak.NOT_WRITTEN,
            Grade.ERROR,
            message,
            location,
            relation=str(self._target.name),
            fix=self._fix(name),
        )

    def _fix(self, name: str) -> Callable[[], None] | None:
        relation, node = self._relation, self._node
        visible = [one for one in relation.outputs if not one.is_hidden]
        column = pb.Node(res_target=pb.ResTarget(name=name))
        if len(visible) == len(self._columns) + 1 and len(self._columns) in relation.tenants:
            return lambda: node.cols.append(column)
        expose = relation.expose
        if expose is None or len(visible) > len(self._columns):
            return None
        names = self._columns[: len(visible)]

        def write() -> None:
            if not node.cols:
                node.cols.extend(pb.Node(res_target=pb.ResTarget(name=one)) for one in names)
            expose()
            node.cols.append(column)

        return write

    def _report_source(self, name: str, place: int) -> None:
        relation = self._relation
        values = self._node.select_stmt.select_stmt.target_list
        value = values[place].res_target.val if place < len(values) else None
        location = location_of(value) if value is not None else self._node.relation.location
        message = f"{self._target.name}.{name} gets a value that is not the tenant of the rows read"
        retarget = relation.retarget
        self._work.report(
            Leak.WRONG_SOURCE,
            Grade.ERROR,
            message,
            location,
            relation=str(self._target.name),
            fix=(lambda: retarget(place)) if retarget else None,
        )

    def _report_no_column(self) -> None:
        called, tenancy = self._target.name, self._work.facts.tenancy
        if tenancy.tables and is_meant(called, tenancy):
            self._work.unknown(f"{called} has no {self._work.column} yet: whose its rows are is not known")
            return
        message = f"{called} has no {self._work.column}: rows of tenants go into a table that does not say whose"
        self._work.report(
            Leak.NOT_WRITTEN,
            Grade.WARNING,
            message,
            self._node.relation.location,
            relation=str(self._target.name),
        )

    def _check_owner(self) -> None:
        """The table belongs to tenants by a foreign key: what is written there must be of a row of the same tenant."""
        key, relation = self._target.owning, self._relation
        if not relation.reads or key is None or key.target is None:
            return
        target = self._work.facts.catalog.tables[key.target]
        source = self._work.source("", replace(relation, expose=None), self._node)
        members = source.members()
        for row in rows_of([source], self._work.facts):
            tenant = self._work.facts.tenant_column(row.table) or ""
            if row.columns.get(tenant) not in members:
                continue
            if row.table.name == target.name:
                wanted = referred(key, target)
            elif (other := self._work.facts.owning_key(row.table)) and other.target == target.name:
                wanted = other.columns
            else:
                continue
            nodes = {row.columns.get(one) for one in wanted}
            places = [list(self._columns).index(one) for one in key.columns if one in self._columns]
            found = {Column(source.number, source.keys[place]) for place in places if place < len(source.keys)}
            if found == nodes and len(found) == len(wanted):
                return
        message = (
            f"{self._target.name} belongs to the tenant of its row of {target.name}: "
            "that this is the tenant of the rows read is not seen"
        )
        self._work.report(
            Leak.WRONG_SOURCE,
            Grade.WARNING,
            message,
            self._node.relation.location,
            relation=str(self._target.name),
        )


def _returned(work: Work, node: Any, target: Target) -> Relation:
    """What RETURNING gives: rows as they were written."""
    outputs: list[Output] = []
    tenants: set[int] = set()
    clause = (
        node.returning_clause.exprs if "returning_clause" in node.DESCRIPTOR.fields_by_name else node.returning_list
    )
    for item in clause:
        value = item.res_target.val
        fields = value.column_ref.fields if value.WhichOneof("node") == "column_ref" else []
        if fields and fields[-1].WhichOneof("node") == "a_star":
            names = list(target.columns)
        else:
            names = [strings(fields)[-1] if fields else ""]
        for name in names:
            if name and name == target.tenant:
                tenants.add(len(outputs))
            outputs.append(Output(name=(item.res_target.name or name) if len(names) == 1 else name))
        if len(fields) == 0 and item.res_target.val.WhichOneof("node") == "sub_link":
            work.unknown("a subquery in RETURNING")
    reads = target.tenant is not None or target.owning is not None
    if reads and outputs and not tenants:
        work.unknown(f"RETURNING of {target.name} does not give its {target.tenant or 'tenant'}")
    return Relation(outputs=tuple(outputs), reads=reads, tenants=frozenset(tenants))


def _update_or_delete(work: Work, node: Any, around: Around, *, is_update: bool) -> Relation:
    target = Target.of(work, node.relation)
    assigned = _assigned(node, target.tenant) if is_update else None
    source = named(work, node.relation, Around(), query)
    trees: list[Tree] = [Leaf(source)]
    items = [Item.of(source)]
    for clause in node.from_clause if is_update else node.using_clause:
        tree, found = build(work, clause, items, around, query)
        trees.append(tree)
        items += found
    flow = Flow(work, Scope(tuple(items), around.scope), around, query, node, is_plain=True)
    settles = assigned is not None and not _is_tied(work, node, flow, Column(source.number, target.tenant or ""))
    if settles:
        # rows that get their tenant only now are nobody's yet
        source.relation = replace(source.relation, reads=False, tenants=frozenset())
    state = flow.run(trees, Leak.REACH)
    for item in node.target_list if is_update else ():
        state = flow.subqueries(item, state)
    if assigned is not None:
        value = work.expressions.node(assigned, flow.scope, has_variables=around.has_variables)
        if settles:
            _check_settling(work, node, target, source, flow, state, value, location_of(assigned))
        elif state.reads and state.members and value not in state.members:
            message = f"{target.name}.{target.tenant} gets a value that is not the tenant of the row"
            work.report(Leak.WRONG_SOURCE, Grade.ERROR, message, location_of(assigned), relation=str(target.name))
    elif state.reads and source.relation.reads is False and not state.fixed(flow.own) and state.members and is_update:
        _report_shared_target(work, target, node)
    return _returned(work, node, target)


def _report_shared_target(work: Work, target: Target, node: Any) -> None:
    message = f"{target.name} is no tenant's, and gets values of rows of tenants"
    work.report(Leak.REACH, Grade.WARNING, message, node.relation.location, relation=str(target.name))


def _assigned(node: Any, column: str | None) -> Any | None:
    """What an UPDATE sets the tenant column to."""
    for item in node.target_list:
        if column is not None and item.res_target.name == column:
            return item.res_target.val
    return None


def _is_tied(work: Work, node: Any, flow: Flow, tenant: Node) -> bool:
    """Whether WHERE compares the tenant of the rows with something: then they have one already."""
    return any(
        tenant in pair
        for condition in conjuncts(node.where_clause)
        for with_nulls in (False, True)
        for pair in work.expressions.pairs(condition, flow.scope, with_nulls=with_nulls)
    )


def _check_settling(
    work: Work,
    node: Any,
    target: Target,
    source: Source,
    flow: Flow,
    state: State,
    value: Node | None,
    location: int,
) -> None:
    """An UPDATE that gives rows their tenant: it must be the one of a single row, and of rows that have none yet."""
    name = str(target.name)
    if not state.reads:
        return
    if not state.members:
        return
    if value not in state.members:
        message = f"{name}.{target.tenant} gets a value that is not the tenant of the rows read"
        work.report(Leak.WRONG_SOURCE, Grade.ERROR, message, location, relation=name)
        return
    single = value in work.expressions.scalars.values() or isinstance(value, Constant)
    if not single:
        pairs = [
            pair
            for condition in conjuncts(node.where_clause)
            for pair in work.expressions.pairs(condition, flow.scope, has_variables=flow.around.has_variables)
        ]
        equal = Equalities(pairs)
        others = frozenset(flow.own - {source.number})
        rows = list(rows_of([work.sources[one] for one in sorted(others) if one in work.sources], work.facts))
        row = picked(rows, equal, others, work.facts)
        if row is None or len(others) > 1:
            message = f"several rows can give {name} its {target.tenant}: which of them does is left to chance"
            work.report(Leak.WRONG_SOURCE, Grade.ERROR, message, location, relation=name)
            return
        work.proofs[f"a unique key picks the row of {row.table.name} that gives {name} its {target.tenant}"] = None
    if not _is_empty_before(node.where_clause, target.tenant):
        message = f"rows of {name} that have a {target.tenant} already can get another"
        test = pb.NullTest(arg=work.reference(_tenant_node(source, target)), nulltesttype=pb.IS_NULL)
        condition = pb.Node(null_test=test)
        fix = lambda: add_condition(node, "where_clause", condition)  # noqa: E731 - bound to this statement
        work.report(Leak.REACH, Grade.WARNING, message, location, relation=name, fix=fix)


def _tenant_node(source: Source, target: Target) -> Node:
    return Column(source.number, target.tenant or "")


def _is_empty_before(condition: Any, column: str | None) -> bool:
    """Whether a WHERE takes only rows whose column is NULL."""
    for part in conjuncts(condition):
        if part.WhichOneof("node") == "null_test" and part.null_test.nulltesttype == pb.IS_NULL:
            arg = part.null_test.arg
            if arg.WhichOneof("node") == "column_ref" and strings(arg.column_ref.fields)[-1] == column:
                return True
    return False


def _merge(work: Work, node: Any, around: Around) -> Relation:
    target = Target.of(work, node.relation)
    into = named(work, node.relation, Around(), query)
    tree, items = build(work, node.source_relation, [], around, query)
    scope = Scope((Item.of(into), *items), around.scope)
    pairs = [
        pair
        for condition in conjuncts(node.join_condition)
        for pair in work.expressions.pairs(condition, scope, has_variables=around.has_variables)
    ]
    loose = [
        pair
        for condition in conjuncts(node.join_condition)
        for pair in work.expressions.pairs(condition, scope, with_nulls=True)
    ]
    join = Join("full", Leaf(into), tree, pairs, frozenset(), None, scope, (), Leak.REACH)
    flow = Flow(work, scope, around, query, pb.SelectStmt())
    flow.loose = loose
    before = len(work.issues)
    state = flow.run([join], Leak.REACH)
    _mend_on(work, node, before)
    state = flow.subqueries(node.join_condition, state)
    if not into.relation.reads and state.reads and state.members:
        _report_shared_target(work, target, node)
    for item in node.merge_when_clauses:
        _check_action(work, item.merge_when_clause, target, flow, state)
    return _returned(work, node, target)


def _mend_on(work: Work, node: Any, before: int) -> None:
    """Lets the fixes of a missing equality write into ON."""
    for number in range(before, len(work.issues)):
        issue = work.issues[number]
        if issue.leak is not Leak.REACH or issue.fix is None:
            continue
        ends = issue.fix.__closure__
        sides = [cell.cell_contents for cell in ends or () if isinstance(cell.cell_contents, pb.Node)]
        if len(sides) == 2:
            condition = equation(*sides)
            work.issues[number] = replace(issue, fix=_adding(node, condition))


def _adding(node: Any, condition: Any) -> Callable[[], None]:
    return lambda: add_condition(node, "join_condition", condition)


def _check_action(work: Work, action: Any, target: Target, flow: Flow, state: State) -> None:
    for item in (*action.target_list, *action.values):
        state = flow.subqueries(item, state)
    if target.tenant is None or not state.members:
        return
    values = list(action.values)
    names = [item.res_target.name for item in action.target_list] or list(target.columns)
    location = location_of(action)
    if action.command_type == pb.CMD_UPDATE:
        for item in action.target_list:
            if item.res_target.name == target.tenant:
                _check_written(work, target, item.res_target.val, flow, state)
    elif action.command_type == pb.CMD_INSERT and values:
        if target.tenant not in names:
            message = f"MERGE INTO {target.name} does not write {target.tenant}"
            fix = _merge_fix(work, action, target, flow, state)
            work.report(Leak.NOT_WRITTEN, Grade.ERROR, message, location, relation=str(target.name), fix=fix)
        else:
            _check_written(work, target, values[names.index(target.tenant)], flow, state)


def _merge_fix(work: Work, action: Any, target: Target, flow: Flow, state: State) -> Callable[[], None] | None:
    others = flow.scope.sources() - {min(flow.scope.sources())}
    node = work.visible(state.members, others)
    if node is None or not action.target_list:
        return None
    column = work.reference(node)

    def write() -> None:
        action.target_list.append(pb.Node(res_target=pb.ResTarget(name=target.tenant or "")))
        action.values.append(column)

    return write


def _check_written(work: Work, target: Target, value: Any, flow: Flow, state: State) -> None:
    node = work.expressions.node(value, flow.scope, has_variables=flow.around.has_variables)
    if isinstance(node, Column) and node in state.members:
        output = work.sources[node.source].output(node.key)
        if output is not None:
            check_lacking(work, output, f"{target.name}.{target.tenant}", location_of(value))
    if node not in state.members:
        message = f"{target.name}.{target.tenant} gets a value that is not the tenant of the rows read"
        others = flow.scope.sources() - {min(flow.scope.sources())}
        right = work.visible(state.members, others)
        column = work.reference(right) if right is not None else None
        fix = (lambda: value.CopyFrom(column)) if column is not None else None
        work.report(Leak.WRONG_SOURCE, Grade.ERROR, message, location_of(value), relation=str(target.name), fix=fix)
