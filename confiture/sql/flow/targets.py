"""The table that a statement writes, and the keys that ON CONFLICT goes by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from confiture.models.catalog import PUBLIC, Column, Constraint, Name, Table, View
from confiture.models.tenancy import Grade, Leak
from confiture.sql.flow.belonging import is_meant
from confiture.sql.flow.expressions import conjuncts
from confiture.sql.flow.work import Work, add_condition, equation
from confiture.sql.tree import pb, strings


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A table that is written. `tenant` is its tenant column, `owning` the foreign key by which it belongs to one."""

    name: Name
    is_known: bool
    columns: tuple[str, ...] = ()
    tenant: str | None = None
    owning: Constraint | None = None
    table: Table | None = None

    @classmethod
    def of(cls, work: Work, node: Any) -> Target:
        """What a RangeVar names."""
        found = work.facts.catalog.relation(node.schemaname or None, node.relname)
        if isinstance(found, Table):
            return cls(
                name=found.name,
                is_known=True,
                columns=tuple(column.name for column in found.columns),
                tenant=work.facts.tenant_column(found),
                owning=work.facts.owning_key(found),
                table=found,
            )
        name = Name(node.schemaname or PUBLIC, node.relname)
        tenancy = work.facts.tenancy
        if isinstance(found, View):
            tenant = tenancy.column if tenancy.column in found.columns else None
            return cls(name=found.name, is_known=False, columns=found.columns, tenant=tenant)
        tenant = tenancy.column if tenancy.tables and is_meant(name, tenancy) else None
        return cls(name=name, is_known=False, tenant=tenant)

    def column(self, name: str) -> Column | None:
        """The column of that name."""
        return self.table.column(name) if self.table else None


def conflict(work: Work, node: Any, target: Target, written: Sequence[str]) -> None:
    """Reports an ON CONFLICT that goes by a key without the tenant: the row that it meets may be another tenant's."""
    if not node.HasField("on_conflict_clause") or target.tenant is None:
        return
    clause = node.on_conflict_clause
    keys = _keys(work, clause, target, written)
    wrong = [key for key in keys if target.tenant not in key]
    if not wrong:
        return
    called = f"({', '.join(sorted(wrong[0]))})"
    if clause.action == pb.ONCONFLICT_UPDATE:
        if _is_tied(clause.where_clause, target.tenant):
            return
        does = "changes the row that has the same key, whosever it is"
        own = [
            pb.Node(string=pb.String(sval=one))
            for one in (node.relation.alias.aliasname or node.relation.relname, target.tenant)
        ]
        new = [pb.Node(string=pb.String(sval=one)) for one in ("excluded", target.tenant)]
        condition = equation(pb.Node(column_ref=pb.ColumnRef(fields=own)), pb.Node(column_ref=pb.ColumnRef(fields=new)))
        fix = lambda: add_condition(clause, "where_clause", condition)  # noqa: E731 - bound to this clause
    else:
        does = "drops the row where another tenant has the same key"
        fix = None
    message = f"ON CONFLICT {called} leaves out {target.tenant}: it {does}"
    work.report(Leak.REACH, Grade.WARNING, message, clause.location, relation=str(target.name), fix=fix)


def _keys(work: Work, clause: Any, target: Target, written: Sequence[str]) -> list[frozenset[str]]:
    """The keys by which rows can conflict; without a named one, those whose columns the statement writes."""
    if clause.HasField("infer"):
        if clause.infer.conname and target.table:
            found = target.table.constraint(clause.infer.conname)
            return [frozenset(found.columns)] if found else []
        if clause.infer.index_elems:
            return [frozenset(item.index_elem.name for item in clause.infer.index_elems)]
    if target.table is None:
        return []
    return [key for key in work.facts.unique_keys(target.table) if key <= set(written)]


def _is_tied(condition: Any, column: str) -> bool:
    """Whether a WHERE says that the row there is of the tenant of the new one."""
    for part in conjuncts(condition):
        if part.WhichOneof("node") != "a_expr" or strings(part.a_expr.name)[-1] != "=":
            continue
        sides = [part.a_expr.lexpr, part.a_expr.rexpr]
        if all(side.WhichOneof("node") == "column_ref" for side in sides):
            names = [strings(side.column_ref.fields) for side in sides]
            if all(name[-1] == column for name in names) and any(name[0] == "excluded" for name in names):
                return True
    return False
