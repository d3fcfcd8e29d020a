"""Columns that CREATE TABLE and ADD COLUMN define."""

from __future__ import annotations

from typing import Any

from confiture.models.catalog import DomainType, QualifiedName, Sequence, TableColumn
from confiture.models.records import replace
from confiture.sql.catalog import types
from confiture.sql.catalog.constraints import ConstraintSpec
from confiture.sql.catalog.sequences import add_sequence_use, nextval_text
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.catalog.type_names import find_user_types, format_column_type
from confiture.sql.parse_tree import format_expression, pb, strings

_IDENTITY = {"a": "always", "d": "by default"}
_GENERATED = {"s": "stored", "v": "virtual"}
_CONSTRAINTS = frozenset(
    {pb.CONSTR_CHECK, pb.CONSTR_PRIMARY, pb.CONSTR_UNIQUE, pb.CONSTR_EXCLUSION, pb.CONSTR_FOREIGN, pb.CONSTR_NOTNULL}
)
_NOT_NULLS = frozenset({pb.CONSTR_NOTNULL, pb.CONSTR_PRIMARY})


def add_column(state: CatalogState, draft: TableBuilder, node: Any, *, is_merged: bool = False) -> list[ConstraintSpec]:
    """Add a column and return its constraints, which can only be created after all columns.

    With `is_merged`, the definition is merged into an existing, inherited column.
    """
    name = node.colname
    old = draft.columns.get(name)
    if old and not is_merged:
        state.issues.report_duplicate("column", f"{draft.name}.{name}", old.location, node.location)
        return []
    kind, default = _type_and_default(state, draft, node)
    not_null = default is not None
    identity = generated = None
    specs: list[ConstraintSpec] = []
    for item in node.constraints:
        constraint = item.constraint
        what = constraint.contype
        if what in _CONSTRAINTS:
            specs.append(ConstraintSpec(constraint, what, name, name=constraint.conname))
        elif what == pb.CONSTR_DEFAULT:
            default = format_default(state, kind, constraint.raw_expr)
            add_sequence_use(state, draft.name, default)
        elif what == pb.CONSTR_IDENTITY:
            identity = identity_kind(constraint)
            not_null = True
            create_owned_sequence(state, draft, name)
        elif what == pb.CONSTR_GENERATED:
            default = format_expression(constraint.raw_expr)
            generated = _GENERATED.get(constraint.generated_kind, "stored")
        elif specs:
            _apply_attribute(specs[-1], what)
    collation = strings(node.coll_clause.collname)[-1] if node.HasField("coll_clause") else None
    if old:
        draft.columns[name] = replace(old, default=default or old.default, generated=generated or old.generated)
    else:
        draft.columns[name] = TableColumn(
            name=name,
            type=kind,
            default=default,
            identity=identity,
            generated=generated,
            collation=collation,
            location=state.issues.location(node.location),
        )
    if not_null and not any(one.kind in _NOT_NULLS for one in specs):
        implied = pb.Constraint(contype=pb.CONSTR_NOTNULL, location=node.location)
        specs.append(ConstraintSpec(implied, pb.CONSTR_NOTNULL, name))
    return specs


def _type_and_default(state: CatalogState, draft: TableBuilder, node: Any) -> tuple[str, str | None]:
    """Return a column's type, and the default that a serial type implies."""
    kind = format_column_type(state, draft, node.type_name) if node.HasField("type_name") else ""
    if kind in types.SERIALS:
        return types.SERIALS[kind], create_owned_sequence(state, draft, node.colname)
    return kind, None


def _apply_attribute(spec: ConstraintSpec, attribute: int) -> None:
    if attribute in (pb.CONSTR_ATTR_DEFERRABLE, pb.CONSTR_ATTR_DEFERRED):
        spec.deferrable = True
    elif attribute == pb.CONSTR_ATTR_NOT_ENFORCED:
        spec.enforced = False


def format_default(state: CatalogState, kind: str, node: Any) -> str | None:
    """Return a default as text. PostgreSQL stores no default for NULL, because the effect is the same."""
    is_null = node.WhichOneof("node") == "a_const" and node.a_const.isnull
    if (
        is_null
        and "(" not in kind
        and not any(isinstance(state.types.get(name), DomainType) for name in find_user_types(kind))
    ):
        return None
    return format_expression(node)


def identity_kind(constraint: Any) -> str:
    """Return `always` or `by default`."""
    return _IDENTITY.get(constraint.generated_when, "always")


def create_owned_sequence(state: CatalogState, draft: TableBuilder, column: str) -> str:
    """Create the sequence of a serial or identity column, and return the column's default as text."""
    schema = draft.name.schema
    name = QualifiedName(
        schema, state.constraints.free_index_name(schema, draft.name.name, column, "seq", constraint=False)
    )
    state.sequences.add(Sequence(name=name, owner=(draft.name, column), location=state.issues.location(-1)))
    state.created.add(name)
    state.dependencies.add(draft.name, (name,))
    return nextval_text(name)
