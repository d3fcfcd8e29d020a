"""Qualification of every name in Confiture's own SQL, so that no user-defined object can shadow a PostgreSQL object.

A name without a schema is resolved by the search path, and an operator also by its operand types: a user who can create
objects in a schema on the path can add a better match. `qualify_query` rewrites a query so that each function, type,
relation, and operator is qualified with `pg_catalog`. It also replaces constructs that look up an operator but do not
allow a schema (IN, BETWEEN, LIKE, IS DISTINCT FROM, CASE x WHEN, NULLIF).

`python -m confiture.sql.qualification` generates the `.qualified.sql` file next to each `.sql` file in the package.
Confiture runs the generated files, so that no command needs to load a parser for internal queries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from confiture.models.query_files import QUALIFIED, parse_query_file
from confiture.sql.parser import pb, postgast
from confiture.sql.traversal import child_nodes, find_nodes, walk

_CATALOG = "pg_catalog"
_PARAMETER = re.compile(r"%\((\w+)\)s")
_QUERY_HOLE = re.compile(r"(\b(?:FROM|JOIN|AS)\s+\()\s*\{([a-z]\w*)\}\s*(?=\))")
_HOLE = re.compile(r"\{([a-z]\w*)\}")
_HOLE_NAME = "hole_"
_REFERENCE_TYPE = re.compile(r"reg(class|collation|config|dictionary|oper|operator|proc|procedure|type)")
_LOCATION_FIELDS = re.compile(r"(^|_)(location|len|start|end)$")
_LOOKUP_MESSAGE = "looks up an operator by the search path: write"


class Unqualifiable(ValueError):
    """A query uses a construct that cannot be qualified; the message names a replacement."""


def qualify_file(text: str) -> str:
    """Qualify all names in a file of queries or statements. Raise Unqualifiable."""
    queries = {name: qualify_query(body) for name, body in parse_query_file(text).items()}
    return "\n".join(f"-- name: {name}\n{body}\n" if name else f"{body}\n" for name, body in queries.items())


def qualify_query(text: str) -> str:
    """Qualify all names in a query. Raise Unqualifiable. Parameters (`%(name)s`) and holes (`{name}`) are kept."""
    template = QueryTemplate(text)
    tree = postgast.parse(template.sql)
    for statement in tree.stmts:
        _QualifyVisitor(statement).qualify()
    statements = [postgast.deparse(pb.ParseResult(version=tree.version, stmts=[one])) for one in tree.stmts]
    end = ";" if text.rstrip().endswith(";") else ""
    result = ";\n".join(statements) + end
    _check_same_tree(tree, postgast.parse(result), result)
    return template.restore(result)


class QueryTemplate:
    """A query in which placeholders that the grammar accepts replace the parameters and holes."""

    def __init__(self, text: str) -> None:
        self._parameters: list[str] = []
        text = _PARAMETER.sub(self._replace_parameter, text)
        text = _QUERY_HOLE.sub(r"\1SELECT hole_query_\2", text)
        self.sql = _HOLE.sub(r"hole_\1", text)

    def _replace_parameter(self, match: re.Match[str]) -> str:
        if match[1] not in self._parameters:
            self._parameters.append(match[1])
        return f"${self._parameters.index(match[1]) + 1}"

    def restore(self, text: str) -> str:
        """Restore parameters and holes."""
        text = re.sub(r"SELECT hole_query_(\w+)", r"{\1}", text)
        text = re.sub(r"\bhole_(\w+)", r"{\1}", text)
        if not self._parameters:
            return text
        return re.sub(r"\$(\d+)", lambda match: f"%({self._parameters[int(match[1]) - 1]})s", text)


class _QualifyVisitor:
    """A visitor that qualifies the names in one statement's parse tree."""

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._queries = {one.ctename for one in find_nodes(statement, pb.CommonTableExpr)}
        self._changes: dict[type[Message], Callable[[Any], None]] = {
            pb.CollateClause: lambda clause: _qualify_name(clause.collname),
            pb.FuncCall: lambda call: _qualify_name(call.funcname),
            pb.JoinExpr: _require_condition,
            pb.RangeFunction: _keep_unnest,
            pb.RangeTableSample: lambda sample: _qualify_name(sample.method),
            pb.RangeVar: self._qualify_relation,
            pb.SortBy: _require_default_order,
            pb.SubLink: _qualify_comparison,
            pb.TypeCast: _qualify_reference,
            pb.TypeName: _qualify_type,
        }

    def qualify(self) -> None:
        """Qualify all names. Raise Unqualifiable."""
        self._qualify_message(self._statement)

    def _qualify_message(self, message: Any) -> None:
        for part in child_nodes(message):
            self._qualify_message(part)
        change = self._changes.get(type(message))
        if change is not None:
            change(message)
        elif type(message) is pb.Node:
            kind = message.WhichOneof("node")
            if kind == "a_expr":
                message.CopyFrom(_qualify_operation(message.a_expr))
            elif kind == "case_expr":
                _compare_each(message.case_expr)
            elif kind == "bool_expr":
                message.CopyFrom(_make_boolean(message.bool_expr.boolop, message.bool_expr.args))

    def _qualify_relation(self, relation: Any) -> None:
        name = relation.relname
        if not relation.schemaname and name not in self._queries and not name.startswith(_HOLE_NAME):
            relation.schemaname = _CATALOG


def _qualify_name(names: Any) -> None:
    if len(names) == 1 and not names[0].string.sval.startswith(_HOLE_NAME):
        name = names[0].string.sval
        del names[:]
        names.extend(_string_nodes(_CATALOG, name))


def _qualify_type(name: Any) -> None:
    if name.names:
        _qualify_name(name.names)


def _qualify_comparison(link: Any) -> None:
    if link.sub_link_type == pb.ANY_SUBLINK and not link.oper_name:
        # IN (SELECT ...)
        link.oper_name.extend(_string_nodes("="))
    _qualify_name(link.oper_name)


def _qualify_reference(cast: Any) -> None:
    """Qualify the names in constants of type regclass, regtype, and so on."""
    if not _REFERENCE_TYPE.fullmatch(cast.type_name.names[-1].string.sval):
        return
    is_array = cast.arg.WhichOneof("node") == "a_array_expr"
    for value in cast.arg.a_array_expr.elements if is_array else [cast.arg]:
        if value.a_const.HasField("sval") and "." not in value.a_const.sval.sval:
            value.a_const.sval.sval = f"{_CATALOG}.{value.a_const.sval.sval}"


def _keep_unnest(function: Any) -> None:
    """Leave `unnest` with several arguments unqualified, because this syntax always means PostgreSQL's function."""
    for item in function.functions:
        call = item.list.items[0].func_call
        if call.funcname and call.funcname[-1].string.sval == "unnest" and len(call.args) > 1:
            del call.funcname[0]


def _require_condition(join: Any) -> None:
    if join.is_natural or join.using_clause:
        raise Unqualifiable(f"USING {_LOOKUP_MESSAGE} ON")


def _require_default_order(order: Any) -> None:
    if order.use_op:
        raise Unqualifiable(f"ORDER BY ... USING {_LOOKUP_MESSAGE} ASC or DESC")


def _qualify_operation(expression: Any) -> Any:
    """Return an operation with a qualified operator."""
    kind, left, right = expression.kind, expression.lexpr, expression.rexpr
    if kind in (pb.AEXPR_OP, pb.AEXPR_OP_ANY, pb.AEXPR_OP_ALL):
        _qualify_name(expression.name)
        return pb.Node(a_expr=expression)
    operator = expression.name[0].string.sval
    if kind in (pb.AEXPR_LIKE, pb.AEXPR_ILIKE, pb.AEXPR_SIMILAR):
        return _make_operator(operator, left, right)
    if kind == pb.AEXPR_IN:
        each = [_make_comparison(operator, left, value) for value in right.list.items]
        return _make_boolean(pb.OR_EXPR if operator == "=" else pb.AND_EXPR, each)
    if kind in (pb.AEXPR_BETWEEN, pb.AEXPR_NOT_BETWEEN):
        low, high = right.list.items
        inside = _make_boolean(pb.AND_EXPR, [_make_operator(">=", left, low), _make_operator("<=", left, high)])
        return inside if kind == pb.AEXPR_BETWEEN else _make_boolean(pb.NOT_EXPR, [inside])
    if kind in (pb.AEXPR_DISTINCT, pb.AEXPR_NOT_DISTINCT):
        same = _make_same(left, right)
        return same if kind == pb.AEXPR_NOT_DISTINCT else _make_boolean(pb.NOT_EXPR, [same])
    if kind == pb.AEXPR_NULLIF:
        when = pb.CaseWhen(expr=_make_operator("=", left, right), result=_NULL)
        return pb.Node(case_expr=pb.CaseExpr(args=[pb.Node(case_when=when)], defresult=left))
    raise Unqualifiable(f"{pb.A_Expr_Kind.Name(kind)} {_LOOKUP_MESSAGE} something else")


def _compare_each(case: Any) -> None:
    """Rewrite CASE x WHEN y as CASE WHEN x = y."""
    if not case.HasField("arg"):
        return
    for one in case.args:
        one.case_when.expr.CopyFrom(_make_comparison("=", case.arg, one.case_when.expr))
    case.ClearField("arg")


def _make_same(left: Any, right: Any) -> Any:
    """Return the condition that two values are equal or both NULL; rows are compared column by column."""
    if left.WhichOneof("node") == right.WhichOneof("node") == "row_expr":
        pairs = zip(left.row_expr.args, right.row_expr.args, strict=True)
        return _make_boolean(pb.AND_EXPR, [_make_same(one, other) for one, other in pairs])
    both_null = _make_boolean(pb.AND_EXPR, [_make_null_test(left), _make_null_test(right)])
    return pb.Node(coalesce_expr=pb.CoalesceExpr(args=[_make_comparison("=", left, right), both_null]))


def _make_null_test(value: Any) -> Any:
    return pb.Node(null_test=pb.NullTest(arg=value, nulltesttype=pb.IS_NULL))


def _make_comparison(operator: str, left: Any, right: Any) -> Any:
    """Return a comparison in which the left side occurs more than once."""
    if any(find_nodes(left, pb.SubLink)):
        raise Unqualifiable(f"a subquery before IN, IS DISTINCT FROM or after CASE {_LOOKUP_MESSAGE} it into FROM")
    return _make_operator(operator, left, right)


def _make_operator(name: str, left: Any, right: Any) -> Any:
    return pb.Node(a_expr=pb.A_Expr(kind=pb.AEXPR_OP, name=_string_nodes(_CATALOG, name), lexpr=left, rexpr=right))


def _make_boolean(kind: Any, parts: Sequence[Any]) -> Any:
    if kind == pb.NOT_EXPR:
        return pb.Node(bool_expr=pb.BoolExpr(boolop=kind, args=parts))
    # the grammar flattens them as well
    flat = [inner for part in parts for inner in (part.bool_expr.args if part.bool_expr.boolop == kind else [part])]
    return flat[0] if len(flat) == 1 else pb.Node(bool_expr=pb.BoolExpr(boolop=kind, args=flat))


_NULL = pb.Node(a_const=pb.A_Const(isnull=True))


def _string_nodes(*texts: str) -> list[Any]:
    return [pb.Node(string=pb.String(sval=text)) for text in texts]


def _check_same_tree(expected: Any, actual: Any, text: str) -> None:
    """Raise Unqualifiable if the text does not parse to the same tree, as OPERATOR() has a different precedence."""
    if _without_locations(expected) != _without_locations(actual):
        raise Unqualifiable(f"does not parse to the same tree: {text}")


def _without_locations(tree: Any) -> Any:
    copy = type(tree)()
    copy.CopyFrom(tree)
    for message in list(walk(copy)):
        for field, _ in message.ListFields():
            if _LOCATION_FIELDS.search(field.name) and field.message_type is None:
                message.ClearField(field.name)
    return copy


def find_sources() -> list[Path]:
    """Return the hand-written files with Confiture's own SQL."""
    package = Path(__file__).parent.parent
    return sorted(path for path in package.rglob("*.sql") if not path.name.endswith(QUALIFIED))


def qualified_path(source: Path) -> Path:
    """Return the path of the qualified version of a file."""
    return source.with_name(f"{source.stem}{QUALIFIED}")


def main() -> None:
    """Write the qualified version of each file."""
    for source in find_sources():
        try:
            text = qualify_file(source.read_text(encoding="utf-8"))
        except Unqualifiable as problem:
            raise SystemExit(f"{source}: {problem}") from problem
        qualified_path(source).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
