"""Table constraints from CREATE TABLE and ALTER TABLE."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from confiture.models.catalog import TEMPORARY, Constraint, ConstraintKind, Index, QualifiedName, Table
from confiture.models.records import replace
from confiture.sql.catalog.index_keys import find_expression_columns, format_key_options
from confiture.sql.catalog.object_names import dedupe_column_names, index_name_columns
from confiture.sql.catalog.state import CatalogState
from confiture.sql.catalog.table_builder import TableBuilder
from confiture.sql.parse_tree import column_result_name, format_expression, pb, strings
from confiture.sql.traversal import column_names

_ACTIONS = {"a": "no action", "r": "restrict", "c": "cascade", "n": "set null", "d": "set default"}
INDEX_CONSTRAINTS = {
    pb.CONSTR_PRIMARY: ConstraintKind.PRIMARY_KEY,
    pb.CONSTR_UNIQUE: ConstraintKind.UNIQUE,
    pb.CONSTR_EXCLUSION: ConstraintKind.EXCLUSION,
}
_LABELS = {ConstraintKind.PRIMARY_KEY: "pkey", ConstraintKind.UNIQUE: "key", ConstraintKind.EXCLUSION: "excl"}


@dataclass(slots=True)
class ConstraintSpec:
    """A constraint in the parse tree, with the column it is attached to, if any, and the attributes that follow it."""

    node: Any
    kind: int
    column: str | None = None
    deferrable: bool = False
    enforced: bool = True
    name: str = ""
    is_redundant: bool = False

    @classmethod
    def from_node(cls, node: Any, column: str | None = None) -> ConstraintSpec:
        """Return the spec for a constraint node."""
        return cls(node, node.contype, column, name=node.conname)

    @property
    def is_enforced(self) -> bool:
        """Whether the constraint is enforced."""
        return self.enforced and bool(self.node.is_enforced)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the constraint names."""
        return strings(self.node.keys) or ((self.column,) if self.column else ())


def add_constraints(
    state: CatalogState, draft: TableBuilder, specs: Sequence[ConstraintSpec], *, is_new_table: bool = False
) -> None:
    """Add constraints in PostgreSQL's order, because the order determines generated names."""
    specs_by_index: dict[tuple[object, ...], ConstraintSpec] = {}
    ordered = sorted(specs, key=_creation_order)
    for one in ordered:
        if one.kind not in INDEX_CONSTRAINTS or one.node.indexname:
            continue
        prior = specs_by_index.setdefault(_index_identity(one), one)
        if prior is not one and one.kind != pb.CONSTR_PRIMARY:
            prior.name = prior.name or one.name
            one.is_redundant = True
    for one in ordered:
        if not one.is_redundant:
            add_constraint(state, draft, one, is_new_table=is_new_table)


def _index_identity(spec: ConstraintSpec) -> tuple[object, ...]:
    """Return a key that is equal for constraints that can share an index, such as UNIQUE and PRIMARY KEY on the same
    column.
    """
    node = spec.node
    pairs = [one.list.items for one in node.exclusions]
    exclusions = [(pair[0].index_elem.name or None, strings(pair[1].list.items)) for pair in pairs]
    unlike = id(spec) if any(name is None for name, _ in exclusions) or node.HasField("where_clause") else 0
    attributes = (node.deferrable or spec.deferrable, node.nulls_not_distinct, node.without_overlaps, unlike)
    return (*spec.columns, "", *strings(node.including), *exclusions, attributes)


_ORDER = {pb.CONSTR_CHECK: 0, pb.CONSTR_NOTNULL: 1, pb.CONSTR_PRIMARY: 2, pb.CONSTR_FOREIGN: 4}


def _creation_order(spec: ConstraintSpec) -> int:
    return _ORDER.get(spec.kind, 3)


def add_constraint(
    state: CatalogState, draft: TableBuilder, spec: ConstraintSpec, *, is_new_table: bool = False
) -> None:
    """Add a constraint to a new or existing table."""
    kind, name = spec.kind, spec.name
    if name and name in draft.constraints:
        state.issues.report_duplicate("constraint", name, draft.constraints[name].location, spec.node.location)
        return
    if kind == pb.CONSTR_CHECK:
        _add_check(state, draft, spec, is_new_table)
    elif kind == pb.CONSTR_NOTNULL:
        add_not_null(state, draft, spec)
    elif kind == pb.CONSTR_FOREIGN:
        _add_foreign_key(state, draft, spec, is_new_table)
    elif kind in INDEX_CONSTRAINTS:
        _add_index_constraint(state, draft, spec)


def add_not_null(state: CatalogState, draft: TableBuilder, spec: ConstraintSpec) -> None:
    """Add NOT NULL to a column, or as a PostgreSQL 18 table constraint."""
    node = spec.node
    name = spec.column or next(iter(strings(node.keys)), "")
    column = draft.columns.get(name)
    if column is None:
        state.issues.report_missing_column(draft.name, name, node.location)
        return
    if column.not_null:
        return
    draft.columns[name] = replace(
        column,
        not_null=not node.skip_validation,
        not_null_constraint=column.not_null_constraint or choose_not_null_name(state, draft, name, spec.name),
    )


def choose_not_null_name(state: CatalogState, draft: TableBuilder, column: str, requested_name: str = "") -> str:
    """Choose the name of a column's NOT NULL constraint, and reserve the name."""
    schema, table = draft.name
    name = requested_name or state.constraints.free_name(schema, table, column, "not_null")
    state.constraints.reserve(schema, name)
    return name


def _add_check(state: CatalogState, draft: TableBuilder, spec: ConstraintSpec, is_new_table: bool) -> None:
    node = spec.node
    columns = tuple(one for one in column_names(node.raw_expr) if one != draft.name.name or one in draft.columns)
    _require_columns(state, draft, columns, node.location)
    alone = columns[0] if len(columns) == 1 else None
    state.constraints.add(
        draft,
        Constraint(
            name=spec.name or state.constraints.free_name(draft.name.schema, draft.name.name, alone, "check"),
            kind=ConstraintKind.CHECK,
            columns=columns,
            expression=format_expression(node.raw_expr),
            validated=spec.is_enforced and (is_new_table or not node.skip_validation),
            no_inherit=node.is_no_inherit,
            location=state.issues.location(node.location),
        ),
    )


def _add_foreign_key(state: CatalogState, draft: TableBuilder, spec: ConstraintSpec, is_new_table: bool) -> None:
    node = spec.node
    columns = strings(node.fk_attrs) or ((spec.column,) if spec.column else ())
    _require_columns(state, draft, columns, node.location)
    target, target_columns = _resolve_target(state, draft, node)
    name = spec.name or state.constraints.free_name(
        draft.name.schema, draft.name.name, index_name_columns(columns), "fkey"
    )
    state.constraints.add(
        draft,
        Constraint(
            name=name,
            kind=ConstraintKind.FOREIGN_KEY,
            columns=columns,
            target=target,
            target_columns=target_columns,
            on_update=_ACTIONS.get(node.fk_upd_action, "no action"),
            on_delete=_ACTIONS.get(node.fk_del_action, "no action"),
            validated=spec.is_enforced and (is_new_table or not node.skip_validation),
            deferrable=node.deferrable or spec.deferrable,
            location=state.issues.location(node.location),
        ),
    )


def _resolve_target(state: CatalogState, draft: TableBuilder, node: Any) -> tuple[QualifiedName, tuple[str, ...]]:
    """Return the table and columns that a foreign key references."""
    columns = strings(node.pk_attrs)
    range_var = node.pktable
    if _is_same_table(state, draft, range_var):
        key = draft.constraints.get(draft.key_name or "")
        _require_columns(state, draft, columns, node.location)
        if key is None and not columns:
            state.issues.report_missing("primary key of", draft.name, range_var.location)
        return draft.name, columns or (key.columns if key else ())
    relation = state.names.relation(range_var)
    if not isinstance(relation, Table):
        if relation is None:
            state.names.report_missing(range_var, "table")
        return relation.name if relation else state.names.new_name(range_var), columns
    for column in columns:
        if relation.column(column) is None:
            state.issues.report_missing_column(relation.name, column, node.location)
    key = relation.primary_key
    if key is None and not columns:
        state.issues.report_missing("primary key of", relation.name, range_var.location)
    return relation.name, columns or (key.columns if key else ())


def _is_same_table(state: CatalogState, draft: TableBuilder, node: Any) -> bool:
    """Whether a name refers to the table that is being created or altered, which may not be in the catalog yet."""
    if node.relname != draft.name.name:
        return False
    if node.schemaname:
        return bool(node.schemaname == draft.name.schema)
    for schema in (TEMPORARY, *state.search_path):
        name = QualifiedName(schema, node.relname)
        if name == draft.name:
            return True
        if name in state.tables:
            return False
    return False


def _add_index_constraint(state: CatalogState, draft: TableBuilder, spec: ConstraintSpec) -> None:
    node = spec.node
    kind = INDEX_CONSTRAINTS[spec.kind]
    if node.indexname:
        _use_index(state, draft, spec, kind)
        return
    keys = _exclusion_keys(draft, node) if kind is ConstraintKind.EXCLUSION else _IndexKeys(spec.columns, spec.columns)
    included = strings(node.including)
    plain = tuple(column for column in keys.columns if column)
    _require_columns(state, draft, (*(keys.expression_columns or plain), *included), node.location)
    if kind is ConstraintKind.PRIMARY_KEY:
        _make_columns_not_null(state, draft, plain, node.location)
    schema, table = draft.name
    name = spec.name
    if not name:
        second = (
            None
            if kind is ConstraintKind.PRIMARY_KEY
            else index_name_columns(dedupe_column_names([*keys.names, *included]))
        )
        name = state.constraints.free_index_name(schema, table, second, _LABELS[kind], constraint=True)
    elif state.names.is_taken(QualifiedName(schema, name)):
        state.issues.report_duplicate(
            "relation", name, state.names.find_definition(QualifiedName(schema, name)), node.location
        )
        return
    state.created.add(QualifiedName(schema, name))
    location = state.issues.location(node.location)
    deferrable = node.deferrable or spec.deferrable
    state.constraints.add(
        draft, Constraint(name=name, kind=kind, columns=plain, deferrable=deferrable, location=location)
    )
    state.indexes.add(
        draft,
        Index(
            name=name,
            method=node.access_method or ("gist" if node.without_overlaps else "btree"),
            columns=keys.columns,
            expressions=keys.expressions,
            include_columns=included,
            key_options=keys.options,
            unique=kind is not ConstraintKind.EXCLUSION,
            nulls_not_distinct=node.nulls_not_distinct,
            predicate=format_expression(node.where_clause) if node.HasField("where_clause") else None,
            expression_columns=keys.expression_columns or plain,
            constraint=name,
            location=location,
        ),
    )


class _IndexKeys(NamedTuple):
    """The keys of an index: the columns, their parts of a generated name, and the other key fields of an Index."""

    columns: tuple[str | None, ...]
    names: tuple[str, ...]
    expressions: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    expression_columns: tuple[str, ...] = ()


def _exclusion_keys(draft: TableBuilder, node: Any) -> _IndexKeys:
    elements = [pair.list.items[0].index_elem for pair in node.exclusions]
    return _IndexKeys(
        columns=tuple(one.name or None for one in elements),
        names=tuple(one.name or column_result_name(one.expr) or "expr" for one in elements),
        expressions=tuple(format_expression(one.expr) for one in elements if not one.name),
        options=format_key_options(node.access_method, draft.columns.get, elements),
        expression_columns=find_expression_columns(
            elements, node.where_clause if node.HasField("where_clause") else None
        ),
    )


def _use_index(state: CatalogState, draft: TableBuilder, spec: ConstraintSpec, kind: ConstraintKind) -> None:
    """Apply ADD CONSTRAINT ... USING INDEX, which renames the index to the constraint name."""
    node = spec.node
    index = draft.indexes.get(node.indexname)
    if index is None:
        state.issues.report_missing("index", node.indexname, node.location)
        return
    name = spec.name or index.name
    columns = tuple(column for column in index.columns if column)
    if kind is ConstraintKind.PRIMARY_KEY:
        _make_columns_not_null(state, draft, columns, node.location)
    whole = state.indexes.parents.get(QualifiedName(draft.name.schema, index.name))
    state.indexes.remove(draft, index.name)
    if whole:
        state.indexes.parents[QualifiedName(draft.name.schema, name)] = whole
    state.constraints.add(
        draft,
        Constraint(
            name=name,
            kind=kind,
            columns=columns,
            deferrable=node.deferrable or spec.deferrable,
            location=state.issues.location(node.location),
        ),
    )
    state.indexes.add(draft, replace(index, name=name, constraint=name))


def _make_columns_not_null(state: CatalogState, draft: TableBuilder, columns: Iterable[str], location: int) -> None:
    if draft.key_name:
        state.issues.report_duplicate(
            "primary key of", draft.name, draft.constraints[draft.key_name].location, location
        )
    for name in columns:
        column = draft.columns.get(name)
        if column and not column.not_null:
            constraint_name = column.not_null_constraint or choose_not_null_name(state, draft, name)
            draft.columns[name] = replace(column, not_null=True, not_null_constraint=constraint_name)


def _require_columns(state: CatalogState, draft: TableBuilder, columns: Iterable[str], location: int) -> None:
    """Report columns that do not exist."""
    for column in columns:
        if column not in draft.columns and column not in SYSTEM_COLUMNS:
            state.issues.report_missing_column(draft.name, column, location)


SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})
