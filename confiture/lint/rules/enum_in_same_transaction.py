"""A new enum label that is used in the transaction that adds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.models.catalog import PUBLIC, Catalog, QualifiedName
from confiture.sql.parse_tree import ParsedStatement, get_definition, pb, schema_and_name
from confiture.sql.traversal import walk

_DML_KINDS = (
    "insert_stmt",
    "update_stmt",
    "delete_stmt",
    "merge_stmt",
    "select_stmt",
    "create_stmt",
    "create_table_as_stmt",
    "alter_table_stmt",
    "view_stmt",
    "index_stmt",
    "create_policy_stmt",
    "create_function_stmt",
)
_FIRST_VERSION_WITH_NEW_TYPE = 17
"""From this version on, new labels of a type created in the same transaction can be used immediately."""


def _check(context: StatementContext) -> Iterable[Violation]:
    node = context.node
    enum = _resolve_type(node.type_name, context.catalog)
    known = context.catalog.types.get(enum)
    if node.old_val or not node.new_val or node.new_val in getattr(known, "labels", ()):
        return
    if context.version >= _FIRST_VERSION_WITH_NEW_TYPE and _is_new_type(enum, context):
        return
    columns = _EnumColumns(enum, context.catalog)
    for statement in context.later_of_kind(*_DML_KINDS):
        location = next(_find_label_uses(statement, node.new_val, columns), None)
        if location is not None:
            yield Violation(
                location=statement.location_at(location),
                relation=str(enum),
                message=f"'{node.new_val}' is used in the transaction that adds it to {enum}",
                remedy=f"-- in a separate migration, before this one\n{context.statement.text.strip()};",
            )
            return  # the transaction fails here


def _is_new_type(enum: QualifiedName, context: StatementContext) -> bool:
    types = context.earlier_of_kind("create_enum_stmt")
    return any(_resolve_type(one.node.type_name, context.catalog) == enum for one in types)


def _resolve_type(nodes: Any, catalog: Catalog) -> QualifiedName:
    """Return the type that a list of names refers to; assume `public` if the catalog does not contain it."""
    schema, name = schema_and_name(nodes)
    candidates = [QualifiedName(one, name) for one in ((schema,) if schema else catalog.search_path)]
    return next((one for one in candidates if one in catalog.types), QualifiedName(schema or PUBLIC, name))


class _EnumColumns:
    """The columns whose type is the enum, in the catalog and in tables that later statements create."""

    def __init__(self, enum: QualifiedName, catalog: Catalog) -> None:
        self._enum = enum
        self._catalog = catalog
        self._created: dict[str, list[tuple[str, bool]]] = {}

    def is_enum(self, type_name: Any) -> bool:
        """Whether a type in the parse tree is the enum or an array of it."""
        return _resolve_type(type_name.names, self._catalog) == self._enum if type_name.names else False

    def add_table(self, statement: Any) -> None:
        """Add a table that a CREATE TABLE creates."""
        columns = [one.column_def for one in statement.table_elts if one.WhichOneof("node") == "column_def"]
        self._created[statement.relation.relname] = [(one.colname, self.is_enum(one.type_name)) for one in columns]

    def columns_by_table(self, range_var: Any) -> list[tuple[str, bool]]:
        """Return a table's columns in order, and whether each has the enum as its type."""
        table = self._catalog.table(range_var.schemaname or None, range_var.relname)
        if table is None:
            return self._created.get(range_var.relname, [])
        return [(column.name, column.type.removesuffix("[]") == str(self._enum)) for column in table.columns]


def _find_label_uses(statement: ParsedStatement, label: str, columns: _EnumColumns) -> Iterator[int]:
    """Return the locations where a statement converts the label to the enum."""
    nodes = list(walk(statement.node))
    tables = _columns_by_alias(nodes, columns)
    for node in nodes:
        values: Iterable[Any] = ()
        match node.DESCRIPTOR.name:
            case "TypeCast":
                values = [node.arg] if columns.is_enum(node.type_name) else ()
            case "A_Expr":
                values = _compared_values(node, tables)
            case "InsertStmt":
                values = _inserted_values(node, columns)
            case "UpdateStmt":
                of_type = {name for name, is_enum in columns.columns_by_table(node.relation) if is_enum}
                targets = (one.res_target for one in node.target_list)
                values = [one.val for one in targets if one.name in of_type]
            case "ColumnDef":
                constraints = (one.constraint for one in node.constraints)
                defaults = [one.raw_expr for one in constraints if one.contype == pb.CONSTR_DEFAULT]
                values = defaults if columns.is_enum(node.type_name) else ()
            case "AlterTableStmt":
                values = _default_values(node, columns)
            case "CreateStmt":
                columns.add_table(node)
        for value in values:
            yield from _label_locations(value, label)


def _columns_by_alias(nodes: list[Any], columns: _EnumColumns) -> Mapping[str, list[tuple[str, bool]]]:
    """Return the columns of each table that a statement names, by table alias or name."""
    range_vars = [node for node in nodes if node.DESCRIPTOR.name == "RangeVar"]
    policies = [node.table for node in nodes if node.DESCRIPTOR.name == "CreatePolicyStmt"]
    return {one.alias.aliasname or one.relname: columns.columns_by_table(one) for one in (*range_vars, *policies)}


def _compared_values(node: Any, tables: Mapping[str, list[tuple[str, bool]]]) -> Iterator[Any]:
    for side, other in ((node.lexpr, node.rexpr), (node.rexpr, node.lexpr)):
        if side.WhichOneof("node") == "column_ref" and _is_of_type(side.column_ref, tables):
            yield from other.list.items or [other]


def _is_of_type(column_ref: Any, tables: Mapping[str, list[tuple[str, bool]]]) -> bool:
    parts = [part.string.sval for part in column_ref.fields]
    owners = [tables.get(parts[-2], [])] if len(parts) > 1 else tables.values()
    matches = [is_enum for owner in owners for name, is_enum in owner if name == parts[-1]]
    return bool(matches) and all(matches)


def _inserted_values(node: Any, columns: _EnumColumns) -> Iterator[Any]:
    table = columns.columns_by_table(node.relation)
    listed = [one.res_target.name for one in node.cols] or [name for name, _ in table]
    of_type = dict(table)
    positions = [position for position, name in enumerate(listed) if of_type.get(name)]
    select = node.select_stmt.select_stmt
    rows = [row.list.items for row in select.values_lists]
    rows = rows or [[target.res_target.val for target in select.target_list]]
    for row in rows:
        yield from (row[position] for position in positions if position < len(row))


def _default_values(node: Any, columns: _EnumColumns) -> Iterator[Any]:
    of_type = dict(columns.columns_by_table(node.relation))
    for command in (one.alter_table_cmd for one in node.cmds):
        if command.subtype == pb.AT_ColumnDefault and of_type.get(command.name):
            yield get_definition(command)


def _label_locations(value: Any, label: str) -> Iterator[int]:
    """Return the locations of the label among the possible results of an expression."""
    match value.WhichOneof("node"):
        case "a_const" if value.a_const.HasField("sval") and value.a_const.sval.sval == label:
            yield value.a_const.location
        case "a_array_expr":
            for element in value.a_array_expr.elements:
                yield from _label_locations(element, label)
        case "coalesce_expr":
            for argument in value.coalesce_expr.args:
                yield from _label_locations(argument, label)
        case "case_expr":
            for when in value.case_expr.args:
                yield from _label_locations(when.case_when.result, label)
            yield from _label_locations(value.case_expr.defresult, label)


_BEFORE = """CREATE TYPE order_stage AS ENUM ('placed', 'printed');
CREATE TABLE w_orders (id bigint PRIMARY KEY, stage order_stage)"""

RULE = StatementRule(
    name="enum_in_same_transaction",
    group=Group.TYPES,
    severity="error",
    summary="A new enum label is used in the transaction that adds it",
    impact="The statement fails (55P04): a label cannot be used before the transaction that adds it commits.",
    fix_hint="add the label in a separate migration, which commits before the next migration begins",
    kinds=frozenset({"alter_enum_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(error="55P04"),
    bad=Example(
        before=_BEFORE,
        sql=("ALTER TYPE order_stage ADD VALUE 'shipped'; INSERT INTO w_orders (id, stage) VALUES (1, 'shipped')",),
    ),
    good=Example(
        before=_BEFORE,
        sql=("ALTER TYPE order_stage ADD VALUE 'shipped'", "INSERT INTO w_orders (id, stage) VALUES (1, 'shipped')"),
    ),
)
