"""Parse trees of statements: positions and names."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError

from confiture.models.catalog import View
from confiture.models.plan import TableRef
from confiture.models.records import record
from confiture.models.source import RenderedSql, SourceLocation
from confiture.sql.expressions import format_expression, quote_identifier, quote_names
from confiture.sql.parser import parse_sql, pb, postgast
from confiture.sql.traversal import find_nodes

__all__ = [
    "Parse",
    "ParseCache",
    "ParsedStatement",
    "alter_commands",
    "column_result_name",
    "flatten_and",
    "format_expression",
    "format_statement",
    "get_definition",
    "parse_expression",
    "parse_rendered",
    "parse_result_name",
    "pb",
    "query_tree",
    "quote_identifier",
    "quote_names",
    "rename_column_in",
    "schema_and_name",
    "strings",
]


_WIDE = re.compile(r"[^\x00-\x7f]+")


@dataclass(frozen=True, slots=True)
class ByteOffsets:
    """Converts byte offsets in UTF-8 text to character offsets.

    `ends` are the byte offsets after each run of multi-byte characters; `extra` is, for each run, by how much the byte
    count exceeds the character count so far.
    """

    ends: Sequence[int] = ()
    extra: Sequence[int] = ()

    @classmethod
    def from_text(cls, text: str) -> ByteOffsets:
        """Compute the offsets for a string."""
        if text.isascii():
            return cls()
        ends, extra, more = [], [], 0
        for run in _WIDE.finditer(text):
            more += len(run[0].encode()) - len(run[0])
            ends.append(run.end() + more)
            extra.append(more)
        return cls(ends, extra)

    def to_characters(self, byte: int) -> int:
        """Return the number of characters before a byte."""
        index = bisect_right(self.ends, byte) if self.ends else 0
        return byte - self.extra[index - 1] if index else byte


@record(frozen=True, kw_only=True, slots=True)
class ParsedStatement:
    """A statement with its parse tree. `offset` and `end` are character positions in the rendered text, from 0.

    `kind` is the parser's name for the statement kind (`create_stmt`); `node` is the tree below it.
    """

    rendered: RenderedSql = field(repr=False)
    offset: int
    end: int
    kind: str
    node: Any = field(repr=False)
    byte_offsets: ByteOffsets = field(repr=False)

    @property
    def text(self) -> str:
        """The statement without its semicolon."""
        return self.rendered.text[self.offset : self.end].rstrip()

    @property
    def location(self) -> SourceLocation:
        """The start of the statement."""
        return SourceLocation(rendered=self.rendered, offset=self.offset)

    def location_at(self, location: int) -> SourceLocation:
        """Return the position of a node's `location`, which the parser counts in bytes from the start of the whole
        text.
        """
        return SourceLocation(rendered=self.rendered, offset=self.byte_offsets.to_characters(location))


Parse = Callable[[str], Any]
"""Return the parse tree of SQL text. Raise postgast.PgQueryError or DecodeError if the text does not parse."""


class ParseCache:
    """A cache of parse trees for SQL text that is read more than once. The trees must not be changed."""

    def __init__(self, parse: Parse) -> None:
        self._parse = parse
        self._trees: dict[str, Any] = {}

    def put(self, text: str) -> Any:
        """Return the parse tree of SQL text and cache it."""
        tree = self._trees[text] = self.get(text)
        return tree

    def get(self, text: str) -> Any:
        """Return the cached parse tree of SQL text, or parse the text now."""
        return self._trees.get(text) or self._parse(text)


def parse_rendered(rendered: RenderedSql, parse: Parse = parse_sql) -> tuple[ParsedStatement, ...]:
    """Return the statements in SQL text.

    Raise the exceptions of `parse`, and ValueError if the text contains a NUL, which the parser would treat as the end
    of the text.
    """
    text = rendered.text
    if "\0" in text:
        raise ValueError("SQL cannot contain the character U+0000")
    positions = ByteOffsets.from_text(text)
    characters = positions.to_characters
    statements = []
    for raw in parse(text).stmts:
        location, length, node = raw.stmt_location, raw.stmt_len, raw.stmt
        start = characters(location)
        end = characters(location + length) if length else len(text)
        kind = node.WhichOneof("node")
        statements.append(
            ParsedStatement(
                rendered=rendered,
                offset=start,
                end=end,
                kind=kind,
                node=getattr(node, kind),
                byte_offsets=positions,
            )
        )
    return tuple(statements)


def get_definition(node: Any) -> Any:
    """Return the field `def` of a node. Its name is a Python keyword."""
    return getattr(node, "def")


def strings(nodes: Any) -> tuple[str, ...]:
    """Return the strings in a list of string nodes."""
    return tuple([node.string.sval for node in nodes])


def schema_and_name(nodes: Any) -> tuple[str | None, str]:
    """Return the schema, if given, and the name in a list of string nodes."""
    parts = strings(nodes)
    return (parts[-2] if len(parts) > 1 else None), parts[-1]


def alter_commands(node: Any) -> Iterator[Any]:
    """Return the commands in an ALTER TABLE (or INDEX, VIEW, ...)."""
    for command in node.cmds:
        yield command.alter_table_cmd


def parse_table_ref(text: str) -> TableRef | None:
    """Parse a table name as written in SQL; return None if the string is not a table name."""
    try:
        statements = parse_sql(f"TABLE {text}").stmts
    except (postgast.PgQueryError, DecodeError):
        return None
    if len(statements) != 1:
        return None
    query = statements[0].stmt.select_stmt
    if len(query.from_clause) != 1 or query.sort_clause or query.HasField("limit_count") or query.locking_clause:
        return None
    range_var = query.from_clause[0].range_var
    return TableRef(range_var.schemaname or None, range_var.relname)


def column_result_name(node: Any) -> str | None:
    """Return the name that PostgreSQL gives to an expression's column; None if the column has no name."""
    return _name_and_strength(node)[0]


_NAMELESS: tuple[None, int] = (None, 0)


def _name_and_strength(node: Any) -> tuple[str | None, int]:
    """Return a name and its strength: 2 for explicit names, 1 for names derived from types and constructs."""
    kind = node.WhichOneof("node")
    if kind is None:
        return _NAMELESS
    inner = getattr(node, kind)
    reader = _READERS.get(kind)
    if reader:
        return reader(inner)
    if kind in _FIXED_NAMES:
        return _FIXED_NAMES[kind], 2
    return _NAMELESS


def _column_result(node: Any) -> tuple[str | None, int]:
    last = [one for one in node.fields if one.WhichOneof("node") == "string"]
    return (last[-1].string.sval, 2) if last else _NAMELESS


def _indirection_result(node: Any) -> tuple[str | None, int]:
    last = [one for one in node.indirection if one.WhichOneof("node") == "string"]
    return (last[-1].string.sval, 2) if last else _name_and_strength(node.arg)


def _function_result(node: Any) -> tuple[str | None, int]:
    return strings(node.funcname)[-1], 2


def _cast_result(node: Any) -> tuple[str | None, int]:
    name, strength = _name_and_strength(node.arg)
    if strength <= 1 and node.HasField("type_name"):
        return strings(node.type_name.names)[-1], 1
    return name, strength


def _case_result(node: Any) -> tuple[str | None, int]:
    name, strength = _name_and_strength(node.defresult)
    return (name, strength) if strength > 1 else ("case", 1)


def _collate_result(node: Any) -> tuple[str | None, int]:
    return _name_and_strength(node.arg)


def _expression_result(node: Any) -> tuple[str | None, int]:
    return ("nullif", 2) if node.kind == pb.AEXPR_NULLIF else _NAMELESS


def _min_max_result(node: Any) -> tuple[str | None, int]:
    return ("greatest" if node.op == pb.IS_GREATEST else "least"), 2


def _sublink_result(node: Any) -> tuple[str | None, int]:
    if node.sub_link_type == pb.EXISTS_SUBLINK:
        return "exists", 2
    if node.sub_link_type == pb.ARRAY_SUBLINK:
        return "array", 2
    if node.sub_link_type != pb.EXPR_SUBLINK:
        return _NAMELESS
    select = node.subselect.select_stmt
    while select.HasField("larg"):
        select = select.larg
    if not select.target_list:
        return _NAMELESS
    target = select.target_list[0].res_target
    return (target.name, 2) if target.name else _name_and_strength(target.val)


def _sql_value_result(node: Any) -> tuple[str | None, int]:
    name = pb.SQLValueFunctionOp.Name(node.op)
    return name.removeprefix("SVFOP_").removesuffix("_N").lower(), 2


_FIXED_NAMES = {
    "a_array_expr": "array",
    "row_expr": "row",
    "coalesce_expr": "coalesce",
    "grouping_func": "grouping",
    "merge_support_func": "merge_action",
    "xml_serialize": "xmlserialize",
    "json_parse_expr": "json",
    "json_scalar_expr": "json_scalar",
    "json_serialize_expr": "json_serialize",
    "json_object_constructor": "json_object",
    "json_array_constructor": "json_array",
    "json_array_query_constructor": "json_array",
    "json_object_agg": "json_objectagg",
    "json_array_agg": "json_arrayagg",
}
_READERS: dict[str, Callable[[Any], tuple[str | None, int]]] = {
    "column_ref": _column_result,
    "a_indirection": _indirection_result,
    "func_call": _function_result,
    "type_cast": _cast_result,
    "case_expr": _case_result,
    "collate_clause": _collate_result,
    "a_expr": _expression_result,
    "min_max_expr": _min_max_result,
    "sub_link": _sublink_result,
    "sqlvalue_function": _sql_value_result,
}


def parse_expression(text: str) -> Any:
    """Return the parse tree of an expression. Raise postgast.PgQueryError if the expression does not parse."""
    return parse_sql(f"SELECT {text}").stmts[0].stmt.select_stmt.target_list[0].res_target.val


def flatten_and(condition: Any) -> Iterator[Any]:
    """Return the conditions that are combined by AND; none for an empty condition."""
    kind = condition.WhichOneof("node")
    if kind == "bool_expr" and condition.bool_expr.boolop == pb.AND_EXPR:
        for part in condition.bool_expr.args:
            yield from flatten_and(part)
    elif kind is not None:
        yield condition


def parse_result_name(text: str) -> str | None:
    """Return `column_result_name` for an expression given as text."""
    return column_result_name(parse_expression(text)) if text else None


def rename_column_in(expression: str, old: str, new: str) -> str:
    """Rename a column in an expression given as text."""
    value = parse_expression(expression)
    for node in find_nodes(value, pb.ColumnRef):
        if node.fields[-1].string.sval == old:
            node.fields[-1].string.sval = new
    return format_expression(value)


def query_tree(view: View) -> Any:
    """Return the SELECT of a view. The tree must not be changed."""
    tree = view.query.tree
    return tree if tree is not None else parse_sql(view.query.text).stmts[0].stmt.select_stmt


def format_statement(kind: str, node: Any) -> str:
    """Format a statement node as SQL, without a semicolon; `kind` is the parser's name for it (`update_stmt`)."""
    tree = pb.ParseResult()
    getattr(tree.stmts.add().stmt, kind).CopyFrom(node)
    return str(postgast.deparse(tree))
