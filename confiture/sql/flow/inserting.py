"""INSERT: whether the rows that it writes get the tenant that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from confiture.models.tenancy import Grade, Leak
from confiture.sql.belonging import is_meant, referred
from confiture.sql.flow.conflicts import check_conflict
from confiture.sql.flow.joins import Flow
from confiture.sql.flow.keys import rows_of
from confiture.sql.flow.meeting import State
from confiture.sql.flow.relations import Column, Relation
from confiture.sql.flow.returning import check_lacking, returned, returning
from confiture.sql.flow.scopes import Around, Item, Scope
from confiture.sql.flow.sources import named
from confiture.sql.flow.targets import Target
from confiture.sql.flow.work import Work, location_of
from confiture.sql.tree import expression_of, pb


def insert(work: Work, node: Any, around: Around) -> Relation:
    """Goes through an INSERT, and gives what its RETURNING gives."""
    target = Target.of(work, node.relation)
    has_query = node.HasField("select_stmt")
    relation = work.query(node.select_stmt.select_stmt, around) if has_query else Relation()
    columns = [item.res_target.name for item in node.cols] or list(target.columns)
    _Written(work, target, node, relation, columns).check()
    if not (node.HasField("on_conflict_clause") or returning(node)):
        return Relation()
    source = named(work, node.relation, Around())
    check_conflict(work, node, target, columns, source, around)
    scope = Scope((Item.of(source),), around.scope)
    flow = Flow(work, scope, around, pb.SelectStmt(), own=scope.sources())
    return returned(work, node, flow, State(source.relation.reads, source.members()))


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
