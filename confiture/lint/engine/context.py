"""The contexts that rules check: a schema, or a statement of a migration, with facts from a database."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from heapq import merge
from itertools import islice
from typing import Any, overload

from confiture.models.catalog import PUBLIC, Catalog, QualifiedName, Relation, Table
from confiture.models.former_names import former_attributes
from confiture.models.plan import PlannedMigration, PlannedStep, Segment
from confiture.models.records import record
from confiture.models.settings import NEWEST_LINTED, Settings
from confiture.models.source import RenderedSql, SourceLocation
from confiture.models.tenancy import TenancyVerdict
from confiture.models.trace import LockMode
from confiture.sql.catalog.builder import CatalogIssue
from confiture.sql.effects import Effects, find_effects
from confiture.sql.parse_tree import Parse, ParsedStatement, parse_rendered
from confiture.sql.tenant_flow import TenancyFacts, analyze


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseFacts:
    """Facts from a database that are not available from files.

    The facts are the server's major version and the estimated row counts of the tables. `confiture lint --live` also
    needs the schema, the versions of the applied migrations, and a label for the database.
    """

    version: int
    table_rows: Mapping[QualifiedName, int] = field(default_factory=dict)
    catalog: Catalog | None = None
    applied: frozenset[str] = frozenset()
    label: str = ""


@dataclass(frozen=True, kw_only=True)
class LintTarget:
    """The target of a lint run, shared by all contexts.

    `postgres_version` is the major version of the server that the migrations are written for. `table_rows` maps the
    server's tables to the row counts that the planner estimates; it is empty if no database was queried.
    """

    settings: Settings
    postgres_version: int
    table_rows: Mapping[QualifiedName, int] = field(default_factory=dict)


def lint_target(settings: Settings, facts: DatabaseFacts | None) -> LintTarget:
    """Return the lint target.

    Its version comes from the settings, else from the server; the default is the newest known version.
    """
    version = settings.linting.postgres_version or (facts.version if facts else NEWEST_LINTED)
    return LintTarget(settings=settings, postgres_version=version, table_rows=facts.table_rows if facts else {})


@former_attributes(surroundings="target", misfits="catalog_issues")
@dataclass(frozen=True, kw_only=True)
class SchemaContext:
    """A schema to check. `options` are the options of the rule that checks it.

    `catalog_issues` are the problems with statements in the DDL files: objects that are created twice, or that do not
    exist. The catalog may still contain a missing object if a migration or a later statement creates it.
    """

    catalog: Catalog
    target: LintTarget
    options: Mapping[str, Any]
    catalog_issues: Sequence[CatalogIssue] = ()

    @cached_property
    def facts(self) -> TenancyFacts:
        """The facts that the tenancy analysis of queries needs."""
        return TenancyFacts(self.catalog, self.target.settings.tenancy)


class StatementCache:
    """A cache of parsed statements.

    It keeps only the statements from the most recent text, so texts must be requested in order.
    """

    def __init__(self, parse: Parse) -> None:
        self._parse = parse
        self._rendered: RenderedSql | None = None
        self._by_offset: Mapping[int, ParsedStatement] = {}

    def statements_by_offset(self, rendered: RenderedSql) -> Mapping[int, ParsedStatement]:
        """Return the statements in SQL text, by offset."""
        if self._rendered is not rendered:
            self._rendered, self._by_offset = (
                rendered,
                {one.offset: one for one in parse_rendered(rendered, self._parse)},
            )
        return self._by_offset


class SegmentStatements:
    """The statements of one segment, both checked and pending. Statements are numbered from 0."""

    def __init__(self, segment: Segment, statements: StatementCache) -> None:
        self._planned = [(step, statement.offset) for step in segment.steps for statement in step.statements]
        kinds = (statement.node_kind for step in segment.steps for statement in step.statements)
        self._numbers: dict[str, list[int]] = {}
        for number, kind in enumerate(kinds):
            self._numbers.setdefault(kind, []).append(number)
        self._checked: list[StatementContext] = []
        self._exclusive: list[int] = []
        self._statements = statements

    def __len__(self) -> int:
        return len(self._planned)

    def step(self, number: int) -> PlannedStep:
        """Return the step that a statement belongs to."""
        return self._planned[number][0]

    def statement(self, number: int) -> ParsedStatement:
        """Return a statement with its parse tree."""
        step, offset = self._planned[number]
        return self._statements.statements_by_offset(step.rendered)[offset]

    def add_checked(self, context: StatementContext) -> None:
        """Add a checked statement."""
        if LockMode.ACCESS_EXCLUSIVE in context.effects.locks.values():
            self._exclusive.append(len(self._checked))
        self._checked.append(context)

    def release(self) -> None:
        """Release the checked statements, because each one references the transaction and its parse tree."""
        self._checked.clear()

    def statements_before(self, number: int) -> Sequence[StatementContext]:
        """Return the checked statements before a number, in order."""
        return _ListPrefix(self._checked, number)

    def exclusive_numbers(self, stop: int) -> Iterator[int]:
        """Return the numbers of statements before `stop` that acquire an ACCESS EXCLUSIVE lock, in order."""
        return iter(self._exclusive[: bisect_left(self._exclusive, stop)])

    def numbers_of_kind(self, kinds: Iterable[str], start: int, stop: int) -> Iterator[int]:
        """Return the numbers of statements of these kinds from `start` up to but excluding `stop`, in order."""
        lists = (self._numbers.get(kind, []) for kind in kinds)
        return merge(*(numbers[bisect_left(numbers, start) : bisect_left(numbers, stop)] for numbers in lists))


class _ListPrefix(Sequence["StatementContext"]):
    """The first items of a list that keeps growing."""

    def __init__(self, items: list[StatementContext], length: int) -> None:
        self._items, self._length = items, length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[StatementContext]:
        return islice(self._items, self._length)

    @overload
    def __getitem__(self, index: int) -> StatementContext: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[StatementContext]: ...
    def __getitem__(self, index: int | slice) -> StatementContext | Sequence[StatementContext]:
        if isinstance(index, slice):
            return self._items[slice(*index.indices(self._length))]
        return self._items[range(self._length)[index]]


class StatementAnalysis:
    """Lazily computed facts about a statement, shared by all rules that check it."""

    def __init__(self, statement: ParsedStatement, catalog: Catalog, target: LintTarget) -> None:
        self._statement = statement
        self._catalog = catalog
        self._target = target

    @cached_property
    def effects(self) -> Effects:
        """The locks, scans, and rewrites of the statement."""
        return find_effects(self._statement, self._catalog, self._target.postgres_version)

    @cached_property
    def tenancy(self) -> TenancyVerdict:
        """The verdict on whether the statement can leak one tenant's rows to another."""
        return analyze(self._statement, TenancyFacts(self._catalog, self._target.settings.tenancy))

    def assume_no_effects(self) -> None:
        """Treat the statement as having no effects, because computing the effects failed."""
        self.effects = Effects()


@former_attributes(surroundings="target", place="location", earlier_of="earlier_of_kind", later_of="later_of_kind")
@record(frozen=True, kw_only=True, slots=True)
class StatementContext:
    """A migration statement, with the catalog as it is before the statement runs.

    `created` are the relations that the same migration created, which no other session uses yet. `transaction` contains
    the statements that run in the same transaction; `number` is the number of this statement.
    """

    statement: ParsedStatement
    catalog: Catalog
    target: LintTarget
    migration: PlannedMigration
    step: PlannedStep
    created: Set[QualifiedName]
    transaction: SegmentStatements
    number: int
    analysis: StatementAnalysis
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def earlier(self) -> Sequence[StatementContext]:
        """The statements that run earlier in the same transaction. `earlier_of_kind` is faster for a single kind."""
        return self.transaction.statements_before(self.number)

    def earlier_of_kind(self, *kinds: str) -> Iterator[StatementContext]:
        """Return the earlier statements of these kinds, in order."""
        earlier = self.earlier
        return (earlier[number] for number in self.transaction.numbers_of_kind(kinds, 0, self.number))

    def earlier_exclusive(self) -> Iterator[StatementContext]:
        """Return the earlier statements that acquire an ACCESS EXCLUSIVE lock, in order."""
        earlier = self.earlier
        return (earlier[number] for number in self.transaction.exclusive_numbers(self.number))

    def later_of_kind(self, *kinds: str) -> Iterator[ParsedStatement]:
        """Return the statements of these kinds that run later in the same transaction, in order."""
        numbers = self.transaction.numbers_of_kind(kinds, self.number + 1, len(self.transaction))
        return (self.transaction.statement(number) for number in numbers)

    @property
    def node(self) -> Any:
        """The parse tree of the statement. Its kind is one of the rule's kinds."""
        return self.statement.node

    @property
    def location(self) -> SourceLocation:
        """The location of the statement's first character."""
        return self.statement.location

    @property
    def version(self) -> int:
        """The major version of the target server."""
        return self.target.postgres_version

    @property
    def effects(self) -> Effects:
        """The locks, scans, and rewrites that can be determined without running the statement."""
        return self.analysis.effects

    @property
    def tenancy(self) -> TenancyVerdict:
        """The verdict on whether the statement can leak one tenant's rows to another."""
        return self.analysis.tenancy

    def relation(self, range_var: Any) -> Relation | None:
        """Return the relation that a name in the parse tree refers to, if the catalog knows it."""
        return self.catalog.relation(range_var.schemaname or None, range_var.relname)

    def table(self, range_var: Any) -> Table | None:
        """Return the table that a name in the parse tree refers to, if the catalog knows it."""
        relation = self.relation(range_var)
        return relation if isinstance(relation, Table) else None

    def name(self, range_var: Any) -> str:
        """Format a name in the parse tree for messages, with its schema unless the schema is `public`."""
        relation = self.relation(range_var)
        return str(relation.name if relation else QualifiedName(range_var.schemaname or PUBLIC, range_var.relname))

    def is_new(self, range_var: Any) -> bool:
        """Whether the relation is temporary or was created by this migration, so that no other session can be waiting
        for it.
        """
        relation = self.relation(range_var)
        return relation is not None and (relation.name in self.created or _is_temporary(relation))

    def rows(self, name: QualifiedName) -> int | None:
        """Return the number of rows in a table of the queried database; None if unknown."""
        return self.target.table_rows.get(name)


def _is_temporary(relation: Relation) -> bool:
    return isinstance(relation, Table) and relation.persistence == "temporary"
