"""The schema before statements that have run, from the schema after them.

Only what lint needs is undone, so that a schema never claims more than it had: what a statement adds is removed, and
what a statement proves is unknown before it. What a statement drops cannot be restored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from confiture.models.catalog import Catalog, Constraint, ConstraintKind, Index, QualifiedName, Table, TableKind
from confiture.models.records import replace
from confiture.models.source import LocatedSource, RenderedSql, SourceFile
from confiture.sql.catalog.builder import CatalogBuilder
from confiture.sql.catalog.dynamic_sql import static_statements
from confiture.sql.parse_tree import (
    ParsedStatement,
    alter_commands,
    get_definition,
    parse_rendered,
    pb,
    quote_identifier,
    schema_and_name,
)

_NEW_RELATION: Mapping[str, Callable[[Any], Any]] = {
    "create_stmt": lambda node: node.relation,
    "create_foreign_table_stmt": lambda node: node.base_stmt.relation,
    "create_table_as_stmt": lambda node: node.into.rel,
    "create_seq_stmt": lambda node: node.sequence,
    "view_stmt": lambda node: node.view,
}
_NEW_TYPE: Mapping[str, Callable[[Any], Any]] = {
    "create_enum_stmt": lambda node: node.type_name,
    "create_domain_stmt": lambda node: node.domainname,
    "create_range_stmt": lambda node: node.type_name,
}
_RENAMED_RELATIONS = {
    pb.OBJECT_TABLE: "TABLE",
    pb.OBJECT_VIEW: "VIEW",
    pb.OBJECT_MATVIEW: "MATERIALIZED VIEW",
    pb.OBJECT_SEQUENCE: "SEQUENCE",
    pb.OBJECT_FOREIGN_TABLE: "FOREIGN TABLE",
    pb.OBJECT_INDEX: "INDEX",
}


def created_relations(kind: str, node: Any) -> Iterator[tuple[str | None, str]]:
    """Yield the schemas, if given, and the names of the relations that a statement creates, renames, or moves."""
    for range_var in new_relations(kind, node):
        yield range_var.schemaname or None, range_var.relname
    if kind == "rename_stmt" and node.rename_type in _RENAMED_RELATIONS:
        yield node.relation.schemaname or None, node.newname
    elif kind == "alter_object_schema_stmt" and node.HasField("relation"):
        yield node.newschema, node.relation.relname


def new_relations(kind: str, node: Any) -> Iterator[Any]:
    """Yield the RangeVars of the tables, views, and sequences that a statement creates."""
    reader = _NEW_RELATION.get(kind)
    if reader is not None:
        yield reader(node)
    elif kind == "do_stmt":
        for inner_kind, inner in static_statements(node):
            yield from new_relations(inner_kind, inner)


def undo_statements(builder: CatalogBuilder, statements: Iterable[ParsedStatement]) -> None:
    """Undo statements, which must be in reverse order."""
    for statement in statements:
        _undo(builder, statement.kind, statement.node)


def _undo(builder: CatalogBuilder, kind: str, node: Any) -> None:
    if kind == "do_stmt":
        for inner_kind, inner in reversed([*static_statements(node)]):
            _undo(builder, inner_kind, inner)
        return
    undo = _UNDO.get(kind)
    if undo is None:
        return
    # each statement depends on the catalog that the previous statement left
    for sql in undo(builder, node):
        source = LocatedSource(text=sql, file=SourceFile(path="", text=sql))
        for statement in parse_rendered(RenderedSql(text=sql, source=source)):
            builder.apply(statement)


def _name(name: QualifiedName) -> str:
    return f"{quote_identifier(name.schema)}.{quote_identifier(name.name)}"


def _find_table(catalog: Catalog, range_var: Any) -> Table | None:
    return catalog.table(range_var.schemaname or None, range_var.relname)


def _undo_new_relation(kind: str) -> Callable[[CatalogBuilder, Any], Iterator[str]]:
    def undo(builder: CatalogBuilder, node: Any) -> Iterator[str]:
        for range_var in new_relations(kind, node):
            catalog, schema, name = builder.catalog, range_var.schemaname or None, range_var.relname
            relation = catalog.relation(schema, name)
            if relation is None or (kind == "view_stmt" and node.replace):
                continue
            view = catalog.views.get(relation.name)
            if view is not None:
                yield f"DROP {'MATERIALIZED ' * view.materialized}VIEW {_name(relation.name)} CASCADE"
            elif isinstance(relation, Table):
                yield f"DROP {'FOREIGN ' * (kind == 'create_foreign_table_stmt')}TABLE {_name(relation.name)} CASCADE"
            elif relation.name in catalog.sequences:
                yield f"DROP SEQUENCE {_name(relation.name)} CASCADE"

    return undo


def _undo_new_type(reader: Callable[[Any], Any]) -> Callable[[CatalogBuilder, Any], Iterator[str]]:
    def undo(builder: CatalogBuilder, node: Any) -> Iterator[str]:
        schema, name = schema_and_name(reader(node))
        for candidate in (schema,) if schema else builder.catalog.search_path:
            if QualifiedName(candidate, name) in builder.catalog.types:
                yield f"DROP TYPE {_name(QualifiedName(candidate, name))}"

    return undo


def _undo_index(builder: CatalogBuilder, node: Any) -> Iterator[str]:
    table = _find_table(builder.catalog, node.relation)
    if table is None:
        return
    columns = tuple(param.index_elem.name or None for param in node.index_params)
    for index in table.indexes:
        is_it = index.name == node.idxname if node.idxname else index.columns == columns
        if is_it and index.constraint is None:
            yield from _drop_index(builder.catalog, table, index)


def _drop_index(catalog: Catalog, table: Table, index: Index) -> Iterator[str]:
    """Drop an index, and the equal indexes of partitions, because it is unknown which of them belong to it."""
    for partition in catalog.partitions(table.name):
        for one in partition.indexes:
            if one.constraint is None and replace(one, name=index.name) == index:
                yield from _drop_index(catalog, partition, one)
    yield f"DROP INDEX {_name(QualifiedName(table.name.schema, index.name))}"


def _undo_policy(builder: CatalogBuilder, node: Any) -> Iterator[str]:
    table = _find_table(builder.catalog, node.table)
    if table is not None:
        yield f"DROP POLICY IF EXISTS {quote_identifier(node.policy_name)} ON {_name(table.name)}"


def _undo_trigger(builder: CatalogBuilder, node: Any) -> Iterator[str]:
    table = _find_table(builder.catalog, node.relation)
    if table is not None and not node.replace:
        yield f"DROP TRIGGER IF EXISTS {quote_identifier(node.trigname)} ON {_name(table.name)}"


def _undo_rename(builder: CatalogBuilder, node: Any) -> Iterator[str]:
    catalog, schema = builder.catalog, node.relation.schemaname or None
    old, new = quote_identifier(node.subname), quote_identifier(node.newname)
    if node.rename_type in (pb.OBJECT_COLUMN, pb.OBJECT_TABCONSTRAINT):
        table = _find_table(catalog, node.relation)
        is_column = node.rename_type == pb.OBJECT_COLUMN
        if table is not None and (table.column(node.newname) if is_column else table.constraint(node.newname)):
            yield f"ALTER TABLE {_name(table.name)} RENAME {'COLUMN' if is_column else 'CONSTRAINT'} {new} TO {old}"
        return
    what = _RENAMED_RELATIONS.get(node.rename_type)
    if what is None or catalog.relation(schema, node.relation.relname):
        return
    relation = catalog.relation(schema, node.newname)
    owner = catalog.find_index(schema, node.newname)
    home = relation.name.schema if relation else owner[0].name.schema if owner else None
    if home is not None:
        name = _name(QualifiedName(home, node.newname))
        yield f"ALTER {what} {name} RENAME TO {quote_identifier(node.relation.relname)}"


def _undo_set_schema(builder: CatalogBuilder, node: Any) -> Iterator[str]:
    what = _RENAMED_RELATIONS.get(node.object_type)
    name = QualifiedName(node.newschema, node.relation.relname)
    if what and builder.catalog.relation(*name):
        home = node.relation.schemaname or builder.catalog.search_path[0]
        yield f"ALTER {what} {_name(name)} SET SCHEMA {quote_identifier(home)}"


def _undo_alter_table(builder: CatalogBuilder, node: Any) -> Iterator[str]:
    for command in reversed([*alter_commands(node)]):
        table = _find_table(builder.catalog, node.relation)
        undo = _UNDO_COMMANDS.get(command.subtype)
        if table is not None and undo is not None:
            yield from undo(builder, table, command)


def _undo_add_column(builder: CatalogBuilder, table: Table, command: Any) -> Iterator[str]:
    name = get_definition(command).column_def.colname
    if table.column(name):
        yield f"ALTER TABLE {_name(table.name)} DROP COLUMN {quote_identifier(name)} CASCADE"


def _undo_not_null(builder: CatalogBuilder, table: Table, command: Any) -> Iterator[str]:
    yield from _drop_not_null(table, (command.name,))


def _drop_not_null(table: Table, columns: Iterable[str]) -> Iterator[str]:
    for name in columns:
        column = table.column(name)
        if column is not None and column.not_null:
            yield f"ALTER TABLE {_name(table.name)} ALTER COLUMN {quote_identifier(name)} DROP NOT NULL"


def _undo_add_constraint(builder: CatalogBuilder, table: Table, command: Any) -> Iterator[str]:
    definition = get_definition(command).constraint
    columns = tuple(one.string.sval for one in (*definition.keys, *definition.fk_attrs))
    if definition.contype == pb.CONSTR_NOTNULL:
        yield from _drop_not_null(table, columns)
        return
    kind = _CONSTRAINT_KINDS.get(definition.contype)
    for constraint in table.constraints:
        is_it = constraint.name == definition.conname if definition.conname else constraint.columns == columns
        if is_it and constraint.kind is kind:
            yield from _drop_constraint(builder.catalog, table, constraint)


def _drop_constraint(catalog: Catalog, table: Table, constraint: Constraint) -> Iterator[str]:
    """Drop a constraint, and the equal constraints of partitions."""
    for partition in catalog.partitions(table.name) if table.kind is TableKind.PARTITIONED else ():
        for one in partition.constraints:
            if replace(one, name=constraint.name) == constraint:
                yield from _drop_constraint(catalog, partition, one)
    yield f"ALTER TABLE {_name(table.name)} DROP CONSTRAINT IF EXISTS {quote_identifier(constraint.name)} CASCADE"
    if constraint.kind is ConstraintKind.PRIMARY_KEY:
        yield from _drop_not_null(table, constraint.columns)


_CONSTRAINT_KINDS = {
    pb.CONSTR_PRIMARY: ConstraintKind.PRIMARY_KEY,
    pb.CONSTR_UNIQUE: ConstraintKind.UNIQUE,
    pb.CONSTR_FOREIGN: ConstraintKind.FOREIGN_KEY,
    pb.CONSTR_CHECK: ConstraintKind.CHECK,
    pb.CONSTR_EXCLUSION: ConstraintKind.EXCLUSION,
}


def _undo_validate(builder: CatalogBuilder, table: Table, command: Any) -> Iterator[str]:
    constraints = tuple(replace(one, validated=False) if one.name == command.name else one for one in table.constraints)
    columns = tuple(
        replace(one, not_null=False) if one.not_null_constraint == command.name else one for one in table.columns
    )
    builder.put_table(replace(table, constraints=constraints, columns=columns))
    yield from ()


def _undo_type(builder: CatalogBuilder, table: Table, command: Any) -> Iterator[str]:
    columns = tuple(replace(one, type="") if one.name == command.name else one for one in table.columns)
    builder.put_table(replace(table, columns=columns))
    yield from ()


def _undo_attach(builder: CatalogBuilder, table: Table, command: Any) -> Iterator[str]:
    partition = _find_table(builder.catalog, get_definition(command).partition_cmd.name)
    if partition is not None and partition.is_partition and table.name in partition.parents:
        yield f"ALTER TABLE {_name(table.name)} DETACH PARTITION {_name(partition.name)}"


def _undo_identity(builder: CatalogBuilder, table: Table, command: Any) -> Iterator[str]:
    yield f"ALTER TABLE {_name(table.name)} ALTER COLUMN {quote_identifier(command.name)} DROP IDENTITY IF EXISTS"


def _undo_flag(command_text: str) -> Callable[[CatalogBuilder, Table, Any], Iterator[str]]:
    def undo(builder: CatalogBuilder, table: Table, command: Any) -> Iterator[str]:
        yield f"ALTER TABLE {_name(table.name)} {command_text}"

    return undo


_UNDO_COMMANDS: Mapping[int, Callable[[CatalogBuilder, Table, Any], Iterator[str]]] = {
    pb.AT_AddColumn: _undo_add_column,
    pb.AT_SetNotNull: _undo_not_null,
    pb.AT_AddConstraint: _undo_add_constraint,
    pb.AT_ValidateConstraint: _undo_validate,
    pb.AT_AlterColumnType: _undo_type,
    pb.AT_AttachPartition: _undo_attach,
    pb.AT_AddIdentity: _undo_identity,
    pb.AT_EnableRowSecurity: _undo_flag("DISABLE ROW LEVEL SECURITY"),
    pb.AT_ForceRowSecurity: _undo_flag("NO FORCE ROW LEVEL SECURITY"),
}
_UNDO: Mapping[str, Callable[[CatalogBuilder, Any], Iterator[str]]] = {
    **{kind: _undo_new_relation(kind) for kind in _NEW_RELATION},
    **{kind: _undo_new_type(reader) for kind, reader in _NEW_TYPE.items()},
    "alter_object_schema_stmt": _undo_set_schema,
    "alter_table_stmt": _undo_alter_table,
    "create_policy_stmt": _undo_policy,
    "create_trig_stmt": _undo_trigger,
    "index_stmt": _undo_index,
    "rename_stmt": _undo_rename,
}
UNDONE_KINDS = frozenset({*_UNDO, "do_stmt"})
"""The kinds of statements that can be undone; other statements do not change what lint needs."""
