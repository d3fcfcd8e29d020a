"""Our own SQL with every name written out, so that no object of a database's users can take the place of PostgreSQL's.

A name without a schema is looked up by the search path, and an operator even by the types beside it: whoever may create
in a schema on the path can offer one that fits better. `qualified` turns a query as people write it into one in which
each function, type, relation and operator stands with `pg_catalog`, and rewrites what looks an operator up but has no
room for a schema (IN, BETWEEN, LIKE, IS DISTINCT FROM, CASE x WHEN, NULLIF).

`python -m confiture.sql.qualification` writes the `.qualified.sql` beside each `.sql` file of the package. These run,
so that no command has to load a parser for our own queries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from confiture.models.query_files import QUALIFIED, parse_query_file
from confiture.sql.grammar import pb, postgast
from confiture.sql.walking import below, nodes_of, walk

_CATALOG = "pg_catalog"
_PARAMETER = re.compile(r"%\((\w+)\)s")
_QUERY_HOLE = re.compile(r"(\b(?:FROM|JOIN|AS)\s+\()\s*\{([a-z]\w*)\}\s*(?=\))")
_HOLE = re.compile(r"\{([a-z]\w*)\}")
_HOLE_NAME = "hole_"
_REFERENCE_TYPE = re.compile(r"reg(class|collation|config|dictionary|oper|operator|proc|procedure|type)")
_PLACES = re.compile(r"(^|_)(location|len|start|end)$")
_LOOKUP = "looks an operator up by the search path: write"


class Unqualifiable(ValueError):
    """A query uses what cannot be qualified; the text says what to write."""


def qualified_file(text: str) -> str:
    """A file of queries, or of statements, with all names written out. Raises Unqualifiable."""
    written = {name: qualified(body) for name, body in parse_query_file(text).items()}
    return "\n".join(f"-- name: {name}\n{body}\n" if name else f"{body}\n" for name, body in written.items())


def qualified(text: str) -> str:
    """A query with all names written out. Parameters (`%(name)s`) and holes (`{name}`) stay. Raises Unqualifiable."""
    template = Template(text)
    tree = postgast.parse(template.sql)
    for statement in tree.stmts:
        _Qualification(statement).run()
    statements = [postgast.deparse(pb.ParseResult(version=tree.version, stmts=[one])) for one in tree.stmts]
    end = ";" if text.rstrip().endswith(";") else ""
    result = ";\n".join(statements) + end
    _require_same(tree, postgast.parse(result), result)
    return template.restore(result)


class Template:
    """A query whose parameters and holes have become what the grammar accepts in their place."""

    def __init__(self, text: str) -> None:
        self._parameters: list[str] = []
        text = _PARAMETER.sub(self._number, text)
        text = _QUERY_HOLE.sub(r"\1SELECT hole_query_\2", text)
        self.sql = _HOLE.sub(r"hole_\1", text)

    def _number(self, match: re.Match[str]) -> str:
        if match[1] not in self._parameters:
            self._parameters.append(match[1])
        return f"${self._parameters.index(match[1]) + 1}"

    def restore(self, text: str) -> str:
        """Puts parameters and holes back."""
        text = re.sub(r"SELECT hole_query_(\w+)", r"{\1}", text)
        text = re.sub(r"\bhole_(\w+)", r"{\1}", text)
        if not self._parameters:
            return text
        return re.sub(r"\$(\d+)", lambda match: f"%({self._parameters[int(match[1]) - 1]})s", text)


class _Qualification:
    """Writes out the names of one statement, in its tree."""

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._queries = {one.ctename for one in nodes_of(statement, pb.CommonTableExpr)}
        self._changes: dict[type[Message], Callable[[Any], None]] = {
            pb.CollateClause: lambda clause: _name_schema(clause.collname),
            pb.FuncCall: lambda call: _name_schema(call.funcname),
            pb.JoinExpr: _require_condition,
            pb.RangeFunction: _split_unnest,
            pb.RangeTableSample: lambda sample: _name_schema(sample.method),
            pb.RangeVar: self._name_relation,
            pb.SortBy: _require_default_order,
            pb.SubLink: _name_comparison,
            pb.TypeCast: _name_reference,
            pb.TypeName: _name_type,
        }

    def run(self) -> None:
        """Raises Unqualifiable."""
        self._change(self._statement)

    def _change(self, message: Any) -> None:
        for part in below(message):
            self._change(part)
        change = self._changes.get(type(message))
        if change is not None:
            change(message)
        elif type(message) is pb.Node:
            kind = message.WhichOneof("node")
            if kind == "a_expr":
                message.CopyFrom(_operation(message.a_expr))
            elif kind == "case_expr":
                _compare_each(message.case_expr)
            elif kind == "bool_expr":
                message.CopyFrom(_boolean(message.bool_expr.boolop, message.bool_expr.args))

    def _name_relation(self, relation: Any) -> None:
        named = relation.relname
        if not relation.schemaname and named not in self._queries and not named.startswith(_HOLE_NAME):
            relation.schemaname = _CATALOG


def _name_schema(names: Any) -> None:
    if len(names) == 1 and not names[0].string.sval.startswith(_HOLE_NAME):
        name = names[0].string.sval
        del names[:]
        names.extend(_strings(_CATALOG, name))


def _name_type(name: Any) -> None:
    if name.names:
        _name_schema(name.names)


def _name_comparison(link: Any) -> None:
    if link.sub_link_type == pb.ANY_SUBLINK and not link.oper_name:
        # IN (SELECT ...)
        link.oper_name.extend(_strings("="))
    _name_schema(link.oper_name)


def _name_reference(cast: Any) -> None:
    """Writes out the names that constants of the types regclass, regtype, ... hold."""
    if not _REFERENCE_TYPE.fullmatch(cast.type_name.names[-1].string.sval):
        return
    is_array = cast.arg.WhichOneof("node") == "a_array_expr"
    for value in cast.arg.a_array_expr.elements if is_array else [cast.arg]:
        if value.a_const.HasField("sval") and "." not in value.a_const.sval.sval:
            value.a_const.sval.sval = f"{_CATALOG}.{value.a_const.sval.sval}"


def _split_unnest(function: Any) -> None:
    """Leaves `unnest` with several arguments as it is: that is syntax, and PostgreSQL then takes its own."""
    for item in function.functions:
        call = item.list.items[0].func_call
        if call.funcname and call.funcname[-1].string.sval == "unnest" and len(call.args) > 1:
            del call.funcname[0]


def _require_condition(join: Any) -> None:
    if join.is_natural or join.using_clause:
        raise Unqualifiable(f"USING {_LOOKUP} ON")


def _require_default_order(order: Any) -> None:
    if order.use_op:
        raise Unqualifiable(f"ORDER BY ... USING {_LOOKUP} ASC or DESC")


def _operation(expression: Any) -> Any:
    """An operation whose operator is written out."""
    kind, left, right = expression.kind, expression.lexpr, expression.rexpr
    if kind in (pb.AEXPR_OP, pb.AEXPR_OP_ANY, pb.AEXPR_OP_ALL):
        _name_schema(expression.name)
        return pb.Node(a_expr=expression)
    operator = expression.name[0].string.sval
    if kind in (pb.AEXPR_LIKE, pb.AEXPR_ILIKE, pb.AEXPR_SIMILAR):
        return _operator(operator, left, right)
    if kind == pb.AEXPR_IN:
        each = [_compared(operator, left, value) for value in right.list.items]
        return _boolean(pb.OR_EXPR if operator == "=" else pb.AND_EXPR, each)
    if kind in (pb.AEXPR_BETWEEN, pb.AEXPR_NOT_BETWEEN):
        low, high = right.list.items
        inside = _boolean(pb.AND_EXPR, [_operator(">=", left, low), _operator("<=", left, high)])
        return inside if kind == pb.AEXPR_BETWEEN else _boolean(pb.NOT_EXPR, [inside])
    if kind in (pb.AEXPR_DISTINCT, pb.AEXPR_NOT_DISTINCT):
        same = _same(left, right)
        return same if kind == pb.AEXPR_NOT_DISTINCT else _boolean(pb.NOT_EXPR, [same])
    if kind == pb.AEXPR_NULLIF:
        when = pb.CaseWhen(expr=_operator("=", left, right), result=_NULL)
        return pb.Node(case_expr=pb.CaseExpr(args=[pb.Node(case_when=when)], defresult=left))
    raise Unqualifiable(f"{pb.A_Expr_Kind.Name(kind)} {_LOOKUP} something else")


def _compare_each(case: Any) -> None:
    """Turns CASE x WHEN y into CASE WHEN x = y."""
    if not case.HasField("arg"):
        return
    for one in case.args:
        one.case_when.expr.CopyFrom(_compared("=", case.arg, one.case_when.expr))
    case.ClearField("arg")


def _same(left: Any, right: Any) -> Any:
    """That two values are equal or both NULL; rows by their columns."""
    if left.WhichOneof("node") == right.WhichOneof("node") == "row_expr":
        pairs = zip(left.row_expr.args, right.row_expr.args, strict=True)
        return _boolean(pb.AND_EXPR, [_same(one, other) for one, other in pairs])
    both_null = _boolean(pb.AND_EXPR, [_is_null(left), _is_null(right)])
    return pb.Node(coalesce_expr=pb.CoalesceExpr(args=[_compared("=", left, right), both_null]))


def _is_null(value: Any) -> Any:
    return pb.Node(null_test=pb.NullTest(arg=value, nulltesttype=pb.IS_NULL))


def _compared(operator: str, left: Any, right: Any) -> Any:
    """A comparison whose left side is written more than once."""
    if any(nodes_of(left, pb.SubLink)):
        raise Unqualifiable(f"a subquery before IN, IS DISTINCT FROM or after CASE {_LOOKUP} it into FROM")
    return _operator(operator, left, right)


def _operator(name: str, left: Any, right: Any) -> Any:
    return pb.Node(a_expr=pb.A_Expr(kind=pb.AEXPR_OP, name=_strings(_CATALOG, name), lexpr=left, rexpr=right))


def _boolean(kind: Any, parts: Sequence[Any]) -> Any:
    if kind == pb.NOT_EXPR:
        return pb.Node(bool_expr=pb.BoolExpr(boolop=kind, args=parts))
    # the grammar makes one list of them, too
    flat = [inner for part in parts for inner in (part.bool_expr.args if part.bool_expr.boolop == kind else [part])]
    return flat[0] if len(flat) == 1 else pb.Node(bool_expr=pb.BoolExpr(boolop=kind, args=flat))


_NULL = pb.Node(a_const=pb.A_Const(isnull=True))


def _strings(*texts: str) -> list[Any]:
    return [pb.Node(string=pb.String(sval=text)) for text in texts]


def _require_same(wanted: Any, found: Any, text: str) -> None:
    """Raises Unqualifiable if the written text does not mean what the tree says: OPERATOR() binds unlike operators."""
    if _without_places(wanted) != _without_places(found):
        raise Unqualifiable(f"does not read back as it was written: {text}")


def _without_places(tree: Any) -> Any:
    copy = type(tree)()
    copy.CopyFrom(tree)
    for message in list(walk(copy)):
        for field, _ in message.ListFields():
            if _PLACES.search(field.name) and field.message_type is None:
                message.ClearField(field.name)
    return copy


def sources() -> list[Path]:
    """The files of our own SQL, as people write them."""
    package = Path(__file__).parent.parent
    return sorted(path for path in package.rglob("*.sql") if not path.name.endswith(QUALIFIED))


def target(source: Path) -> Path:
    """Where the qualified text of a file is."""
    return source.with_name(f"{source.stem}{QUALIFIED}")


def main() -> None:
    """Writes the qualified text of each file."""
    for source in sources():
        try:
            text = qualified_file(source.read_text(encoding="utf-8"))
        except Unqualifiable as problem:
            raise SystemExit(f"{source}: {problem}") from problem
        target(source).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
