"""The effects of migrations before they run: locks, lost data, and the relations that they touch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from typing import Any

from confiture.lint.data_loss import find_losses
from confiture.lint.effect_summary import EffectSummary
from confiture.lint.engine.context import DatabaseFacts, StatementContext, lint_target
from confiture.lint.engine.replay import MigrationReplay
from confiture.models.catalog import QualifiedName, Table
from confiture.models.grades import LossFact
from confiture.models.plan import BATCH, PlannedMigration, TransactionMode
from confiture.models.records import record
from confiture.models.settings import Settings
from confiture.models.trace import LockMode
from confiture.sql.built_in import is_built_in
from confiture.sql.effects import has_known_effects
from confiture.sql.parse_tree import pb, schema_and_name
from confiture.sql.traversal import find_nodes
from confiture.sql.tristate import Tristate
from confiture.sql.volatility import find_called_functions
from confiture.text import shorten_sql

_WITHOUT_RELATIONS = """
alter_collation alter_database_set alter_default_privileges alter_enum alter_extension alter_function
alter_object_depends alter_op_family alter_operator alter_owner alter_role alter_role_set alter_stats
alter_tsconfiguration alter_tsdictionary alter_type check_point close_portal composite_type constraints_set create_am
create_cast create_conversion create_domain
create_enum create_event_trig create_extension create_fdw create_foreign_server create_function create_op_class
create_op_family create_plang create_range create_role create_schema create_transform create_user_mapping deallocate
define discard drop_role drop_user_mapping fetch grant_role listen notify sec_label unlisten variable_set variable_show
"""
"""Kinds of statements that neither lock a relation nor change rows. Other unknown kinds may do both."""
_HARMLESS = frozenset(f"{kind}_stmt" for kind in _WITHOUT_RELATIONS.split())
_WRITING = frozenset({"insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "copy_stmt", "truncate_stmt"})
_PROCESSING = _WRITING - {"truncate_stmt"} | frozenset(
    {"select_stmt", "index_stmt", "create_table_as_stmt", "refresh_mat_view_stmt", "reindex_stmt", "cluster_stmt"}
    | {"vacuum_stmt", "explain_stmt"}
)


@record(frozen=True, kw_only=True, slots=True)
class MigrationEffects:
    """The effects of one migration, given the schema before it.

    `locks` are the strongest locks on relations that exist before the plan runs; `touched` are all relations that it
    names, locks, creates, or drops. `opaque` and `unmeasured` are as in `RiskFacts`; `triggered` are the tables whose
    triggers a statement fires.
    """

    version: str
    summary: str
    statements: int
    locks: dict[QualifiedName, LockMode] = field(default_factory=dict)
    touched: frozenset[QualifiedName] = frozenset()
    functions: frozenset[str] = frozenset()
    """The names of functions and procedures that the migration defines, alters, or calls."""
    rewrites: frozenset[QualifiedName] = frozenset()
    losses: tuple[LossFact, ...] = ()
    opaque: tuple[str, ...] = ()
    triggered: tuple[str, ...] = ()
    unmeasured: tuple[str, ...] = ()
    reads_rows: bool = False
    waits_for_all: bool = False


def find_plan_effects(
    migrations: Sequence[PlannedMigration], settings: Settings, facts: DatabaseFacts
) -> tuple[MigrationEffects, ...]:
    """Return the effects of migrations that run one after another on the database with these facts."""
    collector = _EffectCollector(facts)
    replay = MigrationReplay((), lint_target(settings, facts), observe=collector.observe)
    if facts.catalog is not None:
        replay.start_from(facts.catalog)
    created: set[QualifiedName] = set()
    result = []
    for plan in migrations:
        collector.begin(plan)
        for _ in replay.check(plan, created):
            pass
        result.append(collector.finish(replay.failures))
        replay.failures.clear()
    return tuple(result)


class _EffectCollector:
    """Collects the effects of one migration at a time, over the statements that a replay checks."""

    def __init__(self, facts: DatabaseFacts) -> None:
        self._catalog = facts.catalog

    def begin(self, plan: PlannedMigration) -> None:
        self._plan = plan
        self._summary = EffectSummary()
        self._locks: dict[QualifiedName, LockMode] = {}
        self._touched: set[QualifiedName] = set()
        self._functions: set[str] = set()
        self._rewrites: set[QualifiedName] = set()
        self._losses: list[LossFact] = []
        self._opaque: list[str] = []
        self._triggered: list[str] = []
        self._reads_rows = self._waits_for_all = False
        self._statements = 0

    def observe(self, context: StatementContext) -> None:
        """Collect the effects of a statement."""
        self._statements += 1
        kind, effects = context.statement.kind, context.effects
        self._summary.add(context)
        for name, mode in effects.locks.items():
            if name not in context.created and not _is_temporary(context, name):
                former = self._locks.get(name)
                if former is None or former.strength < mode.strength:
                    self._locks[name] = mode
        self._touched |= {*effects.locks, *_named_relations(context)}
        self._functions |= {*_function_names(context)}
        self._rewrites |= effects.rewrites - context.created
        self._losses += find_losses(context, self._catalog)
        self._opaque += _opaque_parts(context)
        self._triggered += _fired_triggers(context)
        self._reads_rows |= kind in _PROCESSING or bool(effects.rewrites) or bool(effects.scans - context.created)

    def finish(self, failures: Iterable[Any]) -> MigrationEffects:
        """Return the effects. `failures` are the statements that lint could not follow."""
        plan = self._plan
        statements = [(step, one) for step in plan.steps for one in step.statements]
        hooks = [f"the hook {step.hook.name}" for step in plan.steps if step.hook]
        outside = [one for _, one in statements if one.transaction_mode is TransactionMode.OUTSIDE]
        return MigrationEffects(
            version=plan.version,
            summary=self._summary.text(hooks=len(hooks)),
            statements=len(statements) + len(hooks),
            locks=dict(self._locks_without_weaker_indexes()),
            touched=frozenset(self._touched),
            functions=frozenset(self._functions),
            rewrites=frozenset(self._rewrites),
            losses=tuple(dict.fromkeys(self._losses)),
            opaque=tuple(dict.fromkeys([*self._opaque, *hooks, *(str(one) for one in failures)])),
            triggered=tuple(dict.fromkeys(self._triggered)),
            unmeasured=tuple(shorten_sql(one.text, 40) for one in outside if not one.is_concurrent),
            reads_rows=self._reads_rows or bool(hooks),
            waits_for_all=any(one.is_concurrent for one in outside),
        )

    def _locks_without_weaker_indexes(self) -> Iterator[tuple[QualifiedName, LockMode]]:
        """Yield the locks, except those on indexes whose table is locked at least as strongly."""
        for name, mode in self._locks.items():
            owner = self._catalog.index_owners.get(name) if self._catalog and self._catalog.index_owners else None
            table = self._locks.get(owner) if owner else None
            if table is None or table.strength < mode.strength:
                yield name, mode


def share_objects(one: MigrationEffects, other: MigrationEffects) -> bool:
    """Whether two migrations touch the same relation or function, or one of them has effects that are not known."""
    if one.opaque or other.opaque:
        return True
    return bool(one.touched & other.touched or one.functions & other.functions)


def _is_temporary(context: StatementContext, name: QualifiedName) -> bool:
    table = context.catalog.tables.get(name)
    return table is not None and table.persistence == "temporary"


def _named_relations(context: StatementContext) -> Iterator[QualifiedName]:
    for range_var in find_nodes(context.node, pb.RangeVar):
        if range_var.relname != BATCH.strip('"'):
            relation = context.relation(range_var)
            yield relation.name if relation else QualifiedName(range_var.schemaname or "public", range_var.relname)
    if context.statement.kind == "drop_stmt":
        for item in context.node.objects:
            parts = [part.string.sval for part in item.list.items]
            if parts:
                schema = parts[-2] if len(parts) > 1 else None
                relation = context.catalog.relation(schema, parts[-1])
                yield relation.name if relation else QualifiedName(schema or "public", parts[-1])


def _function_names(context: StatementContext) -> Iterator[str]:
    for call in find_nodes(context.node, pb.FuncCall):
        schema, name = schema_and_name(call.funcname)
        if schema != "pg_catalog" and not is_built_in(name):
            yield name
    for one in find_nodes(context.node, pb.ObjectWithArgs):
        yield schema_and_name(one.objname)[1]
    if context.statement.kind == "create_function_stmt":
        yield schema_and_name(context.node.funcname)[1]
    if context.statement.kind == "create_trig_stmt":
        yield schema_and_name(context.node.funcname)[1]


def _opaque_parts(context: StatementContext) -> Iterator[str]:
    kind = context.statement.kind
    if kind not in _HARMLESS and not has_known_effects(kind):
        yield shorten_sql(context.statement.text, 40)
        return
    if kind in ("create_function_stmt", "create_trig_stmt", "prepare_stmt"):
        return
    for name, verdict in find_called_functions(context.node, context.catalog):
        if verdict is not Tristate.NO and (not is_built_in(name) or _is_user_defined(name, context)):
            yield f"the function {name}"


def _is_user_defined(name: str, context: StatementContext) -> bool:
    return any(signature.name.name == name for signature in context.catalog.functions)


def _fired_triggers(context: StatementContext) -> Iterator[str]:
    if context.statement.kind not in _WRITING:
        return
    for name in context.effects.locks:
        table = context.catalog.tables.get(name)
        if isinstance(table, Table) and table.triggers and context.effects.locks[name].strength >= 2:
            yield f"triggers on {name}"
