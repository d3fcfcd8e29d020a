"""Changes to policies, row security, rules, and triggers, which lock the table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from confiture.lint.engine.context import StatementContext
from confiture.lint.engine.rule import Example, ExpectedEffects, Group, StatementRule, Violation
from confiture.models.trace import LockMode
from confiture.sql.parse_tree import alter_commands, pb

_ALTER_COMMANDS = {
    pb.AT_EnableRowSecurity: "ENABLE ROW LEVEL SECURITY",
    pb.AT_DisableRowSecurity: "DISABLE ROW LEVEL SECURITY",
    pb.AT_ForceRowSecurity: "FORCE ROW LEVEL SECURITY",
    pb.AT_NoForceRowSecurity: "NO FORCE ROW LEVEL SECURITY",
    pb.AT_EnableRule: "ENABLE RULE",
    pb.AT_DisableRule: "DISABLE RULE",
    pb.AT_EnableAlwaysRule: "ENABLE ALWAYS RULE",
    pb.AT_EnableReplicaRule: "ENABLE REPLICA RULE",
}
_TRIGGER_COMMANDS = {
    pb.AT_EnableTrig: "ENABLE TRIGGER",
    pb.AT_EnableTrigAll: "ENABLE TRIGGER",
    pb.AT_EnableTrigUser: "ENABLE TRIGGER",
    pb.AT_EnableAlwaysTrig: "ENABLE ALWAYS TRIGGER",
    pb.AT_EnableReplicaTrig: "ENABLE REPLICA TRIGGER",
    pb.AT_DisableTrig: "DISABLE TRIGGER",
    pb.AT_DisableTrigAll: "DISABLE TRIGGER",
    pb.AT_DisableTrigUser: "DISABLE TRIGGER",
}
_DROP_COMMANDS = {pb.OBJECT_POLICY: "DROP POLICY", pb.OBJECT_RULE: "DROP RULE", pb.OBJECT_TRIGGER: "DROP TRIGGER"}
_STATEMENTS = {
    "create_policy_stmt": ("CREATE POLICY", "table"),
    "alter_policy_stmt": ("ALTER POLICY", "table"),
    "rule_stmt": ("CREATE RULE", "relation"),
    "create_trig_stmt": ("CREATE TRIGGER", "relation"),
}


def _check(context: StatementContext) -> Iterable[Violation]:
    for verb, relation in _find_changes(context):
        if not context.is_new(relation):
            table = context.name(relation)
            writes = verb == "CREATE TRIGGER" or verb in _TRIGGER_COMMANDS.values()
            blocked = "writes to" if writes else "reads from and writes to"
            yield Violation(
                location=context.location,
                relation=table,
                message=f"{verb} blocks {blocked} {table} until it commits",
                effect=_TRIGGER_IMPACT if writes else None,
            )


def _find_changes(context: StatementContext) -> Iterator[tuple[str, Any]]:
    """Return the SQL command and the table of each change."""
    node, kind = context.node, context.statement.kind
    if kind == "alter_table_stmt":
        # report the command with the stronger lock
        verbs = [
            kinds[one.subtype]
            for kinds in (_ALTER_COMMANDS, _TRIGGER_COMMANDS)
            for one in alter_commands(node)
            if one.subtype in kinds
        ]
        if verbs:
            yield verbs[0], node.relation
    elif kind == "drop_stmt":
        for item in node.objects if node.remove_type in _DROP_COMMANDS else ():
            parts = [part.string.sval for part in item.list.items]
            schema = parts[-3] if len(parts) > 2 else ""
            yield _DROP_COMMANDS[node.remove_type], pb.RangeVar(schemaname=schema, relname=parts[-2])
    else:
        verb, field = _STATEMENTS[kind]
        yield verb, getattr(node, field)


_TRIGGER_IMPACT = (
    "All writes to the table wait: first for the running statements, then until the migration commits (SHARE ROW"
    " EXCLUSIVE"
    " lock)."
)
_BEFORE = "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id uuid NOT NULL)"

RULE = StatementRule(
    name="policy_or_rule_lock",
    group=Group.LOCKS,
    severity="info",
    summary="A policy, row security, a rule or a trigger is changed on a table in use",
    impact="All reads from and writes to the table wait: first for the running statements, then until the migration"
    " commits "
    "(ACCESS EXCLUSIVE lock).",
    fix_hint="keep slow statements out of the transaction; nothing is scanned or rewritten, so a short lock_timeout"
    " with retries (Confiture's default) is enough",
    kinds=frozenset({"alter_table_stmt", "drop_stmt", *_STATEMENTS}),
    check=_check,
    expected_effects=ExpectedEffects(locks={"w_orders": LockMode.ACCESS_EXCLUSIVE}),
    bad=Example(
        before=_BEFORE,
        sql=("CREATE POLICY one_tenant ON w_orders USING (tenant_id = current_setting('app.tenant')::uuid)",),
    ),
    good=Example(
        before=_BEFORE,
        sql=(
            "CREATE TABLE w_refunds (id bigint PRIMARY KEY, tenant_id uuid NOT NULL);\n"
            "ALTER TABLE w_refunds ENABLE ROW LEVEL SECURITY;\n"
            "CREATE POLICY one_tenant ON w_refunds"
            " USING (tenant_id = (SELECT current_setting('app.tenant')::uuid))",
        ),
    ),
)
