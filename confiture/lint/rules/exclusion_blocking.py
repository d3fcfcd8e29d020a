"""EXCLUDE constraints added to a table in use."""

from __future__ import annotations

from collections.abc import Iterable

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.lint.facts.alter_table import added_constraints, can_reach_rows, has_concurrent_users, is_partitioned
from confiture.models.trace import LockMode
from confiture.sql.parse_tree import pb


def _check(context: StatementContext) -> Iterable[Violation]:
    relation = context.node.relation
    if not can_reach_rows(context) or not has_concurrent_users(context, relation):
        return
    if is_partitioned(context, relation) and not relation.inh:
        return  # ONLY: the partitioned table itself has no rows to index
    table = context.name(relation)
    for addition in added_constraints(context):
        if addition.kind == pb.CONSTR_EXCLUSION:
            yield Violation(
                location=addition.location,
                relation=table,
                message=f"the exclusion constraint builds its index and checks all rows of {table}, blocking reads"
                " and writes in the meantime",
            )


RULE = StatementRule(
    name="exclusion_blocking",
    group=Group.CONSTRAINTS,
    severity="error",
    summary="An exclusion constraint is added to an existing table",
    impact="All reads from and writes to the table wait until the index is built and every row is checked (ACCESS"
    " EXCLUSIVE"
    " lock).",
    fix_hint="create a new table with the constraint, fill it in batches, and swap the names; or add the constraint"
    " while the table is idle, because PostgreSQL cannot add an exclusion constraint without the lock",
    kinds=frozenset({"alter_table_stmt"}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_shipments": LockMode.ACCESS_EXCLUSIVE}, scans=("w_shipments",)),
    bad=Example(
        before="CREATE TABLE w_shipments (id bigint PRIMARY KEY, driven tstzrange)",
        sql=("ALTER TABLE w_shipments ADD CONSTRAINT w_shipments_apart EXCLUDE USING gist (driven WITH &&)",),
    ),
    good=Example(
        before="CREATE TABLE w_shipments (id bigint PRIMARY KEY, driven tstzrange)",
        sql=(
            "CREATE TABLE w_deliveries (\n"
            "  id bigint PRIMARY KEY,\n"
            "  driven tstzrange,\n"
            "  CONSTRAINT w_deliveries_apart EXCLUDE USING gist (driven WITH &&)\n"
            ")",
        ),
    ),
)
