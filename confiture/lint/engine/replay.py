"""Replay of DDL files and of migrations on catalogs, and execution of the rules on both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, TypeVar, cast

from confiture.errors import Diagnostic
from confiture.lint.engine.configuration import ActiveRule
from confiture.lint.engine.context import (
    LintTarget,
    SchemaContext,
    SegmentStatements,
    StatementAnalysis,
    StatementCache,
    StatementContext,
)
from confiture.lint.engine.ignores import IgnoreComment, find_ignores, has_ignores
from confiture.lint.engine.qualify_names import qualify_fix
from confiture.lint.engine.rule import SchemaRule, StatementRule, Violation
from confiture.models.catalog import Catalog, QualifiedName
from confiture.models.plan import PlannedMigration, Segment
from confiture.models.records import record
from confiture.models.source import RenderedSql, SourceLocation
from confiture.models.trace import LockMode
from confiture.sql.catalog.builder import CatalogBuilder, CatalogIssue
from confiture.sql.catalog.undo import UNDONE_KINDS, undo_statements
from confiture.sql.effects import has_known_effects
from confiture.sql.parse_tree import Parse, ParsedStatement, parse_rendered
from confiture.sql.parser import parse_sql

RULE_FAILED, NOT_FOLLOWED = "the rule failed", "not-followed"


@record(frozen=True, kw_only=True, slots=True)
class LocatedViolation:
    """A rule violation and its place: a migration statement or a schema."""

    active_rule: ActiveRule
    violation: Violation
    statement: str | None = None
    statement_range: tuple[SourceLocation, SourceLocation] | None = None
    migration: str | None = None

    @property
    def lines(self) -> tuple[int, int] | None:
        """The first and last lines of the statement; None without a statement."""
        return (self.statement_range[0].span.line, self.statement_range[1].span.line) if self.statement_range else None


class _CatalogTracker:
    """Builds a catalog statement by statement, and continues after statements that it cannot apply."""

    def __init__(self) -> None:
        self._builder = CatalogBuilder()
        self.ignores: list[IgnoreComment] = []
        self.failures: list[Diagnostic] = []
        """Statements on which lint itself failed. The errors are in lint, not in the statements."""
        self.statements = 0

    @property
    def catalog(self) -> Catalog:
        """The current catalog."""
        return self._builder.catalog

    @property
    def catalog_issues(self) -> Sequence[CatalogIssue]:
        """The problems with statements: objects that are created twice or do not exist, and unknown effects."""
        return self._builder.issues

    @property
    def partial_tables(self) -> Set[QualifiedName]:
        """The tables that can have columns missing from the catalog."""
        return self._builder.partial_tables

    def _apply(self, statement: ParsedStatement) -> frozenset[QualifiedName]:
        """Apply a statement and return the relations that it created."""
        try:
            return self._builder.apply(statement)
        except Exception as error:
            self._report_failure(statement, error)
            return frozenset()

    def _report_failure(self, statement: ParsedStatement, error: Exception) -> None:
        message = f"lint failed on this statement: {type(error).__name__}: {error}"
        hint = "report this error together with the SQL; the rules do not see what the statement changes"
        self.failures.append(statement.rendered.diagnostic(statement.offset, NOT_FOLLOWED, message, hint=hint))


class SchemaReader(_CatalogTracker):
    """Builds a catalog from DDL files, one after another. Their SQL must parse."""

    def __init__(self, parse: Parse = parse_sql) -> None:
        super().__init__()
        self._parse = parse

    def read(self, rendered: RenderedSql) -> None:
        """Apply a file. Raises the parser's errors."""
        statements = parse_rendered(rendered, self._parse)
        self._builder.reset_session()
        for statement in statements:
            self._apply(statement)
        self.statements += len(statements)
        self.ignores += find_ignores(rendered, statements)


class _CommentedStatements:
    """The statements in SQL text that may contain ignore comments. Other statements are not kept."""

    def __init__(self) -> None:
        self._rendered: RenderedSql | None = None
        self._texts: dict[int, tuple[RenderedSql, list[ParsedStatement]]] = {}
        self._current: list[ParsedStatement] | None = None

    def add(self, statement: ParsedStatement) -> None:
        if statement.rendered is not self._rendered:
            # search each SQL text once, not once per statement
            self._rendered, self._current = statement.rendered, None
            if has_ignores(statement.rendered):
                key = id(statement.rendered)
                self._current = self._texts.setdefault(key, (statement.rendered, []))[1]
        if self._current is not None:
            self._current.append(statement)

    def ignores(self) -> Iterator[IgnoreComment]:
        for rendered, statements in self._texts.values():
            yield from find_ignores(rendered, statements)


class MigrationReplay(_CatalogTracker):
    """Replays migrations on a separate catalog, and runs the statement rules on each statement."""

    def __init__(
        self,
        active_rules: Iterable[ActiveRule],
        target: LintTarget,
        parse: Parse = parse_sql,
        observe: Callable[[StatementContext], None] | None = None,
    ) -> None:
        """Replay with these rules. `observe` is called with each checked statement, before it is applied."""
        super().__init__()
        self._observe = observe
        self._target = target
        self._by_kind = _rules_by_kind(active_rules)
        self._texts = StatementCache(parse)
        self.locks: dict[str, Mapping[QualifiedName, LockMode]] = {}
        """The locks of checked statements, by SQL text. Statements whose locks cannot be determined are omitted."""

    def start_from(self, catalog: Catalog, undone: Iterable[PlannedMigration] = ()) -> None:
        """Start from the schema that exists before the migrations.

        `undone` are migrations that the catalog may already contain. They are removed from it.
        """
        self._builder = CatalogBuilder(catalog)
        for migration in reversed([*undone]):
            undo_statements(self._builder, reversed([*self.statements_of(migration, UNDONE_KINDS)]))

    def statements_of(self, migration: PlannedMigration, kinds: Set[str]) -> Iterator[ParsedStatement]:
        """Yield the statements of some kinds, in order."""
        for segment in migration.segments:
            for step in segment.steps:
                for statement in step.statements:
                    if statement.node_kind in kinds:
                        yield self._texts.statements_by_offset(step.rendered)[statement.offset]

    def apply(self, migration: PlannedMigration) -> None:
        """Apply a migration without checking it."""
        for segment in migration.segments:
            self._begin_segment(segment)
            transaction = SegmentStatements(segment, self._texts)
            for number in range(len(transaction)):
                self._apply(transaction.statement(number))

    def check(
        self, migration: PlannedMigration, created: set[QualifiedName] | None = None
    ) -> Iterator[LocatedViolation]:
        """Apply a migration and return the violations in each of its statements.

        `created` are relations that no other session uses yet; relations that the migration creates are added.
        """
        created = set() if created is None else created
        commented = _CommentedStatements()
        for segment in migration.segments:
            self._begin_segment(segment)
            transaction = SegmentStatements(segment, self._texts)
            for number in range(len(transaction)):
                context = self._make_context(migration, transaction, number, created)
                self._compute_effects(context)
                yield from self._check_statement(context)
                if self._observe is not None:
                    self._observe(context)
                transaction.add_checked(context)
                renamed = _rename_in_default(context)
                created |= self._apply(context.statement)
                _apply_rename(renamed, created)
                commented.add(context.statement)
                self.statements += 1
            transaction.release()
        self.ignores += commented.ignores()

    def _begin_segment(self, segment: Segment) -> None:
        """Begin a session with the settings from earlier segments."""
        self._builder.reset_session()
        for setting in segment.settings:
            rendered = RenderedSql(text=setting, source=segment.steps[0].rendered.source)
            for statement in parse_rendered(rendered):
                self._apply(statement)

    def _make_context(
        self, migration: PlannedMigration, transaction: SegmentStatements, number: int, created: Set[QualifiedName]
    ) -> StatementContext:
        statement = transaction.statement(number)
        return StatementContext(
            statement=statement,
            catalog=self.catalog,
            target=self._target,
            migration=migration,
            step=transaction.step(number),
            created=created,
            transaction=transaction,
            number=number,
            analysis=StatementAnalysis(statement, self.catalog, self._target),
        )

    def _compute_effects(self, context: StatementContext) -> None:
        """Compute the effects that rules for later statements need, before the catalog changes."""
        try:
            locks = context.effects.locks
            if has_known_effects(context.statement.kind):
                self.locks[context.statement.text] = locks
        except Exception as error:
            self._report_failure(context.statement, error)
            context.analysis.assume_no_effects()

    def _check_statement(self, context: StatementContext) -> Iterator[LocatedViolation]:
        for active in self._by_kind.get(context.statement.kind, ()):
            rule = cast(StatementRule, active.rule)
            for violation in _run_check(active, rule.check, _with_options(context, active.options), context.location):
                if violation.remedy is not None:
                    violation = replace(violation, remedy=qualify_fix(violation.remedy, context.catalog))
                # omit the parse tree: the reference would keep it in memory
                yield LocatedViolation(
                    active_rule=active,
                    violation=violation,
                    statement=context.statement.text,
                    statement_range=_statement_range(context.statement),
                    migration=context.migration.version,
                )


def _rename_in_default(context: StatementContext) -> tuple[QualifiedName, QualifiedName] | None:
    """Return the old and new names of a relation that a statement renames or moves; None for other statements."""
    kind, node = context.statement.kind, context.node
    is_moved = kind == "alter_object_schema_stmt"
    if not is_moved and (kind != "rename_stmt" or node.subname or not node.HasField("relation")):
        return None
    relation = context.relation(node.relation)
    if relation is None:
        return None
    old = relation.name
    return old, QualifiedName(node.newschema, old.name) if is_moved else QualifiedName(old.schema, node.newname)


def _apply_rename(renamed: tuple[QualifiedName, QualifiedName] | None, created: set[QualifiedName]) -> None:
    """Update `created` after a rename.

    A new relation is still new after it is renamed. An existing relation that is renamed to a new relation's name is
    not.
    """
    if renamed:
        old, new = renamed
        created.discard(new)
        if old in created:
            created.remove(old)
            created.add(new)


def _statement_range(statement: ParsedStatement) -> tuple[SourceLocation, SourceLocation]:
    last = max(statement.end - 1, statement.offset)
    return statement.location, SourceLocation(rendered=statement.rendered, offset=last)


_Context = TypeVar("_Context")


def _run_check(
    active_rule: ActiveRule,
    check: Callable[[_Context], Iterable[Violation]],
    context: _Context,
    location: SourceLocation | None,
) -> Iterator[Violation]:
    """Return the violations on tables that the rule applies to.

    A rule failure is also reported as a violation, so that it does not stop lint.
    """
    try:
        for violation in check(context):
            if active_rule.applies_to(violation.relation):
                yield violation
    except Exception as error:
        yield Violation(
            location=location,
            severity="error",
            subject="failed",
            message=f"{RULE_FAILED}: {type(error).__name__}: {error}",
            effect="It is unknown whether this statement is safe.",
            hint="report this error together with the SQL; `severity: off` in the settings disables the rule",
        )


def _with_options(context: StatementContext, options: Mapping[str, Any]) -> StatementContext:
    """Return the context with a rule's options; computed facts are shared."""
    return replace(context, options=options) if options else context


def _rules_by_kind(active_rules: Iterable[ActiveRule]) -> Mapping[str, Sequence[ActiveRule]]:
    by_kind: dict[str, list[ActiveRule]] = {}
    for active in active_rules:
        if isinstance(active.rule, StatementRule):
            for kind in active.rule.kinds:
                by_kind.setdefault(kind, []).append(active)
    return by_kind


def check_schema(
    active_rules: Iterable[ActiveRule], catalog: Catalog, catalog_issues: Sequence[CatalogIssue], target: LintTarget
) -> Iterator[LocatedViolation]:
    """Return the violations of the schema rules in a catalog."""
    for active in active_rules:
        if isinstance(active.rule, SchemaRule):
            context = SchemaContext(
                catalog=catalog, target=target, options=active.options, catalog_issues=tuple(catalog_issues)
            )
            for violation in _run_check(active, active.rule.check, context, None):
                yield LocatedViolation(active_rule=active, violation=violation)
