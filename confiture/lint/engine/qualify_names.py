"""Qualification of names in a remedy with the schemas that its statement omits because of a search path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from confiture.models.catalog import PUBLIC, TEMPORARY, Catalog
from confiture.sql.parse_tree import format_statement, pb, quote_identifier
from confiture.sql.parser import parse_sql, postgast, scan_tokens
from confiture.sql.traversal import find_nodes, walk

_RELATIONS = (
    *(pb.OBJECT_TABLE, pb.OBJECT_VIEW, pb.OBJECT_MATVIEW),
    *(pb.OBJECT_SEQUENCE, pb.OBJECT_FOREIGN_TABLE, pb.OBJECT_INDEX),
)
_COMMENTS = (pb.Token.SQL_COMMENT, pb.Token.C_COMMENT)


class _ByteEdit(NamedTuple):
    """A replacement for a range of bytes."""

    start: int
    end: int
    text: str


def qualify_fix(remedy: str, catalog: Catalog) -> str:
    """Return the statements of a remedy, with a schema added to each relation that a changed search path resolves.

    Part of the remedy runs in another migration, which has a different search path. With the default search path, the
    remedy is unchanged.
    """
    if list(catalog.search_path) == [PUBLIC]:
        return remedy
    try:
        statements = parse_sql(remedy).stmts
    except (postgast.PgQueryError, DecodeError):
        return remedy
    encoded = remedy.encode()
    changes = [change for raw in statements for change in _statement_edits(raw, encoded, catalog)]
    for change in sorted(changes, reverse=True):
        encoded = encoded[: change.start] + change.text.encode() + encoded[change.end :]
    return encoded.decode()


def _statement_edits(raw: Any, encoded: bytes, catalog: Catalog) -> Iterator[_ByteEdit]:
    kind = raw.stmt.WhichOneof("node")
    node = getattr(raw.stmt, kind)
    if kind == "drop_stmt" and node.remove_type in _RELATIONS:
        yield _drop_edit(raw, node, encoded, catalog)
        return
    common = {one.ctename for one in find_nodes(node, pb.CommonTableExpr)}
    for one in walk(node):
        if type(one) is pb.RangeVar and not one.schemaname and one.relname not in common:
            schema = _find_schema(catalog, one.relname)
            if schema:
                yield _ByteEdit(one.location, one.location, f"{quote_identifier(schema)}.")


def _drop_edit(raw: Any, node: Any, encoded: bytes, catalog: Catalog) -> _ByteEdit:
    """Return an edit that replaces a whole DROP, because the names in it have no locations."""
    for one in node.objects:
        items = one.list.items
        schema = _find_schema(catalog, items[0].string.sval) if len(items) == 1 else None
        if schema:
            items.insert(0, pb.Node(string=pb.String(sval=schema)))
    end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(encoded)
    words = scan_tokens(encoded[raw.stmt_location : end].decode())
    start = next(word.start for word in words if word.token not in _COMMENTS)
    return _ByteEdit(raw.stmt_location + start, end, format_statement("drop_stmt", node))


def _find_schema(catalog: Catalog, name: str) -> str | None:
    """Return the schema of the relation or index that an unqualified name refers to; None if temporary or unknown."""
    relation = catalog.relation(None, name) or catalog.relation(PUBLIC, name)
    if relation is None:
        indexed = catalog.find_index(None, name)
        relation = indexed[0] if indexed else None
    return relation.name.schema if relation and relation.name.schema != TEMPORARY else None
