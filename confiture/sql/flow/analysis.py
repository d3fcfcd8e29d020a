"""The door to the analysis: a statement and a catalog to a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from confiture.models.catalog import View
from confiture.models.plan import BATCH
from confiture.models.source import Place
from confiture.models.tenancy import Grade, Leak, Reason, Verdict
from confiture.sql.flow.calls import check_calls
from confiture.sql.flow.changes import change
from confiture.sql.flow.facts import Facts
from confiture.sql.flow.functions import BodyStatement, body_statements, is_definer, is_trigger
from confiture.sql.flow.query import query
from confiture.sql.flow.relations import Relation
from confiture.sql.flow.returning import check_lacking
from confiture.sql.flow.scopes import Around
from confiture.sql.flow.work import Issue, Work
from confiture.sql.grammar import parse_sql, postgast
from confiture.sql.tree import ParsedStatement, pb, query_tree, statement_text, strings

_QUERIES = frozenset({"insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "create_table_as_stmt", "select_stmt"})
_BODIES = frozenset({"do_stmt", "create_function_stmt"})
ANALYSED = _QUERIES | _BODIES | {"view_stmt"}
"""The kinds of statements that are analysed; all others are safe by what they are."""
_WRAPPING = {"explain_stmt": "EXPLAIN", "prepare_stmt": "PREPARE", "rule_stmt": "CREATE RULE"}
"""Statements with others inside, which nobody needs in a migration."""
_OUTSIDE = Around()
_ROUNDS = 12
_ORDER = (Grade.SAFE, Grade.UNKNOWN, Grade.WARNING, Grade.ERROR)


def analyse(statement: ParsedStatement, facts: Facts) -> Verdict:
    """Whether a statement can bring rows of one tenant to another, given the facts as they are before it runs.

    It is safe where for every tenant the rows that it makes for it from all data are the ones that it makes from the
    tenant's data alone. Tables that are no tenants' count as the same for all.
    """
    if statement.kind in _WRAPPING:
        work = Work(facts, _analyze)
        work.unknown(f"{_WRAPPING[statement.kind]} is not followed")
        return _verdict(work.issues, (), statement.place)
    if statement.kind not in ANALYSED:
        return Verdict(grade=Grade.SAFE)
    if statement.kind in _BODIES:
        return _of_body(statement, facts)
    work = examined(statement.kind, statement.node, facts)
    corrected = _corrected(statement, facts) if any(issue.fix for issue in work.issues) else None
    reasons = tuple(
        Reason(
            leak=issue.leak,
            grade=issue.grade,
            message=issue.message,
            place=_place(statement, issue),
            relation=issue.relation,
            corrected=corrected if issue.fix else None,
        )
        for issue in sorted(work.issues, key=lambda one: -_ORDER.index(one.grade))
    )
    return Verdict(grade=worst(work.issues), reasons=reasons, proofs=tuple(work.proofs))


def analyse_view(view: View, facts: Facts) -> Verdict:
    """Whether a view brings rows of one tenant to another, or hides whose they are."""
    tree = query_tree(view)
    work = Work(facts, _analyze, views={view.name: None})
    check_calls(work, tree)
    relation = work.query(tree, Around())
    shown = pb.RangeVar(relname=str(view.name), location=-1)
    _check_shown(work, relation, shown, "materialized view" if view.materialized else "view", view.columns)
    return _verdict(work.issues, work.proofs, view.place)


def _of_body(statement: ParsedStatement, facts: Facts) -> Verdict:
    """The verdict on a function or DO block: that on each statement in it that changes rows.

    One that only reads gives its caller what the caller may see, unless it reads with the rights of its owner.
    """
    whole = Work(facts, _analyze)
    is_definer_ = is_definer(statement.node)
    around = Around(has_variables=True, is_trigger=is_trigger(statement.node))
    reasons: list[Reason] = []
    keeps = writes = False
    for one in body_statements(whole, statement.text, statement.node, statement.kind):
        is_read = one.kind == "select_stmt"
        keeps |= one.keeps and (not is_read or _reads_tenants(one.node, facts, around))
        if one.kind in _QUERIES and (is_definer_ or not is_read):
            writes |= not is_read
            inner = examined(one.kind, one.node, facts, around)
            reasons += (_reason(issue, _place_within(statement, one, issue)) for issue in inner.issues)
            whole.proofs.update(inner.proofs)
    if keeps and writes:
        whole.unknown("rows of tenants go through variables, which are not followed")
    reasons += (_reason(issue, statement.place) for issue in whole.issues)
    reasons.sort(key=lambda reason: -_ORDER.index(reason.grade))
    grade = max((reason.grade for reason in reasons), key=_ORDER.index, default=Grade.SAFE)
    return Verdict(grade=grade, reasons=tuple(dict.fromkeys(reasons)), proofs=tuple(whole.proofs))


def _reads_tenants(select: Any, facts: Facts, around: Around) -> bool:
    """Whether a query reads rows of tenants, itself or in subqueries whose tenants are lost."""
    work = Work(facts, _analyze)
    return work.query(select, around).reads or bool(work.issues)


def _place_within(statement: ParsedStatement, one: BodyStatement, issue: Issue) -> Place:
    """Where an issue in a body is: in the statement of the body, or at least where that begins."""
    if one.offset is None:
        is_atomic = statement.kind == "create_function_stmt" and statement.node.HasField("sql_body")
        return _place(statement, issue) if is_atomic else statement.place
    text = statement.rendered.text[statement.offset + one.offset :]
    within = len(text.encode()[: max(issue.location, 0)].decode(errors="ignore"))
    return Place(rendered=statement.rendered, offset=statement.offset + one.offset + within)


def _verdict(issues: Sequence[Issue], proofs: Iterable[str], place: Place | None) -> Verdict:
    ordered = sorted(issues, key=lambda one: -_ORDER.index(one.grade))
    return Verdict(grade=worst(issues), reasons=tuple(_reason(issue, place) for issue in ordered), proofs=tuple(proofs))


def _reason(issue: Issue, place: Place | None) -> Reason:
    return Reason(leak=issue.leak, grade=issue.grade, message=issue.message, place=place, relation=issue.relation)


def worst(issues: Sequence[Issue]) -> Grade:
    """The grade of all of them together."""
    return max((issue.grade for issue in issues), key=_ORDER.index, default=Grade.SAFE)


def _place(statement: ParsedStatement, issue: Issue) -> Place:
    return statement.at(issue.location) if issue.location > 0 else statement.place


def examined(kind: str, node: Any, facts: Facts, around: Around = _OUTSIDE) -> Work:
    """What was found in the tree of a statement."""
    work = Work(facts, _analyze)
    check_calls(work, node)
    if kind == "select_stmt":
        relation = work.query(node, around)
        if node.HasField("into_clause"):
            _check_shown(work, relation, node.into_clause.rel, "new table")
        else:
            called = [one.name for one in relation.outputs]
            _check_named(work, relation, called, "result", -1)
    elif kind == "create_table_as_stmt":
        if node.query.WhichOneof("node") == "select_stmt":
            relation = work.query(node.query.select_stmt, around)
            _check_shown(work, relation, node.into.rel, "new table")
        else:
            work.unknown("CREATE TABLE AS EXECUTE is not followed")
    elif kind == "view_stmt":
        relation = work.query(node.query.select_stmt, around)
        names = strings(node.aliases)
        _check_shown(work, relation, node.view, "view", names)
    else:
        work.nested(kind, node, around)
    return work


def _analyze(work: Work, kind: str, node: Any, around: Around) -> Relation:
    return query(work, node, around) if kind == "select_stmt" else change(work, kind, node, around)


def _check_shown(work: Work, relation: Relation, node: Any, what: str, names: Sequence[str] = ()) -> None:
    """Reports a view or table whose rows do not say whose they are."""
    if not relation.reads or relation.is_lost:
        return
    called = [names[number] if number < len(names) else one.name for number, one in enumerate(relation.outputs)]
    if _check_named(work, relation, called, what, node.location) or relation.fixed:
        return
    shown = {called[number] for number in relation.tenants if not relation.outputs[number].is_hidden}
    grade = Grade.WARNING if what == "view" or shown else Grade.ERROR
    how = f"shows the tenant of its rows only as {', '.join(sorted(shown))}"
    if not shown:
        how = "does not show the tenant of its rows"
    message = f"the {what} {node.relname} {how}: it has no column {work.column}"
    fix = relation.expose if not shown and not names else None
    work.report(Leak.HIDDEN, grade, message, node.location, relation=node.relname, fix=fix)


def _check_named(work: Work, relation: Relation, called: Sequence[str], what: str, location: int) -> bool:
    """Reports a column that is called as the tenant's but does not hold the tenant; False where none is called so."""
    if not relation.reads or relation.is_lost or work.column not in called:
        return False
    place = called.index(work.column)
    if relation.outputs[place].is_hidden:
        return False
    if place in relation.tenants:
        check_lacking(work, relation.outputs[place], f"{work.column} of the {what}", location)
        return True
    message = f"{work.column} of the {what} is not the tenant of the rows read"
    retarget = relation.retarget
    fix = (lambda: retarget(place)) if retarget else None
    work.report(Leak.WRONG_SOURCE, Grade.ERROR, message, location, fix=fix)
    return True


def _corrected(statement: ParsedStatement, facts: Facts) -> str | None:
    """The statement with all that can be mended mended, None where that does not make it safe."""
    node = type(statement.node)()
    node.CopyFrom(statement.node)
    work = examined(statement.kind, node, facts)
    for _ in range(_ROUNDS):
        issue = next((one for one in work.issues if one.fix), None)
        if issue is None or issue.fix is None:
            break
        issue.fix()
        try:
            text = statement_text(statement.kind, node)
            raw = parse_sql(text).stmts[0].stmt
        except (postgast.PgQueryError, DecodeError):
            return None
        node = getattr(raw, statement.kind)
        work = examined(statement.kind, node, facts)
    if worst(work.issues) not in (Grade.SAFE, Grade.UNKNOWN):
        return None
    return statement_text(statement.kind, node).replace(BATCH, "{{ batch }}")
