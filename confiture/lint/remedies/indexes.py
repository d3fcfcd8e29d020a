"""Helpers for the rules about building and dropping indexes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.facts.alter_table import descendant_partitions
from confiture.lint.facts.table_sizes import resolve_relation_name
from confiture.lint.remedies.commands import attach_index_sql, join_lines, make_range_var
from confiture.models.catalog import Index, QualifiedName, Table, TableKind
from confiture.models.findings import Edit
from confiture.models.source import SourceLocation
from confiture.sql.catalog.object_names import choose_relation_name, dedupe_column_names, index_name_columns
from confiture.sql.parse_tree import ParsedStatement, column_result_name, format_statement, pb
from confiture.sql.tokens import statement_tokens

_ORDER = frozenset({"DESC", "NULLS", "FIRST", "LAST"})
_TARGETS = frozenset({"INDEX", "TABLE", "SCHEMA", "DATABASE"})


def find_concurrently_position(statement: ParsedStatement) -> tuple[int, str]:
    """Return the position for CONCURRENTLY in the rendered text (from 0), and the word in matching case with a space.

    CONCURRENTLY follows the keyword for the kind of object that is built, rebuilt, or dropped.
    """
    word = next(word for word in statement_tokens(statement) if word.kind in _TARGETS)
    is_small = statement.rendered.text[word.start : word.end].islower()
    return word.end, " concurrently" if is_small else " CONCURRENTLY"


def add_concurrently(statement: ParsedStatement, name: str = "") -> str:
    """Return the statement with CONCURRENTLY, and with `name` as the index name if `name` is not empty."""
    position, word = find_concurrently_position(statement)
    position -= statement.offset
    return f"{statement.text[:position]}{f'{word} {name}'.rstrip()}{statement.text[position:]};"


def concurrently_edit(statement: ParsedStatement) -> tuple[Edit, ...]:
    """Return the file edit that adds CONCURRENTLY; empty if the edit is not certain to be correct."""
    return insert_text(statement, *find_concurrently_position(statement))


def created_index_name(context: StatementContext) -> str:
    """Return the name of the index that a CREATE INDEX builds: the explicit name, or PostgreSQL's choice."""
    node = context.node
    return node.idxname or default_index_name(context, resolve_relation_name(context, node.relation), node)


def default_index_name(context: StatementContext, table: QualifiedName, node: Any) -> str:
    """Return the name that PostgreSQL chooses for an index on a table."""
    elements = [one.index_elem for one in (*node.index_params, *node.index_including_params)]
    columns = dedupe_column_names(one.name or column_result_name(one.expr) or "expr" for one in elements)

    def is_taken(name: str) -> bool:
        return context.catalog.find_index(table.schema, name) is not None

    return choose_relation_name(table.name, index_name_columns(columns), "idx", is_taken)


def exists_on_every_partition(context: StatementContext) -> bool:
    """Whether every partition already has the index that a CREATE INDEX would build.

    PostgreSQL then attaches the existing indexes and builds none.
    """
    parts = descendant_partitions(context, context.node.relation)
    return bool(parts) and all(any(_is_same_index(one, context.node) for one in part.indexes) for part in parts)


def _is_same_index(index: Index, node: Any) -> bool:
    """Whether PostgreSQL accepts an existing index as the one that a CREATE INDEX would build, in any sort order.

    False unless all index keys are plain columns.
    """
    elements = [one.index_elem for one in node.index_params]
    is_plain = all(one.name and not one.opclass and not one.collation for one in elements)
    return (
        is_plain
        and not node.HasField("where_clause")
        and not index.predicate
        and not {word for options in index.key_options for word in options.split()} - _ORDER
        and index.valid
        and index.unique == node.unique
        and index.method == node.access_method
        and index.columns == tuple(one.name for one in elements)
        and index.include_columns == tuple(one.index_elem.name for one in node.index_including_params)
        and index.nulls_not_distinct == node.nulls_not_distinct
    )


def build_per_partition(context: StatementContext) -> str:
    """Return statements that build a partitioned table's index one partition at a time."""
    table = context.table(context.node.relation)
    name = created_index_name(context)
    whole = _copy_statement(context.node, context.node.relation, name)
    whole.relation.inh = False
    parts = list(_partition_index_statements(context, table, name)) if table else []
    if not parts:
        parts = ["-- then, for each partition: CREATE INDEX CONCURRENTLY and ALTER INDEX ... ATTACH PARTITION"]
    return join_lines(format_statement("index_stmt", whole), *parts)


def _partition_index_statements(context: StatementContext, table: Table, index: str) -> Iterator[str]:
    for part in context.catalog.partitions(table.name):
        name = default_index_name(context, part.name, context.node)
        own = _copy_statement(context.node, make_range_var(part.name), name)
        if part.kind is TableKind.PARTITIONED:
            own.relation.inh = False
            yield format_statement("index_stmt", own)
            yield from _partition_index_statements(context, part, name)
        else:
            own.concurrent = True
            yield format_statement("index_stmt", own)
        yield attach_index_sql(QualifiedName(table.name.schema, index), QualifiedName(part.name.schema, name))


def _copy_statement(node: Any, relation: Any, name: str) -> Any:
    index = pb.IndexStmt()
    index.CopyFrom(node)
    index.relation.CopyFrom(relation)
    index.idxname, index.concurrent, index.if_not_exists = name, False, False
    if index.access_method == "btree":
        index.access_method = ""
    return index


def drop_concurrently_sql(context: StatementContext, names: Iterable[QualifiedName]) -> str:
    """Return one DROP INDEX CONCURRENTLY per index, because the command can drop only one index."""
    statements = []
    for name in names:
        node = pb.DropStmt(remove_type=pb.OBJECT_INDEX, behavior=pb.DROP_RESTRICT, concurrent=True)
        node.missing_ok = context.node.missing_ok
        node.objects.append(_object_node(name))
        statements.append(format_statement("drop_stmt", node))
    return join_lines(*statements)


def _object_node(name: QualifiedName) -> Any:
    range_var = make_range_var(name)
    parts = [part for part in (range_var.schemaname, range_var.relname) if part]
    return pb.Node(list=pb.List(items=[pb.Node(string=pb.String(sval=part)) for part in parts]))


def insert_text(statement: ParsedStatement, position: int, text: str) -> tuple[Edit, ...]:
    """Return the edit that inserts text into a statement at `position` (a character of the rendered text, from 0).

    Empty if the statement was rendered from a template and its text in the file differs, because the edit might be
    wrong.
    """
    rendered = statement.rendered
    file = rendered.source.file
    begin = _file_offset(file.text, SourceLocation(rendered=rendered, offset=statement.offset))
    end = _file_offset(file.text, SourceLocation(rendered=rendered, offset=position - 1)) + 1
    if file.text[begin:end] != rendered.text[statement.offset : position]:
        return ()
    return (Edit(path=file.path, start=end, end=end, text=text),)


def _file_offset(text: str, location: SourceLocation) -> int:
    """Return the character offset of a location in its file."""
    span = location.span
    begin = 0
    for _ in range(span.line - 1):
        begin = text.find("\n", begin) + 1
    return begin + span.column - 1
