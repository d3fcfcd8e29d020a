"""The provable statements in a plan, and the conversion of proofs for reports."""

from __future__ import annotations

from collections.abc import Iterator

from confiture.models.plan import PlannedMigration, PlannedStep, Segment
from confiture.models.steps import build_step_id
from confiture.models.tenancy_proofs import IsolationProof, ProvedStatement
from confiture.sql.parse_tree import ParsedStatement, parse_rendered

_WRITING = frozenset(
    {
        "create_table_as_stmt",
        "delete_stmt",
        "insert_stmt",
        "merge_stmt",
        "select_stmt",
        "update_stmt",
        "view_stmt",
    }
)


def provable_statements(step: PlannedStep) -> Iterator[ParsedStatement]:
    """Yield a step's statements that write rows or define views; none if the step only checks or does not run."""
    if step.skip_reason or step.action.only_reads:
        return
    offsets = {statement.offset for statement in step.statements if statement.node_kind in _WRITING}
    if offsets:
        yield from (one for one in parse_rendered(step.rendered) if one.offset in offsets and _is_write(one))


def to_proved_statement(
    plan: PlannedMigration, segment: Segment, step: PlannedStep, statement: ParsedStatement, proof: IsolationProof
) -> ProvedStatement:
    """Return a proof together with the statement it applies to."""
    return ProvedStatement(
        migration=plan.migration.label,
        step=build_step_id(plan.version, segment, step),
        span=step.rendered.span_at(statement.offset),
        text=statement.text,
        target=_target_name(statement),
        proof=proof,
    )


def _is_write(statement: ParsedStatement) -> bool:
    return statement.kind != "select_stmt" or bool(statement.node.HasField("into_clause"))


def _target_name(statement: ParsedStatement) -> str:
    node = statement.node
    if statement.kind == "view_stmt":
        relation = node.view
    elif statement.kind == "create_table_as_stmt":
        relation = node.into.rel
    else:
        relation = node.into_clause.rel if statement.kind == "select_stmt" else node.relation
    return f"{relation.schemaname}.{relation.relname}" if relation.schemaname else str(relation.relname)
