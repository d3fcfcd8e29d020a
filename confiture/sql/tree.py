"""The parse tree of statements: where its nodes stand, and what they name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import postgast
from postgast import pg_query_pb2 as pb

from confiture.models.source import Place, Rendered

__all__ = ["ParsedStatement", "alter_commands", "definition", "expression_text", "names", "parsed", "pb", "strings"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedStatement:
    """A statement with its parse tree. `offset` and `end` are characters of the rendered text, from 0.

    `kind` is the tree's name of it (`create_stmt`), `node` the tree below that.
    """

    rendered: Rendered = field(repr=False)
    text: str
    offset: int
    end: int
    kind: str
    node: Any = field(repr=False)

    @property
    def place(self) -> Place:
        """Where it begins."""
        return Place(rendered=self.rendered, offset=self.offset)

    def at(self, location: int) -> Place:
        """The place of a node's `location`, which the parser counts in bytes of the whole text."""
        text = self.rendered.text
        offset = location if text.isascii() else len(text.encode()[:location].decode())
        return Place(rendered=self.rendered, offset=offset)


def parsed(rendered: Rendered) -> tuple[ParsedStatement, ...]:
    """The statements of a text. Raises postgast.PgQueryError or DecodeError where it does not parse."""
    text = rendered.text
    encoded = text if text.isascii() else text.encode()
    found = []
    for raw in postgast.parse(text).stmts:
        start = raw.stmt_location
        end = start + raw.stmt_len if raw.stmt_len else len(encoded)
        if isinstance(encoded, bytes):
            start, end = len(encoded[:start].decode()), len(encoded[:end].decode())
        kind = raw.stmt.WhichOneof("node")
        found.append(
            ParsedStatement(
                rendered=rendered,
                text=text[start:end].rstrip(),
                offset=start,
                end=end,
                kind=kind,
                node=getattr(raw.stmt, kind),
            )
        )
    return tuple(found)


def definition(node: Any) -> Any:
    """The field `def` of a node, whose name is a keyword of Python."""
    return getattr(node, "def")


def strings(nodes: Any) -> tuple[str, ...]:
    """The texts of a list of string nodes."""
    return tuple(node.string.sval for node in nodes)


def names(nodes: Any) -> tuple[str | None, str]:
    """Schema, where it is said, and name, from a list of string nodes."""
    parts = strings(nodes)
    return (parts[-2] if len(parts) > 1 else None), parts[-1]


def alter_commands(node: Any) -> Iterator[Any]:
    """The commands of an ALTER TABLE (or INDEX, VIEW, ...)."""
    for command in node.cmds:
        yield command.alter_table_cmd


def expression_text(node: Any) -> str:
    """An expression of the tree as SQL."""
    select = pb.SelectStmt(target_list=[pb.Node(res_target=pb.ResTarget(val=node))])
    tree = pb.ParseResult(stmts=[pb.RawStmt(stmt=pb.Node(select_stmt=select))])
    return str(postgast.deparse(tree)).removeprefix("SELECT ")
