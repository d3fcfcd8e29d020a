"""The parse tree of statements: where its nodes stand, and what they name."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError

from confiture.models.catalog import View
from confiture.models.plan import TableRef
from confiture.models.source import Place, Rendered
from confiture.models.values import value
from confiture.sql.expressions import expression_text, identifier
from confiture.sql.grammar import parse_sql, pb, postgast
from confiture.sql.walking import nodes_of

__all__ = [
    "Parse",
    "ParsedStatement",
    "Trees",
    "alter_commands",
    "definition",
    "expression_of",
    "expression_text",
    "flatten_and",
    "identifier",
    "names",
    "parsed",
    "pb",
    "query_tree",
    "renamed_column",
    "result_name",
    "result_name_of",
    "statement_text",
    "strings",
]


_WIDE = re.compile(r"[^\x00-\x7f]+")


@dataclass(frozen=True, slots=True)
class Positions:
    """Where the characters of a text stand, by their places in its UTF-8 bytes.

    `ends` are the bytes behind each run of characters that take more than one, `extra` how many bytes all those so
    far take more than characters.
    """

    ends: Sequence[int] = ()
    extra: Sequence[int] = ()

    @classmethod
    def of(cls, text: str) -> Positions:
        """Those of a text."""
        if text.isascii():
            return cls()
        ends, extra, more = [], [], 0
        for run in _WIDE.finditer(text):
            more += len(run[0].encode()) - len(run[0])
            ends.append(run.end() + more)
            extra.append(more)
        return cls(ends, extra)

    def characters(self, byte: int) -> int:
        """The number of characters before a byte."""
        index = bisect_right(self.ends, byte) if self.ends else 0
        return byte - self.extra[index - 1] if index else byte


@value(frozen=True, kw_only=True, slots=True)
class ParsedStatement:
    """A statement with its parse tree. `offset` and `end` are characters of the rendered text, from 0.

    `kind` is the tree's name of it (`create_stmt`), `node` the tree below that.
    """

    rendered: Rendered = field(repr=False)
    offset: int
    end: int
    kind: str
    node: Any = field(repr=False)
    positions: Positions = field(repr=False)

    @property
    def text(self) -> str:
        """The statement itself, without its semicolon."""
        return self.rendered.text[self.offset : self.end].rstrip()

    @property
    def place(self) -> Place:
        """Where it begins."""
        return Place(rendered=self.rendered, offset=self.offset)

    def at(self, location: int) -> Place:
        """The place of a node's `location`, which the parser counts in bytes of the whole text."""
        return Place(rendered=self.rendered, offset=self.positions.characters(location))


Parse = Callable[[str], Any]
"""Gives the tree of a text. Raises postgast.PgQueryError or DecodeError where it does not parse."""


class Trees:
    """Keeps the trees of texts that are read more than once. Nobody may change them."""

    def __init__(self, parse: Parse) -> None:
        self._parse = parse
        self._kept: dict[str, Any] = {}

    def keep(self, text: str) -> Any:
        """The tree of a text that will be asked for again."""
        tree = self._kept[text] = self.find(text)
        return tree

    def find(self, text: str) -> Any:
        """The tree of a text, parsed now unless it was kept."""
        return self._kept.get(text) or self._parse(text)


def parsed(rendered: Rendered, parse: Parse = parse_sql) -> tuple[ParsedStatement, ...]:
    """The statements of a text. Raises what `parse` raises, and ValueError where the text holds a NUL: the parser would
    take that for its end.
    """
    text = rendered.text
    if "\0" in text:
        raise ValueError("SQL cannot hold the character U+0000")
    positions = Positions.of(text)
    characters = positions.characters
    found = []
    for raw in parse(text).stmts:
        location, length, node = raw.stmt_location, raw.stmt_len, raw.stmt
        start = characters(location)
        end = characters(location + length) if length else len(text)
        kind = node.WhichOneof("node")
        found.append(
            ParsedStatement(
                rendered=rendered,
                offset=start,
                end=end,
                kind=kind,
                node=getattr(node, kind),
                positions=positions,
            )
        )
    return tuple(found)


def definition(node: Any) -> Any:
    """The field `def` of a node, whose name is a keyword of Python."""
    return getattr(node, "def")


def strings(nodes: Any) -> tuple[str, ...]:
    """The texts of a list of string nodes."""
    return tuple([node.string.sval for node in nodes])


def names(nodes: Any) -> tuple[str | None, str]:
    """Schema, where it is said, and name, from a list of string nodes."""
    parts = strings(nodes)
    return (parts[-2] if len(parts) > 1 else None), parts[-1]


def alter_commands(node: Any) -> Iterator[Any]:
    """The commands of an ALTER TABLE (or INDEX, VIEW, ...)."""
    for command in node.cmds:
        yield command.alter_table_cmd


def table_ref(text: str) -> TableRef | None:
    """The table that a text names, as SQL would read it; None where it is no name of a table."""
    try:
        statements = parse_sql(f"TABLE {text}").stmts
    except (postgast.PgQueryError, DecodeError):
        return None
    if len(statements) != 1:
        return None
    query = statements[0].stmt.select_stmt
    if len(query.from_clause) != 1 or query.sort_clause or query.HasField("limit_count") or query.locking_clause:
        return None
    named = query.from_clause[0].range_var
    return TableRef(named.schemaname or None, named.relname)


def result_name(node: Any) -> str | None:
    """The name that PostgreSQL gives to the column of an expression, None where it has none to give."""
    return _named(node)[0]


_NAMELESS: tuple[None, int] = (None, 0)


def _named(node: Any) -> tuple[str | None, int]:
    """A name and how good it is: 2 for names that stand there, 1 for those of types and constructs."""
    kind = node.WhichOneof("node")
    if kind is None:
        return _NAMELESS
    inner = getattr(node, kind)
    reader = _READERS.get(kind)
    if reader:
        return reader(inner)
    if kind in _FIXED:
        return _FIXED[kind], 2
    return _NAMELESS


def _of_column(node: Any) -> tuple[str | None, int]:
    last = [one for one in node.fields if one.WhichOneof("node") == "string"]
    return (last[-1].string.sval, 2) if last else _NAMELESS


def _of_indirection(node: Any) -> tuple[str | None, int]:
    last = [one for one in node.indirection if one.WhichOneof("node") == "string"]
    return (last[-1].string.sval, 2) if last else _named(node.arg)


def _of_function(node: Any) -> tuple[str | None, int]:
    return strings(node.funcname)[-1], 2


def _of_cast(node: Any) -> tuple[str | None, int]:
    name, strength = _named(node.arg)
    if strength <= 1 and node.HasField("type_name"):
        return strings(node.type_name.names)[-1], 1
    return name, strength


def _of_case(node: Any) -> tuple[str | None, int]:
    name, strength = _named(node.defresult)
    return (name, strength) if strength > 1 else ("case", 1)


def _of_collate(node: Any) -> tuple[str | None, int]:
    return _named(node.arg)


def _of_expression(node: Any) -> tuple[str | None, int]:
    return ("nullif", 2) if node.kind == pb.AEXPR_NULLIF else _NAMELESS


def _of_min_max(node: Any) -> tuple[str | None, int]:
    return ("greatest" if node.op == pb.IS_GREATEST else "least"), 2


def _of_sublink(node: Any) -> tuple[str | None, int]:
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
    return (target.name, 2) if target.name else _named(target.val)


def _of_sql_value(node: Any) -> tuple[str | None, int]:
    name = pb.SQLValueFunctionOp.Name(node.op)
    return name.removeprefix("SVFOP_").removesuffix("_N").lower(), 2


_FIXED = {
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
    "column_ref": _of_column,
    "a_indirection": _of_indirection,
    "func_call": _of_function,
    "type_cast": _of_cast,
    "case_expr": _of_case,
    "collate_clause": _of_collate,
    "a_expr": _of_expression,
    "min_max_expr": _of_min_max,
    "sub_link": _of_sublink,
    "sqlvalue_function": _of_sql_value,
}


def expression_of(text: str) -> Any:
    """The tree of an expression. Raises postgast.PgQueryError where it does not parse."""
    return parse_sql(f"SELECT {text}").stmts[0].stmt.select_stmt.target_list[0].res_target.val


def flatten_and(condition: Any) -> Iterator[Any]:
    """The conditions that a condition joins by AND; none where it is empty."""
    kind = condition.WhichOneof("node")
    if kind == "bool_expr" and condition.bool_expr.boolop == pb.AND_EXPR:
        for part in condition.bool_expr.args:
            yield from flatten_and(part)
    elif kind is not None:
        yield condition


def result_name_of(text: str) -> str | None:
    """The same as `result_name` of the text of an expression."""
    return result_name(expression_of(text)) if text else None


def renamed_column(expression: str, old: str, new: str) -> str:
    """The text of an expression with a column renamed."""
    value = expression_of(expression)
    for node in nodes_of(value, pb.ColumnRef):
        if node.fields[-1].string.sval == old:
            node.fields[-1].string.sval = new
    return expression_text(value)


def query_tree(view: View) -> Any:
    """The SELECT of a view. Nobody may change it."""
    tree = view.query.tree
    return tree if tree is not None else parse_sql(view.query.text).stmts[0].stmt.select_stmt


def statement_text(kind: str, node: Any) -> str:
    """A statement of the tree as SQL, without its semicolon; `kind` is the tree's name of it (`update_stmt`)."""
    tree = pb.ParseResult()
    getattr(tree.stmts.add().stmt, kind).CopyFrom(node)
    return str(postgast.deparse(tree))
