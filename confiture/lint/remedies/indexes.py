"""What rules about building and dropping indexes share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from confiture.lint.engine.context import StatementSubject
from confiture.lint.facts.alter_table import partitions_below
from confiture.lint.facts.table_sizes import name_of
from confiture.lint.remedies.commands import attach_index, lines, ranged
from confiture.models.catalog import Index, Name, Table, TableKind
from confiture.models.findings import Edit
from confiture.models.source import Place
from confiture.sql.catalog.names import chosen, of_columns, told_apart
from confiture.sql.tokens import tokens
from confiture.sql.tree import ParsedStatement, pb, result_name, statement_text

_ORDER = frozenset({"DESC", "NULLS", "FIRST", "LAST"})
_TARGETS = frozenset({"INDEX", "TABLE", "SCHEMA", "DATABASE"})


def concurrently(statement: ParsedStatement) -> tuple[int, str]:
    """Where CONCURRENTLY goes (a character of the rendered text), and the word with its space, in the same case.

    It goes behind the word for what is built, built anew, or dropped.
    """
    word = next(word for word in tokens(statement) if word.kind in _TARGETS)
    is_small = statement.rendered.text[word.start : word.end].islower()
    return word.end, " concurrently" if is_small else " CONCURRENTLY"


def with_concurrently(statement: ParsedStatement, name: str = "") -> str:
    """The statement with CONCURRENTLY, and with a name for its index where one is given."""
    position, word = concurrently(statement)
    position -= statement.offset
    return f"{statement.text[:position]}{f'{word} {name}'.rstrip()}{statement.text[position:]};"


def made_concurrently(statement: ParsedStatement) -> tuple[Edit, ...]:
    """The change of the file that makes a statement CONCURRENTLY; none where that is not sure."""
    return insert_text(statement, *concurrently(statement))


def index_name(subject: StatementSubject) -> str:
    """The name of the index that a CREATE INDEX builds: its own, or the one that PostgreSQL gives to it."""
    node = subject.node
    return node.idxname or default_index_name(subject, name_of(subject, node.relation), node)


def default_index_name(subject: StatementSubject, table: Name, node: Any) -> str:
    """The name that PostgreSQL gives to such an index of a table."""
    elements = [one.index_elem for one in (*node.index_params, *node.index_including_params)]
    columns = told_apart(one.name or result_name(one.expr) or "expr" for one in elements)

    def taken(name: str) -> bool:
        return subject.catalog.indexed(table.schema, name) is not None

    return chosen(table.name, of_columns(columns), "idx", taken)


def has_each_partition(subject: StatementSubject) -> bool:
    """Whether each partition has the index that a CREATE INDEX makes: PostgreSQL attaches those and builds none."""
    parts = partitions_below(subject, subject.node.relation)
    return bool(parts) and all(any(_is_the_same(one, subject.node) for one in part.indexes) for part in parts)


def _is_the_same(index: Index, node: Any) -> bool:
    """Whether PostgreSQL takes an index for the one that a CREATE INDEX makes, whatever its order; where it has more
    to it than columns, it counts as not.
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
        and index.included == tuple(one.index_elem.name for one in node.index_including_params)
        and index.nulls_not_distinct == node.nulls_not_distinct
    )


def by_partition(subject: StatementSubject) -> str:
    """The statements that build the index of a partitioned table partition by partition."""
    table = subject.table(subject.node.relation)
    name = index_name(subject)
    whole = _copy(subject.node, subject.node.relation, name)
    whole.relation.inh = False
    parts = list(_of_partitions(subject, table, name)) if table else []
    if not parts:
        parts = ["-- then, for each partition: CREATE INDEX CONCURRENTLY, and ALTER INDEX ... ATTACH PARTITION"]
    return lines(statement_text("index_stmt", whole), *parts)


def _of_partitions(subject: StatementSubject, table: Table, index: str) -> Iterator[str]:
    for part in subject.catalog.partitions(table.name):
        name = default_index_name(subject, part.name, subject.node)
        own = _copy(subject.node, ranged(part.name), name)
        if part.kind is TableKind.PARTITIONED:
            own.relation.inh = False
            yield statement_text("index_stmt", own)
            yield from _of_partitions(subject, part, name)
        else:
            own.concurrent = True
            yield statement_text("index_stmt", own)
        yield attach_index(Name(table.name.schema, index), Name(part.name.schema, name))


def _copy(node: Any, relation: Any, name: str) -> Any:
    made = pb.IndexStmt()
    made.CopyFrom(node)
    made.relation.CopyFrom(relation)
    made.idxname, made.concurrent, made.if_not_exists = name, False, False
    if made.access_method == "btree":
        made.access_method = ""
    return made


def drop_concurrently(subject: StatementSubject, names: Iterable[Name]) -> str:
    """DROP INDEX CONCURRENTLY for each of these, which takes one at a time."""
    made = []
    for name in names:
        node = pb.DropStmt(remove_type=pb.OBJECT_INDEX, behavior=pb.DROP_RESTRICT, concurrent=True)
        node.missing_ok = subject.node.missing_ok
        node.objects.append(_object(name))
        made.append(statement_text("drop_stmt", node))
    return lines(*made)


def _object(name: Name) -> Any:
    shown = ranged(name)
    parts = [part for part in (shown.schemaname, shown.relname) if part]
    return pb.Node(list=pb.List(items=[pb.Node(string=pb.String(sval=part)) for part in parts]))


def insert_text(statement: ParsedStatement, position: int, text: str) -> tuple[Edit, ...]:
    """Puts text into a statement behind the character before `position` (of the rendered text, from 0).

    None where the file has another text for the statement: a template made it, and a change would not be sure.
    """
    rendered = statement.rendered
    file = rendered.source.file
    begin = _position(file.text, Place(rendered=rendered, offset=statement.offset))
    behind = _position(file.text, Place(rendered=rendered, offset=position - 1)) + 1
    if file.text[begin:behind] != rendered.text[statement.offset : position]:
        return ()
    return (Edit(path=file.path, start=behind, end=behind, text=text),)


def _position(text: str, place: Place) -> int:
    """The character of a file (from 0) that a place is at."""
    span = place.span
    begin = 0
    for _ in range(span.line - 1):
        begin = text.find("\n", begin) + 1
    return begin + span.column - 1
