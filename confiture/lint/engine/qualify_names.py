"""Writes the schemas into a remedy that a search path leaves out of its statement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from confiture.models.catalog import PUBLIC, TEMPORARY, Catalog
from confiture.sql.grammar import parse_sql, postgast, scan_tokens
from confiture.sql.tree import identifier, pb, statement_text
from confiture.sql.walking import nodes_of, walk

_RELATIONS = (
    *(pb.OBJECT_TABLE, pb.OBJECT_VIEW, pb.OBJECT_MATVIEW),
    *(pb.OBJECT_SEQUENCE, pb.OBJECT_FOREIGN_TABLE, pb.OBJECT_INDEX),
)
_COMMENTS = (pb.Token.SQL_COMMENT, pb.Token.C_COMMENT)


class _Change(NamedTuple):
    """Bytes of the text that become others."""

    start: int
    end: int
    text: str


def qualified_remedy(remedy: str, catalog: Catalog) -> str:
    """The same statements with the schema of each relation that the search path finds, where that is not the server's
    own: part of a remedy runs in another migration, which has another search path.
    """
    if list(catalog.search_path) == [PUBLIC]:
        return remedy
    try:
        statements = parse_sql(remedy).stmts
    except (postgast.PgQueryError, DecodeError):
        return remedy
    encoded = remedy.encode()
    changes = [change for raw in statements for change in _of_statement(raw, encoded, catalog)]
    for change in sorted(changes, reverse=True):
        encoded = encoded[: change.start] + change.text.encode() + encoded[change.end :]
    return encoded.decode()


def _of_statement(raw: Any, encoded: bytes, catalog: Catalog) -> Iterator[_Change]:
    kind = raw.stmt.WhichOneof("node")
    node = getattr(raw.stmt, kind)
    if kind == "drop_stmt" and node.remove_type in _RELATIONS:
        yield _of_drop(raw, node, encoded, catalog)
        return
    common = {one.ctename for one in nodes_of(node, pb.CommonTableExpr)}
    for one in walk(node):
        if type(one) is pb.RangeVar and not one.schemaname and one.relname not in common:
            schema = _schema(catalog, one.relname)
            if schema:
                yield _Change(one.location, one.location, f"{identifier(schema)}.")


def _of_drop(raw: Any, node: Any, encoded: bytes, catalog: Catalog) -> _Change:
    """Names in a DROP have no location: it is written anew."""
    for one in node.objects:
        items = one.list.items
        schema = _schema(catalog, items[0].string.sval) if len(items) == 1 else None
        if schema:
            items.insert(0, pb.Node(string=pb.String(sval=schema)))
    end = raw.stmt_location + raw.stmt_len if raw.stmt_len else len(encoded)
    words = scan_tokens(encoded[raw.stmt_location : end].decode())
    start = next(word.start for word in words if word.token not in _COMMENTS)
    return _Change(raw.stmt_location + start, end, statement_text("drop_stmt", node))


def _schema(catalog: Catalog, name: str) -> str | None:
    """The schema of the relation or index that a bare name means; None where it is temporary, or not known."""
    found = catalog.relation(None, name) or catalog.relation(PUBLIC, name)
    if found is None:
        indexed = catalog.indexed(None, name)
        found = indexed[0] if indexed else None
    return found.name.schema if found and found.name.schema != TEMPORARY else None
