"""Builds the catalog from DDL files, replays migrations over another one, and lets the rules judge both."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
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
from confiture.sql.effects import has_known_effects
from confiture.sql.parse_tree import Parse, ParsedStatement, parse_rendered
from confiture.sql.parser import parse_sql

RULE_FAILED, NOT_FOLLOWED = "the rule itself failed", "not-followed"


@record(frozen=True, kw_only=True, slots=True)
class LocatedViolation:
    """A hit of a rule, and what it was found in: a statement of a migration, or a schema."""

    active_rule: ActiveRule
    violation: Violation
    statement: str | None = None
    statement_range: tuple[SourceLocation, SourceLocation] | None = None
    migration: str | None = None

    @property
    def lines(self) -> tuple[int, int] | None:
        """The first and the last line of the statement, None where it is about none."""
        return (self.statement_range[0].span.line, self.statement_range[1].span.line) if self.statement_range else None


class _CatalogTracker:
    """Builds a catalog statement by statement, and outlives statements that cannot be followed."""

    def __init__(self) -> None:
        self._builder = CatalogBuilder()
        self.ignores: list[IgnoreComment] = []
        self.failures: list[Diagnostic] = []
        """Statements that lint failed on: not what they are, but what it makes of them, is wrong."""
        self.statements = 0

    @property
    def catalog(self) -> Catalog:
        """What is there at the moment."""
        return self._builder.catalog

    def _apply(self, statement: ParsedStatement) -> frozenset[QualifiedName]:
        """Applies a statement, and returns the relations that it made."""
        try:
            return self._builder.apply(statement)
        except Exception as error:
            self._report_failure(statement, error)
            return frozenset()

    def _report_failure(self, statement: ParsedStatement, error: Exception) -> None:
        message = f"lint cannot follow this statement: {type(error).__name__}: {error}"
        hint = "report it together with the SQL; the rules do not know what it changes"
        self.failures.append(statement.rendered.diagnostic(statement.offset, NOT_FOLLOWED, message, hint=hint))


class SchemaReader(_CatalogTracker):
    """Builds a catalog from DDL files, one after the other. The texts must parse."""

    def __init__(self, parse: Parse = parse_sql) -> None:
        super().__init__()
        self._parse = parse

    @property
    def catalog_issues(self) -> Sequence[CatalogIssue]:
        """What did not fit: made twice, or named and not there."""
        return self._builder.issues

    def read(self, rendered: RenderedSql) -> None:
        """Applies a file. Raises what `parsed` raises."""
        statements = parse_rendered(rendered, self._parse)
        self._builder.reset_session()
        for statement in statements:
            self._apply(statement)
        self.statements += len(statements)
        self.ignores += find_ignores(rendered, statements)


class _CommentedStatements:
    """The statements of those texts that may have ignore comments; others are let go."""

    def __init__(self) -> None:
        self._rendered: RenderedSql | None = None
        self._texts: dict[int, tuple[RenderedSql, list[ParsedStatement]]] = {}
        self._current: list[ParsedStatement] | None = None

    def add(self, statement: ParsedStatement) -> None:
        if statement.rendered is not self._rendered:
            # a text is searched once, not for each of its statements
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
    """Replays migrations over a catalog of their own, and lets the statement rules judge them."""

    def __init__(self, active_rules: Iterable[ActiveRule], target: LintTarget, parse: Parse = parse_sql) -> None:
        super().__init__()
        self._target = target
        self._by_kind = _rules_by_kind(active_rules)
        self._texts = StatementCache(parse)
        self.locks: dict[str, Mapping[QualifiedName, LockMode]] = {}
        """What the judged statements lock by their texts, those left out of which nobody knows from here."""

    def start_from(self, catalog: Catalog) -> None:
        """Begins with the schema of a database, which the migrations that it has made."""
        self._builder = CatalogBuilder(catalog)

    def apply(self, migration: PlannedMigration) -> None:
        """Applies a migration without judging it."""
        for segment in migration.segments:
            self._begin_segment(segment)
            transaction = SegmentStatements(segment, self._texts)
            for number in range(len(transaction)):
                self._apply(transaction.statement(number))

    def check(
        self, migration: PlannedMigration, created: set[QualifiedName] | None = None
    ) -> Iterator[LocatedViolation]:
        """Applies a migration, and gives what rules find in each of its statements.

        `created` are relations that nobody uses yet; those that the migration makes are added.
        """
        created = set() if created is None else created
        noted = _CommentedStatements()
        for segment in migration.segments:
            self._begin_segment(segment)
            transaction = SegmentStatements(segment, self._texts)
            for number in range(len(transaction)):
                subject = self._make_context(migration, transaction, number, created)
                self._compute_effects(subject)
                yield from self._check_statement(subject)
                transaction.add_checked(subject)
                renamed = _rename_in_default(subject)
                created |= self._apply(subject.statement)
                _apply_rename(renamed, created)
                noted.add(subject.statement)
                self.statements += 1
            transaction.release()
        self.ignores += noted.ignores()

    def _begin_segment(self, segment: Segment) -> None:
        """Begin a session with the settings of earlier segments."""
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
        """Works out what later statements ask of this one: the catalog will have changed by then."""
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
            for hit in _run_check(active, rule.check, _with_options(context, active.options), context.location):
                if hit.remedy is not None:
                    hit = replace(hit, remedy=qualify_fix(hit.remedy, context.catalog))
                # not the tree: that would outlive its use
                yield LocatedViolation(
                    active_rule=active,
                    violation=hit,
                    statement=context.statement.text,
                    statement_range=_statement_range(context.statement),
                    migration=context.migration.version,
                )


def _rename_in_default(context: StatementContext) -> tuple[QualifiedName, QualifiedName] | None:
    """The relation that a statement gives another name or schema, and that; None where it does not."""
    kind, node = context.statement.kind, context.node
    is_moved = kind == "alter_object_schema_stmt"
    if not is_moved and (kind != "rename_stmt" or node.subname or not node.HasField("relation")):
        return None
    found = context.relation(node.relation)
    if found is None:
        return None
    old = found.name
    return old, QualifiedName(node.newschema, old.name) if is_moved else QualifiedName(old.schema, node.newname)


def _apply_rename(renamed: tuple[QualifiedName, QualifiedName] | None, created: set[QualifiedName]) -> None:
    """What is new stays new by its other name, and what is old does not become new by the name of something new."""
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
    """The hits on tables that the rule is to judge. A rule that fails is a hit too: one must not end lint."""
    try:
        for hit in check(context):
            if active_rule.applies_to(hit.relation):
                yield hit
    except Exception as error:
        yield Violation(
            location=location,
            severity="error",
            subject="failed",
            message=f"{RULE_FAILED}: {type(error).__name__}: {error}",
            effect="Whether this is safe is not known.",
            hint="report it together with the SQL; `severity: off` in the settings switches the rule off",
        )


def _with_options(context: StatementContext, options: Mapping[str, Any]) -> StatementContext:
    """The subject for a rule with options; what was worked out for it stays worked out."""
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
    """What the schema rules find in a catalog."""
    for active in active_rules:
        if isinstance(active.rule, SchemaRule):
            subject = SchemaContext(
                catalog=catalog, target=target, options=active.options, catalog_issues=tuple(catalog_issues)
            )
            for hit in _run_check(active, active.rule.check, subject, None):
                yield LocatedViolation(active_rule=active, violation=hit)


def merge_catalogs(files: Catalog, migrations: Catalog) -> Catalog:
    """The schema of the files, and what only the migrations make. Where both know an object, the files do.

    Temporary tables are gone when their migration ends.
    """
    lasting = {name: table for name, table in migrations.tables.items() if table.persistence != "temporary"}
    return replace(
        files,
        schemas={**migrations.schemas, **files.schemas},
        tables={**lasting, **files.tables},
        views={**migrations.views, **files.views},
        sequences={**migrations.sequences, **files.sequences},
        types={**migrations.types, **files.types},
        functions={**migrations.functions, **files.functions},
        grants={*migrations.grants, *files.grants},
        extensions={**migrations.extensions, **files.extensions},
        index_owners={**migrations.index_owners, **files.index_owners},
        dependents=_merge_dependents(files.dependents or {}, migrations.dependents or {}),
    )


def _merge_dependents(
    first: Mapping[QualifiedName, Collection[QualifiedName]], second: Mapping[QualifiedName, Collection[QualifiedName]]
) -> Mapping[QualifiedName, set[QualifiedName]]:
    return {name: {*first.get(name, ()), *second.get(name, ())} for name in first.keys() | second.keys()}
