"""Row security that does not enforce its policies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from confiture.lint.engine.context import SchemaContext
from confiture.lint.engine.rule import Example, Group, SchemaRule, Violation
from confiture.lint.facts.table_sizes import permanent_tables
from confiture.lint.remedies.sql_text import qualified_name
from confiture.models.catalog import Policy, Table

_WRITE_COMMANDS = ("all", "insert", "update", "delete")


def _check(context: SchemaContext) -> Iterable[Violation]:
    for table in permanent_tables(context.catalog):
        if table.policies and not table.row_security:
            yield _disabled_violation(table)
        elif table.row_security and not table.policies and not table.is_partition:
            yield _no_policy_violation(table)
        elif table.row_security:
            yield from _check_open_policies(table)


def _disabled_violation(table: Table) -> Violation:
    return Violation(
        location=table.policies[0].location or table.location,
        relation=str(table.name),
        subject="disabled",
        message=f"{table.name} has policies, but row security is disabled",
        effect="The policies have no effect: every role that can read the table can read the rows of all tenants.",
        hint="enable it",
        remedy=f"ALTER TABLE {qualified_name(table.name)} ENABLE ROW LEVEL SECURITY;",
        severity="error",
    )


def _no_policy_violation(table: Table) -> Violation:
    who = "no role" if table.force_row_security else "no role except its owner"
    return Violation(
        location=table.location,
        relation=str(table.name),
        subject="no policy",
        message=f"{table.name} has row security but no policies",
        effect=f"Without a policy, {who} can read, change or insert rows.",
        hint="add a policy; if this is intended, use an ignore comment",
        severity="info",
    )


def _check_open_policies(table: Table) -> Iterable[Violation]:
    for policy in table.policies:
        if not policy.permissive or _is_restricted(table, policy):
            continue
        overridden = [other for other in table.policies if _is_override_of(policy, other)]
        if overridden:
            yield _override_violation(table, policy, overridden)
        elif policy.command in _WRITE_COMMANDS and not policy.roles and _is_unrestricted(policy):
            yield _open_violation(table, policy)


def _is_restricted(table: Table, policy: Policy) -> bool:
    """Whether a restrictive policy applies to the same command, which makes it safe for a permissive policy to allow
    all rows.
    """
    return any(not other.permissive and _is_same_command(policy.command, other.command) for other in table.policies)


def _is_same_command(command: str, other_command: str) -> bool:
    return command == other_command or "all" in (command, other_command)


def _is_true(expression: str | None) -> bool:
    return expression is not None and expression.strip("() ").lower() in ("true", "'t'::bool", "true::bool")


def _is_unrestricted(policy: Policy) -> bool:
    """Whether a policy restricts neither reads nor writes."""
    checked = policy.with_check if policy.with_check is not None else policy.using
    if policy.command == "insert":
        return _is_true(policy.with_check)
    return _is_true(policy.using) and (policy.command == "delete" or _is_true(checked))


def _is_override_of(policy: Policy, other: Policy) -> bool:
    """Whether `policy` already allows everything that `other` allows. Permissive policies are combined with OR."""
    if other is policy or not other.permissive or _is_true(other.using) or _is_true(other.with_check):
        return False
    if policy.command not in ("all", other.command) or not _is_unrestricted(policy):
        return False
    return not policy.roles or (bool(other.roles) and set(other.roles) <= set(policy.roles))


def _override_violation(table: Table, policy: Policy, overridden: Sequence[Policy]) -> Violation:
    others = ", ".join(other.name for other in overridden)
    return Violation(
        location=policy.location or table.location,
        relation=str(table.name),
        subject=f"overrides others: {policy.name}",
        message=f"policy {policy.name} of {table.name} allows every row, so that {others}"
        f" {'has' if len(overridden) == 1 else 'have'} no effect",
        effect="Permissive policies are combined with OR: a row is allowed if any of them is true, and this policy"
        " always is.",
        hint=f"drop {policy.name}, or make the others AS RESTRICTIVE",
    )


def _open_violation(table: Table, policy: Policy) -> Violation:
    what = {"all": "read and write", "insert": "insert", "update": "change", "delete": "delete"}[policy.command]
    return Violation(
        location=policy.location or table.location,
        relation=str(table.name),
        subject=f"open to all: {policy.name}",
        message=f"policy {policy.name} of {table.name} lets every role {what} every row",
        effect="The policy restricts nothing: for these statements, row security is effectively disabled.",
        hint="restrict the policy to roles (TO ...), or limit the rows",
    )


RULE = SchemaRule(
    name="rls_state",
    group=Group.SECURITY,
    severity="warning",
    summary="Row security does not enforce its policies",
    impact="Rows that the policies are meant to separate are not separated.",
    fix_hint="enable row security on tables that have policies, and make each policy restrict the rows",
    check=_check,
    bad=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL);\n"
            "CREATE POLICY tenant_isolation ON w_orders\n"
            "    USING (tenant_id = (SELECT current_setting('app.tenant_id', true)::bigint))",
        ),
    ),
    good=Example(
        sql=(
            "CREATE TABLE w_orders (id bigint PRIMARY KEY, tenant_id bigint NOT NULL);\n"
            "ALTER TABLE w_orders ENABLE ROW LEVEL SECURITY;\n"
            "CREATE POLICY tenant_isolation ON w_orders\n"
            "    USING (tenant_id = (SELECT current_setting('app.tenant_id', true)::bigint))",
        ),
    ),
)
